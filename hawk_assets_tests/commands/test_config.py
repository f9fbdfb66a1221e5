"""``hawk config``: every setting, its value and where it comes from, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from hawk_assets.orchestration.settings.declaration import ABOUT, SECTIONS

HAWK = str(Path(sys.executable).with_name("hawk"))
KEYS = [
    key
    for name in ABOUT
    for key in ([f"{name}.{part}" for part in SECTIONS[name]] if name in SECTIONS else [name])
]


def hawk(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """The command in a folder, with these settings and no others."""
    others = {about.variable for about in ABOUT.values()}
    env = {k: v for k, v in os.environ.items() if k not in others and not k.startswith("HAWK_")}
    return subprocess.run(
        [HAWK, *arguments], cwd=folder, env=env | settings, capture_output=True, text=True
    )


def test_every_setting_is_printed_with_its_value_and_its_source(tmp_path: Path) -> None:
    (tmp_path / "hawk.yaml").write_text(
        "# ours\nstart: 2010-01-01\nobjective: hrp\naggregation:\n  cap: 0.3\n  tail: 0.1\n"
    )
    done = hawk(
        tmp_path,
        *("config", "--json"),
        HAWK_OBJECTIVE="risk_parity",
        HAWK_AGGREGATION="tail=0.2",
        DAGSTER_HOME="home",
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["key"]: row for row in json.loads(done.stdout)}
    assert list(rows) == KEYS
    expected = {
        "start": ("HAWK_START", "2010-01-01", "hawk.yaml:2"),
        "objective": ("HAWK_OBJECTIVE", "risk_parity", "HAWK_OBJECTIVE"),
        "aggregation.cap": ("HAWK_AGGREGATION", 0.3, "hawk.yaml:5"),
        "aggregation.tail": ("HAWK_AGGREGATION", 0.2, "HAWK_AGGREGATION"),
        "aggregation.gross": ("HAWK_AGGREGATION", 1.0, "default"),
        "market_data": ("HAWK_MARKET_DATA", None, "default"),
        "book_due": ("HAWK_BOOK_DUE", "06:00", "default"),
        "dagster_home": ("DAGSTER_HOME", str(tmp_path / "home"), "DAGSTER_HOME"),
    }
    for key, (variable, value, source) in expected.items():
        assert rows[key] == {"key": key, "variable": variable, "value": value, "source": source}
    text = hawk(tmp_path, "config").stdout
    assert text.startswith("settings file: hawk.yaml\n")
    assert [line.split()[0] for line in text.splitlines()[3:]] == KEYS
    assert "the built-in sample market" in text


def test_no_secret_is_printed(tmp_path: Path) -> None:
    secrets = {
        "HAWK_WEBHOOK": "https://hooks.example/hush",
        "HAWK_POSTGRES_PASSWORD": "hush",
        "SERVICE_ACCOUNT_JSON": '{"private_key": "hush"}',
        "HAWK_UI_URL": "https://me:hush@ui.example/x",
    }
    for arguments in (["config"], ["config", "--json"]):
        done = hawk(tmp_path, *arguments, **secrets)
        assert done.returncode == 0
        assert "hush" not in done.stdout + done.stderr
        assert done.stdout.count("***") == 4
        assert "https://***@ui.example/x" in done.stdout
    assert "settings file: none" in hawk(tmp_path, "config", **secrets).stdout


def test_settings_that_cannot_be_used_are_refused_by_every_command(tmp_path: Path) -> None:
    for command in (["config"], ["status"], ["show"], ["refresh"], ["dev"]):
        done = hawk(tmp_path, *command, HAWK_MARKETDATA="hush")
        assert done.returncode == 1
        says = "error: HAWK_MARKETDATA is not a setting; did you mean HAWK_MARKET_DATA?\n"
        assert (done.stdout, done.stderr) == ("", says)
    (tmp_path / "hawk.yaml").write_text("aggregation:\n\tcap: 0.3\n")
    done = hawk(tmp_path, "config")
    assert done.returncode == 1
    assert done.stderr.startswith("error: hawk.yaml:2: there is a tab; YAML wants spaces")
    done = hawk(tmp_path, "config", HAWK_CONFIG="[desk].yaml")
    assert done.stderr.startswith("error: [desk].yaml cannot be read: No such file or directory")


def test_the_file_reaches_the_pipeline(tmp_path: Path) -> None:
    (tmp_path / "hawk.yaml").write_text("storage: tables\nmarket_data: nowhere/*.csv\n")
    done = hawk(tmp_path, "backfill", "--select", "market_data")
    assert "'nowhere/*.csv' matches no file" in done.stderr
    assert (tmp_path / ".hawk" / "dagster").is_dir()
