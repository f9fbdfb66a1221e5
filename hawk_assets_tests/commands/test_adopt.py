"""The history is lost, or the storage came from elsewhere: the files are enough to go on."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from hawk_assets.commands.adopt import adopt
from hawk_assets.commands.status import find_status
from hawk_assets.commands.verify import verify
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.orchestration.source_record import change_source
from hawk_assets_tests.pipelines import Desk, assert_same, open_desk, ragged_prices

INSIGHTS = "insights/ema_cross_2_4/2015-05-01.parquet"


def half_year() -> pd.DataFrame:
    prices = ragged_prices()
    return prices[prices["date"] < "2015-07-01"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Half a year, of which the last session came with a refresh."""
    prices = half_year()
    with open_desk(tmp_path / "desk", prices[prices["date"] < "2015-06-30"], "2015-06") as desk:
        assert not desk.backfill()
        desk.feed(prices)
        assert not desk.refresh()[1]
        yield desk


def root(desk: Desk) -> Path:
    return Path(desk.settings.storage)


def take(desk: Desk) -> int:
    change_source(desk.pipeline.storage, desk.pipeline.source)  # the prices are in another folder
    return adopt(desk.pipeline, desk.instance, lambda event: None)


def figures(desk: Desk) -> list[tuple[str, object]]:
    """What the UI plots, and the code versions."""
    return [
        (table.table.name, (table.materialised, table.older_code))
        for table in find_status(desk.pipeline, desk.instance)
    ]


def test_a_lost_history_is_rebuilt_and_nothing_is_computed_again(
    desk: Desk, tmp_path: Path
) -> None:
    expected, status = desk.tables(), figures(desk)
    files = sum(len(months) for _, (months, _) in status)  # type: ignore[misc]
    shutil.copytree(root(desk), tmp_path / "new" / "storage")
    prices = half_year()
    with open_desk(tmp_path / "new", prices, "2015-06") as new:
        assert take(new) == files
        assert not new.pending()
        assert figures(new) == status
        assert verify(new.pipeline, new.instance).intact == files
        assert take(new) == 0
        changed = prices.copy()
        changed.loc[changed["date"] == "2015-05-04", "volume"] *= 2
        for each in (desk, new):
            each.feed(changed)
        assert new.pending() == desk.pending() != set()
        assert not desk.refresh()[1]
        assert not new.refresh()[1]
        assert_same(new.tables(), desk.tables())
        assert new.tables().keys() == expected.keys()


def test_what_was_stale_is_stale_after_adoption(desk: Desk, tmp_path: Path) -> None:
    assert not desk.backfill("2015-05", "2015-05", "insights")
    pending = desk.pending()
    assert pending
    shutil.copytree(root(desk), tmp_path / "new" / "storage")
    with open_desk(tmp_path / "new", half_year(), "2015-06") as new:
        take(new)
        assert new.pending() == pending


def test_a_damaged_file_is_not_adopted_but_computed_again(desk: Desk, tmp_path: Path) -> None:
    expected = desk.tables()
    shutil.copytree(root(desk), tmp_path / "new" / "storage")
    with open_desk(tmp_path / "new", half_year(), "2015-06") as new:
        (root(new) / INSIGHTS).write_bytes(b"PAR1")
        take(new)
        assert ("insights/ema_cross_2_4", "2015-05-01") in new.pending()
        assert not new.refresh()[1]
        assert_same(new.tables(), expected)


def test_an_older_snapshot_can_be_gone_on_with(desk: Desk, tmp_path: Path) -> None:
    expected = desk.tables()
    shutil.copytree(root(desk), tmp_path / "snapshot")
    assert not desk.backfill("2015-03", None)
    shutil.rmtree(root(desk))
    shutil.copytree(tmp_path / "snapshot", root(desk))
    assert desk.pending()
    assert take(desk) > 0
    assert not desk.pending()
    assert_same(desk.tables(), expected)


def test_a_storage_without_tables_has_nothing_to_adopt(tmp_path: Path) -> None:
    with (
        open_desk(tmp_path, half_year(), "2015-06") as desk,
        pytest.raises(MissingMonthError, match=r"holds no table.*hawk backfill"),
    ):
        take(desk)


def test_verify_names_each_fault_with_its_file(desk: Desk) -> None:
    whole = verify(desk.pipeline, desk.instance)
    assert whole.faults == []
    gone = root(desk) / "weights/2015-04-01.parquet"
    gone.unlink()
    damaged = root(desk) / INSIGHTS
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    other = root(desk) / "market_data/2015-02-01.parquet"
    shutil.copy(other.with_name("2015-03-01.parquet"), other)
    found = verify(desk.pipeline, desk.instance)
    assert found.intact == whole.intact - 3
    assert sorted(found.faults) == sorted(
        [
            f"{gone}: gone",
            f"{damaged}: damaged",
            f"{other}: not the file that was stored: another one, or an older copy",
        ]
    )
