"""Versions of months: digests of rows that depend neither on their order nor on the files' layout.

A row has a 64-bit hash; a month has the number of its rows and the sum of their hashes. So digests
of several files add up, and one row more, less or changed changes the sum.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hawk_assets.core.types import Array, Dates

Hashes = NDArray[np.uint64]

FORMULA = 1
"""Changes with the arithmetic below, so that digests kept by older code do not count."""

OPTIONAL = ("unadjusted_close", "adjustment_factor")
"""Columns that change nothing where they have no value."""

_BLOCK = 1 << 15
_HOLE = np.uint64(0x7FF8000000000000)


class Digest(NamedTuple):
    """What a month holds.

    :param total: sum of the rows' hashes, modulo 2^64
    :param latest: its last day with a close, or with a report, ``YYYY-MM-DD``; ``""`` for none
    """

    rows: int
    total: int
    latest: str


Digests = dict[str, Digest]
"""By month, ``YYYY-MM``; months without rows absent."""


def add(parts: Iterable[Digests]) -> Digests:
    """The digests of all rows together."""
    found: Digests = {}
    for part in parts:
        for month, its in part.items():
            known = found.get(month, Digest(0, 0, ""))
            total = (known.total + its.total) % 2**64
            found[month] = Digest(known.rows + its.rows, total, max(known.latest, its.latest))
    return found


def version_of(*tables: Digest | None) -> str:
    """The version of a month from its digest in each table: 16 hexadecimal digits."""
    text = " ".join("-" if its is None else f"{its.rows} {its.total:x}" for its in tables)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def digest_frame(frame: pd.DataFrame, dated: str) -> Digests:
    """The digests of a table, whose columns are days, text and floats.

    :param dated: the column that says which month a row belongs to
    """
    columns: dict[str, Hashes] = {}
    for name in frame.columns:
        values = frame[name]
        if str(values.dtype).startswith("datetime64"):
            columns[name] = day_bits(values.to_numpy().astype("datetime64[D]"))
        elif values.dtype == np.float64:
            columns[name] = number_bits(values.to_numpy())
        else:
            columns[name] = text_bits(*pd.factorize(values))
    return digest(columns, frame[dated].to_numpy().astype("datetime64[D]"))


def digest(columns: Mapping[str, Hashes], days: Dates) -> Digests:
    """The digests of rows.

    :param columns: 64 bits per value, by column
    :param days: the day of each row, ``datetime64[D]``; rows without one belong to no month
    """
    known = ~np.isnat(days)
    if not known.any():
        return {}
    hashes, days = _row_hashes(columns, len(days))[known], days[known]
    priced = columns["close"][known] != _HOLE if "close" in columns else np.ones(len(days), bool)
    month = days.astype("datetime64[M]")
    first = month.min()
    at = (month - first).astype(np.int64)
    rows = np.bincount(at)
    totals, latest = np.zeros(len(rows), np.uint64), np.full(len(rows), np.datetime64("NaT", "D"))
    np.add.at(totals, at, hashes)
    np.fmax.at(latest, at[priced], days[priced])
    return {
        str(first + i): Digest(int(rows[i]), int(totals[i]), _text(latest[i]))
        for i in np.flatnonzero(rows)
    }


def _text(day: np.datetime64) -> str:
    return "" if np.isnat(day) else str(day)


def _row_hashes(columns: Mapping[str, Hashes], count: int) -> Hashes:
    hashes = np.zeros(count, np.uint64)
    for start in range(0, count, _BLOCK):  # few enough for the processor's cache
        block = slice(start, start + _BLOCK)
        total = hashes[block]
        for name, bits in columns.items():
            part = _mixed(bits[block] ^ np.uint64(_hash_text(f"column {name}")))
            total += np.where(bits[block] == _HOLE, 0, part) if name in OPTIONAL else part
        hashes[block] = _mixed(total)
    return hashes


def day_bits(days: Dates) -> Hashes:
    """:param days: ``datetime64[D]``"""
    numbers: Hashes = days.astype(np.int64).view(np.uint64)
    return numbers


def number_bits(values: Array) -> Hashes:
    """Different bits of NaN and of zero, as files have them, count as equal."""
    bits = (np.ascontiguousarray(values, np.float64) + 0.0).view(np.uint64)
    hashes: Hashes = np.where(np.isnan(values), _HOLE, bits)
    return hashes


def text_bits(codes: "NDArray[np.integer[Any]]", texts: Iterable[str | None]) -> Hashes:
    """:param codes: positions in ``texts``; -1 is none"""
    hashes: Hashes = np.array([*map(_hash_text, texts), _hash_text(None)], np.uint64)[codes]
    return hashes


def _hash_text(text: str | None) -> int:
    content = b"" if text is None else b"t" + text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


def _mixed(bits: Hashes) -> Hashes:
    """The finaliser of splitmix64: every bit of the result depends on every bit given."""
    bits = bits ^ (bits >> np.uint64(30))
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
