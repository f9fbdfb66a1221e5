"""The folder of the Dagster instance: which dagster.yaml it has, and what is wrong with it."""

import sqlite3
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine
from sqlalchemy.event import listen, remove

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.instance.dagster_home import (
    INSTANCE_SETTINGS,
    open_instance,
    prepare_home,
)
from hawk_assets_tests.pipelines import open_desk, ragged_prices


@pytest.fixture(autouse=True)
def _home_of_this_test_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")


def test_a_link_to_another_version_of_the_project_is_replaced(tmp_path: Path) -> None:
    other = tmp_path / "other/hawk_assets/orchestration/dagster.yaml"
    other.parent.mkdir(parents=True)
    other.write_text("event_log_storage: {module: hawk_assets.gone, class: Gone}\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(other)
    prepare_home(home)
    assert (home / "dagster.yaml").read_text() == INSTANCE_SETTINGS.read_text()
    other.unlink()
    prepare_home(home)
    assert (home / "dagster.yaml").read_text() == INSTANCE_SETTINGS.read_text()


def test_settings_that_the_user_has_put_there_stay(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.yaml"
    theirs.write_text("telemetry: {enabled: false}\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(theirs)
    prepare_home(home)
    assert (home / "dagster.yaml").resolve() == theirs


def test_a_question_mark_in_the_path_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"q\?x/dg has a '\?' in it.*rename the folder"):
        prepare_home(tmp_path / "q?x" / "dg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a#b", "a%20b", "a b", "ä'\"", "a\nb"])
def test_any_other_path_is_used_as_it_is(name: str, tmp_path: Path) -> None:
    with open_instance(tmp_path / name) as instance:
        assert instance.get_runs_count() == 0
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "history" / "runs.db").exists()


def _damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "torn":
        del content[len(content) // 2 :]
    elif how == "text":
        content[:] = b"hello, this is no database at all " * 100
    else:
        content[100:] = b"\xa5" * (len(content) - 100)
    file.write_bytes(content)


@pytest.mark.parametrize("how", ["text", "noise"])
@pytest.mark.parametrize("name", ["history/runs.db", "history/runs/index.db"])
def test_a_damaged_database_is_named_with_the_remedy(name: str, how: str, tmp_path: Path) -> None:
    with open_instance(tmp_path):
        pass
    _damage(tmp_path / name, how)
    with pytest.raises(SettingsError) as error:
        _look(tmp_path)
    assert str(error.value).startswith(f"DAGSTER_HOME={tmp_path} cannot be used: ")
    assert f"({tmp_path / name}); restore it from a backup, or move the folder" in str(error.value)


def _look(home: Path) -> None:
    with open_instance(home) as instance:
        instance.get_runs_count()
        instance.get_latest_materialization_event(dg.AssetKey("a"))


@pytest.mark.parametrize("pages", [30, 70, 100, 200])
def test_a_disk_that_fills_in_the_middle_of_a_run_is_one_error(
    pages: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """SQLite says of a database at its limit what it says of a full disk."""

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    listen(Engine, "connect", limit)
    try:
        with pytest.raises(SettingsError) as error:
            _work(tmp_path)
    finally:
        remove(Engine, "connect", limit)
    says = str(error.value)
    assert says.startswith(f"DAGSTER_HOME={tmp_path / 'dagster'} cannot be used: ")
    assert "disk is full" in says
    assert "free space there, or point DAGSTER_HOME to another folder" in says
    printed = capfd.readouterr()
    assert printed.out == ""
    assert all(says in line for line in printed.err.splitlines())  # Dagster repeats it


def _work(folder: Path) -> None:
    with open_desk(folder, ragged_prices(), "2015-03") as desk:
        for _ in range(9):
            assert desk.backfill() == {}
