"""docs/models.md: every model's claim, parameters, memory and cost, on the sample market.

``python -m hawk_assets_tests.models.catalogue`` writes it; a test holds it against the code.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from hawk_assets.core.model import TradingModel
from hawk_assets.insights.builder import build_insights
from hawk_assets.model_states.builder import build_states
from hawk_assets.models import discover
from hawk_assets.sources.sample import SampleMarket

FILE = Path(__file__).parents[2] / "docs" / "models.md"
START, END = pd.Timestamp("2006-01-01"), pd.Timestamp("2026-01-01")
COLUMNS = (
    "model",
    "parameters",
    "warm-up (bars)",
    "lookback (sessions)",
    "turnover a day",
    "holding (sessions)",
    "cost (s)",
)


def claim(model: TradingModel) -> str:
    """The first paragraph of the model file's docstring."""
    text = sys.modules[type(model).__module__].__doc__ or ""
    return " ".join(text.strip().split("\n\n")[0].split())


def reference(model: TradingModel) -> str:
    """The rest of it, which names the sources."""
    text = sys.modules[type(model).__module__].__doc__ or ""
    return " ".join(" ".join(text.strip().split("\n\n")[1:]).split())


def facts(model: TradingModel) -> tuple[str, str, str, str]:
    """The part of a row that follows from the code alone."""
    parameters = repr(model).partition("(")[2].rstrip(")") or "-"
    return model.name, parameters, str(model.warmup), str(model.lookback)


def measured(model: TradingModel, market: SampleMarket) -> tuple[str, str, str]:
    """Mean turnover and holding period of the signal per ticker, and seconds for the history."""
    months = pd.date_range(START, END, freq="MS", inclusive="left")
    market_data = market.fetch_market_data(START, END)
    commitments = market.fetch_commitments_of_traders(START, END)
    began = time.process_time()
    states = build_states(model, market_data, months, commitments)
    insights = build_insights(model, states, months)
    seconds = time.process_time() - began
    signal = insights.pivot(index="date", columns="ticker", values="signal")
    turnover = float(signal.diff().abs().stack().mean())
    held = float(signal.abs().stack().mean())
    holding = 2 * held / turnover if turnover else float("inf")
    return f"{turnover:.3f}", f"{holding:.0f}", f"{seconds:.1f}"


def lines() -> Iterator[str]:
    """The document."""
    market = SampleMarket(START, END)
    yield "# Models\n"
    yield (
        "Every registered model, one file each under `hawk_assets/models/`. Turnover is the mean "
        "absolute change of the signal per ticker and session, holding period twice the mean "
        "absolute signal over it, cost the CPU seconds of states and insights for 20 years of 25 "
        "tickers; all on the built-in sample market, which is synthetic. No claim is made that "
        "any of them earns money.\n"
    )
    yield "Made by `python -m hawk_assets_tests.models.catalogue`; do not edit by hand.\n"
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for model in discover().values():
        yield f"| {' | '.join([*facts(model), *measured(model, market)])} |"
    yield "\n## What each claims, and where it comes from\n"
    seen: set[str] = set()
    for model in discover().values():
        if (module := type(model).__module__) not in seen:
            seen.add(module)
            yield f"- **{module.rpartition('.')[2]}**: {claim(model)} {reference(model)}".rstrip()


if __name__ == "__main__":
    FILE.write_text("\n".join(lines()) + "\n", encoding="utf-8")
