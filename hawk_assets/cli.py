"""The ``hawk`` command: backfill, refresh, status and the book, without a server."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hawk_assets.core.errors import HawkError, SettingsError
from hawk_assets.orchestration.interrupts import STOPPED, end, received, recording
from hawk_assets.printing.console import (
    accept_any_text,
    err,
    one_line,
    out,
    print_error,
    print_json,
    styled,
)
from hawk_assets.printing.progress import ProgressPrinter, exit_with_failures

if TYPE_CHECKING:
    import dagster as dg
    import pandas as pd

    from hawk_assets.orchestration.build import Pipeline


_WITH_ALL_PARTS = (
    "the hawk command needs the libraries of all stages, which a plain installation lacks; run: "
    "pip install 'hawk-assets[all]', or '.[all]' in a clone"
)


def main() -> None:
    """Run the command, and end the process."""
    with recording():
        end(run())


def run() -> int:
    """Run the command: errors that the user can put right are printed without a traceback.

    :return: the exit code
    """
    accept_any_text()
    try:
        cli.main(standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
    except SystemExit as error:
        return int(error.code or 0)
    except KeyboardInterrupt:
        return _stop()
    except Exception as error:
        # What fails after a signal fails because of it, whatever a library has turned it into.
        return _stop() if received() else _explain(error)
    return 0


def _stop() -> int:
    if not received():
        err.print(styled((STOPPED, "red")))
    return 130


def _explain(error: Exception) -> int:
    """Print an error of the user's; raise any other."""
    if isinstance(error, HawkError) and isinstance(error.__cause__, ModuleNotFoundError):
        print_error(f"{error}; {_WITH_ALL_PARTS}")
    elif isinstance(error, HawkError):
        print_error(error)
    elif isinstance(error, ModuleNotFoundError):
        print_error(f"{error}; {_WITH_ALL_PARTS}")
    elif isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    elif isinstance(error, click.Abort):
        return _stop()
    elif isinstance(error, BrokenPipeError):
        # Whoever read the output has seen enough, as head does. Nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    elif isinstance(error, OSError):
        print_error(f"the operating system refuses: {error}")
    else:
        raise error
    return 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hawk-assets")
def cli() -> None:
    """A systematic desk's daily pipeline: prices to one combined portfolio.

    Settings are environment variables, .env and hawk.yaml: hawk config prints all of them.
    """
    from hawk_assets.orchestration.settings.env_file import read_env_file

    read_env_file()


@contextmanager
def _opened() -> "Iterator[tuple[Pipeline, dg.DagsterInstance]]":
    """The pipeline of the settings, and its Dagster instance."""
    from hawk_assets.orchestration.build import build_pipeline
    from hawk_assets.orchestration.instance.dagster_home import open_instance
    from hawk_assets.orchestration.settings import load_settings

    settings = load_settings()
    pipeline = build_pipeline(settings=settings)
    with open_instance(settings.dagster_home) as instance:
        yield pipeline, instance


_json = click.option("--json", "as_json", is_flag=True, help="print JSON")


@cli.command()
@click.option("--from", "first", metavar="YYYY-MM", help="first month; default: the very first")
@click.option("--to", "last", metavar="YYYY-MM", help="last month; default: the open one")
@click.option("--select", multiple=True, metavar="NAME", help="stage, model or table; repeatable")
def backfill(first: str | None, last: str | None, select: tuple[str, ...]) -> None:
    """Materialise a range of months.

    Stage after stage, whether the months are stale or not.
    """
    from hawk_assets.commands.backfill import backfill
    from hawk_assets.commands.selection import select_months, select_tables

    with _opened() as (pipeline, instance), ProgressPrinter() as progress:
        tables = select_tables(pipeline.catalog, select)
        months = select_months(pipeline.months, first, last)
        failed = backfill(pipeline, instance, tables, *months, progress)
    exit_with_failures(failed)


