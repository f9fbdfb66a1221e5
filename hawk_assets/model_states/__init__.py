"""Raw market data to model states: the features of each model, from its own bounded window."""
