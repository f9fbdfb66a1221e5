"""The latest combined book as plain values, for the command line and for other programs."""

from typing import Any

from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.sessions import sessions_of
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.runner import latest_months
from hawk_assets.simulation.positions import last_positions


def latest_book(pipeline: Pipeline) -> dict[str, Any]:
    """The target of the latest session beside what the simulated account holds.

    ``orders`` are the pending trades, as fractions of the portfolio: decided at the close of
    ``session``, executed at the next one.

    :raises MissingMonthError: there is no book yet
    """
    tables = pipeline.tables
    months = latest_months(pipeline, ("combined_insights",))
    if not len(months):
        raise MissingMonthError("there is no combined book yet; run: hawk backfill")
    insights = tables.read(("combined_insights",), months)
    session = sessions_of(insights["date"])[-1]
    target = insights[insights["date"] == session].set_index("ticker")["weight"]
    timeseries = tables.read(("combined_performance",), months, missing_ok=True)
    held = {}
    if len(timeseries):
        value = float(timeseries["portfolio_value"].iloc[-1])
        held = {t: v / value for t, v in last_positions(timeseries).items() if t != "cash"}
    tickers = sorted({t for t, w in target.items() if w} | set(held))
    weights = tables.read(("weights",), months).sort_values("model")
    weights = weights[weights["month"] == months[-1]]
    rows = []
    for row in weights.itertuples():
        metrics = _since_start(pipeline, ("performance_metrics", str(row.model)))
        rows.append(
            {
                "model": row.model,
                "weight": float(row.weight),
                "reason": row.reason,
                "metrics": metrics,
            }
        )
    combined = _since_start(pipeline, ("combined_metrics",))
    rows.append({"model": "combined", "weight": None, "reason": "", "metrics": combined})
    first = weights.iloc[0]
    return {
        "session": f"{session:%Y-%m-%d}",
        "month": f"{months[-1]:%Y-%m}",
        "objective": first["objective"],
        "solver": first["solver"],
        "status": first["status"],
        "rung": first["rung"],
        "orders": [
            {
                "ticker": t,
                "target": float(target.get(t, 0.0)),
                "held": float(held.get(t, 0.0)),
                "order": float(target.get(t, 0.0) - held.get(t, 0.0)),
            }
            for t in tickers
        ],
        "models": rows,
    }


def _since_start(pipeline: Pipeline, key: tuple[str, ...]) -> dict[str, float]:
    months = latest_months(pipeline, key)
    if not len(months):
        return {}
    metrics = pipeline.tables.read(key, months)
    metrics = metrics[metrics["window"] == "since_start"]
    return {str(k): float(v) for k, v in zip(metrics["metric"], metrics["value"], strict=True)}
