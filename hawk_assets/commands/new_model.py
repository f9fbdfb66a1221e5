"""The skeleton of a model file and of its test, for ``hawk new-model``."""

import keyword
import os.path
import re
import sys
from pathlib import Path

from hawk_assets.core.errors import SettingsError

_MODEL = '''"""One sentence that says what the market does, and so what this model does.

Reference: author, title, year; and what differs from it here.
"""

from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import past_return
from hawk_assets.features.signals import {imports}


@dataclass(frozen=True)
class {class_name}(TradingModel):
    {parameters}

    slice_stable = True  # delete this line if a feature is recursive or a running sum

    def __post_init__(self) -> None:
        {guard}

    @property
    def name(self) -> str:
        return f"{name}_{{self.span}}"

    @property
    def warmup(self) -> int:
        return self.span  # bars that features needs before the first bar it is asked for

{lookback}    def features(self, bars: Bars) -> dict[str, Array]:
        return {{"move": past_return(bars["close"], self.span, 0)}}

    def signal(self, states: States) -> Signal:
        {signal}


MODELS = ({class_name}(),)
'''

_PLAIN = {
    "imports": "scaled_signal",
    "parameters": '''""":param span: bars of the move that is followed"""

    span: int = 20''',
    "guard": """if self.span < 1:
            raise ValueError(f"need span >= 1: {self}")""",
    "lookback": "",
    "signal": 'return scaled_signal(states["move"], states["vol_63"] * np.sqrt(self.span))',
}

_HOLD = {
    "imports": "latch, scaled_signal",
    "parameters": '''""":param span: bars of the move that is followed
    :param enter: score from which on the move is followed, at most 1
    :param max_hold: sessions a signal is held after its latest entry
    """

    span: int = 20
    enter: float = 0.5
    max_hold: int = 60''',
    "guard": """if not (self.span >= 1 and 0 < self.enter <= 1 and self.max_hold >= 2):
            raise ValueError(f"need span >= 1, 0 < enter <= 1 and max_hold >= 2: {self}")""",
    "lookback": """    @property
    def lookback(self) -> int:
        return self.max_hold - 1  # sessions that signal needs before the first it is asked for

""",
    "signal": """score = scaled_signal(states["move"], states["vol_63"] * np.sqrt(self.span))
        up, down = score >= self.enter, score <= -self.enter
        return latch(up, down, self.max_hold) - latch(down, up, self.max_hold)""",
}

_TEST = '''"""{class_name}: the contract of a trading model, and an example calculated by hand."""

import pandas as pd
import pytest

from hawk_assets.core.model import TradingModel
from hawk_assets.models.{name} import MODELS
from hawk_assets_tests.markets import ragged_market, zigzag_market
from hawk_assets_tests.models.contract import CLAUSES, Clause, whole

# EDIT: calculate by hand what the first model says about the last bar of zigzag_market, whose log
# price rises by 0.03 and falls by 0.01 in turn. Name features and signal, such as
# {{"move": 0.2, "signal": 1.0}}.
EXPECTED: dict[str, float] = {{}}


@pytest.fixture(scope="module")
def market() -> pd.DataFrame:
    return ragged_market()


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_it_keeps_the_contract(model: TradingModel, clause: Clause, market: pd.DataFrame) -> None:
    clause(model, market)


def test_its_numbers_are_those_calculated_by_hand() -> None:
    states, insights = whole(MODELS[0], zigzag_market())
    found = {{**states.iloc[-1], "signal": insights["signal"].iloc[-1]}}
    assert -1 <= found["signal"] <= 1
    assert {{name: found[name] for name in EXPECTED}} == pytest.approx(EXPECTED)
'''


def write_skeleton(name: str, repository: Path, hold: bool = False) -> list[Path]:
    """Write a model file that keeps the contract, and its test.

    :param name: lower-case words joined by underscores: the file's name, and the start of the
        model's
    :param repository: the root of a clone, with the folders hawk_assets and hawk_assets_tests
    :param hold: the model holds its signal until the opposite one, for a limited time
    :return: the files written: the model, then its test
    :raises SettingsError: a name that cannot be a module, a file that exists, or no clone
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise SettingsError(f"{name!r} cannot name a model file; write lower_case_words")
    names = {"name": name, "class_name": "".join(w.capitalize() for w in name.split("_"))}
    files = {
        repository / "hawk_assets" / "models" / f"{name}.py": _MODEL.format(
            **names, **(_HOLD if hold else _PLAIN)
        ),
        repository / "hawk_assets_tests" / "models" / f"test_{name}.py": _TEST.format(**names),
    }
    for file in files:
        if not file.parent.is_dir():
            raise SettingsError(
                f"{repository} is not a clone of hawk_assets: it has no folder "
                f"{file.parent.relative_to(repository)}. Change to the root of a clone "
                "(the folder that README.md is in) and run hawk new-model there"
            )
        if file.exists():
            raise SettingsError(f"{file} exists already; choose another name, or edit that file")
    for file, text in files.items():
        file.write_text(text, encoding="utf-8")
    return list(files)


def next_commands(model_file: Path, test_file: Path, folder: Path) -> list[str]:
    """What to type in ``folder`` after the skeleton is written: edit, test, refresh."""
    programs = Path(sys.executable).parent
    model, test, bin_ = (os.path.relpath(p, folder) for p in (model_file, test_file, programs))
    return [
        f"${{EDITOR:-vi}} {model} {test}",
        f"{bin_}/python -m pytest -q {test}",
        f"{bin_}/hawk refresh",
    ]
