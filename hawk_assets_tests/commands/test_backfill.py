"""What ``hawk`` is asked for, what it runs for that and in which order, and what it leaves out."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hawk_assets.commands.older_code import find_older_code
from hawk_assets.commands.refresh import refresh
from hawk_assets.commands.selection import select_months, select_tables
from hawk_assets.commands.status import find_status
from hawk_assets.core.errors import MissingMonthError, SettingsError, StorageError
from hawk_assets.models.rsi import Rsi
from hawk_assets.orchestration.catalog import (
    COMBINED_METRICS,
    COMMITMENTS_OF_TRADERS,
    MARKET_DATA,
    WEIGHTS,
    insights,
    model_states,
)
from hawk_assets.orchestration.instance.dagster_home import INSTANCE_SETTINGS, open_instance
from hawk_assets.orchestration.run_ranges import split_into_runs
from hawk_assets_tests.pipelines import MODELS, REPOSITORY, Desk, open_desk, ragged_prices
from hawk_assets_tests.postgres import free_port

TREND, FADE = (model.name for model in MODELS)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Half a year, nothing materialised yet."""
    with open_desk(tmp_path, ragged_prices(), "2015-06") as desk:
        yield desk


def names(desk: Desk, *chosen: str) -> list[str]:
    return [table.name for table in select_tables(desk.pipeline.catalog, chosen)]


def test_tables_are_selected_by_stage_by_model_and_by_name(desk: Desk) -> None:
    everything = names(desk)
    assert everything == ["/".join(key) for key in desk.pipeline.catalog]
    assert names(desk, "insights") == [f"insights/{TREND}", f"insights/{FADE}"]
    assert names(desk, "weights", TREND) == [
        f"model_states/{TREND}",
        f"insights/{TREND}",
        f"performance_timeseries/{TREND}",
        f"performance_metrics/{TREND}",
        "weights",
    ]
    assert names(desk, f"insights/{FADE}") == [f"insights/{FADE}"]
    with pytest.raises(SettingsError, match=f"'ema_cros_2_4' .* did you mean {TREND}"):
        names(desk, "ema_cros_2_4")
    with pytest.raises(SettingsError, match=r"'zzz' .* see: hawk models"):
        names(desk, "zzz")


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        ("2014-12-01", None, "--from 2014-12-01 is not a month of the history, 2015-01 to"),
        (None, "2015-07-01", "--to 2015-07-01 is not a month"),
        ("2015-2", None, "--from '2015-2' is not a month; write it like 2006-01, or as its first"),
        ("2015-02-30", None, "--from '2015-02-30' is not a month"),
        ("2015-05-01", "2015-02-01", "--from 2015-05-01 is after --to 2015-02-01"),
    ],
)
def test_a_range_that_is_none_is_refused(
    first: str | None, last: str | None, says: str, desk: Desk
) -> None:
    with pytest.raises(SettingsError, match=says):
        select_months(desk.pipeline.months, first, last)


def test_before_the_first_backfill_everything_is_missing_and_there_is_nothing_to_refresh(
    desk: Desk,
) -> None:
    tables = find_status(desk.pipeline, desk.instance)
    assert all(table.missing == desk.pipeline.months for table in tables)
    assert {tuple(table.reasons) for table in tables} == {("never materialised",)}
    with pytest.raises(MissingMonthError, match="run: hawk backfill"):
        desk.refresh()


def test_a_month_whose_past_is_missing_is_refused_with_the_command_that_backfills_it(
    desk: Desk,
) -> None:
    failed = desk.backfill("2015-06", "2015-06")
    remedy = "market_data has no 2015-01-01 and 4 more months; run: hawk backfill"
    assert failed[model_states(TREND)].startswith(remedy)
    assert failed[insights(TREND)] == f"skipped: upstream failed: model_states/{TREND}"
    assert failed[WEIGHTS] == failed[COMBINED_METRICS] == failed[insights(TREND)]
    assert set(desk.tables()) == {MARKET_DATA, COMMITMENTS_OF_TRADERS}
    # What was not there is asked for with the next refresh, what has failed is tried again.
    _, failed = desk.refresh()
    assert failed == {}
    assert desk.pending() == set()


def test_refresh_goes_on_where_a_partial_backfill_ended(desk: Desk) -> None:
    assert desk.backfill(None, "2015-02") == {}
    announced = desk.pending()
    later = set(desk.pipeline.months[2:])
    assert {month for table, month in announced if table == "market_data"} == later
    before = desk.latest_event()
    _, failed = desk.refresh()
    assert failed == {}
    assert desk.materialised(since=before) == announced
    assert desk.pending() == set()
    assert desk.refresh() == ([], {})


