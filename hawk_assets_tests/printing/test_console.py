"""What is printed is what there is: names are data, whatever characters they hold."""

import io

import pytest
from rich.text import Text

from hawk_assets.printing import console
from hawk_assets.printing.console import new_table, one_line, styled


def printed(value: object, encoding: str = "utf-8", width: int = 60) -> str:
    stream = io.BytesIO()
    file = io.TextIOWrapper(stream, encoding, write_through=True)
    console._console(file=file, width=width).print(value)
    return stream.getvalue().decode(encoding)


NAMES = ["BTC[usdt]", "ES[/H4]", "[red]", "[/]", "A\\[b]", "a:eyes:", "[link=x]y[/link]", "{x}%s"]


@pytest.mark.parametrize("name", NAMES)
def test_markup_and_emoji_in_a_name_are_printed_as_they_are(name: str) -> None:
    table = new_table("ticker", "order", left=("ticker",))
    table.add_row(name, "+1.00%")
    assert printed(table).splitlines()[1].split() == [name, "+1.00%"]
    assert printed(f"{name} is new") == f"{name} is new\n"
    assert printed(styled((name, "bold"), " is new")) == f"{name} is new\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("A\x1b[31mB", "A\\x1b[31mB"),
        ("A\nB", "A\\nB"),
        ("A\rB", "A\\rB"),
        ("A\bB", "A\\x08B"),
        ("A\u202eB", "A\\u202eB"),
        ("A\udcffB", "A\\udcffB"),
        ("A\xa0B", "A\\xa0B"),
    ],
    ids=ascii,
)
def test_what_a_terminal_would_act_on_is_written_out(name: str, shown: str) -> None:
    table = new_table("ticker", left=("ticker",))
    table.add_row(name)
    assert printed(table).splitlines()[1].rstrip() == shown
    assert printed(f"{one_line(name)}!") == f"{shown}!\n"
    assert printed(styled((one_line(name), "red"))) == f"{shown}\n"


def test_a_terminal_without_the_character_shows_its_number() -> None:
    table = new_table("ticker", left=("ticker",))
    table.add_row("Müller")
    assert printed(table, "ascii").splitlines()[1].rstrip() == "M\\xfcller"


def test_a_name_too_long_for_the_terminal_is_broken_and_never_cut() -> None:
    table = new_table("ticker", left=("ticker",))
    table.add_row("LONG" * 20)
    assert "".join(printed(table, "ascii", 30).split()) == "ticker" + "LONG" * 20


def test_our_own_lines_keep_their_breaks() -> None:
    assert printed("one\ntwo") == "one\ntwo\n"
    assert isinstance(styled("a"), Text)
