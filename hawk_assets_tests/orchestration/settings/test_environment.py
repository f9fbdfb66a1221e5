"""Environment variables: what they mean, and an error that names the variable for each bad one."""

import os
from collections.abc import Callable
from datetime import time
from pathlib import Path

import pandas as pd
import pytest

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.aggregation.solvers import SolverSettings
from hawk_assets.core.errors import SettingsError
from hawk_assets.insights.sizing import SizingParameters
from hawk_assets.orchestration.settings import (
    Settings,
    batch_events,
    load_settings,
    pass_on_licence,
)
from hawk_assets.orchestration.settings.declaration import ABOUT
from hawk_assets.simulation.settings import SimulationSettings

Refused = Callable[..., str]
THIS_MONTH = pd.Timestamp.now("UTC").tz_localize(None).to_period("M").to_timestamp()


def test_without_variables_everything_lies_below_the_working_folder(folder: Path) -> None:
    empty = dict.fromkeys((about.variable for about in ABOUT.values()), "")
    assert load_settings({}) == load_settings(empty) == Settings()
    assert Settings().storage == ".hawk/storage"
    assert Settings().dagster_home == folder / ".hawk" / "dagster"
    assert Settings().start == pd.Timestamp("2006-01-01")
    assert Settings().end is Settings().market_data is None


def test_every_variable_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "HAWK_MARKET_DATA": "prices/*.csv",
        "HAWK_COMMITMENTS": "reports.csv",
        "HAWK_STORAGE": "gs://bucket/prefix",
        "HAWK_START": "2010-02-01",
        "HAWK_END": "2012-03-01",
        "HAWK_OBJECTIVE": "hrp",
        "HAWK_AGGREGATION": "cap=0.3, window_months=24,half_life = 6",
        "HAWK_SIMULATION": "execution_lag=0,slippage_bps=2.5,fee_model=ibkr_pro_fixed,"
        "model_capital=1e5,book_capital=5e7",
        "HAWK_SIZING": "cap=0.2, vol_floor=0.1, hold_sessions=3",
        "DAGSTER_HOME": "~/dagster",
        "HAWK_SOLVER": "mosek",
        "HAWK_OPTSERVER": "http://solver:30080",
        "MOSEKLM_LICENSE_FILE": "27000@tokens",
        "HAWK_TICK_SECONDS": "5",
        "HAWK_WEBHOOK": "https://hooks.example/services/T0/B0",
        "HAWK_BOOK_DUE": "21:30",
        "HAWK_UI_URL": "http://127.0.0.1:3000",
        "HAWK_COMPUTE_LOGS": "gs://bucket/logs",
        "HAWK_POSTGRES_HOST": "db",
        "HAWK_POSTGRES_PORT": "5432",
        "HAWK_POSTGRES_USER": "hawk",
        "HAWK_POSTGRES_PASSWORD": "p:a/s@s",
        "HAWK_POSTGRES_DB": "dagster",
        "GOOGLE_CLOUD_PROJECT": "desk",
        "GOOGLE_APPLICATION_CREDENTIALS": "key.json",
        "SERVICE_ACCOUNT_JSON": "{}",
    }
    assert {about.variable for about in ABOUT.values()} == values.keys()
    expected = Settings(
        market_data="prices/*.csv",
        commitments="reports.csv",
        storage="gs://bucket/prefix",
        start=pd.Timestamp("2010-02-01"),
        end=pd.Timestamp("2012-03-01"),
        aggregation=AggregationParameters("hrp", cap=0.3, window_months=24, half_life=6.0),
        simulation=SimulationSettings(0, 2.5, "ibkr_pro_fixed", 1e5, 5e7),
        sizing=SizingParameters(0.2, 0.1, 3),
        dagster_home=folder / "dagster",
        solver="mosek",
        licence="27000@tokens",
        optserver="http://solver:30080",
        tick_seconds=5,
        webhook="https://hooks.example/services/T0/B0",
        book_due=time(21, 30),
        ui_url="http://127.0.0.1:3000",
        compute_logs="gs://bucket/logs",
        postgres_host="db",
        postgres_port="5432",
        postgres_user="hawk",
        postgres_password="p:a/s@s",
        postgres_db="dagster",
        google_cloud_project="desk",
        google_application_credentials="key.json",
        service_account_json="{}",
    )
    assert load_settings(values) == expected
    assert expected.objective == "hrp"
    assert expected.solver_settings == SolverSettings(
        "mosek", "27000@tokens", "http://solver:30080"
    )
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == expected


