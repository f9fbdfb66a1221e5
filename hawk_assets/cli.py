"""The ``hawk`` command: backfill, refresh and look at the book, without a server."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from hawk_assets.core.errors import HawkError, SettingsError

if TYPE_CHECKING:
    import dagster as dg
    import pandas as pd

    from hawk_assets.commands.backfill import StageRun
    from hawk_assets.core.types import TableKey
    from hawk_assets.orchestration.build import Pipeline

# Piped output is for other programs and for logs: never wrapped to a terminal that is not there.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False)


def main() -> None:
    """Entry point: what the user can put right is printed without a traceback."""
    try:
        cli.main(standalone_mode=False)
    except HawkError as error:
        err.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        err.print(
            f"[red]error:[/] {escape(str(error))}: the command works on the whole graph, and a "
            "service's installation has only its own part; run: pip install 'hawk-assets\\[all]'",
            soft_wrap=True,
        )
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        err.print("[red]stopped[/]; run the same command again to go on")
        sys.exit(130)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hawk-assets")
def cli() -> None:
    """A systematic desk's daily pipeline: prices to one combined portfolio.

    Settings: HAWK_MARKET_DATA, HAWK_COMMITMENTS, HAWK_STORAGE, HAWK_START, HAWK_END,
    HAWK_OBJECTIVE, HAWK_AGGREGATION, HAWK_SOLVER, HAWK_OPTSERVER, DAGSTER_HOME.
    """


@contextmanager
def _opened() -> "Iterator[tuple[Pipeline, dg.DagsterInstance]]":
    from hawk_assets.orchestration.build import build_pipeline
    from hawk_assets.orchestration.instance.dagster_home import open_instance
    from hawk_assets.orchestration.settings import Settings

    settings = Settings.from_env()
    pipeline = build_pipeline(settings=settings)
    with open_instance(settings.dagster_home) as instance:
        yield pipeline, instance


class _Progress:
    """Prints a line per run; on a terminal also the stage and its time while it lasts."""

    def __init__(self) -> None:
        self.runs = 0
        self._display: Progress | None = None

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._display:
            self._display.stop()

    def __call__(self, event: "StageRun | str") -> None:
        if isinstance(event, str):
            columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
            self._display = Progress(
                *columns, console=err, transient=True, disable=not err.is_terminal
            )
            self._display.add_task(event)
            self._display.start()
            return
        self.__exit__()
        self.runs += 1
        first, last = event.first[:7], event.last[:7]
        span = first if first == last else f"{first} to {last}"
        bad = f", [red]{len(event.failed)} failed[/]" if event.failed else ""
        out.print(
            f"{event.stage:<22}{span:<20}{event.made:>6} months made{bad}  {event.seconds:6.1f} s"
        )
        for warning in event.warnings:
            err.print(f"[yellow]{escape(warning)}[/]", soft_wrap=True)


def _end(failed: "Mapping[TableKey, str]") -> None:
    """Say what was not made and why: one line per reason, and one for what hangs on that."""
    from hawk_assets.commands.backfill import LEFT_OUT

    reasons: dict[str, list[TableKey]] = {}
    for key, why in failed.items():
        reasons.setdefault("left out with it" if why.startswith(LEFT_OUT) else why, []).append(key)
    for why, keys in reasons.items():
        err.print(f"[red]{escape(_names(keys))}[/]: {escape(why)}", soft_wrap=True)
    if failed:
        plural = "table was" if len(failed) == 1 else "tables were"
        err.print(f"{len(failed)} {plural} not made; the others were")
        sys.exit(1)


def _names(keys: "list[TableKey]") -> str:
    """Tables by name, or by number where many models have one."""
    folders: dict[str, list[str]] = {}
    for folder, *model in keys:
        folders.setdefault(folder, []).append("/".join([folder, *model]))
    return ", ".join(
        f"{folder} of {len(names)} models" if len(names) > 3 else ", ".join(names)
        for folder, names in folders.items()
    )


_json = click.option("--json", "as_json", is_flag=True, help="machine-readable")


@cli.command()
@click.option(
    "--from", "first", metavar="YYYY-MM-01", help="first month; default: the first of all"
)
@click.option("--to", "last", metavar="YYYY-MM-01", help="last month; default: the open one")
@click.option("--select", multiple=True, metavar="NAME", help="stage, model or table; repeatable")
def backfill(first: str | None, last: str | None, select: tuple[str, ...]) -> None:
    """Make months from scratch, stage after stage."""
    from hawk_assets.commands import backfill as runner

    with _opened() as (pipeline, instance), _Progress() as progress:
        tables = runner.select(pipeline.catalog, select)
        span = runner.month_range(pipeline, first, last)
        failed = runner.backfill(pipeline, instance, tables, *span, progress)
    _end(failed)


@cli.command()
def demo() -> None:
    """Backfill the whole history, then show the book."""
    from hawk_assets.commands import backfill as runner
    from hawk_assets.orchestration.catalog import COMBINED_INSIGHTS

    with _opened() as (pipeline, instance), _Progress() as progress:
        out.print(f"prices: {pipeline.source.description}\ntables: {pipeline.storage.root}\n")
        span = runner.month_range(pipeline, None, None)
        tables = list(pipeline.catalog.values())
        failed = runner.backfill(pipeline, instance, tables, *span, progress)
    if COMBINED_INSIGHTS not in failed:
        out.print()
        _print_book(pipeline)
    _end(failed)


@cli.command()
@click.option("--stale-code", is_flag=True, help="also what older code has made")
def refresh(stale_code: bool) -> None:
    """Fetch what is new and make again what hangs on it, and what has failed."""
    from hawk_assets.commands import backfill as runner

    with _opened() as (pipeline, instance), _Progress() as progress:
        failed = runner.refresh(pipeline, instance, progress, stale_code)
        if not progress.runs:
            out.print("everything is up to date")
    _end(failed)


@cli.command()
@_json
def status(as_json: bool) -> None:
    """What is stale, missing or failed, and why."""
    from hawk_assets.commands import status as outlook

    with _opened() as (pipeline, instance):
        tables = outlook.status(pipeline, instance)
    if as_json:
        _dump(
            [
                {
                    "table": "/".join(t.table.key),
                    "months": len(t.made),
                    "stale": t.stale,
                    "missing": t.missing,
                    "failed": t.failed,
                    "running": t.running,
                    "because": t.because,
                    "code_changed": t.code_changed,
                }
                for t in tables
            ]
        )
        return
    if not any(t.made for t in tables):
        out.print("nothing has been made yet; run: hawk backfill")
        return
    alike: dict[tuple[str, ...], list[str]] = {}
    for t in tables:
        months = (t.stale, t.missing, t.failed, t.running, t.code_changed)
        if any(months):
            more = f" and {len(t.because) - 2} more" if len(t.because) > 2 else ""
            why = ("; ".join(t.because[:2]) + more).replace(f"/{t.table.model}", "")
            row = (t.table.key[0], *map(_months, months), why)
            alike.setdefault(row, []).append("/".join(t.table.key))
    if alike:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("table", "stale", "missing", "failed", "running", "old code", "why"):
            table.add_column(column, no_wrap=True)
        for (folder, *cells), names in alike.items():
            name = names[0] if len(names) == 1 else f"{folder} of {len(names)} models"
            table.add_row(name, *cells)
        out.print(table)
        out.print()
    named = sum(map(len, alike.values()))
    out.print(f"{len(tables) - named} of {len(tables)} tables are up to date")
    if any(t.stale or t.missing or t.failed for t in tables):
        out.print("to make the rest: hawk refresh")
    elif any(t.code_changed for t in tables):
        out.print("to make again what older code has made: hawk refresh --stale-code")


@cli.command()
@_json
def models(as_json: bool) -> None:
    """The registered models and their memory."""
    from hawk_assets.models import discover

    rows = [
        {
            "model": name,
            "class": type(model).__name__,
            "parameters": repr(model),
            "inputs": list(model.inputs),
            "warmup": model.warmup,
            "lookback": model.lookback,
            "claim": (sys.modules[type(model).__module__].__doc__ or "").split("\n")[0],
        }
        for name, model in discover().items()
    ]
    if as_json:
        _dump(rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "warmup", "lookback", "claim"):
        table.add_column(column, justify="right" if column in ("warmup", "lookback") else "left")
    for row in rows:
        table.add_row(
            row["model"], f"{row['warmup']} bars", f"{row['lookback']} sessions", row["claim"]
        )
    out.print(table)


@cli.command("new-model")
@click.argument("name")
@click.option("--hold", is_flag=True, help="A signal is held until the opposite one.")
def new_model(name: str, hold: bool) -> None:
    """Write a new model file and its test, to be edited. Run it in the root of a clone."""
    from pathlib import Path

    from hawk_assets.commands.new_model import next_commands, write_skeleton

    here = Path.cwd()
    files = write_skeleton(name, here, hold)
    for file in files:
        out.print(f"wrote {file.relative_to(here)}")
    out.print("It keeps the contract as it is. Next:")
    for command in next_commands(*files, here):
        out.print(f"  {command}", highlight=False, soft_wrap=True)


@cli.command()
@_json
def show(as_json: bool) -> None:
    """The latest combined book, what is still to be traded, model weights and figures."""
    from hawk_assets.commands.show import latest_book
    from hawk_assets.orchestration.build import build_pipeline

    if as_json:
        _dump(latest_book(build_pipeline()))
    else:
        _print_book(build_pipeline())


@cli.command()
@click.argument("ticker")
@click.option("--date", "session", metavar="YYYY-MM-DD", help="default: the latest session")
@_json
def explain(ticker: str, session: str | None, as_json: bool) -> None:
    """Why the book holds TICKER: models, signals, states, down to the rows of prices."""
    from hawk_assets.commands.explain import explain
    from hawk_assets.orchestration.build import build_pipeline

    why = explain(build_pipeline(), ticker, _day(session))
    if as_json:
        _dump(why)
        return
    out.print(
        f"[bold]{why['ticker']} {why['weight']:+.4%}[/] of the book at the close of "
        f"{why['session']}; model weights of {why['month']} by {why['fallback']}: {why['status']}\n"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "part", "share", "insight", "signal", "decided", "prices used"):
        table.add_column(column, justify="left" if column in ("model", "prices used") else "right")
    for row in why["models"]:
        bars = row["bars"]
        used = f"{len(bars)} from {bars[0]['date']} to {bars[-1]['date']}" if bars else "no bar"
        figures = (f"{row[c]:+.4%}" for c in ("part", "share", "insight_weight"))
        table.add_row(row["model"], *figures, f"{row['signal']:+.3f}", row["decided"], used)
    out.print(table)
    out.print("\n[bold]What the signals saw[/]")
    for row in why["models"]:
        seen = ", ".join(f"{k} {v:.10g}" for k, v in row["state"].items() if v is not None)
        out.print(f"{row['model']}: {seen or 'no bar that day, the last signal is held'}")
    out.print("[dim]part = share x insight; with --json also every row of prices behind it[/]")


def _day(text: str | None) -> "pd.Timestamp | None":
    import pandas as pd

    try:
        return None if text is None else pd.Timestamp(pd.to_datetime(text, format="%Y-%m-%d"))
    except ValueError:
        raise SettingsError(f"--date {text!r} is no day; write it like 2024-01-31") from None


@cli.command()
@_json
@click.option("--from", "first", metavar="YYYY-MM-01", help="default: the first with a record")
@click.option("--to", "last", metavar="YYYY-MM-01", help="last month; default: the open one")
def compare(as_json: bool, first: str | None, last: str | None) -> None:
    """Every objective out of sample on the models' performance, after costs."""
    from hawk_assets.commands.compare import compare_objectives
    from hawk_assets.orchestration.build import build_pipeline

    found = compare_objectives(build_pipeline(), first, last)
    if as_json:
        days = {"first": f"{found.first:%Y-%m-%d}", "last": f"{found.last:%Y-%m-%d}"}
        _dump(asdict(found) | days)
        return
    out.print(
        f"[bold]{found.models} models, {found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}[/], "
        f"after {found.cost_bps:g} bp of every change of weight"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = ("return", "volatility", "sharpe", "s.e.", "to equal", "s.e.", "p", "turnover")
    table.add_column("objective")
    for column in names:
        table.add_column(column, justify="right")
    table.add_column("months")
    for row in found.rows:
        apart = row.difference.value, row.difference.standard_error, row.p_value
        table.add_row(
            row.objective,
            f"{row.annualized_return:.1%}",
            f"{row.annualized_volatility:.1%}",
            f"{row.sharpe.value:.2f}",
            f"{row.sharpe.standard_error:.2f}",
            *(("", "", "") if row.objective == "equal_weight" else (f"{x:.2f}" for x in apart)),
            f"{row.turnover:.2f}",
            ", ".join(f"{name} {count}" for name, count in row.months_per_fallback.items()),
        )
    out.print(table)
    out.print(f"\n{found.remark}", soft_wrap=True)
    out.print("[dim]turnover of model weights, one-sided, per year; p adjusted by Holm[/]")


@cli.command()
def migrate() -> None:
    """Make Dagster's tables, or bring them up to date: for a database, before all else starts."""
    from hawk_assets.orchestration.instance.dagster_home import home_of, open_instance

    with open_instance(home_of(os.environ)) as instance:
        instance.upgrade(err.print)
    out.print("Dagster's tables are up to date")


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1)
def dev(arguments: tuple[str, ...]) -> None:
    """Start the Dagster UI and daemon; further arguments go to ``dagster dev``."""
    from hawk_assets.orchestration.instance.dagster_home import WORKSPACE, prepare_home
    from hawk_assets.orchestration.settings import Settings, batch_events

    prepare_home(Settings.from_env().dagster_home)
    batch_events()
    os.environ.setdefault("PYTHONWARNINGS", "ignore::dagster.SupersessionWarning")
    program = str(Path(sys.executable).with_name("dagster"))
    os.execv(program, [program, "dev", "-w", str(WORKSPACE), "-h", "127.0.0.1", *arguments])


