"""Stored tables: Parquet files in a folder or a bucket. Nothing here knows Dagster."""
