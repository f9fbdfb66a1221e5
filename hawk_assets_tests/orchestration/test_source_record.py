"""Two sources are never mixed in one storage."""

import shutil
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from hawk_assets.commands.show import latest_book
from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.build import build_pipeline
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.orchestration.source_record import NOTE, read_record
from hawk_assets_tests.pipelines import Desk, assert_same, open_desk, ragged_prices


def half_year() -> pd.DataFrame:
    prices = ragged_prices()
    return prices[prices["date"] < "2015-07-01"]


def with_source(desk: Desk, setting: str | None) -> Desk:
    """The same storage and instance, another HAWK_MARKET_DATA."""
    settings = desk.settings.model_copy(update={"market_data": setting})
    pipeline = build_pipeline(settings=settings, models=desk.pipeline.models)
    return replace(desk, settings=settings, pipeline=pipeline)


def test_another_source_is_refused_by_every_command_and_by_a_run(tmp_path: Path) -> None:
    with open_desk(tmp_path, half_year(), "2015-06") as desk:
        assert not desk.backfill()
        before = desk.files()
        mine = desk.settings.market_data
        shutil.copy(str(mine), tmp_path / "other.parquet")
        for setting, named in (
            (None, "is .sample. or not set"),
            (str(tmp_path / "other.parquet"), "other"),
        ):
            other = with_source(desk, setting)
            for command in (other.refresh, other.pending, other.backfill):
                with pytest.raises(SettingsError, match=f"computed from {mine}.*{named}"):
                    command()
            run = other.pipeline.job.execute_in_process(
                instance=desk.instance,
                asset_selection=[dg.AssetKey("market_data")],
                partition_key="2015-06-01",
                raise_on_error=False,
            )
            assert not run.success
        assert desk.files() == before
        # A machine without the setting may look at the book, and is told whose it is.
        assert latest_book(with_source(desk, None).pipeline, desk.instance)["prices"] == mine
        with pytest.raises(SettingsError, match="computed from"):
            latest_book(with_source(desk, "sample").pipeline, desk.instance)


def test_the_same_prices_in_another_place_are_accepted_when_asked(tmp_path: Path) -> None:
    with open_desk(tmp_path, half_year(), "2015-06") as desk:
        assert not desk.backfill()
        before = desk.files()
        moved = tmp_path / "moved.parquet"
        Path(str(desk.settings.market_data)).rename(moved)
        other = with_source(desk, str(moved))
        assert other.refresh(new_source=True) == ([], {})
        assert {k: v for k, v in other.files().items()} == before
        record = read_record(other.pipeline.storage)
        assert record
        assert record.source == str(moved)
        assert not other.pending()


def test_the_sample_market_is_never_mixed_in(tmp_path: Path) -> None:
    with open_desk(tmp_path, half_year(), "2015-06") as desk:
        assert not desk.backfill()
        sample = with_source(desk, "sample")
        with pytest.raises(SettingsError, match="other folders"):
            sample.refresh(new_source=True)
    with open_desk(tmp_path / "two", half_year(), "2015-06") as desk:
        sample = with_source(desk, None)
        assert not sample.backfill("2015-01", "2015-02", "market_data")
        for again in (False, True):
            with pytest.raises(SettingsError, match="built-in sample market"):
                desk.refresh(new_source=again)


def test_tables_of_an_older_release_go_on_with_their_own_source_only(tmp_path: Path) -> None:
    with open_desk(tmp_path, half_year(), "2015-06") as desk:
        assert not desk.backfill()
        expected = desk.tables()
        note = Path(desk.settings.storage) / NOTE
        note.unlink()
        failed = with_source(desk, None).backfill("2015-05", "2015-06", "market_data")
        assert "not one close of market_data" in failed["market_data",]
        assert not note.exists()
        assert not desk.backfill("2015-05", "2015-06", "market_data")
        assert note.exists()
        assert_same(desk.tables(), expected)


@pytest.mark.parametrize(
    ("first", "last"), [("2015-03", "2015-06"), ("2014-11", "2015-06"), ("2015-01", "2015-04")]
)
def test_another_span_is_found_by_the_next_refresh(tmp_path: Path, first: str, last: str) -> None:
    with open_desk(tmp_path / "moved", half_year(), "2015-06") as desk:
        assert not desk.backfill()
    with open_desk(tmp_path / "moved", None, last, first) as moved:
        assert not moved.refresh()[1]
        assert not moved.pending()
        assert moved.refresh() == ([], {})
        found = {
            key: moved.pipeline.storage.read(key, months_of(moved.pipeline.months))
            for key in moved.pipeline.catalog
        }
    with open_desk(tmp_path / "whole", half_year(), last, first) as whole:
        assert not whole.backfill()
        assert_same(found, whole.tables())
