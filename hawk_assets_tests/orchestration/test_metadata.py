"""The figures on a materialisation, against a loop over months, and where Dagster puts them."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.schemas import SIMULATION_COLUMNS
from hawk_assets.insights.sizing import DEFAULT_SIZING
from hawk_assets.models.ema_cross import EmaCross
from hawk_assets.orchestration.catalog import (
    COMBINED_INSIGHTS,
    COMBINED_PERFORMANCE,
    MARKET_DATA,
    WEIGHTS,
    build_catalog,
    insights,
    model_states,
    performance_metrics,
    performance_timeseries,
)
from hawk_assets.orchestration.metadata import Figures, attach, describe
from hawk_assets.orchestration.partitions import monthly, months_of
from hawk_assets.simulation.settings import SimulationSettings

MODEL = EmaCross(12, 26)
CATALOG = build_catalog(
    {MODEL.name: MODEL}, SimulationSettings(), AggregationParameters(), DEFAULT_SIZING
)
MONTHS = pd.date_range("2020-01-01", "2020-05-01", freq="MS")
SESSIONS = pd.bdate_range("2020-01-01", "2020-05-31")
SESSIONS = SESSIONS[SESSIONS.month != 4]  # April has none


def rows(rng: np.random.Generator) -> pd.DataFrame:
    """One row per session and ticker, with some left out."""
    frame = pd.DataFrame(
        {"date": np.repeat(SESSIONS, 4), "ticker": np.tile([*"ABCD"], len(SESSIONS))}
    )
    return frame.sample(frac=0.8, random_state=rng.integers(1 << 30)).sort_index(ignore_index=True)


def make_insights(rng: np.random.Generator) -> pd.DataFrame:
    frame = rows(rng)
    signal = rng.uniform(-1, 1, len(frame))
    return frame.assign(model=MODEL.name, signal=signal, weight=signal / 4)


def timeseries(rng: np.random.Generator) -> pd.DataFrame:
    frame = pd.DataFrame({"date": SESSIONS, **dict.fromkeys(SIMULATION_COLUMNS, 0.0)})
    frame["daily_return"] = rng.normal(0, 0.01, len(frame))
    frame["portfolio_value"] = 1e6 * (1 + frame["daily_return"]).cumprod()
    frame["drawdown"] = frame["portfolio_value"] / frame["portfolio_value"].cummax() - 1
    return frame


def of_month(frame: pd.DataFrame, column: str, month: pd.Timestamp) -> pd.DataFrame:
    return frame[frame[column].dt.to_period("M") == month.to_period("M")]


def check(found: Figures, expected: dict[str, Any]) -> None:
    assert found == pytest.approx(expected, rel=1e-12)
    # Dagster stores no NumPy numbers, and no page shows a NaN.
    assert all(type(value) in (int, float, str) for value in found.values())


def counted(part: pd.DataFrame) -> dict[str, Any]:
    return {
        "rows": len(part),
        "sessions": len(set(part["date"])),
        "tickers": len(set(part["ticker"])),
    }


@pytest.mark.parametrize("key", [MARKET_DATA, model_states(MODEL.name)])
def test_rows_sessions_and_tickers_are_counted(key: tuple[str, ...]) -> None:
    frame = rows(np.random.default_rng(0)).assign(close=1.0)
    for month, figures in describe(CATALOG[key], frame, MONTHS).items():
        check(figures, counted(of_month(frame, "date", month)))
        assert all(type(value) is int for value in figures.values())


@pytest.mark.parametrize("key", [insights(MODEL.name), COMBINED_INSIGHTS])
def test_exposures_are_means_over_the_sessions_of_the_month(key: tuple[str, ...]) -> None:
    frame = make_insights(np.random.default_rng(1))
    figures = describe(CATALOG[key], frame, MONTHS)
    assert list(figures) == list(MONTHS)
    for numbers in figures.values():
        numbers.pop("last_session", None)
    for month in MONTHS:
        part = of_month(frame, "date", month)
        expected = counted(part)
        books = [
            {row.ticker: row.weight for row in day.itertuples()} for _, day in part.groupby("date")
        ]
        if books:
            changes = [
                sum(abs(new.get(t, 0) - old.get(t, 0)) for t in "ABCD")
                for old, new in pairwise(books)
            ]
            expected |= {
                "gross_exposure": np.mean([sum(map(abs, b.values())) for b in books]),
                "net_exposure": np.mean([sum(b.values()) for b in books]),
                "turnover_per_session": np.mean(changes),
            }
        check(figures[month], expected)
        alone = describe(CATALOG[key], part.reset_index(drop=True), pd.DatetimeIndex([month]))
        alone[month].pop("last_session", None)
        check(alone[month], expected)


def test_a_month_of_the_book_says_its_last_session() -> None:
    frame = make_insights(np.random.default_rng(1))
    for month, figures in describe(CATALOG[COMBINED_INSIGHTS], frame, MONTHS).items():
        last = of_month(frame, "date", month)["date"].max()
        assert figures.get("last_session") == (None if pd.isna(last) else f"{last:%Y-%m-%d}")


def test_the_first_session_of_a_month_has_no_turnover_yet() -> None:
    frame = make_insights(np.random.default_rng(2))
    one = frame[frame["date"] == SESSIONS[0]]
    figures = describe(CATALOG[insights(MODEL.name)], one, MONTHS[:1])[MONTHS[0]]
    assert "turnover_per_session" not in figures
    assert "gross_exposure" in figures


@pytest.mark.parametrize("key", [performance_timeseries(MODEL.name), COMBINED_PERFORMANCE])
def test_returns_compound_over_the_month(key: tuple[str, ...]) -> None:
    frame = timeseries(np.random.default_rng(3))
    figures = describe(CATALOG[key], frame, MONTHS)
    value = 1e6
    for month in MONTHS:
        part = of_month(frame, "date", month)
        expected: dict[str, Any] = {"rows": len(part), "sessions": len(part)}
        if len(part):
            last = part["portfolio_value"].to_numpy()[-1]
            expected |= {
                "portfolio_value": last,
                "return": last / value - 1,
                "drawdown": min(part["drawdown"]),
            }
            value = last
        check(figures[month], expected)


def test_the_metrics_shown_carry_their_window_and_one_that_is_undefined_is_left_out() -> None:
    frame = pd.DataFrame(
        [
            (MODEL.name, pd.Timestamp("2020-01-31"), "1m", "sharpe_ratio", 1.5),
            (MODEL.name, pd.Timestamp("2020-01-31"), "since_start", "max_drawdown", -0.2),
            (MODEL.name, pd.Timestamp("2020-01-31"), "1m", "win_rate", 0.6),
            (MODEL.name, pd.Timestamp("2020-02-28"), "1m", "sharpe_ratio", np.inf),
            (MODEL.name, pd.Timestamp("2020-02-28"), "1m", "turnover", 3.0),
        ],
        columns=["model", "as_of", "window", "metric", "value"],
    )
    figures = describe(CATALOG[performance_metrics(MODEL.name)], frame, MONTHS[:3])
    check(figures[MONTHS[0]], {"rows": 3, "sharpe_ratio_1m": 1.5, "max_drawdown_since_start": -0.2})
    check(figures[MONTHS[1]], {"rows": 2, "turnover_1m": 3.0})
    check(figures[MONTHS[2]], {"rows": 0})


def test_the_weights_say_how_they_were_found() -> None:
    how = {"objective": "min_variance", "solver": "clarabel", "status": "Solved"}
    frame = pd.DataFrame(
        [
            {"month": MONTHS[0], "model": m, "weight": w, **how, "fallback": "min_variance"}
            for m, w in {"a": 1.3, "b": 0.0, "c": -0.3}.items()
        ]
        + [
            {"month": MONTHS[1], "model": m, "weight": 0.0, **how, "fallback": "cash"}
            for m in "abc"
        ]
    )
    figures = describe(CATALOG[WEIGHTS], frame, MONTHS[:2])
    assert figures == {
        MONTHS[0]: {
            "rows": 3,
            "models_with_weight": 2,
            "largest_weight": 1.3,
            **how,
            "fallback": "min_variance",
        },
        MONTHS[1]: {
            "rows": 3,
            "models_with_weight": 0,
            "largest_weight": 0.0,
            **how,
            "fallback": "cash",
        },
    }


@pytest.mark.parametrize("key", list(CATALOG))
def test_a_table_without_rows_is_described_by_its_zeros(key: tuple[str, ...]) -> None:
    schema = CATALOG[key].schema
    kinds = {name: str(c.dtype) if c.dtype else "object" for name, c in schema.columns.items()}
    kinds = {name: "object" if kind == "str" else kind for name, kind in kinds.items()}
    frame = pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in kinds.items()})
    for figures in describe(CATALOG[key], frame, MONTHS).values():
        assert figures["rows"] == 0
        assert not any(figures.values())


def test_figures_stand_on_the_materialisation_of_their_month() -> None:
    partitions = monthly(MONTHS[0], MONTHS[-1])

    @dg.multi_asset(
        specs=[dg.AssetSpec(name, skippable=True) for name in ("one", "two", "bare")],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def stage(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        months = months_of(list(context.partition_keys))
        attach(context, dg.AssetKey("one"), {m: {"source": f"v{m.month}"} for m in months})
        for name, factor in (("one", 1), ("two", 10)):
            figures: dict[pd.Timestamp, Figures] = {
                m: {"month": factor * m.month, "share": m.month / 8} for m in months
            }
            attach(context, dg.AssetKey(name), figures)
            yield dg.MaterializeResult(name)
        yield dg.MaterializeResult("bare")

    with dg.DagsterInstance.ephemeral() as instance:

        def run(first: str, last: str) -> None:
            dg.materialize(
                [stage],
                instance=instance,
                tags={
                    "dagster/asset_partition_range_start": first,
                    "dagster/asset_partition_range_end": last,
                },
            )

        def stored(name: str) -> list[tuple[str | None, dict[str, Any]]]:
            records = instance.fetch_materializations(dg.AssetKey(name), limit=9, ascending=True)
            return [
                (r.partition_key, {k: v.value for k, v in r.asset_materialization.metadata.items()})
                for r in records.records
                if r.asset_materialization
            ]

        run("2020-02-01", "2020-04-01")
        run("2020-05-01", "2020-05-01")
        spring = [(f"2020-{m:02d}-01", m) for m in (2, 3, 4, 5)]
        assert stored("one") == [
            (key, {"source": f"v{m}", "month": m, "share": m / 8}) for key, m in spring
        ]
        assert stored("two") == [(key, {"month": 10 * m, "share": m / 8}) for key, m in spring]
        assert stored("bare") == [(key, {}) for key, _ in spring]
