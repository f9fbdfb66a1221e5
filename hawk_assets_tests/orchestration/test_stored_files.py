"""Files that are lost, damaged, replaced or moved behind Dagster's back."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from hawk_assets.commands.status import find_status
from hawk_assets.core.errors import MissingMonthError, StorageError
from hawk_assets.orchestration.source_record import NOTE
from hawk_assets_tests.pipelines import Desk, assert_same, open_desk, ragged_prices

INSIGHTS = "insights/ema_cross_2_4"


def half_year() -> pd.DataFrame:
    prices = ragged_prices()
    return prices[prices["date"] < "2015-07-01"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Each test leaves it as it was."""
    with open_desk(tmp_path_factory.mktemp("desk"), half_year(), "2015-06") as desk:
        assert not desk.backfill()
        yield desk


def root(desk: Desk) -> Path:
    return Path(desk.settings.storage)


def file(desk: Desk, table: str, month: str) -> Path:
    return root(desk) / table / f"{month}-01.parquet"


def reasons(desk: Desk, table: str) -> list[str]:
    return next(
        s.reasons for s in find_status(desk.pipeline, desk.instance) if s.table.name == table
    )


def flip(path: Path, at: float) -> None:
    """One bit, at the same size and the same time as before."""
    content, times = bytearray(path.read_bytes()), path.stat()
    content[int(at * (len(content) - 1))] ^= 4
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def replace_by_the_month_before(path: Path) -> None:
    shutil.copy2(path.with_name("2015-04-01.parquet"), path)


LOST = "the stored file is gone"
OTHER = "the stored file is damaged, or not the one that was stored"


@pytest.mark.parametrize(
    ("table", "harm", "reason"),
    [
        ("market_data", Path.unlink, LOST),
        ("market_data", truncate, OTHER),
        ("combined_performance", Path.unlink, LOST),
        (INSIGHTS, Path.unlink, LOST),
        (INSIGHTS, truncate, OTHER),
        (INSIGHTS, lambda path: flip(path, 0.3), OTHER),
        (INSIGHTS, lambda path: flip(path, 0.995), OTHER),
        (INSIGHTS, replace_by_the_month_before, OTHER),
    ],
)
def test_a_lost_file_is_seen_and_computed_again(
    desk: Desk, table: str, harm: Callable[[Path], None], reason: str
) -> None:
    before = desk.tables()
    harm(file(desk, table, "2015-05"))
    assert (table, "2015-05-01") in desk.pending()
    assert reasons(desk, table)[0] == reason
    assert not desk.refresh()[1]
    assert not desk.pending()
    assert desk.refresh() == ([], {})
    assert_same(desk.tables(), before)


def test_a_storage_that_is_away_is_an_error_and_a_session_missed_meanwhile_comes_in(
    tmp_path: Path,
) -> None:
    prices = half_year()
    last = prices["date"].max()
    with open_desk(tmp_path, prices[prices["date"] < last], "2015-06") as desk:
        assert not desk.backfill()
        desk.feed(prices)
        away = root(desk).with_name("away")
        root(desk).rename(away)
        for command in (desk.refresh, desk.pending):
            with pytest.raises(StorageError, match=r"holds none of the .* is the disk mounted"):
                command()
        assert not root(desk).exists()
        away.rename(root(desk))
        assert not desk.refresh()[1]
        assert desk.tables()["market_data",]["date"].max() == last


def test_a_restored_snapshot_is_not_up_to_date(tmp_path: Path) -> None:
    prices = half_year()
    last = prices["date"].max()
    with open_desk(tmp_path, prices[prices["date"] < last], "2015-06") as desk:
        assert not desk.backfill()
        snapshot = tmp_path / "snapshot"
        shutil.copytree(root(desk), snapshot)
        desk.feed(prices)
        assert not desk.refresh()[1]
        expected = desk.tables()
        shutil.rmtree(root(desk))
        shutil.copytree(snapshot, root(desk))
        assert ("market_data", "2015-06-01") in desk.pending()
        assert not desk.refresh()[1]
        assert not desk.pending()
        assert_same(desk.tables(), expected)


def test_a_storage_that_was_copied_is_as_good_as_before(desk: Desk) -> None:
    copy = root(desk).with_name("copy")
    shutil.copytree(root(desk), copy, copy_function=shutil.copy)
    shutil.rmtree(root(desk))
    copy.rename(root(desk))
    assert not desk.pending()
    assert desk.refresh() == ([], {})
    assert not desk.pending()


def evaluate(desk: Desk) -> list[dg.RunRequest] | dg.SkipReason:
    """One tick of the sensor, on the resources of the pipeline."""
    sensor = desk.pipeline.defs.resolve_sensor_def("hawk_stored_files")
    context = dg.build_sensor_context(instance=desk.instance)
    return sensor(context, storage=desk.pipeline.storage)  # type: ignore[return-value]


def test_the_sensor_requests_each_loss_once_and_upstreams_first(desk: Desk) -> None:
    skipped = evaluate(desk)
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == "all files are as they were stored"
    before = desk.tables()
    for table, month in (
        (INSIGHTS, "2015-03"),
        (INSIGHTS, "2015-04"),
        ("combined_performance", "2015-04"),
        ("combined_performance", "2015-06"),
        ("combined_insights", "2015-06"),
    ):
        file(desk, table, month).unlink()
    requests = evaluate(desk)
    assert isinstance(requests, list)
    found = {
        (
            next(key.to_user_string() for key in request.asset_selection or []),
            request.tags["dagster/asset_partition_range_start"],
            request.tags["dagster/asset_partition_range_end"],
        )
        for request in requests
    }
    # June's account reads June's book and its own May: it follows by itself.
    assert found == {
        (INSIGHTS, "2015-03-01", "2015-04-01"),
        ("combined_insights", "2015-06-01", "2015-06-01"),
        ("combined_performance", "2015-04-01", "2015-04-01"),
    }
    again = evaluate(desk)
    assert [r.run_key for r in again] == [r.run_key for r in requests]  # type: ignore[union-attr]
    for request in requests:
        run = desk.pipeline.job.execute_in_process(
            instance=desk.instance, asset_selection=request.asset_selection, tags=request.tags
        )
        assert run.success
    assert not desk.refresh()[1]
    assert isinstance(evaluate(desk), dg.SkipReason)
    assert_same(desk.tables(), before)


def test_files_without_a_history_are_named(desk: Desk, tmp_path: Path) -> None:
    shutil.copytree(root(desk), tmp_path / "storage")
    (tmp_path / "storage" / NOTE).unlink()
    with open_desk(tmp_path, half_year(), "2015-06") as other:
        for command in (other.refresh, other.pending):
            with pytest.raises(MissingMonthError, match=r"history does not know.*hawk adopt"):
                command()
