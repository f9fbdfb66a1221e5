"""Where raw data comes from: one module per kind of source, and the choice between them."""

import re
from pathlib import Path

import pandas as pd

from hawk_assets.core.errors import SettingsError
from hawk_assets.sources.base import MarketDataSource
from hawk_assets.sources.bigquery import BigQueryTables, Connect
from hawk_assets.sources.local import MarketDataFiles
from hawk_assets.sources.queries import TableName
from hawk_assets.sources.sample import SampleMarket


def open_source(
    setting: str | None,
    start: pd.Timestamp,
    end: pd.Timestamp | None,
    commitments: str | None = None,
    *,
    connect: Connect,
    kept: Path | None = None,
) -> MarketDataSource:
    """The source that the settings name. Nothing is read or generated until it is used.

    :param setting: the value of HAWK_MARKET_DATA: a path, folder or glob of files, or
        ``bigquery://project/dataset/table``; None, ``""`` or ``"sample"`` for the built-in market
    :param start: first day of the built-in market; other sources ignore it
    :param end: the day after the last day of the built-in market; None is today
    :param commitments: the value of HAWK_COMMITMENTS: commitments of traders for the prices, files
        with files and a table with a table; None or ``""`` for none. The built-in market has its
        own
    :param connect: creates a client of BigQuery
    :param kept: the file where digests of unchanged files are kept; None keeps none
    :raises SettingsError: an unknown URL, a table with files, or reports for the built-in market
    """
    if setting in (None, "", "sample"):
        if commitments:
            raise SettingsError(
                f"HAWK_COMMITMENTS={commitments!r} needs prices of your own: the built-in market "
                "has its own reports; set HAWK_MARKET_DATA, or unset HAWK_COMMITMENTS"
            )
        return SampleMarket(start, end)
    named = {"HAWK_MARKET_DATA": setting, "HAWK_COMMITMENTS": commitments}
    tables = [name for name, value in named.items() if value and _is_table(value)]
    for name, value in named.items():
        if value and name not in tables and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
            raise SettingsError(
                f"{name}={value!r} is not supported; give a path, folder or glob of Parquet or CSV "
                "files, or bigquery://project/dataset/table; HAWK_MARKET_DATA may also be "
                "'sample', the built-in market"
            )
    if not tables:
        return MarketDataFiles(setting, commitments or None, kept)
    if commitments and len(tables) == 1:
        raise SettingsError(
            f"HAWK_COMMITMENTS={commitments!r} is of a different kind than "
            f"HAWK_MARKET_DATA={setting!r}; give two BigQuery tables, or files for both"
        )
    names = {name: TableName.parse(name, str(named[name])) for name in tables}
    return BigQueryTables(names["HAWK_MARKET_DATA"], names.get("HAWK_COMMITMENTS"), connect)


def _is_table(value: str) -> bool:
    """Whether the value means a table, even if it is misspelt."""
    return bool(re.match(r"\s*(bigquery|bq):", value, re.IGNORECASE))
