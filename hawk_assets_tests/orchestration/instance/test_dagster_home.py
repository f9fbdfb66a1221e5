"""The folder of the Dagster instance: which dagster.yaml it has."""

from pathlib import Path

import pytest

from hawk_assets.orchestration.instance.dagster_home import INSTANCE_SETTINGS, prepare_home


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
