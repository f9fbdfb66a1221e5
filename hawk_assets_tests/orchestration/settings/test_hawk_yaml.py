"""``hawk.yaml``: what it means, and an error that names file and line for each bad line."""

import os
from collections.abc import Callable
from datetime import time
from pathlib import Path

import pandas as pd
import pytest

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.insights.sizing import SizingParameters
from hawk_assets.orchestration.settings import Settings, find_dagster_home, load_settings
from hawk_assets.orchestration.settings.declaration import ABOUT
from hawk_assets.simulation.settings import SimulationSettings

Refused = Callable[..., str]
WHOLE = """\
# What YAML takes for dates, numbers and times is text here.
market_data: prices/*.csv
commitments: "reports.csv"
storage: 2024
start: 2010-02-01
end: 2012-03-01
objective: hrp
aggregation:
  cap: 0.3
  window_months: 24
simulation: {execution_lag: 0, fee_model: ibkr_pro_fixed, model_capital: 1e5}
sizing:
  hold_sessions: 3   # sessions
solver: clarabel
licence: 27000@tokens
optserver: http://solver:30080
tick_seconds: 5
book_due: 06:30
ui_url: http://127.0.0.1:3000
dagster_home: ~/dagster
google_cloud_project: desk
"""


def test_every_setting_that_may_be_in_the_file_is_read(folder: Path) -> None:
    Path("hawk.yaml").write_text(WHOLE)
    assert load_settings({}) == Settings(
        market_data="prices/*.csv",
        commitments="reports.csv",
        storage="2024",
        start=pd.Timestamp("2010-02-01"),
        end=pd.Timestamp("2012-03-01"),
        aggregation=AggregationParameters("hrp", cap=0.3, window_months=24),
        simulation=SimulationSettings(0, fee_model="ibkr_pro_fixed", model_capital=1e5),
        sizing=SizingParameters(hold_sessions=3),
        solver="clarabel",
        licence="27000@tokens",
        optserver="http://solver:30080",
        tick_seconds=5,
        book_due=time(6, 30),
        ui_url="http://127.0.0.1:3000",
        dagster_home=folder / "dagster",
        google_cloud_project="desk",
    )
    allowed = {key for key, about in ABOUT.items() if not about.not_in_file}
    assert {line.split(":")[0] for line in WHOLE.splitlines() if line[0] not in " #"} == allowed


def test_the_environment_goes_before_the_file_key_by_key() -> None:
    Path("hawk.yaml").write_text(WHOLE)
    environment = {
        "HAWK_START": "2011-01-01",
        "HAWK_STORAGE": "",
        "HAWK_AGGREGATION": "cap=0.5",
        "HAWK_OBJECTIVE": "risk_parity",
    }
    settings = load_settings(environment)
    assert settings.start == pd.Timestamp("2011-01-01")
    assert settings.storage == "2024", "an empty variable says nothing"
    assert settings.aggregation == AggregationParameters("risk_parity", cap=0.5, window_months=24)


@pytest.mark.parametrize(
    "content",
    [b"", b"# nothing\n", b"---\n", b"---\n...\n", b"null\n", b"\xef\xbb\xbf", b"end:\nsizing:\n"],
)
def test_a_file_without_settings_sets_nothing(content: bytes) -> None:
    Path("hawk.yaml").write_bytes(content)
    assert load_settings({}) == Settings()


def test_the_file_that_is_named_goes_before_the_one_that_is_there(folder: Path) -> None:
    Path("hawk.yaml").write_text("storage: here")
    (folder / "desk.yaml").write_text("storage: there")
    assert load_settings({}).storage == load_settings({"HAWK_CONFIG": ""}).storage == "here"
    for name in ("desk.yaml", "~/desk.yaml", str(folder / "desk.yaml")):
        assert load_settings({"HAWK_CONFIG": name}).storage == "there"


