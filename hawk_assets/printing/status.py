"""The status of all tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hawk_assets.printing.console import new_table, one_line, out

if TYPE_CHECKING:
    from hawk_assets.commands.older_code import OlderCode
    from hawk_assets.commands.status import TableStatus


def status_records(tables: "Sequence[TableStatus]") -> list[dict[str, Any]]:
    """The status as plain values, for JSON."""
    return [
        {
            "table": t.table.name,
            "months": len(t.materialised),
            "stale": t.stale,
            "missing": t.missing,
            "failed": t.failed,
            "running": t.running,
            "because": t.reasons,
            "code_changed": t.older_code,
        }
        for t in tables
    ]


def print_older_code(older: "OlderCode") -> None:
    """What a refresh has left as it is."""
    count, plural = len(older.tables), len(older.tables) > 1
    named = ", ".join(older.tables[:3]) + f" and {count - 3} more" * (count > 3)
    out.print(
        f"{count} table{'s are' if plural else ' is'} by older code or other settings, and "
        f"stay{'s' * (not plural)} as {'they are' if plural else 'it is'}: {named}",
        soft_wrap=True,
    )
    for setting in older.settings:
        out.print(setting)
    out.print("to recompute what is older: hawk refresh --stale-code")


def print_activity(lines: Sequence[str]) -> None:
    """What is at work on the tables just now."""
    for line in lines:
        out.print(f"running: {one_line(line)}", soft_wrap=True)


def print_status(tables: "Sequence[TableStatus]") -> None:
    """The tables that are not up to date, one line for models that are alike."""
    if not any(t.materialised for t in tables):
        out.print("there is no history yet; run: hawk backfill")
        return
    alike: dict[tuple[str, ...], list[str]] = {}
    for t in tables:
        months = (t.stale, t.missing, t.failed, t.running, t.older_code)
        if any(months):
            more = f" and {len(t.reasons) - 2} more" if len(t.reasons) > 2 else ""
            why = ("; ".join(t.reasons[:2]) + more).replace(f"/{t.table.model}", "")
            alike.setdefault((t.table.key[0], *map(_span, months), why), []).append(t.table.name)
    if alike:
        columns = ("table", "stale", "missing", "failed", "running", "older code", "why")
        table = new_table(*columns, left=columns)
        for column in table.columns[:-1]:
            column.no_wrap = True
        for (folder, *cells), names in alike.items():
            name = names[0] if len(names) == 1 else f"{folder} of {len(names)} models"
            table.add_row(name, *cells)
        out.print(table)
        out.print()
    listed = sum(map(len, alike.values()))
    out.print(f"{len(tables) - listed} of {len(tables)} tables are up to date")
    if any(t.stale or t.missing or t.failed for t in tables):
        out.print("to bring the rest up to date: hawk refresh")
    elif any(t.older_code for t in tables):
        out.print("to recompute what older code computed: hawk refresh --stale-code")


def _span(months: list[str]) -> str:
    if len(months) > 2:
        return f"{len(months)} ({months[0][:7]}..{months[-1][:7]})"
    return ", ".join(m[:7] for m in months) or "-"
