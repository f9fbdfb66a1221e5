"""The runs of backfill and refresh: a line per run, and what failed in the end."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hawk_assets.printing.console import err, one_line, out, styled

if TYPE_CHECKING:
    from hawk_assets.commands.events import Notice, StageResult
    from hawk_assets.core.types import TableKey


class ProgressPrinter:
    """Prints a line per run; on a terminal also the running stage and its time."""

    def __init__(self) -> None:
        self.runs = 0
        self._display: Progress | None = None

    def __enter__(self) -> "ProgressPrinter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._display:
            self._display.stop()

    def __call__(self, event: "StageResult | Notice | str") -> None:
        from hawk_assets.commands.events import Notice

        if isinstance(event, Notice):
            err.print(one_line(event.text), soft_wrap=True)
            return
        if isinstance(event, str):
            columns = (
                SpinnerColumn("line"),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
            )
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
        out.print(
            styled(
                f"{event.stage:<22}{span:<20}{event.materialised:>6} months materialised",
                *[", ", (f"{len(event.failed)} failed", "red")] * bool(event.failed),
                f"  {event.seconds:6.1f} s",
            )
        )
        for warning in event.warnings:
            err.print(styled((one_line(warning), "yellow")), soft_wrap=True)


def exit_with_failures(failed: "Mapping[TableKey, str]") -> None:
    """Print what failed and why, one line per reason, and exit; return when nothing failed.

    :param failed: per table that failed or was skipped, why
    """
    from hawk_assets.commands.runs import SKIPPED

    if not failed:
        return
    reasons: dict[str, list[TableKey]] = {}
    skipped = [key for key, why in failed.items() if why.startswith(SKIPPED)]
    for key, why in failed.items():
        text = "skipped: an upstream failed" if key in skipped else why
        reasons.setdefault(text, []).append(key)
    for text, keys in reasons.items():
        err.print(styled((_names(keys), "red"), f": {one_line(text)}"), soft_wrap=True)
    count = len(failed) - len(skipped)
    also = f", {len(skipped)} skipped" if skipped else ""
    err.print(f"{count} table{'s' * (count > 1)} failed{also}; the rest succeeded")
    sys.exit(1)


def _names(keys: "list[TableKey]") -> str:
    """Tables by name, or by number where many models have one."""
    folders: dict[str, list[str]] = {}
    for key in keys:
        folders.setdefault(key[0], []).append("/".join(key))
    return ", ".join(
        f"{folder} of {len(names)} models" if len(names) > 3 else ", ".join(names)
        for folder, names in folders.items()
    )
