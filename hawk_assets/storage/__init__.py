"""Where tables are kept: Parquet files in a folder or a bucket. Nothing here knows Dagster."""
