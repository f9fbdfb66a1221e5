"""Market data to model states. Per ticker, and each year from its own bounded window."""

import numpy as np
import pandas as pd

from hawk_assets.core.commitments import Dates, Reports, months_of_reports, reports_of
from hawk_assets.core.errors import ModelError
from hawk_assets.core.model import Array, Bars, TradingModel
from hawk_assets.core.rounding import round_significant
from hawk_assets.core.sessions import months_covering

VOL_BARS = 63
RESERVED = ("date", "ticker", "close", "vol_63")
_REST_OF_YEAR = 11


def bars_needed(model: TradingModel) -> int:
    """Valid bars before a year that its states depend on: the model's own, and those of vol_63."""
    return max(model.warmup, VOL_BARS)


def months_needed(model: TradingModel) -> int:
    """Months of market data before a month that its states depend on: as a December needs."""
    return months_covering(bars_needed(model)) + _REST_OF_YEAR


def report_months(model: TradingModel) -> int:
    """Months of commitments of traders before a month that its states depend on."""
    return months_of_reports(model.reports) + _REST_OF_YEAR if model.reports else 0


def bars_behind(
    model: TradingModel, market_data: pd.DataFrame, ticker: str, session: pd.Timestamp
) -> pd.DataFrame:
    """The raw rows that a state is made of: the features of ``session`` see no others.

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


def volatility(close: Array) -> Array:
    """Standard deviation (ddof 1) of the last 63 daily log returns.

    :param close: shape ``(n_bars,)``, finite and positive
    :return: shape ``(n_bars,)``, a fraction per day; NaN for the first 63 bars. Each value depends
        on its own 64 closes only, bit for bit.
    """
    out = np.full(close.shape, np.nan)
    if len(close) > VOL_BARS:
        returns = np.diff(np.log(close))
        # Sums of whole shifted arrays: the same steps for every value, in half the time of windows.
        shifted = [returns[k : len(returns) - VOL_BARS + 1 + k] for k in range(VOL_BARS)]
        mean = sum(shifted) / VOL_BARS
        out[VOL_BARS:] = np.sqrt(sum((x - mean) ** 2 for x in shifted) / (VOL_BARS - 1))
    return out


def build_states(
    model: TradingModel,
    market_data: pd.DataFrame,
    months: pd.DatetimeIndex,
    commitments: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The states of ``months``: one row per row of market data in them.

    A recursive indicator remembers where it was started, so the start is part of the definition:
    the months of a year see, per ticker, the last ``bars_needed`` valid bars before that year, and
    the year up to themselves; nothing else, however much is passed. So a month computed alone and
    the same month computed within twenty years are equal in every bit.

    :param model: the model whose features are wanted
    :param market_data: the months asked for and ``months_needed`` before the first, any row order
    :param months: the months to compute, ascending
    :param commitments: commitments_of_traders of the months asked for and ``report_months`` before
        the first, for a model that reads them
    :return: date, ticker, close, vol_63 and the features, by date and ticker; features carry 10
        significant digits and are NaN where not ready or where the bar has a hole
    :raises ModelError: a feature of the wrong shape, reserved name or infinite value
    """
    codes, tickers = pd.factorize(market_data["ticker"], sort=True)
    dates = market_data["date"].to_numpy("datetime64[ns]")
    ascending = (dates[1:] > dates[:-1]) | ((dates[1:] == dates[:-1]) & (codes[1:] >= codes[:-1]))
    if not ascending.all():
        market_data = market_data.iloc[np.lexsort((codes, dates))]
        return build_states(model, market_data, months, commitments)
    # A radix sort, which NumPy keeps for short integers, brings each ticker's rows together.
    by_ticker = np.argsort(codes.astype(np.min_scalar_type(len(tickers))), kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(tickers)))
    wanted = np.isin(dates.astype("datetime64[M]"), months.to_numpy().astype("datetime64[M]"))
    dates, codes, wanted = dates[by_ticker], codes[by_ticker], wanted[by_ticker]
    columns = dict.fromkeys(["close", *model.inputs])
    inputs = {c: market_data[c].to_numpy(np.float64)[by_ticker] for c in columns}
    valid = np.logical_and.reduce([np.isfinite(v) for v in inputs.values()])
    none = Reports.none() if model.reports else None
    nothing = _compute(model, {c: v[:0] for c, v in inputs.items()}, dates[:0], none)
    features = {name: np.full(len(dates), np.nan) for name in ["vol_63", *nothing]}
    years = _year_edges(months, months_covering(bars_needed(model)))
    for ticker, begin, end in zip(tickers, np.append(0, ends), ends, strict=False):
        if wanted[begin:end].any():
            rows = begin + np.flatnonzero(valid[begin:end])
            bars = {c: v[rows] for c, v in inputs.items()}
            reports = reports_of(str(ticker), commitments) if model.reports else None
            for name, array in _features(model, bars, dates[rows], years, reports, ticker).items():
                features[name][rows] = array
    back = np.empty_like(by_ticker)
    back[by_ticker] = np.arange(len(by_ticker))
    keep = back[wanted[back]]
    states = {
        "date": dates[keep],
        "ticker": np.asarray(tickers, object)[codes[keep]],
        "close": inputs["close"][keep],
    }
    return pd.DataFrame(
        states | {name: round_significant(array[keep]) for name, array in features.items()}
    )


