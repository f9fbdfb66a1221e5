"""The ``hawk`` command: backfill, refresh and look at the book, without a server."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from hawk_assets.core.errors import HawkError

if TYPE_CHECKING:
    import dagster as dg

    from hawk_assets.orchestration.build import Pipeline
    from hawk_assets.orchestration.runner import StageRun

# Piped output is for other programs and for logs: never wrapped to a terminal that is not there.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False)


def main() -> None:
    """Entry point: what the user can put right is printed without a traceback."""
    try:
        cli.main(standalone_mode=False)
    except HawkError as error:
        err.print(f"[red]error:[/] {error}", soft_wrap=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        err.print("[red]stopped[/]; run the same command again to go on")
        sys.exit(130)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hawk-assets")
def cli() -> None:
    """A systematic desk's daily pipeline: prices to one combined portfolio.

    Settings: HAWK_MARKET_DATA, HAWK_STORAGE, HAWK_START, HAWK_END, DAGSTER_HOME.
    """


@contextmanager
def _opened() -> "Iterator[tuple[Pipeline, dg.DagsterInstance]]":
    import warnings

    import dagster as dg

    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    from hawk_assets.orchestration.build import build_pipeline
    from hawk_assets.orchestration.runner import prepare_home
    from hawk_assets.orchestration.settings import Settings

    settings = Settings.from_env()
    prepare_home(settings.dagster_home)
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    pipeline = build_pipeline(settings=settings)
    with dg.DagsterInstance.get() as instance:
        yield pipeline, instance


def _report(done: "StageRun | str") -> None:
    if isinstance(done, str):
        if err.is_terminal:
            err.print(f"[dim]{done} ...[/]", end="\r")
        return
    span = done.first[:7] if done.first == done.last else f"{done.first[:7]} to {done.last[:7]}"
    bad = f", [red]{len(done.failed)} failed[/]" if done.failed else ""
    out.print(f"{done.stage:<22}{span:<20}{done.made:>6} months made{bad}  {done.seconds:6.1f} s")


def _end(failed: dict[tuple[str, ...], str]) -> None:
    for key, why in failed.items():
        err.print(f"[red]{'/'.join(key)}[/]: {why}", soft_wrap=True)
    if failed:
        err.print(f"{len(failed)} tables were not made; the others are up to date")
        sys.exit(1)


_json = click.option("--json", "as_json", is_flag=True, help="machine-readable")


@cli.command()
@click.option(
    "--from", "first", metavar="YYYY-MM-01", help="first month; default: the first of all"
)
@click.option("--to", "last", metavar="YYYY-MM-01", help="last month; default: the open one")
@click.option("--select", multiple=True, metavar="NAME", help="stage, model or table; repeatable")
def backfill(first: str | None, last: str | None, select: tuple[str, ...]) -> None:
    """Make months from scratch, stage after stage."""
    from hawk_assets.orchestration import runner

    with _opened() as (pipeline, instance):
        outputs = runner.select(pipeline.outputs, select)
        span = runner.month_range(pipeline, first, last)
        failed = runner.backfill(pipeline, instance, outputs, *span, _report)
    _end(failed)


@cli.command()
def demo() -> None:
    """Backfill the whole history, then show the book."""
    from hawk_assets.orchestration import runner

    with _opened() as (pipeline, instance):
        out.print(f"prices: {pipeline.source.description}\ntables: {pipeline.tables.root}\n")
        span = runner.month_range(pipeline, None, None)
        failed = runner.backfill(
            pipeline, instance, list(pipeline.outputs.values()), *span, _report
        )
        out.print()
        _print_book(pipeline)
    _end(failed)


@cli.command()
@click.option("--stale-code", is_flag=True, help="also what older code has made")
def refresh(stale_code: bool) -> None:
    """Fetch what is new and make again what hangs on it."""
    from hawk_assets.orchestration import runner

    with _opened() as (pipeline, instance):
        done: list[StageRun] = []

        def report(event: "StageRun | str") -> None:
            _report(event)
            if not isinstance(event, str):
                done.append(event)

        failed = runner.refresh(pipeline, instance, report, stale_code)
        if not done:
            out.print("everything is up to date")
    _end(failed)


@cli.command()
@_json
def status(as_json: bool) -> None:
    """What is stale, missing or failed, and why."""
    from hawk_assets.orchestration import runner

    with _opened() as (pipeline, instance):
        tables = runner.status(pipeline, instance)
    if as_json:
        _dump(
            [
                {
                    "table": "/".join(t.output.key),
                    "months": len(t.made),
                    "stale": t.stale,
                    "missing": t.missing,
                    "failed": t.failed,
                    "because": t.because,
                    "code_changed": t.code_changed,
                }
                for t in tables
            ]
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("table", "months", "stale", "missing", "failed", "old code", "why"):
        table.add_column(column, justify="left" if column in ("table", "why") else "right")
    for t in tables:
        counts = [t.stale, t.missing, t.failed, t.code_changed]
        table.add_row(
            "/".join(t.output.key),
            str(len(t.made)),
            *(_months(months) for months in counts),
            "; ".join(t.because[:2])
            + (f" and {len(t.because) - 2} more" if len(t.because) > 2 else ""),
        )
    out.print(table)
    if not any(t.stale or t.missing or t.failed for t in tables):
        out.print("\neverything is up to date")


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


@cli.command()
@_json
def show(as_json: bool) -> None:
    """The latest combined book, what is still to be traded, model weights and figures."""
    with _opened() as (pipeline, _):
        if as_json:
            from hawk_assets.orchestration.book import latest_book

            _dump(latest_book(pipeline))
        else:
            _print_book(pipeline)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1)
def dev(arguments: tuple[str, ...]) -> None:
    """The Dagster UI, daemon and the four services; further arguments go to ``dagster dev``."""
    from pathlib import Path

    from hawk_assets.orchestration.runner import prepare_home
    from hawk_assets.orchestration.settings import Settings, batch_events

    settings = Settings.from_env()
    prepare_home(settings.dagster_home)
    batch_events()
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    os.environ.setdefault("PYTHONWARNINGS", "ignore::dagster.SupersessionWarning")
    program = str(Path(sys.executable).with_name("dagster"))
    os.execv(program, [program, "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", *arguments])


def _print_book(pipeline: "Pipeline") -> None:
    from hawk_assets.orchestration.book import latest_book

    book = latest_book(pipeline)
    out.print(f"[bold]Book at the close of {book['session']}[/], to be traded at the next session")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("ticker", "target", "held", "order"):
        table.add_column(column, justify="left" if column == "ticker" else "right")
    for row in book["orders"]:
        table.add_row(row["ticker"], *(f"{row[c]:+.2%}" for c in ("target", "held", "order")))
    out.print(table)
    out.print(f"\n[bold]Model weights of {book['month']}[/] ({book['rung']}: {book['status']})")
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = ("total_return", "annualized_return", "sharpe_ratio", "max_drawdown", "turnover")
    for column in ("model", "weight", *names, "note"):
        table.add_column(
            column.replace("_", " "), justify="right" if column not in ("model", "note") else "left"
        )
    for row in book["models"]:
        figures = [_figure(name, row["metrics"].get(name)) for name in names]
        weight = "" if row["weight"] is None else f"{row['weight']:.1%}"
        table.add_row(row["model"], weight, *figures, row["reason"])
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
