"""Market data to model states: the features of each model, each year from a bounded window."""
