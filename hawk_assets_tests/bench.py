"""What a backfill and a refresh cost, and where the time goes: ``make bench``.

Every figure is from this machine, in one sitting; compare the ratios, not the seconds. The pure
functions run in a plain loop, their tables are written and read without Dagster, and then the full
backfill runs through Dagster as ``hawk backfill`` does. What is left of it is bookkeeping.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pandas as pd
import yaml

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.allocation import build_weights
from hawk_assets.aggregation.combination import combine_insights
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.model import Array, Bars, TradingModel
from hawk_assets.core.schemas import arrow_schema
from hawk_assets.core.sessions import sessions_of
from hawk_assets.insights.builder import build_insights
from hawk_assets.insights.sizing import DEFAULT_SIZING
from hawk_assets.model_states.builder import StateBuilder
from hawk_assets.models import discover
from hawk_assets.orchestration.build import build_pipeline
from hawk_assets.orchestration.catalog import (
    COMBINED_INSIGHTS,
    COMBINED_METRICS,
    COMBINED_PERFORMANCE,
    MARKET_DATA,
    WEIGHTS,
    build_catalog,
    insights,
    model_states,
    performance_metrics,
    performance_timeseries,
)
from hawk_assets.orchestration.instance.dagster_home import INSTANCE_SETTINGS
from hawk_assets.orchestration.partitions import monthly, months_of
from hawk_assets.orchestration.settings import Settings, load_settings
from hawk_assets.simulation.metrics import build_metrics
from hawk_assets.simulation.parameters import SimulationParameters
from hawk_assets.simulation.performance import simulate
from hawk_assets.simulation.settings import SimulationSettings
from hawk_assets.sources.sample import SampleMarket
from hawk_assets.storage.tables import Tables
from hawk_assets_tests.bench_aggregation import aggregation
from hawk_assets_tests.bench_solvers import solvers

HAWK = str(Path(sys.executable).with_name("hawk"))
CHEAP = (
    "adx_trend_20_50_14",
    "bollinger_20_2",
    "connors_rsi_2",
    "donchian_20_10",
    "ema_cross_12_26",
    "macd_12_26_9",
    "reversal_5",
    "rsi_14",
    "sma_cross_50_200",
    "stochastic_14",
)


@dataclass(frozen=True)
class Market:
    """The market of the settings, as files that ``hawk`` reads; the last session comes in late.

    :param folder: for these files and for what ``hawk`` makes of them
    """

    settings: Settings
    folder: Path
    prices: pd.DataFrame
    reports: pd.DataFrame

    @classmethod
    def of(cls, settings: Settings, folder: Path) -> "Market":
        source = build_pipeline(settings=settings).source
        span = (settings.start, pd.Timestamp("2100-01-01"))
        reports = source.fetch_commitments_of_traders(*span)
        return cls(settings, folder, source.fetch_market_data(*span), reports)

    @cached_property
    def last(self) -> pd.Timestamp:
        return self.prices["date"].max()

    @cached_property
    def months(self) -> pd.DatetimeIndex:
        keys = monthly(self.settings.start, self.settings.end).get_partition_keys()
        return months_of(list(keys))

    def before(self) -> pd.DataFrame:
        """All sessions but the last."""
        return self.prices[self.prices["date"] < self.last]

    def hawk(
        self, name: str, prices: pd.DataFrame, start: pd.Timestamp, *command: str
    ) -> tuple[float, float, int, str]:
        """Run the command on a home of that name.

        :return: wall seconds, CPU seconds, peak megabytes and what it printed
        """
        home, files = self.folder / name, [self.folder / f"{f}.parquet" for f in ("bars", "cot")]
        for file, frame in zip(files, (prices, self.reports), strict=True):
            frame.to_parquet(file)
        env = os.environ | {
            "HAWK_MARKET_DATA": str(files[0]),
            "HAWK_COMMITMENTS": str(files[1]) if len(self.reports) else "",
            "HAWK_STORAGE": str(home / "storage"),
            "HAWK_START": f"{start:%Y-%m-%d}",
            "DAGSTER_HOME": str(home / "dagster"),
        }
        with tempfile.TemporaryFile("w+") as output:
            began = time.perf_counter()
            process = subprocess.Popen([HAWK, *command], env=env, stdout=output, stderr=output)
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read()
        if process.returncode:
            raise SystemExit(f"hawk {' '.join(command)} failed:\n{text}")
        return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024, text


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        market = Market.of(load_settings(), Path(folder))
        tickers, first = market.prices["ticker"].nunique(), market.prices["date"].min()
        say(f"\n{tickers} tickers, {first:%Y-%m-%d} to {market.last:%Y-%m-%d}")
        # While this process is small: Linux counts its memory in with that of what it starts.
        for section in (backfill, refresh, event_log, functions):
            section(market)
    many_tickers()
    solvers()
    aggregation()


def many_tickers() -> None:
    """The states of ten TA-Lib models on 125 and 500 tickers, 10 and 20 years, one core."""
    last = pd.Timestamp("2026-01-01")
    say("\nstates of ten TA-Lib models")
    for copies, years in ((5, 20), (20, 10), (20, 20)):
        months = pd.date_range(end=last, periods=12 * years + 1, freq="MS")[:-1]
        one = SampleMarket(months[0], last).fetch_market_data(months[0], last)
        many = pd.concat(
            [one.assign(ticker=one["ticker"] + f"_{i}") for i in range(copies)], ignore_index=True
        ).sort_values(["date", "ticker"], ignore_index=True)
        models = [Timed(discover()[name]) for name in CHEAP]
        began = time.process_time()
        builder = StateBuilder(many, months)
        for model in models:
            builder.states(cast(TradingModel, model))
        seconds = time.process_time() - began
        features = sum(model.seconds for model in models)
        say(
            f"    {25 * copies} tickers, {years} years, {len(many)} bars: {seconds:.1f} s CPU, "
            f"{seconds / len(many) * 1e6:.2f} us a bar; {features:.1f} s of it in features()"
        )


class Timed:
    """A model, and the CPU seconds that its features have taken."""

    def __init__(self, model: TradingModel) -> None:
        self.model, self.seconds = model, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def features(self, bars: Bars) -> dict[str, Array]:
        began = time.process_time()
        made = self.model.features(bars)
        self.seconds += time.process_time() - began
        return made


def functions(market: Market) -> None:
    """CPU seconds of the pure functions in a plain loop, and of their tables as Parquet."""
    prices, months = market.before(), market.months
    simulation, aggregation = SimulationParameters(), AggregationParameters()
    tables: dict[tuple[str, ...], pd.DataFrame] = {MARKET_DATA: prices}
    spent: dict[str, float] = {}

    def timed(stage: str, key: tuple[str, ...], make: Callable[[], pd.DataFrame]) -> float:
        began = time.process_time()
        tables[key] = make()
        seconds = time.process_time() - began
        spent[stage] = spent.get(stage, 0.0) + seconds
        return seconds

    def account(stage: str, name: str, book: tuple[str, ...], *keys: tuple[str, ...]) -> float:
        return timed(
            stage,
            keys[0],
            lambda: simulate(name, tables[book], prices, months, None, simulation),
        ) + timed(stage, keys[1], lambda: build_metrics(name, tables[keys[0]], months, None))

    say("\nCPU seconds per model: states (features), insights (signal), performance")
    models, builder = discover(), StateBuilder(prices, months, market.reports)
    for name, model in models.items():
        states, signals = model_states(name), insights(name)
        performance = performance_timeseries(name), performance_metrics(name)
        seconds = (
            timed("model_states", states, lambda m=model: builder.states(m)),
            timed(
                "insights",
                signals,
                lambda m=model, s=states: build_insights(m, tables[s], months),
            ),
            account("performance", name, signals, *performance),
        )
        say(f"    {name:<32}" + "".join(f"{value:8.2f}" for value in seconds))
    records = {name: tables[performance_timeseries(name)] for name in models}
    families = {name: model.family for name, model in models.items()}
    timed(
        "weights",
        WEIGHTS,
        lambda: build_weights(records, months, None, aggregation, families, clarabel_solver.solve),
    )
    timed(
        "combined_insights",
        COMBINED_INSIGHTS,
        lambda: combine_insights(
            tables[WEIGHTS],
            {name: tables[insights(name)] for name in models},
            sessions_of(prices["date"]),
            months,
            aggregation,
        )[0],
    )
    account(
        "combined_performance",
        "combined",
        COMBINED_INSIGHTS,
        COMBINED_PERFORMANCE,
        COMBINED_METRICS,
    )
    say(f"\nall of them: {sum(spent.values()):.1f} s CPU")
    for stage, total in spent.items():
        say(f"    {stage:<22}{total:6.1f} s")
    count = len(tables) * len(months)
    write, read = (1e3 * s / count for s in _parquet(market.folder / "plain", tables, months))
    say(f"their tables as Parquet: write {write:.2f} ms, read {read:.2f} ms CPU a month of a table")


def _parquet(
    home: Path, frames: dict[tuple[str, ...], pd.DataFrame], months: pd.DatetimeIndex
) -> tuple[float, float]:
    """CPU seconds of writing and of reading."""
    catalog = build_catalog(
        discover(), SimulationSettings(), AggregationParameters(), DEFAULT_SIZING
    )
    tables = Tables(str(home))
    began = time.process_time()
    for key, frame in frames.items():
        table = catalog[key]
        schema = arrow_schema(table.schema, frame.columns)
        tables.write(key, frame, months, schema, table.date_column)
    written = time.process_time()
    for key in frames:
        tables.read(key, months)
    return written - began, time.process_time() - written


def backfill(market: Market) -> None:
    """The whole history through Dagster."""
    start = market.settings.start
    seconds, cpu, memory, text = market.hawk("full", market.before(), start, "backfill")
    say(
        f"\nfull backfill, {_made(text)} months of tables: {seconds:.1f} s wall, {cpu:.1f} s CPU, "
        f"{memory} MB"
    )
    _quote(text)


def refresh(market: Market) -> None:
    """One new session, process start included: on all of the history, and on five years of it."""
    _refresh(market, "full", market.settings.start, "all of the history")
    short = pd.Timestamp(market.last.year - 4, 1, 1)
    prices = market.before()
    market.hawk("short", prices[prices["date"] >= short], short, "backfill")
    _refresh(market, "short", short, "five years")


def _refresh(market: Market, home: str, start: pd.Timestamp, history: str) -> None:
    prices = market.prices[market.prices["date"] >= start]
    seconds, cpu, memory, text = market.hawk(home, prices, start, "refresh")
    stages = sum(float(s) for s in re.findall(r"([\d.]+) s$", text, re.MULTILINE))
    say(
        f"\nrefresh of one new session on {history}: {seconds:.1f} s wall, {cpu:.1f} s CPU, "
        f"{memory} MB; {stages:.1f} s of it in the stages, {seconds - stages:.1f} s imports, "
        f"definitions, polling the source and reading the event log"
    )
    _quote(text)


def event_log(market: Market) -> None:
    """A year, with our event log and with Dagster's own, side by side."""
    first, last = market.months[0], market.months[:12][-1]
    span = ["--from", f"{first:%Y-%m-%d}", "--to", f"{last:%Y-%m-%d}"]
    seconds = {}
    for name in ("ours", "stock"):
        home = market.folder / name / "dagster"
        config = yaml.safe_load(INSTANCE_SETTINGS.read_text())
        if name == "stock":
            del config["storage"]
        home.mkdir(parents=True)
        (home / "dagster.yaml").write_text(yaml.safe_dump(config))
        seconds[name], _, _, text = market.hawk(
            name, market.before(), market.settings.start, "backfill", *span
        )
    say(
        f"\n{_made(text)} months of tables with the batched event log {seconds['ours']:.1f} s, "
        f"with Dagster's own {seconds['stock']:.1f} s, process start included: "
        f"{seconds['stock'] / seconds['ours']:.1f} times as long"
    )


def _made(text: str) -> int:
    return sum(int(n) for n in re.findall(r"(\d+) months materialised", text))


def _quote(text: str) -> None:
    for line in text.splitlines():
        say(f"    {line}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
