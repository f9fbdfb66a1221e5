"""The two consoles, and the form of every table and of JSON."""

import json
import sys
from collections.abc import Collection
from typing import Any

import click
from rich.console import Console
from rich.table import Table

# Piped output is for programs and logs: it is never wrapped to the width of a terminal.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False)


def new_table(*columns: str, left: Collection[str] = ()) -> Table:
    """An empty table; numbers are aligned to the right.

    :param left: the columns of text
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right")
    return table


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))
