"""Model states to insights: the signal of each model, and its weights."""
