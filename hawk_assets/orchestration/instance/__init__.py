"""The Dagster instance: its home, event log, run launchers and compute logs."""
