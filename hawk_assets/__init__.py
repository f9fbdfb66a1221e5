"""hawk_assets: a systematic desk's daily pipeline as Dagster software-defined assets."""