@cli.command()
def demo() -> None:
    """Backfill the whole history, then show the book."""
    from hawk_assets.commands.backfill import backfill
    from hawk_assets.commands.show import latest_book
    from hawk_assets.orchestration.catalog import COMBINED_INSIGHTS
    from hawk_assets.printing.book import print_book

    with _opened() as (pipeline, instance), ProgressPrinter() as progress:
        for name, value in (
            ("prices", pipeline.source.description),
            ("tables", pipeline.storage.root),
        ):
            out.print(f"{name}: {one_line(value)}", soft_wrap=True)
        out.print()
        tables, months = list(pipeline.catalog.values()), pipeline.months
        failed = backfill(pipeline, instance, tables, months[0], months[-1], progress)
        if COMBINED_INSIGHTS not in failed:
            out.print()
            print_book(latest_book(pipeline, instance))
    exit_with_failures(failed)


@cli.command()
@click.option("--stale-code", is_flag=True, help="also recompute what older code computed")
@click.option("--new-source", is_flag=True, help="go over to another source of the same prices")
def refresh(stale_code: bool, new_source: bool) -> None:
    """Bring everything up to date.

    Fetches new data, recomputes everything downstream, and retries what failed.
    """
    from hawk_assets.commands.older_code import find_older_code
    from hawk_assets.commands.refresh import refresh
    from hawk_assets.printing.status import print_older_code

    with _opened() as (pipeline, instance), ProgressPrinter() as progress:
        out.print(f"prices: {one_line(pipeline.source.identity)}", soft_wrap=True)
        failed = refresh(pipeline, instance, progress, stale_code, new_source)
        older = find_older_code(pipeline, instance)
        if older.tables:
            print_older_code(older)
        elif not (progress.runs or failed):
            out.print("everything is up to date")
    exit_with_failures(failed)


@cli.command()
@_json
def status(as_json: bool) -> None:
    """Show what is stale, missing or failed, and why."""
    from hawk_assets.commands.status import find_status
    from hawk_assets.commands.turns import find_activity
    from hawk_assets.printing.status import print_activity, print_status, status_records

    with _opened() as (pipeline, instance):
        activity = find_activity(instance)
        tables = find_status(pipeline, instance)
    if as_json:
        print_json(status_records(tables))
    else:
        out.print(f"prices: {pipeline.source.identity}", soft_wrap=True)
        print_activity(activity)
        print_status(tables)


@cli.command()
def verify() -> None:
    """Read every stored file, and compare it with what was recorded of it."""
    from hawk_assets.commands.verify import verify

    with _opened() as (pipeline, instance):
        found = verify(pipeline, instance)
    for fault in found.faults:
        err.print(fault, soft_wrap=True)
    out.print(f"{found.intact} files are intact")
    if found.faults:
        err.print(f"{len(found.faults)} are not; to compute them again: hawk refresh")
        sys.exit(1)


@cli.command()
def adopt() -> None:
    """Rebuild Dagster's history from the stored files."""
    from hawk_assets.commands.adopt import adopt

    with _opened() as (pipeline, instance), ProgressPrinter() as progress:
        count = adopt(pipeline, instance, progress)
    out.print(f"{count} files adopted; to see what there is to do: hawk status")


@cli.command()
@_json
def models(as_json: bool) -> None:
    """List the registered models, with memory and claim."""
    from hawk_assets.models import discover
    from hawk_assets.printing.models import model_records, print_models

    records = model_records(discover())
    if as_json:
        print_json(records)
    else:
        print_models(records)


@cli.command("new-model")
@click.argument("name")
@click.option("--hold", is_flag=True, help="hold a signal until the opposite one")
def new_model(name: str, hold: bool) -> None:
    """Write a new model file and its test, to be edited. Run it in the root of a clone."""
    from hawk_assets.commands.new_model import next_commands, write_skeleton

    here = Path.cwd()
    model, test = write_skeleton(name, here, hold)
    for file in (model, test):
        out.print(f"wrote {one_line(file.relative_to(here))}")
    out.print("The model already passes its tests. Next:")
    for command in next_commands(model, test, here):
        out.print(f"  {command}", highlight=False, soft_wrap=True)


