"""``hawk new-model``: the skeleton keeps the contract at once, and never overwrites a file."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from hawk_assets.commands.new_model import write_skeleton
from hawk_assets.core.errors import SettingsError
from hawk_assets_tests.markets import ragged_market
from hawk_assets_tests.models.contract import CLAUSES

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for folder in ("hawk_assets/models", "hawk_assets_tests/models"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_the_skeleton_keeps_the_contract_and_passes_its_own_test(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_file, test_file = write_skeleton("skeleton_trend", clone)
    spec = importlib.util.spec_from_file_location("hawk_assets.models.skeleton_trend", model_file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    (model,) = module.MODELS
    assert model.name == "skeleton_trend_20"
    market = ragged_market()
    for clause in CLAUSES:
        clause(model, market)
    test: dict[str, object] = {}
    exec(compile(test_file.read_text(), str(test_file), "exec"), test)
    test["test_the_feature_is_the_move_of_the_last_bars"]()  # type: ignore[operator]


def test_the_skeleton_is_in_shape(clone: Path) -> None:
    files = [str(file) for file in write_skeleton("skeleton_trend", clone)]
    ruff = str(Path(sys.executable).with_name("ruff"))
    config = ["--config", str(REPOSITORY / "pyproject.toml")]
    for command in (["check", *config], ["format", "--check", *config]):
        done = subprocess.run([ruff, *command, *files], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_that_is_there_is_kept(clone: Path) -> None:
    model_file, _ = write_skeleton("skeleton_trend", clone)
    model_file.write_text("mine")
    with pytest.raises(SettingsError, match="already there"):
        write_skeleton("skeleton_trend", clone)
    assert model_file.read_text() == "mine"


@pytest.mark.parametrize("name", ["Trend", "2fast", "a-b", "class", "", "trend_", "../trend"])
def test_a_name_that_cannot_be_a_module_is_refused(name: str, clone: Path) -> None:
    with pytest.raises(SettingsError, match="lower_case_words"):
        write_skeleton(name, clone)


def test_outside_a_clone_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="clone of the project"):
        write_skeleton("trend", tmp_path)
    assert list(tmp_path.iterdir()) == []
