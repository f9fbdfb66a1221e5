"""What the tables below a storage root were computed from, and the refusal to mix two sources.

It prevents this incident: a misspelt setting meant the built-in sample market, and a refresh
replaced a year of real prices by invented ones. The record is a small file beside the tables,
``source.json``, so that it goes wherever they go.
"""

import json
from dataclasses import asdict, dataclass, replace

import pandas as pd

from hawk_assets.core.errors import SettingsError, StorageError
from hawk_assets.orchestration.catalog import MARKET_DATA
from hawk_assets.sources.base import MarketDataSource
from hawk_assets.sources.sample import SampleMarket
from hawk_assets.storage.tables import Tables

NOTE = "source.json"


@dataclass(frozen=True)
class SourceRecord:
    """:param source: the identity of the source
    :param start: the first month of the history, as ``2006-01``
    :param sample: whether it is the built-in sample market
    """

    source: str
    start: str
    sample: bool = False

    @property
    def setting(self) -> str:
        """The value of HAWK_MARKET_DATA that names it."""
        return "sample" if self.sample else self.source

    @classmethod
    def of(cls, source: MarketDataSource, start: pd.Timestamp) -> "SourceRecord":
        """The record of a source as the settings name it."""
        return cls(source.identity, f"{start:%Y-%m}", isinstance(source, SampleMarket))


def read_record(storage: Tables) -> SourceRecord | None:
    """The record of a storage; None for an empty one, or one by an older release.

    :raises StorageError: the storage cannot be read, or its record is damaged
    """
    content = storage.read_note(NOTE)
    if content is None:
        return None
    try:
        return SourceRecord(**json.loads(content))
    except (ValueError, TypeError):
        raise StorageError(
            f"{storage.root}/{NOTE} is damaged; it says which source the tables were computed from."
            " Restore it, or delete it: the next refresh then compares the rows themselves"
        ) from None


def write_record(storage: Tables, record: SourceRecord) -> None:
    """:raises StorageError: the storage cannot be written"""
    storage.write_note(NOTE, json.dumps(asdict(record), indent=1).encode() + b"\n")


def check_source(storage: Tables, source: MarketDataSource) -> None:
    """Refuse a source that is not the one of the stored tables.

    :raises SettingsError: names both, and the remedy
    :raises StorageError: as ``read_record`` does
    """
    record = read_record(storage)
    if record is None or record.source == source.identity or not storage.stamps(MARKET_DATA):
        return
    ours = isinstance(source, SampleMarket)
    named = (
        f"HAWK_MARKET_DATA is 'sample' or not set, which means the {source.identity}"
        if ours
        else f"HAWK_MARKET_DATA names {source.identity}"
    )
    same = ". For the same prices in another place: hawk refresh --new-source"
    raise SettingsError(
        f"the tables in HAWK_STORAGE={storage.root} were computed from {describe(record)}, but "
        f"{named}. To go on with them, set HAWK_MARKET_DATA={record.setting}. For other prices, "
        "set HAWK_STORAGE and DAGSTER_HOME to other folders, then: hawk backfill"
        + same
        * (not (record.sample or ours))
    )


def change_source(storage: Tables, source: MarketDataSource) -> None:
    """Let the stored tables go over to another source; the next refresh compares every month.

    :raises SettingsError: the built-in sample market is one of the two
    """
    record = read_record(storage)
    if record is None or record.source == source.identity:
        return
    if record.sample or isinstance(source, SampleMarket):
        check_source(storage, source)
    write_record(storage, SourceRecord.of(source, pd.Timestamp(record.start)))


def claim_storage(
    storage: Tables, record: SourceRecord, stored: pd.DataFrame | None, fetched: pd.DataFrame
) -> None:
    """Record the source of a storage that is new, or that an older release has filled.

    :param record: of the source that the rows were fetched from
    :param stored: the rows of market_data for the months that were fetched; None where other rows
        were fetched, which do not show whether the source is the same
    :param fetched: what the source has of them
    :raises SettingsError: the source has not one of the stored closes, so it is another one; or
        nothing shows that it is the same
    """
    known = read_record(storage)
    if known is not None and (known == record or storage.stamps(MARKET_DATA)):
        return
    if stored is None and storage.stamps(MARKET_DATA):
        raise SettingsError(
            f"HAWK_STORAGE={storage.root} does not say which source its tables were computed from; "
            "run: hawk refresh"
        )
    key = ["date", "ticker", "close"]
    if (
        stored is not None
        and len(stored)
        and len(fetched)
        and stored[key].merge(fetched[key], on=key).empty
    ):
        raise SettingsError(
            f"not one close of market_data in HAWK_STORAGE={storage.root} is in {record.source}: "
            "is that the right HAWK_MARKET_DATA? To use it, set HAWK_STORAGE and DAGSTER_HOME to "
            "other folders, then: hawk backfill"
        )
    write_record(storage, record)


def starts_later(storage: Tables, start: pd.Timestamp) -> bool:
    """Whether the stored tables were computed from a history that starts before ``start``.

    The first months of most tables were then computed from months that are no longer there.

    :raises StorageError: as ``read_record`` does
    """
    record = read_record(storage)
    return record is not None and record.start < f"{start:%Y-%m}"


def record_start(storage: Tables, start: pd.Timestamp) -> None:
    """Record that every table has been computed from a history that starts at ``start``."""
    record = read_record(storage)
    if record and record.start != f"{start:%Y-%m}":
        write_record(storage, replace(record, start=f"{start:%Y-%m}"))


def describe(record: SourceRecord) -> str:
    """A source in a sentence."""
    return f"the {record.source}" if record.sample else record.source