def _compute(
    model: TradingModel, bars: Bars, dates: Dates, reports: Reports | None
) -> dict[str, Array]:
    if reports is not None:
        bars = {**bars, **reports.before(dates, model.reports)}
    features = model.features(bars)
    if clash := set(features) & set(RESERVED):
        raise ModelError(
            f"{model.name}: the feature name {sorted(clash)[0]!r} is reserved; rename it"
        )
    return features


def _year_edges(months: pd.DatetimeIndex, reach: int) -> Dates:
    """Per year of ``months``, shape ``(n_years, 4)``: where its window may begin, its first day,
    and the begin and end of the months wanted of it."""
    wanted = months.to_numpy().astype("datetime64[M]")
    years = wanted.astype("datetime64[Y]")
    first = np.flatnonzero(np.append(True, years[1:] != years[:-1]))[: len(years)]
    last = np.append(first[1:], len(years)) - 1
    new_year = years[first].astype("datetime64[M]")
    edges = np.stack([new_year - reach, new_year, wanted[first], wanted[last[: len(first)]] + 1], 1)
    return edges.astype("datetime64[ns]")


def _features(
    model: TradingModel,
    bars: Bars,
    dates: Dates,
    years: Dates,
    reports: Reports | None,
    ticker: str,
) -> dict[str, Array]:
    """Features on the wanted bars, shape ``(n_bars,)``; each year from its own window."""
    need = bars_needed(model)
    one_pass = model.slice_stable and reports is None
    whole = _compute(model, bars, dates, None) if one_pass else {}
    whole["vol_63"] = volatility(bars["close"])
    out: dict[str, Array] = {}
    new_years = years[:, 1].astype("datetime64[M]")
    bounds = np.searchsorted(dates, years)
    for (mapped, anchor, start, stop), new_year in zip(bounds, new_years, strict=True):
        if start == stop:
            continue
        first = max(mapped, anchor - need)
        cut = 0 < first != anchor - need
        values = {} if cut else {name: array[start:stop] for name, array in whole.items()}
        if cut or not one_pass:
            window = {c: v[first:stop] for c, v in bars.items()}
            known = reports and reports.since(new_year - months_of_reports(model.reports))
            made = _compute(model, window, dates[first:stop], known)
            if cut:
                made["vol_63"] = volatility(window["close"])
            values |= {name: array[start - first :] for name, array in made.items()}
        for name, array in values.items():
            if array.shape != (stop - start,):
                raise ModelError(
                    f"{model.name}: feature {name!r} of {ticker} in {str(new_year)[:4]} has shape "
                    f"{array.shape}, not one value per bar; return arrays as long as the bars"
                )
            if name not in out:
                out[name] = np.full(len(dates), np.nan)
            out[name][start:stop] = array
    for name, array in out.items():
        if (infinite := np.isinf(array)).any():
            when = pd.Timestamp(dates[int(np.argmax(infinite))])
            raise ModelError(
                f"{model.name}: feature {name!r} of {ticker} is infinite on {when:%Y-%m-%d}; "
                "guard the division in features()"
            )
    return out
