import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from hawk_assets import models
from hawk_assets.core.errors import ModelError
from hawk_assets.core.model import TradingModel
from hawk_assets.models import discover, registry
from hawk_assets.models.ema_cross import EmaCross
from hawk_assets.models.rsi import Rsi

AddFile = Callable[[str], Mapping[str, TradingModel]]


@pytest.fixture
def discover_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AddFile]:
    """Discovery with one more file, with the given text, in the package of models."""
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])

    def run(text: str) -> Mapping[str, TradingModel]:
        (tmp_path / "added.py").write_text(text)
        return discover.__wrapped__()

    yield run
    sys.modules.pop("hawk_assets.models.added", None)
    vars(models).pop("added", None)


def test_every_file_of_the_package_is_found_by_name() -> None:
    found = discover()
    assert list(found) == sorted(found)
    assert all(model.name == name for name, model in found.items())
    for file in set(Path(models.__file__).parent.glob("*.py")) - {Path(models.__file__)}:
        module = importlib.import_module(f"hawk_assets.models.{file.stem}")
        assert all(found[model.name] is model for model in module.MODELS)


def test_a_new_file_is_enough(discover_with: AddFile) -> None:
    found = discover_with(
        "from hawk_assets.models.ema_cross import EmaCross\nMODELS = (EmaCross(3, 7),)"
    )
    assert set(found) == set(discover()) | {"ema_cross_3_7"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_library", "models.added cannot be loaded: .*no_such_library"),
        ("def broken(:", "models.added cannot be loaded: SyntaxError"),
        ("MODEL = None", r"models.added has no MODELS; end it with MODELS = \(MyModel\(\),\)"),
        (
            "from hawk_assets.models.rsi import Rsi\nMODELS = (Rsi())",
            r"models.added has MODELS = Rsi\(.*\), no tuple of models; .*, with the comma",
        ),
        ("MODELS = (1,)", r"models.added has MODELS = \(1,\), no tuple of models"),
        (
            "from hawk_assets.models.rsi import Rsi\nMODELS = (Rsi(),)",
            r"two models are called 'rsi_14': .*\.(added and .*\.rsi|rsi and .*\.added);",
        ),
    ],
    ids=["missing library", "syntax", "no MODELS", "no comma", "no model", "a name twice"],
)
def test_a_file_that_cannot_be_used_stops_discovery_with_its_name(
    discover_with: AddFile, text: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        discover_with(text)


def test_two_models_with_one_name_are_refused_and_both_files_are_named() -> None:
    with pytest.raises(ModelError, match="'rsi_14': one and two; derive the name from"):
        registry([("one", [Rsi(low=20.0)]), ("two", [EmaCross(8, 21), Rsi()])])


def test_the_registry_is_sorted_by_name() -> None:
    found = registry([("z", [Rsi()]), ("a", [EmaCross(8, 21), EmaCross(12, 26)])])
    assert list(found) == ["ema_cross_12_26", "ema_cross_8_21", "rsi_14"]