def test_no_secret_is_in_the_text_of_the_settings() -> None:
    secrets = {
        "HAWK_WEBHOOK": "https://hooks.example/hush",
        "HAWK_POSTGRES_PASSWORD": "hush",
        "SERVICE_ACCOUNT_JSON": "hush",
        "HAWK_UI_URL": "https://me:hush@ui.example",
    }
    settings = load_settings(secrets)
    assert settings.webhook == secrets["HAWK_WEBHOOK"]
    assert "hush" not in f"{settings} {settings!r}"


@pytest.mark.parametrize("name", ["HAWK_START", "HAWK_END"])
@pytest.mark.parametrize(
    "value",
    [
        "2010-02-02",
        "2010-2",
        "2010-00",
        "2010",
        "01/02/2010",
        "2010-13-01",
        "9999-01-01",
        "soon",
        "NaT",
    ],
)
def test_what_is_no_month_is_refused_with_the_name_of_its_variable(
    name: str, value: str, refused: Refused
) -> None:
    says = (
        f"{name}='{value}' is not a month; write it like 2006-01, or as its first day, 2006-01-01"
    )
    assert refused(**{name: value}) == says


@pytest.mark.parametrize("value", ["2010-02", "2010-02-01"])
def test_a_month_is_written_with_its_first_day_or_without(value: str) -> None:
    assert load_settings({"HAWK_START": value}).start == pd.Timestamp("2010-02-01")


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "1 s", "nan", "True", "100000"])
def test_a_tick_is_a_whole_number_of_seconds(value: str, refused: Refused) -> None:
    says = f"HAWK_TICK_SECONDS='{value}' is not a number of seconds from 1; write it like 30"
    assert refused(HAWK_TICK_SECONDS=value) == says


@pytest.mark.parametrize("value", ["6", "24:00", "06:00 CET", "6am"])
def test_the_book_is_due_at_a_time_of_day(value: str, refused: Refused) -> None:
    says = refused(HAWK_BOOK_DUE=value)
    assert says == f"HAWK_BOOK_DUE='{value}' is not a time of day; write it in UTC, like 06:00"


@pytest.mark.parametrize("name", ["HAWK_WEBHOOK", "HAWK_UI_URL"])
@pytest.mark.parametrize(
    "value", ["hooks.example/secret", "ftp://secret", "https://", "https:///secret", "me:secret@x"]
)
def test_what_is_no_address_is_refused_and_not_repeated(
    name: str, value: str, refused: Refused
) -> None:
    says = refused(**{name: value})
    assert says == f"{name} is not an address; write it like https://host/path"


@pytest.mark.parametrize(
    "value",
    ["solver:30080", "http://solver", "http://me:secret@solver:30080", "me:secret@solver:1"],
)
def test_what_is_no_optserver_is_refused_and_not_repeated(value: str, refused: Refused) -> None:
    says = refused(HAWK_OPTSERVER=value)
    assert says == (
        "HAWK_OPTSERVER is not the address of an OptServer; write it like http://host:30080"
    )


