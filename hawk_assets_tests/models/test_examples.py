"""The model files shown in README and docs keep the contract exactly as printed."""

import importlib.util
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from hawk_assets_tests.markets import ragged_market
from hawk_assets_tests.models.contract import CLAUSES, Clause

ROOT = Path(__file__).parents[2]
EXAMPLES = {
    f"{page.stem}_{number}": text
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for number, text in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    if "\nMODELS = (" in text
}


@pytest.fixture(scope="module")
def market() -> pd.DataFrame:
    return ragged_market()


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_keeps_the_contract(
    example: str,
    clause: Clause,
    market: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / f"{example}.py"
    file.write_text(EXAMPLES[example])
    spec = importlib.util.spec_from_file_location(f"hawk_assets.models.{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    for model in module.MODELS:
        clause(model, market)


def test_the_readme_shows_a_model() -> None:
    assert "README_0" in EXAMPLES