def _print_book(pipeline: "Pipeline") -> None:
    from hawk_assets.aggregation.parameters import BENCHMARKS
    from hawk_assets.commands.show import latest_book

    book = latest_book(pipeline)
    out.print(f"[bold]Book at the close of {book['session']}[/], to be traded at the next session")
    if book["held_on"] != book["session"]:
        out.print(f"[yellow]held is as of {book['held_on'] or 'no day yet'}[/]")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("ticker", "target", "held", "order"):
        table.add_column(column, justify="left" if column == "ticker" else "right")
    for row in book["orders"]:
        table.add_row(row["ticker"], *(f"{row[c]:+.2%}" for c in ("target", "held", "order")))
    out.print(table)
    out.print(f"\n[bold]Model weights of {book['month']}[/] ({book['fallback']}: {book['status']})")
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = ("total_return", "annualized_return", "sharpe_ratio", "max_drawdown", "turnover")
    for column in ("model", "weight", *BENCHMARKS, *names, "note"):
        table.add_column(
            column.replace("_", " "), justify="right" if column not in ("model", "note") else "left"
        )
    for row in book["models"]:
        figures = [_figure(name, row["metrics"].get(name)) for name in names]
        weights = ("" if row[c] is None else f"{row[c]:.1%}" for c in ("weight", *BENCHMARKS))
        table.add_row(row["model"], *weights, *figures, row["reason"])
    out.print(table)
    out.print("[dim]figures since the start, simulated after costs; no promise of any kind[/]")


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if name in ("sharpe_ratio", "turnover") else f"{value:.1%}"


def _months(months: list[str]) -> str:
    if len(months) > 2:
        return f"{len(months)} ({months[0][:7]}..{months[-1][:7]})"
    return ", ".join(m[:7] for m in months) or "-"


def _dump(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


if __name__ == "__main__":
    main()
