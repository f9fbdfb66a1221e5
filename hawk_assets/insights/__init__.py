"""Model states to insights: the signal of each model, sized into weights."""
