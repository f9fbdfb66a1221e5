"""The arrows of the package: who may import whom, and who may touch the world."""

import ast
from pathlib import Path

import pytest

import hawk_assets

ROOT = Path(hawk_assets.__file__).parent
STAGES = {"sources", "models", "model_states", "insights", "simulation", "aggregation", "storage"}
BELOW = {
    "core": set(),
    "features": {"core"},
    **{stage: {"core", "features"} for stage in STAGES},
    "orchestration": {"core", "features", *STAGES},
    "commands": {"core", *STAGES, "orchestration"},
    "services": {"orchestration"},
}
ONLY_IN = {
    "dagster": {"orchestration", "commands", "services", "cli"},
    "talib": {"features", "models"},
    "polars": {"simulation"},
    "hawk_backtester": {"simulation"},
    "os.environ": {"orchestration", "sources", "storage", "cli"},
    "os.getenv": {"orchestration", "sources", "storage", "cli"},
}


def mentions(text: str) -> set[str]:
    """Every dotted name that is imported or read as an attribute of a name."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add(f"{node.value.id}.{node.attr}")
    return found


def violations(layer: str, text: str) -> list[str]:
    wrong = []
    for name in sorted(mentions(text)):
        package, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if package == "hawk_assets" and other not in BELOW.get(layer, {other}) | {layer, ""}:
            wrong.append(name)
        for tool, layers in ONLY_IN.items():
            if f"{name}.".startswith(f"{tool}.") and layer not in layers:
                wrong.append(name)
    return wrong


def layer_of(file: Path) -> str:
    """The folder; a module beside the folders belongs to the command line and may import all."""
    parts = file.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else "cli"


FILES = sorted(ROOT.rglob("*.py"))


def test_every_folder_has_its_place() -> None:
    assert {layer_of(file) for file in FILES} == {*BELOW, "cli"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_imports_from_the_layers_below_only(file: Path) -> None:
    assert violations(layer_of(file), file.read_text()) == []


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ("core", "from hawk_assets.features import signals"),
        ("core", "import hawk_assets.models"),
        ("core", "from hawk_assets import cli"),
        ("features", "from hawk_assets import orchestration"),
        ("models", "from hawk_assets.simulation.metrics import sharpe"),
        ("aggregation", "def late():\n    import hawk_assets.sources.sample"),
        ("orchestration", "from hawk_assets.services import trading_models"),
        ("services", "from hawk_assets.core.model import TradingModel"),
        ("simulation", "import dagster as dg"),
        ("sources", "from dagster import asset"),
        ("core", "import talib"),
        ("aggregation", "import polars.selectors"),
        ("orchestration", "from hawk_backtester import HawkBacktester"),
        ("models", "import os\nos.environ['X']"),
        ("core", "from os import environ"),
        ("services", "import os\nos.getenv('X')"),
    ],
)
def test_an_arrow_that_points_up_or_sideways_is_found(layer: str, text: str) -> None:
    assert len(violations(layer, text)) == 1


def test_what_the_layers_allow_is_not_found() -> None:
    assert (
        violations("models", "import talib\nfrom hawk_assets.features.signals import latch") == []
    )
    assert violations("cli", "from hawk_assets.services import trading_models") == []
    assert violations("orchestration", "import dagster, os\nos.environ.get('HAWK_START')") == []