@pytest.mark.parametrize(
    "name", ["HAWK_MARKET_DATA", "HAWK_COMMITMENTS", "HAWK_STORAGE", "HAWK_COMPUTE_LOGS"]
)
def test_a_password_where_nothing_takes_one_is_refused_and_not_repeated(
    name: str, refused: Refused
) -> None:
    says = refused(**{name: "https://me:secret@host/prices.csv"})
    assert says.startswith(f"{name} holds a user or a password")
    assert "secret" not in says


def test_a_history_cannot_end_before_it_starts(refused: Refused) -> None:
    says = refused(HAWK_START="2010-02-01", HAWK_END="2010-01-01")
    assert says.startswith("HAWK_END=2010-01-01 is before HAWK_START=2010-02-01; swap them")
    says = refused(HAWK_END="2005-12-01")
    assert says.startswith("HAWK_END=2005-12-01 is before HAWK_START=2006-01-01; swap them")
    one = load_settings({"HAWK_START": "2010-02-01", "HAWK_END": "2010-02-01"})
    assert one.start == one.end


def test_a_history_starts_with_a_month_that_has_begun(refused: Refused) -> None:
    assert load_settings({"HAWK_START": f"{THIS_MONTH:%Y-%m-%d}"}).start == THIS_MONTH
    future = f"{THIS_MONTH + pd.DateOffset(months=1):%Y-%m-%d}"
    for end in ("", future):
        assert f"HAWK_START={future} is in the future" in refused(HAWK_START=future, HAWK_END=end)


def test_a_history_that_has_ended_does_not_include_the_current_month(refused: Refused) -> None:
    last = THIS_MONTH - pd.DateOffset(months=1)
    assert load_settings({"HAWK_END": f"{last:%Y-%m-%d}"}).end == last
    says = refused(HAWK_END=f"{THIS_MONTH:%Y-%m-%d}")
    assert says.startswith(f"HAWK_END={THIS_MONTH:%Y-%m-%d} is not over yet")


def test_a_licence_is_found_where_mosek_itself_would_look(folder: Path) -> None:
    assert load_settings({}).solver_settings.licence is None
    file = folder / "mosek" / "mosek.lic"
    file.parent.mkdir()
    file.touch()
    assert load_settings({}).solver_settings.licence == str(file)


def test_mosek_finds_the_licence_that_is_set_and_the_environments_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MOSEKLM_LICENSE_FILE", "")
    pass_on_licence(Settings())
    assert os.environ["MOSEKLM_LICENSE_FILE"] == ""
    for licence in ("27000@tokens", "27000@elsewhere"):
        pass_on_licence(Settings(licence=licence))
        assert os.environ["MOSEKLM_LICENSE_FILE"] == "27000@tokens"


def test_the_home_of_nobody_is_refused(refused: Refused) -> None:
    says = refused(DAGSTER_HOME="~nobody-here/dagster")
    assert says.startswith("DAGSTER_HOME='~nobody-here/dagster' names the home of a user that")


@pytest.mark.parametrize("name", ["HAWK_STORAGE", "HAWK_MARKET_DATA", "HAWK_COMMITMENTS"])
def test_no_folder_named_after_a_missing_user_is_created(name: str, refused: Refused) -> None:
    says = f"{name}='~nobody-here/x' names the home of a user that this machine does not have"
    assert refused(**{name: "~nobody-here/x"}) == says


def test_an_objective_or_a_solver_that_is_unknown_is_refused_with_the_known_ones(
    refused: Refused,
) -> None:
    says = refused(HAWK_OBJECTIVE="best")
    assert says.startswith("HAWK_OBJECTIVE='best' is not known; choose one of max_sharpe_net, max_")
    says = refused(HAWK_SOLVER="cplex")
    assert says == "HAWK_SOLVER='cplex' is not known; choose one of auto, mosek, clarabel"


def test_events_are_batched_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    batch_events()
    assert os.environ["DAGSTER_EVENT_BATCH_SIZE"] == "1000"
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "7")
    batch_events()
    assert os.environ["DAGSTER_EVENT_BATCH_SIZE"] == "7"


# Sections: one variable with pairs


