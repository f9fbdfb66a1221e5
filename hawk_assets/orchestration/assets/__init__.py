"""One module per stage. A body says which pure function makes which table, and nothing else."""
