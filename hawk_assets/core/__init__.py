"""What every stage shares. Pure: no Dagster, no input or output, no clock, no environment."""
