"""What a backfill and a refresh cost, and where the time goes: ``make bench``.

Every figure is from this machine, in one sitting; compare the ratios, not the seconds. The full
backfill runs through Dagster as ``hawk backfill`` does; beside it the same pure functions in a
plain loop, and the same tables written and read without Dagster. What is left is bookkeeping.
"""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import yaml

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.allocation import build_weights
from hawk_assets.aggregation.combination import combine_insights
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.insights import build_insights
from hawk_assets.core.schemas import arrow_schema
from hawk_assets.core.sessions import sessions_of
from hawk_assets.core.states import build_states
from hawk_assets.models import discover
from hawk_assets.orchestration.partitions import monthly, months_of
from hawk_assets.orchestration.plan import Output, plan
from hawk_assets.orchestration.settings import Settings
from hawk_assets.orchestration.tables import Tables
from hawk_assets.simulation.metrics import build_metrics
from hawk_assets.simulation.parameters import SimulationParameters
from hawk_assets.simulation.performance import simulate
from hawk_assets.sources import open_source
from hawk_assets.sources.sample import SampleMarket

HAWK = str(Path(sys.executable).with_name("hawk"))
REPOSITORY = Path(__file__).parents[1]


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


def main() -> None:
    settings = Settings.from_env()
    per_model(settings)
    many_tickers(settings)
    with tempfile.TemporaryDirectory() as folder:
        prices = Path(folder, "prices.parquet")
        everything = open_source(settings.market_data, settings.start, None).fetch_market_data(
            settings.start, pd.Timestamp("2100-01-01")
        )
        last, first = everything["date"].max(), everything["date"].min()
        everything[everything["date"] < last].to_parquet(prices)
        say(f"{everything['ticker'].nunique()} tickers, {first:%Y-%m-%d} to {last:%Y-%m-%d}")
        months = backfill(Path(folder, "full"), prices, settings)
        plain(Path(folder, "plain"), everything[everything["date"] < last], settings, months)
        stock(Path(folder), prices, settings)
        everything.to_parquet(prices)
        refresh(Path(folder, "full"), prices, settings, "all of it")
        short = pd.Timestamp(last.year - 4, 1, 1)
        shorter = Settings(None, "", short, settings.end, Path(folder))
        everything[(everything["date"] < last) & (everything["date"] >= short)].to_parquet(prices)
        hawk(Path(folder, "short"), prices, shorter, "backfill")
        everything[everything["date"] >= short].to_parquet(prices)
        refresh(Path(folder, "short"), prices, shorter, "five years")


def per_model(settings: Settings) -> None:
    """CPU seconds of each model's states and insights for the whole history."""
    source = open_source(settings.market_data, settings.start, None)
    span = (settings.start, pd.Timestamp("2100-01-01"))
    market_data, reports = (
        source.fetch_market_data(*span),
        source.fetch_commitments_of_traders(*span),
    )
    months = months_of(list(monthly(settings.start, settings.end).get_partition_keys()))
    say(f"CPU seconds per model, {len(market_data)} bars: states (features), insights (signal)")
    for name, model in discover().items():
        began = time.process_time()
        states = build_states(model, market_data, months, reports)
        featured = time.process_time()
        build_insights(model, states, months)
        say(f"    {name:<32}{featured - began:6.2f}{time.process_time() - featured:8.2f}")


def many_tickers(settings: Settings) -> None:
    """The features of ten TA-Lib models on 20 years of 125, 250 and 500 tickers, one core."""
    months = pd.date_range("2006-01-01", "2025-12-01", freq="MS")
    one = SampleMarket(months[0], pd.Timestamp("2026-01-01")).fetch_market_data(
        months[0], pd.Timestamp("2026-01-01")
    )
    say("\nstates of ten TA-Lib models, 20 years")
    for copies in (5, 10, 20):
        many = pd.concat(
            [one.assign(ticker=one["ticker"] + f"_{i}") for i in range(copies)], ignore_index=True
        ).sort_values(["date", "ticker"], ignore_index=True)
        began = time.process_time()
        for name in CHEAP:
            build_states(discover()[name], many, months)
        seconds = time.process_time() - began
        each = seconds / len(many) * 1e6
        say(
            f"    {25 * copies} tickers, {len(many)} bars: {seconds:.1f} s CPU, {each:.2f} us a bar"
        )


def backfill(home: Path, prices: Path, settings: Settings) -> int:
    """The whole history through Dagster."""
    seconds, cpu, memory, text = hawk(home, prices, settings, "backfill")
    made = sum(int(n) for n in re.findall(r"(\d+) months made", text))
    cost = f"{seconds:.1f} s wall, {cpu:.1f} s CPU, {memory} MB"
    say(f"\nfull backfill, {made} months of tables: {cost}")
    for line in text.splitlines():
        say(f"    {line}")
    return made