def test_nothing_in_a_section_is_nothing() -> None:
    assert load_settings({"HAWK_AGGREGATION": " , "}) == Settings()


@pytest.mark.parametrize("nothing", ["none", "None"])
def test_none_is_no_commission(nothing: str) -> None:
    Path("hawk.yaml").write_text("simulation: {fee_model: ibkr_pro_fixed}")
    assert load_settings({}).simulation.fee_model == "ibkr_pro_fixed"
    assert load_settings({"HAWK_SIMULATION": f"fee_model={nothing}"}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HAWK_AGGREGATION", "cap=0", "HAWK_AGGREGATION: cap 0.0: a fraction above 0, at most 1"),
        ("HAWK_AGGREGATION", "cap=1.5", "HAWK_AGGREGATION: cap 1.5: a fraction"),
        (
            "HAWK_AGGREGATION",
            "cap=high",
            "HAWK_AGGREGATION: cap='high' is not a number; write it like 0.4",
        ),
        (
            "HAWK_AGGREGATION",
            "cap=True",
            "HAWK_AGGREGATION: cap='True' is not a number; write it like 0.4",
        ),
        (
            "HAWK_AGGREGATION",
            "gross=inf",
            "HAWK_AGGREGATION: gross='inf' is not a finite number; write it like 1.0",
        ),
        (
            "HAWK_AGGREGATION",
            "half_life=NaN",
            "HAWK_AGGREGATION: half_life='NaN' is not a finite number; write it like 0.0",
        ),
        (
            "HAWK_AGGREGATION",
            "half_life=1e999",
            "HAWK_AGGREGATION: half_life='1e999' is not a finite number",
        ),
        (
            "HAWK_AGGREGATION",
            "window_months=3.5",
            "HAWK_AGGREGATION: window_months='3.5' is not a whole number; write it like 36",
        ),
        (
            "HAWK_AGGREGATION",
            f"window_months={'9' * 5000}",
            f"HAWK_AGGREGATION: window_months='{'9' * 80}...' is not a whole number",
        ),
        ("HAWK_AGGREGATION", "cap", "HAWK_AGGREGATION: 'cap' is not understood; write name=value"),
        ("HAWK_AGGREGATION", "cap=", "HAWK_AGGREGATION: 'cap=' is not understood"),
        ("HAWK_AGGREGATION", "0.3", "with the names cap, family_cap, gross"),
        (
            "HAWK_AGGREGATION",
            "cap_family=0.3",
            "HAWK_AGGREGATION: 'cap_family=0.3': cap_family is not a setting; did you mean family_",
        ),
        (
            "HAWK_AGGREGATION",
            "limit=0.3",
            "HAWK_AGGREGATION: 'limit=0.3': limit is not a setting; known are cap, cost_bps, famil",
        ),
        (
            "HAWK_AGGREGATION",
            "objective=hrp",
            "objective is not a setting; it is one of its own, set HAWK_OBJECTIVE",
        ),
        (
            "HAWK_AGGREGATION",
            "cap=0.3, tail=0.1, cap=0.5",
            "HAWK_AGGREGATION has cap twice, as '0.3' and as '0.5'; keep one",
        ),
        (
            "HAWK_AGGREGATION",
            "window_months=6",
            "HAWK_AGGREGATION: min_months 12, window_months 6: need 1 <= min_months",
        ),
        ("HAWK_SIMULATION", "model_capital=0", "HAWK_SIMULATION: model_capital is 0.0; give a pos"),
        ("HAWK_SIMULATION", "fee_model=zero", "HAWK_SIMULATION: fee_model is 'zero'; give 'ibkr"),
        ("HAWK_SIMULATION", "execution_lag=16", "HAWK_SIMULATION: execution_lag is 16; give a who"),
        ("HAWK_SIMULATION", "capital=1e6", "did you mean book_capital?"),
        ("HAWK_SIZING", "cap=1.5", "HAWK_SIZING: cap 1.5: a fraction above 0, at most 1"),
        ("HAWK_SIZING", "hold=3", "hold is not a setting; did you mean hold_sessions?"),
    ],
)
def test_a_part_of_a_section_that_cannot_be_used_is_refused(
    name: str, value: str, says: str, refused: Refused
) -> None:
    assert says in refused(**{name: value})


