"""What is made from the declaration of the settings is up to date, and usable."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hawk_assets.orchestration.settings import Settings, load_settings
from hawk_assets.orchestration.settings.declaration import ABOUT, SECTIONS
from hawk_assets_tests import settings as made
from hawk_assets_tests.pipelines import REPOSITORY
from hawk_assets_tests.settings import BLOCKS, COMMAND, DOCUMENT, EXAMPLE, SECRETS, VALUES


@pytest.mark.parametrize("file", [DOCUMENT, EXAMPLE, *BLOCKS], ids=lambda file: file.name)
def test_what_is_made_from_the_declaration_is_up_to_date(file: Path) -> None:
    whole = {DOCUMENT: made.document, EXAMPLE: made.example}
    text = file.read_text()
    expected = whole[file]() if file in whole else made.with_block(text, BLOCKS[file]())
    assert text == expected, f"run: {COMMAND}"


def test_every_setting_says_what_it_is_for() -> None:
    for key, about in ABOUT.items():
        assert about.what, key
        assert about.unset or Settings.model_fields[key].default is not None or about.not_in_file
    for section, keys in SECTIONS.items():
        assert made.parameters(section).keys() >= keys.keys()


def test_the_example_of_the_file_sets_every_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings({"HAWK_CONFIG": str(EXAMPLE)}) == Settings()
    keys = yaml.safe_load(EXAMPLE.read_text())
    assert keys.keys() <= {key for key, about in ABOUT.items() if not about.not_in_file}
    for section, names in SECTIONS.items():
        assert keys[section].keys() == names.keys()


def test_the_example_is_usable_line_by_line(tmp_path: Path) -> None:
    """Also with the lines that are commented out, given a value."""
    values: dict[str, Any] = {"optserver": "http://host:30080", "ui_url": "http://host"}
    text = EXAMPLE.read_text()
    for key, about in ABOUT.items():
        text = text.replace(f"# {key}:", f"{key}: {values.get(key, 'x')}")
        assert about.not_in_file or f"\n{key}:" in text
    text = text.replace("end: x", "end: 2010-01-01")
    (tmp_path / "hawk.yaml").write_text(text)
    assert load_settings({"HAWK_CONFIG": str(tmp_path / "hawk.yaml")}).market_data == "x"


@pytest.mark.parametrize("file", ["README.md", "docs/settings.md"])
def test_the_examples_in_documents_are_usable(file: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / file).read_text(), re.S)
    assert blocks
    for block in blocks:
        (tmp_path / "hawk.yaml").write_text(block)
        assert load_settings({"HAWK_CONFIG": str(tmp_path / "hawk.yaml")}) != Settings()


def test_the_file_of_the_cluster_is_usable(tmp_path: Path) -> None:
    settings, file = (m["data"] for m in yaml.safe_load(VALUES.read_text())["extraManifests"])
    (name,) = file
    (tmp_path / name).write_text(file[name])
    mounted = settings["HAWK_CONFIG"]
    assert mounted == f"/var/lib/hawk/config/{name}"
    assert load_settings(settings | {"HAWK_CONFIG": str(tmp_path / name)}).storage


def test_the_secrets_are_those_that_open_something() -> None:
    assert {"HAWK_POSTGRES_PASSWORD", "HAWK_WEBHOOK", "SERVICE_ACCOUNT_JSON"} == SECRETS
