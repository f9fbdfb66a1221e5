"""One module per container and code location."""