def test_dagsters_home_is_found_without_a_look_at_other_settings(folder: Path) -> None:
    wrong = {"HAWK_START": "soon", "HAWK_UNKNOWN": "1"}
    assert find_dagster_home(wrong) == folder / ".hawk" / "dagster"
    Path("hawk.yaml").write_text("dagster_home: ~/in_file\nstart: soon\n")
    assert find_dagster_home(wrong) == folder / "in_file"
    assert find_dagster_home({"DAGSTER_HOME": "in_environment"}) == folder / "in_environment"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: 1", "hawk.yaml:1: a is not a setting; known are aggregation, book_due, commitments"),
        ("marketdata: x", "hawk.yaml:1: marketdata is not a setting; did you mean market_data?"),
        ("\nHAWK_STORAGE: x", "hawk.yaml:2: HAWK_STORAGE is not a setting; did you mean storage?"),
        ("cap: 0.3", "did you mean aggregation.cap or sizing.cap?"),
        ("1: x", "hawk.yaml:1: 1 is not a setting"),
        ("<<: {start: 2010-01-01}", "hawk.yaml:1: << is not a setting"),
        (
            "aggregation:\n  cap: 0.3\n  familycap: 1",
            "hawk.yaml:3: aggregation.familycap is not a setting; did you mean family_cap?",
        ),
        (
            "aggregation: {objective: hrp}",
            "aggregation.objective is not a setting; it stands on its own, not in aggregation",
        ),
        ("start: 2010-01-01\nend:\nstart: 2011-01-01", "hawk.yaml:3: start is there twice, first "),
        ("sizing:\n  cap: 1\n  cap: 0.2", "hawk.yaml:3: cap is there twice, first on line 2; keep"),
        ("sizing: {cap: 1}\nsizing: {cap: 1}", "hawk.yaml:2: sizing is there twice, first on line"),
        ("start: 2010", "hawk.yaml:1: start='2010' is not a month; write it like"),
        ("tick_seconds: 1.5", "hawk.yaml:1: tick_seconds='1.5' is not a number of seconds from 1"),
        ("tick_seconds: true", "hawk.yaml:1: tick_seconds=true is true or false to YAML, which no"),
        ("storage: yes", "hawk.yaml:1: storage=yes is true or false to YAML, which no setting is"),
        ("sizing:\n  cap: on", "hawk.yaml:2: sizing.cap=on is true or false to YAML"),
        (
            "sizing:\n  cap: high",
            "hawk.yaml:2: sizing.cap='high' is not a number; write it like 0.1",
        ),
        ("sizing:\n  cap:", "hawk.yaml:2: sizing.cap='' is not a number; write it like 0.1"),
        ("sizing:\n  cap: .nan", "hawk.yaml:2: sizing.cap='.nan' is not a number"),
        ("sizing:\n  cap: nan", "hawk.yaml:2: sizing.cap='nan' is not a finite number"),
        ("sizing:\n  vol_floor: .inf", "hawk.yaml:2: sizing.vol_floor='.inf' is not a number"),
        ("sizing:\n  cap: 1.5", "hawk.yaml:2: cap 1.5: a fraction above 0, at most 1"),
        ("sizing:\n  hold_sessions: 1.5", "hawk.yaml:2: sizing.hold_sessions='1.5' is not a whole"),
        (
            "aggregation: 0.3",
            "hawk.yaml:1: aggregation is a single value; write its parts below it",
        ),
        (
            "aggregation: [cap]",
            "hawk.yaml:1: aggregation is a list; write its parts below it, inden",
        ),
        ("start: [2010-01-01]", "hawk.yaml:1: start is a list; write one value"),
        ("start: {year: 2010}", "hawk.yaml:1: start is a mapping; write one value"),
        ("aggregation:\n  cap: [0.3]", "hawk.yaml:2: aggregation.cap is a list; write one value"),
        ("? [a]\n: b", "hawk.yaml:1: a list as a name; write a setting's name"),
        ("- start: 2010-01-01", "hawk.yaml:1: a list, where settings have names; write them like"),
        ("\njust text", "hawk.yaml:2: a single value, where settings have names; write them like"),
        ("storage: !env HAWK", "hawk.yaml:1: storage has the tag !env; write the value itself"),
        ("storage: !!binary aGF3aw==", "hawk.yaml:1: storage has the tag tag:yaml.org,2002:binary"),
        (
            "aggregation:\n\tcap: 0.3",
            "hawk.yaml:2: there is a tab; YAML wants spaces, two for each",
        ),
        ("start: 'x", "hawk.yaml:1: not valid YAML: found unexpected end of stream; correct this"),
        ("start: a: b", "hawk.yaml:1: not valid YAML: mapping values are not allowed here"),
        ("start: {", "hawk.yaml:1: not valid YAML"),
        ("a: 1\n---\nb: 1", "hawk.yaml:2: not valid YAML: but found another document; correct"),
        ("a: *b", "hawk.yaml:1: not valid YAML: found undefined alias"),
        ("market_data: *.csv", "put a text that begins with *, &, ! or @ in quotes"),
        ("start: 2010-01-01\n\x07", "hawk.yaml:2: a character that YAML does not allow; remove it"),
        ("[" * 5000, "hawk.yaml is nested too deeply; settings have two levels"),
        (b"# \n# caf\xe9\n", "hawk.yaml:2: the file is not UTF-8; save it as UTF-8"),
        ("start: 2010-01-01".encode("utf-16"), "hawk.yaml:1: the file is not UTF-8"),
        (
            "webhook: https://hooks.example/hush",
            "hawk.yaml:1: webhook is a secret, and hawk.yaml goes into git; set HAWK_WEBHOOK in th",
        ),
        (
            "postgres_password: hush",
            "is a secret, and hawk.yaml goes into git; set HAWK_POSTGRES_PAS",
        ),
        (
            "service_account_json: hush",
            "and hawk.yaml goes into git; set SERVICE_ACCOUNT_JSON in the",
        ),
        (
            "postgres_host: db",
            "postgres_host is read by Dagster's own processes, from the",
        ),
        (
            "compute_logs: x",
            "compute_logs is read by Dagster's own processes, from the",
        ),
        (
            "google_application_credentials: x",
            "is read by Google's libraries, from the environment",
        ),
        (
            "ui_url: https://me:hush@ui.example",
            "hawk.yaml:1: ui_url holds a user or a password, and hawk.yaml goes into git; set HAWK",
        ),
        ("ui_url: me:hush@ui.example", "hawk.yaml:1: ui_url holds a user or a password"),
        ("optserver: http://hush@x:1", "hawk.yaml:1: optserver holds a user or a password"),
        ("storage: gs://me:hush@bucket", "hawk.yaml:1: storage holds a user or a password"),
        (
            "ui_url: ui.example/hush",
            "hawk.yaml:1: ui_url is not an address; write it like https://",
        ),
        ("solver: cplex", "hawk.yaml:1: solver='cplex' is not known; choose one of auto, mosek"),
        (
            "start: 2010-02-01\nend: 2010-01-01",
            "hawk.yaml:2: end=2010-01-01 is before hawk.yaml:1: start=2010-02-01; swap them",
        ),
        ("start: 9998-01-01", "hawk.yaml:1: start='9998-01-01' is not a month"),
        ("start: 2150-01-01", "hawk.yaml:1: start=2150-01-01 is in the future"),
    ],
)
def test_a_line_that_cannot_be_used_is_refused_with_the_remedy(
    content: str | bytes, says: str, refused: Refused
) -> None:
    found = refused(content)
    assert says in found
    assert "hush" not in found
    assert "\n" not in found


