"""Dagster around the pure functions: the catalog, the assets, what runs by itself, the instance."""
