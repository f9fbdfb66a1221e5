"""One module per stage. A stage says which pure function computes which table, and no more."""
