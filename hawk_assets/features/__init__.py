"""Indicator and signal functions that several models use. Only this and models/ use TA-Lib."""
