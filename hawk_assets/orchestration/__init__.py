"""The only package that imports Dagster: what the assets are, where they live, when they run."""
