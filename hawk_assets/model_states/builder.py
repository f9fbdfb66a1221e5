"""Market data to model states: per ticker, each year from its own bounded window."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from hawk_assets.core.errors import ModelError
from hawk_assets.core.model import Array, Bars, TradingModel
from hawk_assets.core.schemas import STATE_COLUMNS
from hawk_assets.core.sessions import months_covering
from hawk_assets.core.types import Dates
from hawk_assets.model_states.bars import VOL_BARS, MarketBars
from hawk_assets.model_states.commitments_of_traders import (
    Reports,
    months_of_reports,
    reports_of,
)
from hawk_assets.model_states.rounding import round_significant

_REST_OF_YEAR = 11


def bars_needed(model: TradingModel) -> int:
    """Valid bars before a year that its states depend on: for the features and for vol_63."""
    return max(model.warmup, VOL_BARS)


def months_needed(model: TradingModel) -> int:
    """Months of market data before a month that its states depend on, as a December needs them."""
    return months_covering(bars_needed(model)) + _REST_OF_YEAR


def report_months(model: TradingModel) -> int:
    """Months of commitments of traders before a month that its states depend on."""
    return months_of_reports(model.reports) + _REST_OF_YEAR if model.reports else 0


def bars_behind(
    model: TradingModel, market_data: pd.DataFrame, ticker: str, session: pd.Timestamp
) -> pd.DataFrame:
    """The raw rows behind a state: the features of ``session`` see no others.

    :param market_data: the month of the session and ``months_needed`` before it
    :return: the ticker's valid bars from its year's window up to the session, oldest first; no rows
        where the session itself has no valid bar
    """
    new_year = pd.Timestamp(session.year, 1, 1)
    reach = new_year - pd.DateOffset(months=months_covering(bars_needed(model)))
    mine = (market_data["ticker"] == ticker) & market_data["date"].between(reach, session)
    read = market_data[list(dict.fromkeys(["close", *model.inputs]))].to_numpy(np.float64)
    valid = mine.to_numpy(bool) & np.isfinite(read).all(axis=1)
    bars: pd.DataFrame = market_data.loc[valid].sort_values("date", ignore_index=True)
    if bars.empty or bars["date"].iloc[-1] != session:
        return bars.head(0)
    before = int(bars["date"].searchsorted(new_year))
    return bars.iloc[max(before - bars_needed(model), 0) :].reset_index(drop=True)


class StateBuilder:
    """Computes the states of ``months`` for several models; the market data is sorted once.

    The values of a recursive indicator depend on its start, so the start is part of the definition.
    The months of a year see, per ticker, the last ``bars_needed`` valid bars before that year, and
    the bars of the year up to the month; nothing else, however much is passed. So a month computed
    alone equals the same month computed within twenty years, in every bit.

    :param market_data: ``months`` and ``months_needed`` before the first, any row order
    :param months: the months to compute, ascending
    :param commitments: commitments_of_traders of ``months`` and ``report_months`` before the first,
        for models that read them
    """

    def __init__(
        self,
        market_data: pd.DataFrame,
        months: pd.DatetimeIndex,
        commitments: pd.DataFrame | None = None,
    ) -> None:
        self._market = MarketBars(market_data, months)
        self._months, self._commitments = months, commitments

    def states(self, model: TradingModel) -> pd.DataFrame:
        """The states of a model: one row per row of market data in the months.

        :return: date, ticker, close, vol_63 and the features, by date and ticker; features carry
            10 significant digits and are NaN where not ready or where the bar has a hole
        :raises ModelError: a feature of the wrong shape, reserved name or infinite value
        """
        columns = tuple(dict.fromkeys(["close", *model.inputs]))
        valid, need = self._market.valid(columns), bars_needed(model)
        years = _year_edges(self._months, months_covering(need))
        none = Reports.none() if model.reports else None
        nothing = _compute(model, valid.bars(columns, slice(0)), valid.dates[:0], none)
        features = {name: np.full(len(valid.dates), np.nan) for name in nothing}
        too_young: list[slice] = []
        for ticker, span in valid.tickers:
            bars, dates = valid.bars(columns, span), valid.dates[span]
            windows = _windows(dates, years, need)
            reports = reports_of(ticker, self._commitments) if model.reports else None
            for at, arrays in _features(model, bars, dates, windows, reports):
                for name, array in arrays.items():
                    its = features[name][span][at]
                    if array.shape != its.shape:
                        raise ModelError(
                            f"{model.name}: feature {name!r} of {ticker} in {str(dates[at][0])[:4]}"
                            f" has shape {array.shape}, not {its.shape}; return one value per bar"
                        )
                    its[:] = array
            too_young += [
                slice(span.start + w.start, span.start + min(w.stop, w.first + VOL_BARS))
                for w in windows
                if w.cut
            ]
        vol_63 = valid.volatility.copy()
        for at in too_young:
            vol_63[at] = np.nan
        rows = {name: valid.on_rows(array) for name, array in features.items()}
        for name, array in rows.items():
            if (infinite := np.isinf(array)).any():
                row = self._market.rows.iloc[int(np.argmax(infinite))]
                raise ModelError(
                    f"{model.name}: feature {name!r} of {row['ticker']} is infinite on "
                    f"{row['date']:%Y-%m-%d}; guard the division in features()"
                )
        rounded = {name: round_significant(array) for name, array in rows.items()}
        return self._market.rows.assign(vol_63=valid.on_rows(vol_63), **rounded)


def build_states(
    model: TradingModel,
    market_data: pd.DataFrame,
    months: pd.DatetimeIndex,
    commitments: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The states of one model; see :class:`StateBuilder`."""
    return StateBuilder(market_data, months, commitments).states(model)


