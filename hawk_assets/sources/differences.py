"""How fetched rows differ from stored ones: re-based, renamed, restated, or no longer there.

Adjusted prices are multiplied by one ratio over all earlier sessions at every split and dividend.
That is a change of the basis and no correction, so it is told apart from one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hawk_assets.core.types import Array, Flags

PRICES = ("open", "high", "low", "close")

_KEY = ["date", "ticker"]
_FEWEST_DECIMALS, _MOST_DECIMALS = 2, 6
_NOISE = 1e-6
"""Relative error of prices that were computed, or kept as 32-bit numbers."""
_SHORTEST = 3
"""Sessions that must agree on a ratio, if the ticker has more."""
_MOST_PARTS = 40
_ALIKE, _MOST_RATIOS = 0.9, 3
"""What a new name has in common with the old one: share of its rows, number of ratios."""
_VOLUME_ERROR = 1e-3


@dataclass(frozen=True)
class Rebasing:
    """All prices of a ticker times ``ratio``, from one session to another.

    :param ratio: the shortest number that explains every price
    """

    ticker: str
    ratio: float
    first: pd.Timestamp
    last: pd.Timestamp
    sessions: int


@dataclass(frozen=True)
class Differences:
    """What is stored and not, or otherwise, in what was fetched. A new row is no difference.

    :param rebased: by ticker, in order
    :param renamed: from the old ticker to the new one with the same sessions and prices
    :param restated: date and ticker of rows with other values, in order
    :param gone: date and ticker of rows that were not fetched, in order
    """

    rebased: Sequence[Rebasing] = ()
    renamed: dict[str, str] = field(default_factory=dict)
    restated: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_KEY))
    gone: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_KEY))


def find_differences(stored: pd.DataFrame, fetched: pd.DataFrame) -> Differences:
    """Compare bars of the same months; tables with ``date`` and ``ticker`` and any numbers."""
    if stored.empty:
        return Differences()
    renamed = _find_renamed(stored, fetched)
    if renamed:
        stored = stored.assign(ticker=stored["ticker"].replace(renamed))
    columns = [c for c in dict.fromkeys([*stored, *fetched]) if c not in _KEY]
    stored, fetched = (frame.reindex(columns=[*_KEY, *columns]) for frame in (stored, fetched))
    joined = stored.merge(fetched, on=_KEY, how="left", suffixes=("", "_new"), indicator=True)
    joined = joined.sort_values(["ticker", "date"], ignore_index=True)
    held = (joined["_merge"] == "both").to_numpy()
    changed = np.zeros(len(joined), bool)
    for name in columns:
        changed |= _differs(joined[name].to_numpy(float), joined[f"{name}_new"].to_numpy(float))
    changed &= held
    rebased, explained = [], np.zeros(len(joined), bool)
    if set(PRICES) <= set(columns):
        suspects = joined.loc[changed, "ticker"].unique()
        for ticker, at in joined[held].groupby("ticker").indices.items():
            if ticker not in suspects:
                continue
            rows = np.flatnonzero(held)[at]
            parts, mask = _find_rebasings(str(ticker), joined.iloc[rows], changed[rows])
            rebased += parts
            explained[rows[mask]] = True
    keys = joined[_KEY]
    return Differences(
        rebased,
        renamed,
        keys[changed & ~explained].sort_values(_KEY, ignore_index=True),
        keys[~held].sort_values(_KEY, ignore_index=True),
    )


def _differs(old: Array, new: Array) -> Flags:
    differs: Flags = ~((old == new) | (np.isnan(old) & np.isnan(new)))
    return differs


def _find_renamed(stored: pd.DataFrame, fetched: pd.DataFrame) -> dict[str, str]:
    """Tickers that are gone, and the new one with the same sessions and prices up to a ratio."""
    known, offered = set(stored["ticker"]), set(fetched["ticker"])
    lost, new = sorted(known - offered), sorted(offered - known)
    if not lost or not new:
        return {}
    candidates = {ticker: fetched[fetched["ticker"] == ticker] for ticker in new}
    renamed: dict[str, str] = {}
    for old in lost:
        rows = stored[stored["ticker"] == old]
        for ticker in list(candidates):
            if _is_same(rows, candidates[ticker]):
                renamed[old] = ticker
                del candidates[ticker]
                break
    return renamed


def _is_same(old: pd.DataFrame, new: pd.DataFrame) -> bool:
    """Whether sessions and prices are the same, but for a few that were corrected meanwhile."""
    both = old.merge(new, on="date", suffixes=("", "_new")).sort_values("date")
    before, after = (both[[f"{n}{end}" for n in PRICES]].to_numpy(float) for end in ("", "_new"))
    if len(both) < _ALIKE * len(old):
        return False
    low, high = _ratios(before, after)
    fit = low <= high
    parts = list(_joined(_parts(low[fit], high[fit]), int(fit.sum())))
    explained = sum(end - begin for begin, end, *_ in parts)
    return len(parts) <= _MOST_RATIOS and explained >= _ALIKE * len(old)


def _find_rebasings(
    ticker: str, rows: pd.DataFrame, changed: Flags
) -> tuple[list[Rebasing], Flags]:
    """The re-basings of one ticker, and the changed rows that they explain.

    :param rows: by date, with the new values beside the old
    """
    old = rows[list(PRICES)].to_numpy(float)
    new = rows[[f"{name}_new" for name in PRICES]].to_numpy(float)
    low, high = _ratios(old, new)
    fit = np.flatnonzero(low <= high)
    found, explained = [], np.zeros(len(rows), bool)
    dates = rows["date"].to_numpy()
    volume, volume_new = (rows[n].to_numpy(float) for n in ("volume", "volume_new"))
    for begin, end, least, most in _joined(_parts(low[fit], high[fit]), len(fit)):
        at = fit[begin:end]
        at = at[(low[at] <= most) & (high[at] >= least)]
        if least <= 1 <= most or not changed[at].any():
            continue
        ratio = _shortest(least, most)
        found.append(
            Rebasing(
                ticker, ratio, pd.Timestamp(dates[at[0]]), pd.Timestamp(dates[at[-1]]), len(at)
            )
        )
        with np.errstate(invalid="ignore"):
            inverse = np.abs(volume_new - volume / ratio) <= 1 + _VOLUME_ERROR * volume_new
        explained[at] = (~_differs(volume, volume_new) | inverse)[at]
    return found, explained & changed


def _ratios(old: Array, new: Array) -> tuple[Array, Array]:
    """Per row the least and the greatest ratio that explains every price up to its rounding.

    :param old: prices, shape ``(n, 4)``
    :param new: the same
    :return: the first above the second where there is none
    """
    error_old, error_new = _rounding(old), _rounding(new)
    with np.errstate(invalid="ignore"):
        low = (new - error_new) / (old + error_old) * (1 - _NOISE)
        high = (new + error_new) / np.maximum(old - error_old, 1e-12) * (1 + _NOISE)
    both, one = np.isnan(old) & np.isnan(new), np.isnan(old) ^ np.isnan(new)
    low = np.where(both, -np.inf, np.where(one, np.inf, low))
    high = np.where(both, np.inf, np.where(one, -np.inf, high))
    return low.max(axis=1), high.min(axis=1)


def _rounding(prices: Array) -> float:
    """The largest error of prices by the decimals that they are rounded to."""
    for decimals in range(_FEWEST_DECIMALS, _MOST_DECIMALS + 1):
        known = prices[~np.isnan(prices)]
        if (np.abs(known - np.round(known, decimals)) <= 1e-9 * known).all():
            return float(0.5 * 10.0**-decimals)
    return 0.0


_Part = tuple[int, int, float, float]
"""Begin, end, least and greatest ratio."""


def _parts(low: Array, high: Array) -> list[_Part]:
    """The fewest runs of rows that have a common ratio each."""
    parts: list[_Part] = []
    begin = 0
    while begin < len(low) and len(parts) < _MOST_PARTS:
        least, most = np.maximum.accumulate(low[begin:]), np.minimum.accumulate(high[begin:])
        apart = np.flatnonzero(least > most)
        length = int(apart[0]) if len(apart) else len(least)
        parts.append((begin, begin + length, float(least[length - 1]), float(most[length - 1])))
        begin += length
    return parts


def _joined(parts: list[_Part], count: int) -> Iterator[_Part]:
    """Without runs too short to tell a ratio from a correction, and those apart by one joined."""
    kept: list[_Part] = []
    for part in parts:
        if part[1] - part[0] < min(_SHORTEST, count):
            continue
        if kept:
            begin, _, least, most = kept[-1]
            least, most = max(least, part[2]), min(most, part[3])
            if least <= most:
                kept[-1] = (begin, part[1], least, most)
                continue
        kept.append(part)
    yield from kept


def _shortest(least: float, most: float) -> float:
    """The number with the fewest decimals between two."""
    middle = (least + most) / 2
    for decimals in range(1, 12):
        if least <= round(middle, decimals) <= most:
            return round(middle, decimals)
    return middle


_MOST_LINES = 20


def describe_differences(found: Differences, table: str) -> list[str]:
    """One line per fact, for people; none where nothing differs."""
    lines = [f"{old} is now {new}" for old, new in found.renamed.items()]
    for rebased in found.rebased:
        lines.append(
            f"{rebased.ticker} re-based by {rebased.ratio:g} since {rebased.first:%Y-%m} "
            f"({rebased.sessions} session{'s' * (rebased.sessions > 1)} to "
            f"{rebased.last:%Y-%m-%d}): split or dividend"
        )
    if len(lines) > _MOST_LINES:
        others = len(lines) - _MOST_LINES
        lines = [*lines[:_MOST_LINES], f"and {others} more re-based or renamed"]
    for word, rows in (("restated", found.restated), ("no longer in the source", found.gone)):
        if len(rows):
            first = rows.iloc[0]
            lines.append(
                f"{word}: {len(rows)} row{'s' * (len(rows) > 1)} of {table} from "
                f"{first['date']:%Y-%m-%d} to {rows['date'].max():%Y-%m-%d}, the first "
                f"{first['ticker']} on {first['date']:%Y-%m-%d}"
            )
    return lines
