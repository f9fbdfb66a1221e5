"""Insights and prices to the simulated performance of a book, and its metrics."""