def plain(home: Path, market_data: pd.DataFrame, settings: Settings, made: int) -> None:
    """The same numbers without Dagster: compute alone, then Parquet alone."""
    months = months_of(list(monthly(settings.start, settings.end).get_partition_keys()))
    models, outputs = discover(), plan(discover(), SimulationParameters(), AggregationParameters())
    tables: dict[tuple[str, ...], pd.DataFrame] = {("market_data",): market_data}
    spent: dict[str, float] = {}

    def timed(stage: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        began = time.perf_counter()
        frame = make()
        spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - began
        return frame

    simulation, aggregation = SimulationParameters(), AggregationParameters()
    for name, model in models.items():
        states = timed("model_states", lambda m=model: build_states(m, market_data, months))
        insights = timed("insights", lambda m=model, s=states: build_insights(m, s, months))
        account = timed(
            "performance",
            lambda n=name, i=insights: simulate(n, i, market_data, months, None, simulation),
        )
        figures = timed("performance", lambda n=name, a=account: build_metrics(n, a, months, None))
        tables |= {("model_states", name): states, ("insights", name): insights}
        tables |= {
            ("performance_timeseries", name): account,
            ("performance_metrics", name): figures,
        }
    performance = {n: tables["performance_timeseries", n] for n in models}
    weights = timed(
        "weights",
        lambda: build_weights(performance, months, None, aggregation, clarabel_solver.solve),
    )
    sessions = sessions_of(market_data["date"])
    opinions = {n: tables["insights", n] for n in models}
    book = timed(
        "combined_insights",
        lambda: combine_insights(weights, opinions, sessions, months, aggregation)[0],
    )
    account = timed(
        "combined_performance",
        lambda: simulate("combined", book, market_data, months, None, simulation),
    )
    figures = timed(
        "combined_performance", lambda: build_metrics("combined", account, months, None)
    )
    tables |= {("weights",): weights, ("combined_insights",): book}
    tables |= {("combined_performance",): account, ("combined_metrics",): figures}
    say(f"\nthe same functions in a plain loop: {sum(spent.values()):.1f} s")
    for stage, seconds in spent.items():
        say(f"    {stage:<22}{seconds:6.1f} s")
    write, read = _parquet(home, tables, outputs, months)
    say(
        f"\nthe same tables written and read without Dagster: {write:.1f} s and {read:.1f} s, "
        f"{1e3 * write / made:.2f} ms and {1e3 * read / made:.2f} ms a month"
    )


def _parquet(
    home: Path,
    frames: dict[tuple[str, ...], pd.DataFrame],
    outputs: dict[tuple[str, ...], Output],
    months: pd.DatetimeIndex,
) -> tuple[float, float]:
    tables = Tables(str(home))
    began = time.perf_counter()
    for key, frame in frames.items():
        output = outputs[key]
        schema = arrow_schema(output.schema, frame.columns)
        tables.write(key, frame, months, schema, output.date_column)
    written = time.perf_counter()
    for key in frames:
        tables.read(key, months)
    return written - began, time.perf_counter() - written


def stock(folder: Path, prices: Path, settings: Settings) -> None:
    """A year and a half, with our event log and with Dagster's own, side by side."""
    keys = monthly(settings.start, settings.end).get_partition_keys()
    span = ["--from", keys[0], "--to", keys[min(17, len(keys) - 1)]]
    seconds = {}
    for name in ("ours", "stock"):
        home = folder / name
        config = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
        if name == "stock":
            del config["event_log_storage"]
        (home / "dagster").mkdir(parents=True)
        (home / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(config))
        seconds[name], _, _, text = hawk(home, prices, settings, "backfill", *span)
    made = sum(int(n) for n in re.findall(r"(\d+) months made", text))
    say(
        f"\n{made} months of tables with the batched event log {seconds['ours']:.1f} s, with "
        f"Dagster's own {seconds['stock']:.1f} s, process start included: "
        f"{seconds['stock'] / seconds['ours']:.1f} times as long"
    )


def refresh(home: Path, prices: Path, settings: Settings, history: str) -> None:
    """One new session, process start included."""
    seconds, cpu, memory, text = hawk(home, prices, settings, "refresh")
    stages = sum(float(s) for s in re.findall(r"([\d.]+) s$", text, re.MULTILINE))
    say(
        f"\nrefresh of one new session on {history}: {seconds:.1f} s wall, {cpu:.1f} s CPU, "
        f"{memory} MB; {stages:.1f} s of it in the stages, {seconds - stages:.1f} s imports, "
        f"definitions, polling the source and reading the event log"
    )
    for line in text.splitlines():
        say(f"    {line}")


def hawk(
    home: Path, prices: Path, settings: Settings, *command: str
) -> tuple[float, float, int, str]:
    """Run the command; wall seconds, CPU seconds, peak megabytes and what it printed."""
    env = os.environ | {
        "HAWK_MARKET_DATA": str(prices),
        "HAWK_STORAGE": str(home / "storage"),
        "HAWK_START": f"{settings.start:%Y-%m-%d}",
        "DAGSTER_HOME": str(home / "dagster"),
    }
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([HAWK, *command], env=env, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"hawk {' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, after.ru_maxrss // 1024, done.stdout


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