# Names


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("HAWK_MARKETDATA", "HAWK_MARKET_DATA"),
        ("HAWK_MARKET", "HAWK_MARKET_DATA"),
        ("HAWK_STORE", "HAWK_STORAGE"),
        ("HAWK_AGREGATION", "HAWK_AGGREGATION"),
        ("HAWK_WEBHOOKS", "HAWK_WEBHOOK"),
        ("HAWK_CONFIGURATION", "HAWK_CONFIG"),
        ("HAWK_POSTGRE_PORT", "HAWK_POSTGRES_PORT"),
        ("hawk_storage", "HAWK_STORAGE"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name_and_without_its_value(
    name: str, near: str, refused: Refused
) -> None:
    assert refused(**{name: "hush"}) == f"{name} is not a setting; did you mean {near}?"


def test_a_variable_like_none_is_refused_with_all_names(refused: Refused) -> None:
    says = refused(HAWK_XYZZY="1")
    assert says.startswith("HAWK_XYZZY is not a setting; known are HAWK_AGGREGATION, HAWK_BOOK_DUE")
    assert "MOSEKLM" not in says


def test_names_of_others_are_theirs() -> None:
    others = {"HAWKEYE": "1", "HAWK": "/usr/bin/hawk", "HAWK_TEST_LONG": "1", "MY_HAWK_START": "x"}
    assert load_settings(others) == Settings()


def test_what_kubernetes_and_docker_put_there_for_a_service_is_not_a_setting() -> None:
    injected = {
        f"{service}_{name}": value
        for service in ("HAWK", "HAWK_DAGSTER_WEBSERVER", "HAWK_POSTGRES", "HAWK_STORAGE")
        for name, value in {
            "SERVICE_HOST": "10.0.0.1",
            "SERVICE_PORT": "5432",
            "SERVICE_PORT_HTTP": "80",
            "PORT": "tcp://10.0.0.1:5432",
            "PORT_5432_TCP": "tcp://10.0.0.1:5432",
            "PORT_5432_TCP_PROTO": "tcp",
            "PORT_5432_TCP_PORT": "5432",
            "PORT_5432_TCP_ADDR": "10.0.0.1",
            "PORT_53_UDP_ADDR": "10.0.0.1",
            "NAME": "/web/hawk_postgres",
            "ENV_POSTGRES_USER": "postgres",
        }.items()
    }
    assert load_settings(injected) == Settings()


@pytest.mark.parametrize("name", ["HAWK_SOLVER_PORT", "HAWK_POSTGRES_NAME"])
def test_what_only_looks_injected_is_refused(name: str, refused: Refused) -> None:
    assert refused(**{name: "5432"}).startswith(f"{name} is not a setting")


def test_a_port_is_a_number(refused: Refused) -> None:
    says = refused(HAWK_POSTGRES_PORT="5432/tcp")
    assert says == "HAWK_POSTGRES_PORT='5432/tcp' is not the number of a port; write it like 5432"


def test_settings_made_directly_take_nothing_from_around_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HAWK_STORAGE", "elsewhere")
    monkeypatch.setenv("STORAGE", "elsewhere")
    Path("hawk.yaml").write_text("storage: elsewhere")
    assert Settings().storage == ".hawk/storage"


def test_an_error_is_one_of_ours_without_the_library_behind_it(refused: Refused) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings({"HAWK_SOLVER": "cplex"})
    assert error.value.__suppress_context__
    assert "pydantic" not in refused(HAWK_SOLVER="cplex")
