"""Environment variables: defaults, and an error that names the variable for each bad value."""

import os
from datetime import time
from pathlib import Path

import pandas as pd
import pytest

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.aggregation.solvers import SolverSettings
from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.settings import Settings, batch_events

THIS_MONTH = pd.Timestamp.now("UTC").tz_localize(None).to_period("M").to_timestamp()


def test_without_variables_everything_lies_below_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = Settings(
        market_data=None,
        storage=".hawk/storage",
        start=pd.Timestamp("2006-01-01"),
        end=None,
        dagster_home=tmp_path / ".hawk" / "dagster",
    )
    names = [
        *("HAWK_MARKET_DATA", "HAWK_STORAGE", "HAWK_START", "HAWK_END", "DAGSTER_HOME"),
        *("HAWK_SOLVER", "HAWK_OPTSERVER", "MOSEKLM_LICENSE_FILE"),
        *("HAWK_TICK_SECONDS", "HAWK_WEBHOOK", "HAWK_BOOK_DUE", "HAWK_UI_URL"),
    ]
    assert Settings.from_env({}) == Settings.from_env(dict.fromkeys(names, "")) == expected


def test_every_variable_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    values = {
        "HAWK_MARKET_DATA": "prices/*.csv",
        "HAWK_STORAGE": "gs://bucket/prefix",
        "HAWK_START": "2010-02-01",
        "HAWK_END": "2012-03-01",
        "DAGSTER_HOME": "~/dagster",
        "HAWK_SOLVER": "mosek",
        "HAWK_OPTSERVER": "http://solver:30080",
        "MOSEKLM_LICENSE_FILE": "27000@tokens",
        "HAWK_TICK_SECONDS": "5",
        "HAWK_WEBHOOK": "https://hooks.example/services/T0/B0",
        "HAWK_BOOK_DUE": "21:30",
        "HAWK_UI_URL": "http://127.0.0.1:3000",
    }
    expected = Settings(
        market_data="prices/*.csv",
        storage="gs://bucket/prefix",
        start=pd.Timestamp("2010-02-01"),
        end=pd.Timestamp("2012-03-01"),
        dagster_home=tmp_path / "dagster",
        solver=SolverSettings("mosek", "27000@tokens", "http://solver:30080"),
        tick_seconds=5,
        webhook="https://hooks.example/services/T0/B0",
        book_due=time(21, 30),
        ui_url="http://127.0.0.1:3000",
    )
    assert Settings.from_env(values) == expected
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert Settings.from_env() == expected


@pytest.mark.parametrize("name", ["HAWK_START", "HAWK_END"])
@pytest.mark.parametrize(
    "value",
    ["2010-02-02", "2010-02", "2010", "01/02/2010", "2010-13-01", "9999-01-01", "soon", "NaT"],
)
def test_what_is_no_month_is_refused_with_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}='{value}' is not the first day of a month"):
        Settings.from_env({name: value})


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "1 s"])
def test_a_tick_is_a_whole_number_of_seconds(value: str) -> None:
    with pytest.raises(SettingsError, match=f"^HAWK_TICK_SECONDS='{value}' is not a number"):
        Settings.from_env({"HAWK_TICK_SECONDS": value})


@pytest.mark.parametrize("value", ["6", "24:00", "06:00 CET", "6am"])
def test_the_book_is_due_at_a_time_of_day(value: str) -> None:
    with pytest.raises(SettingsError, match=f"^HAWK_BOOK_DUE='{value}' is not a time of day"):
        Settings.from_env({"HAWK_BOOK_DUE": value})


@pytest.mark.parametrize("name", ["HAWK_WEBHOOK", "HAWK_UI_URL"])
@pytest.mark.parametrize(
    "value", ["hooks.example/secret", "ftp://secret", "https://", "https:///secret"]
)
def test_what_is_no_address_is_refused_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is not an address") as raised:
        Settings.from_env({name: value})
    assert "secret" not in str(raised.value)


