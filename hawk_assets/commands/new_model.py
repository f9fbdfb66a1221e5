"""The skeleton of a model file and its test, for ``hawk new-model``."""

import keyword
import re
from pathlib import Path

from hawk_assets.core.errors import SettingsError

_MODEL = '''"""One sentence that says what the market does, and so what this model does.

Reference: author, title, year; and what differs from it here.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hawk_assets.core.model import Array, Bars, States, TradingModel
from hawk_assets.features.indicators import past_return
from hawk_assets.features.signals import scaled_signal


@dataclass(frozen=True)
class {class_name}(TradingModel):
    """:param span: bars of the move that is followed"""

    span: int = 20

    slice_stable = True  # drop this line where features are recursive or keep running sums

    def __post_init__(self) -> None:
        if self.span < 1:
            raise ValueError(f"need span >= 1: {{self}}")

    @property
    def name(self) -> str:
        return f"{name}_{{self.span}}"

    @property
    def warmup(self) -> int:
        return self.span

    @property
    def lookback(self) -> int:
        return 0

    def features(self, bars: Bars) -> dict[str, Array]:
        return {{"move": past_return(bars["close"], self.span, 0)}}

    def signal(self, states: States) -> pd.DataFrame:
        return scaled_signal(states["move"], states["vol_63"] * np.sqrt(self.span))


MODELS = ({class_name}(),)
'''

_TEST = '''"""{class_name}: its numbers against an independent source."""

import numpy as np
import pandas as pd

from hawk_assets.models.{name} import {class_name}


def test_the_feature_is_the_move_of_the_last_bars() -> None:
    close = np.exp(np.random.default_rng(1).normal(0, 0.01, 300).cumsum())
    expected = np.log(pd.Series(close)).diff(20)
    move = {class_name}(span=20).features({{"close": close}})["move"]
    np.testing.assert_allclose(move, expected, rtol=0, atol=1e-12)
'''


def write_skeleton(name: str, repository: Path) -> list[Path]:
    """Write a model file that keeps the contract, and its test.

    :param name: lower-case words joined by underscores; names the file, and begins the model's name
    :param repository: the folder that holds hawk_assets and hawk_assets_tests
    :return: the files written
    :raises SettingsError: a name that cannot be a module, or a file that is already there
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise SettingsError(f"{name!r} cannot name a model file; write lower_case_words")
    class_name = "".join(word.capitalize() for word in name.split("_"))
    files = {
        repository / "hawk_assets" / "models" / f"{name}.py": _MODEL,
        repository / "hawk_assets_tests" / "models" / f"test_{name}.py": _TEST,
    }
    for file in files:
        if file.exists():
            raise SettingsError(f"{file} is already there; choose another name or edit it")
        if not file.parent.is_dir():
            raise SettingsError(f"{file.parent} is not there; run this in a clone of the project")
    for file, text in files.items():
        file.write_text(text.format(name=name, class_name=class_name), encoding="utf-8")
    return list(files)
