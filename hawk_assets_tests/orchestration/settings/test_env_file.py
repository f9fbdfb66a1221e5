"""Variables in the file ``.env``: one rule for ``hawk`` and for the Dagster UI."""

from pathlib import Path

import pytest

from hawk_assets.commands.config import list_settings
from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.settings import load_settings
from hawk_assets.orchestration.settings.env_file import check_env_file, read_env_file
from hawk_assets.orchestration.settings.loading import load


def read(content: str | bytes, **environment: str) -> dict[str, str]:
    """The environment after the file was read."""
    Path(".env").write_bytes(content.encode() if isinstance(content, str) else content)
    read_env_file(environment)
    return environment


def test_the_environment_goes_before_the_file_and_the_file_before_hawk_yaml() -> None:
    Path("hawk.yaml").write_text("objective: hrp\nsolver: mosek\nstart: 2011-01\n")
    found = read(
        "# mine\nexport HAWK_OBJECTIVE=utility\nHAWK_SOLVER='clarabel'\n", HAWK_OBJECTIVE="min_cvar"
    )
    loaded = load(found)
    sources = {setting.key: setting.source for setting in list_settings(loaded)}
    assert loaded.settings.objective == "min_cvar"
    assert (loaded.settings.solver, sources["solver"]) == ("clarabel", ".env: HAWK_SOLVER")
    assert (sources["objective"], sources["start"]) == ("HAWK_OBJECTIVE", "hawk.yaml:3")


def test_a_section_and_the_variables_of_others_are_read_too() -> None:
    found = read("HAWK_SIZING=cap=0.2\nGOOGLE_APPLICATION_CREDENTIALS=key.json\n")
    assert load_settings(found).sizing.cap == 0.2
    assert found["GOOGLE_APPLICATION_CREDENTIALS"] == "key.json"


def test_an_empty_variable_is_none_and_no_file_is_no_error() -> None:
    assert read("HAWK_START=2012-03\n", HAWK_START="")["HAWK_START"] == "2012-03"
    Path(".env").unlink()
    environment: dict[str, str] = {}
    read_env_file(environment)
    assert environment == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("HAWK_OBJECTVE=hrp", ".env: HAWK_OBJECTVE is not a setting; did you mean HAWK_OBJECTIVE?"),
        ("HAWK_START=soon", ".env: HAWK_START='soon' is not a month"),
        ("HAWK_SIZING=cup=1", ".env: HAWK_SIZING: 'cup=1': cup is not a setting; did you mean cap"),
        ("HAWK_START=2010-01\n==x\n", ".env:2: the line is not understood; write name=value"),
        (b"# caf\xe9\n", ".env in the current folder cannot be read: it is not UTF-8"),
        ("A=\0", ".env has a character with the number 0"),
    ],
)
def test_what_cannot_be_read_is_refused(content: str | bytes, says: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings(read(content))
    assert str(error.value).startswith(says)


def test_a_folder_of_that_name_is_refused() -> None:
    Path(".env").mkdir()
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        read_env_file({})


def test_the_ui_does_not_start_with_two_values_of_a_variable() -> None:
    read("HAWK_OBJECTIVE=hrp\n", HAWK_OBJECTIVE="hrp")
    check_env_file()
    read("HAWK_OBJECTIVE=hrp\n", HAWK_OBJECTIVE="utility")
    with pytest.raises(SettingsError, match="HAWK_OBJECTIVE has one value in the environment"):
        check_env_file()
    Path(".env").unlink()
    read_env_file({})