@cli.command()
@_json
def show(as_json: bool) -> None:
    """Show the latest combined book.

    With its pending orders, the model weights and the metrics.
    """
    from hawk_assets.commands.show import latest_book
    from hawk_assets.printing.book import print_book

    with _opened() as (pipeline, instance):
        book = latest_book(pipeline, instance)
    if as_json:
        print_json(book)
    else:
        print_book(book)


@cli.command()
@click.argument("ticker")
@click.option("--date", "session", metavar="YYYY-MM-DD", help="default: the latest session")
@_json
def explain(ticker: str, session: str | None, as_json: bool) -> None:
    """Explain the book's weight of TICKER.

    By model, with signals and states, down to the rows of prices behind them.
    """
    from hawk_assets.commands.explain import explain
    from hawk_assets.orchestration.build import build_pipeline
    from hawk_assets.printing.explanation import print_explanation

    weight = explain(build_pipeline(), ticker, _parse_date(session))
    if as_json:
        print_json(weight)
    else:
        print_explanation(weight)


def _parse_date(text: str | None) -> "pd.Timestamp | None":
    import pandas as pd

    try:
        return None if text is None else pd.Timestamp(pd.to_datetime(text, format="%Y-%m-%d"))
    except ValueError:
        raise SettingsError(f"--date {text!r} is not a date; write it like 2024-01-31") from None


@cli.command()
@_json
@click.option("--from", "first", metavar="YYYY-MM", help="default: the first with a record")
@click.option("--to", "last", metavar="YYYY-MM", help="last month; default: the open one")
def compare(as_json: bool, first: str | None, last: str | None) -> None:
    """Compare all objectives out of sample.

    On the stored performance of the models, after costs.
    """
    from hawk_assets.commands.compare import compare_objectives
    from hawk_assets.orchestration.build import build_pipeline
    from hawk_assets.printing.comparison import print_comparison

    found = compare_objectives(build_pipeline(), first, last)
    if as_json:
        days = {"first": f"{found.first:%Y-%m-%d}", "last": f"{found.last:%Y-%m-%d}"}
        print_json(asdict(found) | days)
    else:
        print_comparison(found)


@cli.command()
@_json
def config(as_json: bool) -> None:
    """Print every setting, and where its value comes from.

    Secrets are masked.
    """
    from hawk_assets.commands.config import list_settings
    from hawk_assets.orchestration.settings.loading import load
    from hawk_assets.printing.settings import print_settings, setting_records

    loaded = load()
    settings = list_settings(loaded)
    if as_json:
        print_json(setting_records(settings))
    else:
        print_settings(settings, loaded.file)


@cli.command()
def migrate() -> None:
    """Create or upgrade Dagster's own tables. On a new database, run this first."""
    from hawk_assets.orchestration.instance.dagster_home import open_instance
    from hawk_assets.orchestration.settings import find_dagster_home

    with open_instance(find_dagster_home()) as instance:
        instance.upgrade(err.print)
    out.print("Dagster's tables are up to date")


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1)
def dev(arguments: tuple[str, ...]) -> None:
    """Start the Dagster UI and daemon.

    Further ARGUMENTS go to ``dagster dev``.
    """
    from hawk_assets.orchestration.instance.dagster_home import WORKSPACE, prepare_home
    from hawk_assets.orchestration.settings import batch_events, load_settings
    from hawk_assets.orchestration.settings.env_file import check_env_file

    check_env_file()
    prepare_home(load_settings().dagster_home)
    batch_events()
    os.environ.setdefault("PYTHONWARNINGS", "ignore::dagster.SupersessionWarning")
    program = str(Path(sys.executable).with_name("dagster"))
    os.execv(program, [program, "dev", "-w", str(WORKSPACE), "-h", "127.0.0.1", *arguments])


if __name__ == "__main__":
    main()
