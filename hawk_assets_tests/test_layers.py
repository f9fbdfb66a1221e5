"""The arrows of the package: who may import whom, and who may touch the world."""

import ast
from graphlib import TopologicalSorter
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
    "printing": {"core", "aggregation", "commands"},
    "services": {"orchestration"},
}
"""Which folders a folder may import from, beside itself."""

CATALOG = {"catalog", "code_version", "partitions"}
BELOW_IN_ORCHESTRATION = {
    "settings": set(),
    "instance": {"settings"},
    "interrupts": set(),
    "code_version": set(),
    "partitions": set(),
    "bigquery_client": set(),
    "catalog": {"code_version"},
    "metadata": {"catalog", "instance"},
    "run_ranges": {"catalog"},
    "source_record": {"catalog"},
    "stored_files": {"instance", "automation"},
    "automation": {*CATALOG, "metadata", "instance", "run_ranges", "stored_files"},
    "assets": {*CATALOG, "interrupts", "metadata", "instance", "automation", "source_record"},
    "build": {*CATALOG, "settings", "bigquery_client", "automation", "assets"},
}
"""The same for the folders and modules of orchestration."""

ONLY_IN = {
    "dagster": {"orchestration", "commands", "services", "cli"},
    "rich": {"printing", "cli"},
    "click": {"printing", "cli"},
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


def violations(layer: str, text: str, room: str = "") -> list[str]:
    """What a module imports or touches and must not.

    :param layer: its folder
    :param room: in orchestration, the folder or module below that
    """
    wrong = []
    for name in sorted(mentions(text)):
        package, other, inner = (*name.split("."), "", "")[:3]
        if package == "hawk_assets" and other not in BELOW.get(layer, {other}) | {layer, ""}:
            wrong.append(name)
        if package == "hawk_assets" and room and other == "orchestration":
            wrong += [name] * (inner not in BELOW_IN_ORCHESTRATION[room] | {room})
        for tool, layers in ONLY_IN.items():
            if f"{name}.".startswith(f"{tool}.") and layer not in layers:
                wrong.append(name)
    return wrong


def layer_of(file: Path) -> str:
    """The folder; a module beside the folders belongs to the command line and may import all."""
    parts = file.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else "cli"


def room_of(file: Path) -> str:
    """In orchestration, the folder or module below that; else nothing."""
    layer, *rest = file.relative_to(ROOT).with_suffix("").parts
    return rest[0] if layer == "orchestration" and rest != ["__init__"] else ""


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[: -1 if parts[-1] == "__init__" else None])


FILES = sorted(ROOT.rglob("*.py"))


def test_every_folder_has_its_place() -> None:
    assert {layer_of(file) for file in FILES} == {*BELOW, "cli"}
    assert {room_of(file) for file in FILES} == {*BELOW_IN_ORCHESTRATION, ""}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_imports_from_the_layers_below_only(file: Path) -> None:
    assert violations(layer_of(file), file.read_text(), room_of(file)) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions count as well."""
    modules = {module_of(file): mentions(file.read_text()) for file in FILES}
    imports = {
        name: {
            m for m in modules if m != name and m in found | {f.rpartition(".")[0] for f in found}
        }
        for name, found in modules.items()
    }
    TopologicalSorter(imports).prepare()


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


@pytest.mark.parametrize(
    ("room", "text"),
    [
        ("instance", "from hawk_assets.orchestration.catalog import Table"),
        ("catalog", "from hawk_assets.orchestration.metadata import describe"),
        ("settings", "import hawk_assets.orchestration.build"),
        ("automation", "from hawk_assets.orchestration.assets.stage import build_stage"),
        ("assets", "def late():\n    from hawk_assets.orchestration import build"),
        ("metadata", "from hawk_assets.orchestration.automation import staleness"),
    ],
)
def test_an_arrow_that_points_up_within_orchestration_is_found(room: str, text: str) -> None:
    assert len(violations("orchestration", text, room)) == 1


def test_what_the_layers_allow_is_not_found() -> None:
    assert (
        violations("models", "import talib\nfrom hawk_assets.features.signals import latch") == []
    )
    assert violations("cli", "from hawk_assets.services import trading_models") == []
    assert violations("orchestration", "import dagster, os\nos.environ.get('HAWK_START')") == []
