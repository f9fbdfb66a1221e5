"""Indicator and signal functions that two or more models use. TA-Lib lives here and in models."""