def _compute(
    model: TradingModel, bars: Bars, dates: Dates, reports: Reports | None
) -> dict[str, Array]:
    if reports is not None:
        bars = {**bars, **reports.before(dates, model.reports)}
    features = model.features(bars)
    if clash := set(features) & set(STATE_COLUMNS):
        raise ModelError(
            f"{model.name}: the feature name {sorted(clash)[0]!r} is reserved; rename it"
        )
    return features


def _year_edges(months: pd.DatetimeIndex, reach: int) -> Dates:
    """Per year of ``months``, shape ``(n_years, 4)``: the earliest start of its window, its first
    day, and the start and end of its months."""
    wanted = months.to_numpy().astype("datetime64[M]")
    years = wanted.astype("datetime64[Y]")
    first = np.flatnonzero(np.append(True, years[1:] != years[:-1]))[: len(years)]
    last = np.append(first[1:], len(years)) - 1
    new_year = years[first].astype("datetime64[M]")
    edges = np.stack([new_year - reach, new_year, wanted[first], wanted[last[: len(first)]] + 1], 1)
    return edges.astype("datetime64[ns]")


class _Window(NamedTuple):
    """The bars that the months of a year see and contain, as indices of one ticker's bars."""

    first: int
    """The first bar that the months see."""
    start: int
    """The first bar in the months."""
    stop: int
    """The end of the months."""
    cut: bool
    """There are earlier bars, but too old to be read, and fewer are left than needed."""


def _windows(dates: Dates, years: Dates, need: int) -> list[_Window]:
    """The windows of the years in which the ticker has bars."""
    windows = []
    for mapped, anchor, start, stop in np.searchsorted(dates, years).tolist():
        if start < stop:
            first = max(mapped, anchor - need)
            windows.append(_Window(first, start, stop, 0 < first != anchor - need))
    return windows


def _features(
    model: TradingModel,
    bars: Bars,
    dates: Dates,
    windows: list[_Window],
    reports: Reports | None,
) -> Iterator[tuple[slice, dict[str, Array]]]:
    """The features of one ticker, and the bars that they belong to; a later result replaces an
    earlier one for the same bars."""
    one_pass = model.slice_stable and reports is None
    if one_pass:
        yield slice(None), _compute(model, bars, dates, None)
    for first, start, stop, cut in windows:
        if cut or not one_pass:
            window = {name: array[first:stop] for name, array in bars.items()}
            new_year = dates[start].astype("datetime64[Y]").astype("datetime64[M]")
            known = reports and reports.since(new_year - months_of_reports(model.reports))
            features = _compute(model, window, dates[first:stop], known)
            yield slice(start, stop), {name: a[start - first :] for name, a in features.items()}
