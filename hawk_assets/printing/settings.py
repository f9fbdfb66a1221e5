"""The settings, one a line."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from hawk_assets.printing.console import new_table, one_line, out

if TYPE_CHECKING:
    from hawk_assets.commands.config import Setting


def setting_records(settings: "Sequence[Setting]") -> list[dict[str, Any]]:
    """The settings as plain values, for JSON."""
    return [{k: v for k, v in asdict(setting).items() if k != "unset"} for setting in settings]


def print_settings(settings: "Sequence[Setting]", file: str | None) -> None:
    """Every setting, its value and its source.

    :param file: the settings file that was read; None: there is none
    """
    out.print(f"settings file: {one_line(file or 'none')}\n")
    columns = ("setting", "variable", "value", "from")
    table = new_table(*columns, left=columns)
    for setting in settings:
        value: str | Text = str(setting.value)
        if setting.value is None:
            value = Text(setting.unset.replace("`", "") or "none", "dim")
        table.add_row(setting.key, setting.variable, value, setting.source)
    out.print(table)
