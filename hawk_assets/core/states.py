"""Market data to model states. Per ticker, and each month from its own bounded window."""

import numpy as np
import pandas as pd

from hawk_assets.core.commitments import Dates, Reports, months_of_reports, reports_of
from hawk_assets.core.errors import ModelError
from hawk_assets.core.model import Array, Bars, TradingModel
from hawk_assets.core.rounding import round_significant
from hawk_assets.core.sessions import months_covering, shift

VOL_BARS = 63
RESERVED = ("date", "ticker", "close", "vol_63")


def bars_needed(model: TradingModel) -> int:
    """Valid bars before a month that its states depend on: the model's own, and those of vol_63."""
    return max(model.warmup, VOL_BARS)


def months_needed(model: TradingModel) -> int:
    """Months of market data before a month that its states depend on."""
    return months_covering(bars_needed(model))


def report_months(model: TradingModel) -> int:
    """Months of commitments of traders before a month that its states depend on."""
    return months_of_reports(model.reports)


def volatility(close: Array) -> Array:
    """Standard deviation (ddof 1) of the last 63 daily log returns.

    :param close: shape ``(n_bars,)``, finite and positive
    :return: shape ``(n_bars,)``, a fraction per day; NaN for the first 63 bars. Each value depends
        on its own 64 closes only, bit for bit.
    """
    out = np.full(close.shape, np.nan)
    if len(close) > VOL_BARS:
        returns = np.diff(np.log(close))
        windows = np.lib.stride_tricks.sliding_window_view(returns, VOL_BARS)
        out[VOL_BARS:] = windows.std(axis=1, ddof=1)
    return out


def build_states(
    model: TradingModel,
    market_data: pd.DataFrame,
    months: pd.DatetimeIndex,
    commitments: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The states of ``months``: one row per row of market data in them.

    A month sees, per ticker, the last ``bars_needed`` valid bars of the ``months_needed`` months
    before it, and itself; nothing else, however much is passed. So a month computed alone and the
    same month computed within twenty years are equal in every bit.

    :param model: the model whose features are wanted
    :param market_data: the months asked for and ``months_needed`` before the first, any row order
    :param months: the months to compute, ascending
    :param commitments: commitments_of_traders of the months asked for and ``report_months`` before
        the first, for a model that reads them
    :return: date, ticker, close, vol_63 and the features, by date and ticker; features carry 10
        significant digits and are NaN where not ready or where the bar has a hole
    :raises ModelError: a feature of the wrong shape, reserved name or infinite value
    """
    columns = list(dict.fromkeys(["close", *model.inputs]))
    parts = []
    ordered = market_data.sort_values(["ticker", "date"], kind="stable")
    for ticker, rows in ordered.groupby("ticker", sort=True):
        dates = rows["date"].to_numpy("datetime64[ns]")
        inputs = {c: np.ascontiguousarray(rows[c].to_numpy(np.float64)) for c in columns}
        valid = np.logical_and.reduce([np.isfinite(v) for v in inputs.values()])
        keep = np.isin(dates.astype("datetime64[M]"), months.to_numpy().astype("datetime64[M]"))
        if not keep.any():
            continue
        bars = {c: np.ascontiguousarray(v[valid]) for c, v in inputs.items()}
        reports = reports_of(str(ticker), commitments) if model.reports else None
        values = _features_by_month(model, bars, dates[valid], months, str(ticker), reports)
        part = pd.DataFrame({"date": dates, "ticker": ticker, "close": inputs["close"]})
        for name, array in values.items():
            full = np.full(len(dates), np.nan)
            full[valid] = array
            part[name] = full
        parts.append(part[keep])
    if not parts:
        none = Reports.none() if model.reports else None
        probe = _compute(model, {c: np.empty(0) for c in columns}, np.empty(0, "M8[ns]"), none)
        empty = {"date": pd.DatetimeIndex([]), "ticker": np.empty(0, object), "close": np.empty(0)}
        return pd.DataFrame(empty | probe)
    states = pd.concat(parts, ignore_index=True)
    return states.sort_values(["date", "ticker"], kind="stable", ignore_index=True)


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
    return {"vol_63": volatility(bars["close"]), **features}


def _features_by_month(
    model: TradingModel,
    bars: Bars,
    dates: Dates,
    months: pd.DatetimeIndex,
    ticker: str,
    reports: Reports | None,
) -> dict[str, Array]:
    """Features on the bars of ``months``, NaN elsewhere; each month from its own window."""
    need, reach = bars_needed(model), months_needed(model)
    one_pass = model.slice_stable and reports is None
    whole: dict[str, Array] | None = None
    out: dict[str, Array] = {}
    begins = months.to_numpy().astype("datetime64[M]")
    edges = np.stack([begins - reach, begins, begins + 1], axis=1).astype("datetime64[ns]")
    bounds = np.searchsorted(dates, edges)
    for month, (mapped, start, stop) in zip(months, bounds, strict=True):
        if start == stop:
            continue
        first = max(mapped, start - need)
        if one_pass and (first == 0 or first == start - need):
            if whole is None:
                whole = _compute(model, bars, dates, None)
            values = {name: array[start:stop] for name, array in whole.items()}
        else:
            window = {c: v[first:stop] for c, v in bars.items()}
            known = reports and reports.since(shift(month, -report_months(model)))
            made = _compute(model, window, dates[first:stop], known)
            values = {n: a[start - first :] for n, a in made.items()}
        for name, array in values.items():
            if array.shape != (stop - start,):
                raise ModelError(
                    f"{model.name}: feature {name!r} of {ticker} in {month:%Y-%m} has shape "
                    f"{array.shape}, not one value per bar; return arrays as long as the bars"
                )
            if np.isinf(array).any():
                when = pd.Timestamp(dates[start + int(np.argmax(np.isinf(array)))])
                raise ModelError(
                    f"{model.name}: feature {name!r} of {ticker} is infinite on {when:%Y-%m-%d}; "
                    "guard the division in features()"
                )
            target = out.setdefault(name, np.full(len(dates), np.nan))
            target[start:stop] = round_significant(array)
    if not out:
        out = {
            name: np.full(len(dates), np.nan)
            for name in _compute(model, {c: v[:0] for c, v in bars.items()}, dates[:0], reports)
        }
    return out
