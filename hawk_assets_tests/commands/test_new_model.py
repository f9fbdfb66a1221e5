"""``hawk new-model``: the skeleton keeps the contract, its test survives the author's edits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hawk_assets.cli import cli
from hawk_assets.commands.new_model import next_commands, write_skeleton
from hawk_assets.core.errors import SettingsError

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("hawk_assets", "hawk_assets_tests")
HOLD = pytest.mark.parametrize("hold", [False, True], ids=["score", "hold"])


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy that can be imported: its own two folders of models, the rest from here."""
    for package in PACKAGES:
        (tmp_path / package / "models").mkdir(parents=True)
        init = tmp_path / package / "__init__.py"
        init.write_text(f"__path__.append('{REPOSITORY / package}')\n")
    return tmp_path


def run_tests(clone: Path, file: Path, only: str = "") -> subprocess.CompletedProcess[str]:
    """The skeleton's own test, in the copy; ``only`` those whose names contain it."""
    for package in PACKAGES:
        original = (REPOSITORY / package / "models" / "__init__.py").read_text()
        path = f"\n__path__.append('{REPOSITORY / package / 'models'}')\n"
        (clone / package / "models" / "__init__.py").write_text(original + path)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", only, str(file)],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": str(clone)},
        capture_output=True,
        text=True,
    )


@HOLD
def test_the_skeleton_keeps_the_contract_and_passes_its_own_test(clone: Path, hold: bool) -> None:
    _, test_file = write_skeleton("skeleton_trend", clone, hold)
    done = run_tests(clone, test_file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_own_test_survives_an_edit_of_the_model(clone: Path) -> None:
    model_file, test_file = write_skeleton("skeleton_trend", clone)
    text = model_file.read_text()
    edits = {
        "move": "loss",
        "= 20": "= 7",
        "MODELS = (": "MODELS = (SkeletonTrend(3), ",
        "return scaled": "return -scaled",
    }
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new)
    model_file.write_text(text)
    done = run_tests(clone, test_file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_author_fills_in_is_compared(clone: Path) -> None:
    _, test_file = write_skeleton("skeleton_trend", clone)
    empty = "EXPECTED: dict[str, float] = {}"
    text = test_file.read_text()
    assert empty in text
    for expected, outcome in (({"move": 0.2, "signal": 1.0}, 0), ({"move": 0.3}, 1)):
        test_file.write_text(text.replace(empty, f"EXPECTED = {expected}"))
        assert run_tests(clone, test_file, "by_hand").returncode == outcome


def test_a_model_that_breaks_the_contract_fails_its_test(clone: Path) -> None:
    model_file, test_file = write_skeleton("skeleton_trend", clone)
    model_file.write_text(model_file.read_text().replace("return self.span  #", "return 1  #"))
    done = run_tests(clone, test_file, "slice_stable")
    assert done.returncode == 1
    assert "skeleton_trend_20: claims slice_stable" in done.stdout


@HOLD
def test_the_skeleton_is_in_shape(clone: Path, hold: bool) -> None:
    files = [str(file) for file in write_skeleton("skeleton_trend", clone, hold)]
    assert len(Path(files[0]).read_text().splitlines()) <= 60
    ruff = str(Path(sys.executable).with_name("ruff"))
    config = ["--config", str(REPOSITORY / "pyproject.toml")]
    for command in (["check", *config], ["format", "--check", *config]):
        done = subprocess.run([ruff, *command, *files], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_that_exists_is_kept(clone: Path) -> None:
    model_file, _ = write_skeleton("skeleton_trend", clone)
    model_file.write_text("mine")
    with pytest.raises(SettingsError, match="exists already"):
        write_skeleton("skeleton_trend", clone)
    assert model_file.read_text() == "mine"


@pytest.mark.parametrize("name", ["Trend", "2fast", "a-b", "class", "", "trend_", "../trend"])
def test_a_name_that_cannot_be_a_module_is_refused(name: str, clone: Path) -> None:
    with pytest.raises(SettingsError, match="lower_case_words"):
        write_skeleton(name, clone)


def test_outside_a_clone_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"is not a clone of hawk_assets.*root of a clone"):
        write_skeleton("trend", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_to_type_next(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone)
    arguments = ["new-model", "skeleton_trend", "--hold"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    model = Path("hawk_assets/models/skeleton_trend.py")
    assert "latch" in model.read_text()
    edit, test, refresh = next_commands(model, Path("hawk_assets_tests/models/t.py"), Path())
    assert str(model) in edit
    assert "-m pytest -q hawk_assets_tests/models/t.py" in test
    assert refresh.endswith("hawk refresh")
    for command in (test, refresh):
        assert Path(command.split()[0]).exists()
