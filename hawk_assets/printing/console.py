"""The two consoles, and the form of every line, table and of JSON.

Text is printed as it is: a ticker such as ``BTC[usdt]`` is data, and no instruction. Styles are
given beside the text, never inside it.
"""

import json
import sys
from collections.abc import Collection, Sequence
from io import TextIOWrapper
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text


class _PlainConsole(Console):
    """A console without markup; what a terminal would act on, or cannot show, is escaped."""

    def render_str(self, text: str, **options: Any) -> Text:
        shown = show(text).encode(self.encoding, "backslashreplace").decode(self.encoding)
        return super().render_str(shown, **options)


def _console(**options: Any) -> Console:
    return _PlainConsole(markup=False, emoji=False, highlight=False, **options)


# Piped output is for programs and logs: it is never wrapped to the width of a terminal.
out = _console(width=None if sys.stdout and sys.stdout.isatty() else 200)
err = _console(stderr=True)


def accept_any_text() -> None:
    """Let both streams escape what their encoding cannot write, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def show(text: str, kept: str = "\n") -> str:
    """A text with its control characters written out, such as ``\\x1b``.

    :param kept: those that stay
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


def one_line(text: object) -> str:
    """A name or a message of somebody else, on one line."""
    return show(str(text), kept="")


def styled(*parts: str | Sequence[str]) -> Text:
    """A line of several styles.

    :param parts: texts, or pairs of text and style
    """
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((show(text), style) for text, style in pairs))


class _PlainTable(Table):
    """A cell is one line, and is broken rather than cut: half a ticker is another ticker."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(*(one_line(c) if isinstance(c, str) else c for c in cells), **options)


def new_table(*columns: str, left: Collection[str] = ()) -> Table:
    """An empty table; numbers are aligned to the right.

    :param left: the columns of text
    """
    table = _PlainTable(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify = "left" if column in left else "right"
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


def print_error(text: object) -> None:
    """Why a command has failed, on one line."""
    err.print(styled(("error:", "red"), f" {one_line(text)}"), soft_wrap=True)