def test_code_that_has_changed_is_shown_and_recomputed_only_when_asked(desk: Desk) -> None:
    assert desk.backfill() == {}
    changed = desk.with_models(MODELS[0], Rsi(3, max_hold=6))
    assert changed.refresh() == ([], {})
    old = {
        status.table.name: status.older_code
        for status in find_status(changed.pipeline, changed.instance)
        if status.older_code
    }
    months = desk.pipeline.months
    assert old == {f"model_states/{FADE}": months, f"insights/{FADE}": months}
    assert find_older_code(changed.pipeline, changed.instance).tables == list(old)
    assert find_older_code(desk.pipeline, desk.instance).tables == []

    before = desk.latest_event()
    refresh(changed.pipeline, changed.instance, lambda event: None, stale_code=True)
    tables = {table for table, _ in desk.materialised(since=before)}
    assert tables == {
        f"model_states/{FADE}",
        f"insights/{FADE}",
        f"performance_timeseries/{FADE}",
        f"performance_metrics/{FADE}",
        "weights",
        "combined_insights",
        "attribution",
        "combined_performance",
        "combined_metrics",
    }
    assert not any(table.older_code for table in find_status(changed.pipeline, changed.instance))


def test_a_storage_that_fails_is_named_in_its_own_words(desk: Desk) -> None:
    Path(desk.settings.storage).write_text("no folder")
    for command in (lambda: desk.backfill(None, None, "market_data"), desk.pending):
        with pytest.raises(StorageError, match=f"below HAWK_STORAGE={desk.settings.storage}: "):
            command()


def test_metrics_are_materialised_after_the_account_they_describe(desk: Desk) -> None:
    """In one run where they cover the same months, else in a later one."""
    tables = select_tables(desk.pipeline.catalog, ["performance"])
    account, figures = tables[:2]
    flags = {table.key: np.array([0, 0, 1, 1, 1, 1], bool) for table in tables}
    assert split_into_runs(tables, flags, desk.pipeline.months) == {
        (0, "2015-03-01", "2015-06-01"): tables
    }
    flags[figures.key] = np.array([1, 1, 1, 1, 1, 1], bool)
    ordered = sorted(split_into_runs(tables, flags, desk.pipeline.months).items())
    assert [together for _, together in ordered] == [
        [table for table in tables if table is not figures],
        [figures],
    ]
    flags[account.key] = np.array([1, 0, 0, 1, 1, 0], bool)
    assert [
        (first, last) for _, first, last in split_into_runs([account], flags, desk.pipeline.months)
    ] == [
        ("2015-01-01", "2015-01-01"),
        ("2015-04-01", "2015-05-01"),
    ]


def test_a_home_that_cannot_be_used_is_an_error_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(SettingsError, match=f"DAGSTER_HOME={file} cannot be created"):
        open_instance(file).__enter__()
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("run_storage: nonsense\n")
    with pytest.raises(SettingsError, match=f"DAGSTER_HOME={home} cannot be used"):
        open_instance(home).__enter__()


def test_a_database_that_is_down_or_not_named_is_an_error_with_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = SimpleNamespace(sleep=lambda seconds: None)
    monkeypatch.setattr("dagster_postgres.utils.time", impatient)  # Dagster asks six times
    monkeypatch.setenv("DAGSTER_HOME", "")
    deployed = REPOSITORY / "deployments" / "docker" / "dagster.yaml"
    (tmp_path / "dagster.yaml").write_text(deployed.read_text())
    values = {
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "USER": "a",
        "PASSWORD": "b",
        "DB": "c",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"HAWK_POSTGRES_{name}", value)
    monkeypatch.setenv("HAWK_COMPUTE_LOGS", str(tmp_path))
    with pytest.raises(
        SettingsError, match=r"Connection refused; start PostgreSQL, or correct HAWK_"
    ):
        open_instance(tmp_path).__enter__()
    monkeypatch.delenv("HAWK_POSTGRES_HOST")
    with pytest.raises(SettingsError, match=r"HAWK_POSTGRES_HOST is not set; set it$"):
        open_instance(tmp_path).__enter__()


def test_a_home_links_to_the_settings_of_this_checkout_also_after_it_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    link = tmp_path / "dagster.yaml"
    link.symlink_to(tmp_path / "gone" / "dagster.yaml")
    with open_instance(tmp_path) as instance:
        assert type(instance.event_log_storage).__name__ == "BatchedSqliteEventLogStorage"
    assert link.resolve() == INSTANCE_SETTINGS.resolve()
