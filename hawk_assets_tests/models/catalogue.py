"""docs/models.md: each model's claim, parameters, memory and turnover, on the sample market.

``python -m hawk_assets_tests.models.catalogue`` writes it. The tests pass without it; they warn
while the document is older than the models.
"""

import sys
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
    "warmup (bars)",
    "lookback (sessions)",
    "turnover a day",
    "holding (sessions)",
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


def measured(model: TradingModel, market: SampleMarket) -> tuple[str, str]:
    """Mean turnover and holding period of the signal per ticker, over the whole market."""
    months = pd.date_range(market.start, market.end, freq="MS", inclusive="left")
    market_data = market.fetch_market_data(market.start, market.end)
    commitments = market.fetch_commitments_of_traders(market.start, market.end)
    insights = build_insights(model, build_states(model, market_data, months, commitments), months)
    signal = insights.pivot(index="date", columns="ticker", values="signal")
    turnover = float(signal.diff().abs().stack().mean())
    held = float(signal.abs().stack().mean())
    holding = 2 * held / turnover if turnover else float("inf")
    return f"{turnover:.3f}", f"{holding:.0f}"


def row(model: TradingModel, market: SampleMarket) -> str:
    """A model's line of the table."""
    return f"| {' | '.join([*facts(model), *measured(model, market)])} |"


def outdated(text: str) -> list[str]:
    """The models of which a document says something else than their code, or nothing."""
    rows = {tuple(c.strip() for c in line.split("|")[1:5]) for line in text.splitlines()}
    return [
        name
        for name, model in discover().items()
        if facts(model) not in rows or claim(model) not in text or reference(model) not in text
    ]


def lines() -> Iterator[str]:
    """The document."""
    market = SampleMarket(START, END)
    yield "# Models\n"
    yield (
        "Every registered model, one file each under `hawk_assets/models/`. Turnover is the mean "
        "absolute change of the signal per ticker and session. The holding period is twice the "
        "mean absolute signal divided by the turnover. Both are measured on 20 years of the "
        "built-in sample market, which is synthetic. Nobody claims that any of them earns money.\n"
    )
    yield "Written by `python -m hawk_assets_tests.models.catalogue`; do not edit it by hand.\n"
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for model in discover().values():
        yield row(model, market)
    yield "\n## What each claims, and where it comes from\n"
    seen: set[str] = set()
    for model in discover().values():
        if (module := type(model).__module__) not in seen:
            seen.add(module)
            yield f"- **{module.rpartition('.')[2]}**: {claim(model)} {reference(model)}".rstrip()


if __name__ == "__main__":
    FILE.write_text("\n".join(lines()) + "\n", encoding="utf-8")