def test_a_history_cannot_end_before_it_starts() -> None:
    with pytest.raises(SettingsError, match=r"HAWK_END=2010-01-01 is before HAWK_START=2010-02-01"):
        Settings.from_env({"HAWK_START": "2010-02-01", "HAWK_END": "2010-01-01"})
    one = Settings.from_env({"HAWK_START": "2010-02-01", "HAWK_END": "2010-02-01"})
    assert one.start == one.end


def test_a_history_starts_with_a_month_that_has_begun() -> None:
    assert Settings.from_env({"HAWK_START": f"{THIS_MONTH:%Y-%m-%d}"}).start == THIS_MONTH
    future = f"{THIS_MONTH + pd.DateOffset(months=1):%Y-%m-%d}"
    for end in ("", future):
        with pytest.raises(SettingsError, match=rf"HAWK_START={future} is in the future"):
            Settings.from_env({"HAWK_START": future, "HAWK_END": end})


def test_a_history_that_has_ended_does_not_include_the_current_month() -> None:
    last = THIS_MONTH - pd.DateOffset(months=1)
    assert Settings.from_env({"HAWK_END": f"{last:%Y-%m-%d}"}).end == last
    with pytest.raises(SettingsError, match=rf"HAWK_END={THIS_MONTH:%Y-%m-%d} is not over yet"):
        Settings.from_env({"HAWK_END": f"{THIS_MONTH:%Y-%m-%d}"})


def test_a_licence_is_found_where_mosek_itself_would_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.from_env({}).solver.licence is None
    file = tmp_path / "mosek" / "mosek.lic"
    file.parent.mkdir()
    file.touch()
    assert Settings.from_env({}).solver.licence == str(file)


@pytest.mark.parametrize(
    ("name", "value"), [("HAWK_SOLVER", "cplex"), ("HAWK_OPTSERVER", "solver:30080")]
)
def test_a_solver_that_is_unknown_is_refused_with_the_name_of_its_variable(
    name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}='{value}'"):
        Settings.from_env({name: value})


def test_events_are_batched_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    batch_events()
    assert os.environ["DAGSTER_EVENT_BATCH_SIZE"] == "1000"
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "7")
    batch_events()
    assert os.environ["DAGSTER_EVENT_BATCH_SIZE"] == "7"


def test_the_weights_are_chosen_by_an_objective_and_its_parameters() -> None:
    env = {"HAWK_OBJECTIVE": "hrp", "HAWK_AGGREGATION": "cap=0.3, window_months=24,half_life = 6"}
    expected = AggregationParameters("hrp", cap=0.3, window_months=24, half_life=6.0)
    assert Settings.from_env(env).aggregation == expected
    nothing = {"HAWK_OBJECTIVE": "", "HAWK_AGGREGATION": ""}
    assert Settings.from_env(nothing).aggregation == AggregationParameters()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "HAWK_OBJECTIVE",
            "best",
            "HAWK_OBJECTIVE: objective 'best': choose one of max_",
        ),
        ("HAWK_AGGREGATION", "cap=0", "HAWK_AGGREGATION: cap 0.0: a fraction above 0, at most 1"),
        ("HAWK_AGGREGATION", "cap=1.5", "HAWK_AGGREGATION: cap 1.5: a fraction"),
        ("HAWK_AGGREGATION", "cap=high", "HAWK_AGGREGATION: 'cap=high' is not understood"),
        ("HAWK_AGGREGATION", "cap", "HAWK_AGGREGATION: 'cap' is not understood"),
        ("HAWK_AGGREGATION", "limit=0.3", "with the names cap, family_cap"),
        ("HAWK_AGGREGATION", "objective=hrp", "'objective=hrp' is not understood"),
        ("HAWK_AGGREGATION", "window_months=3.5", "'window_months=3.5' is not understood"),
    ],
)
def test_weights_that_cannot_be_asked_for_are_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_env({name: value})
    assert message in str(error.value)