def test_the_name_in_an_error_is_the_one_that_was_given(folder: Path, refused: Refused) -> None:
    (folder / "desk.yaml").write_text("\nsolver: cplex\n")
    assert refused(HAWK_CONFIG="desk.yaml").startswith("desk.yaml:2: solver='cplex'")
    assert refused(HAWK_CONFIG="~/desk.yaml").startswith("~/desk.yaml:2: solver='cplex'")


def test_what_the_environment_sets_is_not_said_of_the_file(refused: Refused) -> None:
    content = "solver: mosek\naggregation:\n  cap: 0.3\n"
    assert refused(content, HAWK_SOLVER="cplex").startswith("HAWK_SOLVER='cplex' is not known")
    assert refused(content, HAWK_AGGREGATION="cap=3").startswith("HAWK_AGGREGATION: cap 3.0: a fr")
    assert refused(content + "  tail: 2", HAWK_AGGREGATION="cap=0.4").startswith(
        "hawk.yaml:4: tail"
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere.yaml", "No such file or directory"),
        ("folder", "Is a directory"),
        ("folder/nowhere/desk.yaml", "No such file or directory"),
        ("~nobody-here/desk.yaml", "Could not determine home directory"),
        ("n" * 300, "File name too long"),
    ],
)
def test_a_file_that_is_named_and_cannot_be_read_is_refused(
    name: str, why: str, refused: Refused
) -> None:
    Path("folder").mkdir()
    says = refused(HAWK_CONFIG=name)
    assert says.startswith(f"{name} cannot be read: {why}")
    assert "the one that HAWK_CONFIG names, or else hawk.yaml in the current folder" in says


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(refused: Refused) -> None:
    Path("hawk.yaml").touch(0o000)
    assert refused().startswith("hawk.yaml cannot be read: Permission denied")


def test_a_folder_or_a_broken_link_in_the_files_place_is_refused(refused: Refused) -> None:
    Path("hawk.yaml").mkdir()
    assert refused().startswith("hawk.yaml cannot be read: Is a directory")
    Path("hawk.yaml").rmdir()
    Path("hawk.yaml").symlink_to("nowhere")
    assert refused().startswith("hawk.yaml cannot be read: No such file or directory")
