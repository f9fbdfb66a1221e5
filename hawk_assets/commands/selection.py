"""Tables and months as a command line names them."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from hawk_assets.core.errors import SettingsError
from hawk_assets.core.sessions import key_of
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.catalog import Table
from hawk_assets.orchestration.settings.values import parse_month


def select_tables(catalog: Mapping[TableKey, Table], names: Iterable[str]) -> list[Table]:
    """Tables by stage, by model or by key; all of them when no name is given.

    :raises SettingsError: a name that is none of these
    """
    chosen: set[TableKey] = set()
    for name in names:
        hits = {
            key
            for key, table in catalog.items()
            if name in (table.name, key[0], table.stage, table.model)
        }
        if not hits:
            known = {n for t in catalog.values() for n in (t.name, t.stage, t.model) if n}
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "see: hawk models"
            raise SettingsError(f"--select {name!r} is not a stage, model or table; {hint}")
        chosen |= hits
    return [table for key, table in catalog.items() if key in chosen or not chosen]


def select_months(months: Sequence[str], first: str | None, last: str | None) -> tuple[str, str]:
    """The first and the last month asked for, as partition keys.

    :param months: all partition keys, ascending
    :param first: default: the first of all
    :param last: default: the open one
    :raises SettingsError: not a month of the history
    """
    begin = months[0] if first is None else _find_month("--from", first, months)
    end = months[-1] if last is None else _find_month("--to", last, months)
    if begin > end:
        raise SettingsError(f"--from {first} is after --to {last}")
    return begin, end


def _find_month(option: str, text: str, months: Sequence[str]) -> str:
    try:
        month = key_of(parse_month(text))
    except ValueError as error:
        raise SettingsError(f"{option} {text!r} {error}") from None
    if month not in months:
        raise SettingsError(
            f"{option} {text} is not a month of the history, {months[0][:7]} to {months[-1][:7]}; "
            "to change the history, set HAWK_START and HAWK_END"
        )
    return month
