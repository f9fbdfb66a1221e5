"""The contract of a trading model, one check per clause.

Each check takes a model and a market_data frame. It raises an AssertionError that names the model,
the column, the ticker and the date, or the ModelError of the package. A model that reads
commitments of traders gets ``markets.weekly_reports``. ``test_contract`` applies ``CLAUSES`` to
every discovered model, ``test_mutants`` applies them to models that break them.
docs/adding_a_model.md explains each clause.
"""

import copy
import pickle
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from functools import lru_cache

import numpy as np
import pandas as pd

from hawk_assets.core.model import Array, Bars, TradingModel
from hawk_assets.core.schemas import (
    INSIGHTS_SCHEMA,
    MARKET_DATA_SCHEMA,
    MODEL_STATES_SCHEMA,
    STATE_COLUMNS,
    validate,
)
from hawk_assets.core.sessions import in_months, month_starts, sessions_of, shift
from hawk_assets.insights import builder as insights_stage
from hawk_assets.insights.builder import build_insights
from hawk_assets.insights.sizing import DEFAULT_SIZING
from hawk_assets.model_states import builder as states_stage
from hawk_assets.model_states.builder import bars_needed, build_states, report_months
from hawk_assets.model_states.commitments_of_traders import NUMBERS, reports_of
from hawk_assets.model_states.rounding import round_significant
from hawk_assets_tests.markets import PRICES, weekly_reports

KEYS = ["date", "ticker"]
MARKET_NUMBERS = [column for column in MARKET_DATA_SCHEMA.columns if column not in KEYS]
TOLERANCE = 1e-9
SIGNAL_TOLERANCE = 1e-6

LOOKS_AHEAD = "features() or signal() uses data after the date of the row."
NEEDS_MORE = (
    "features() or signal() depends on more than its window: on statistics over all the bars or "
    "sessions it is given, or on more than lookback sessions."
)
NOT_STABLE = (
    "warmup is too short, or features are recursive, a running sum or scaled by the whole slice: "
    "remove slice_stable."
)
IN_DOLLARS = "Divide by a price, or use returns, so that the unit of the price cancels out."
RANDOM = "The result depends on chance, or on what was computed before."
READS_ELSEWHERE = "features() or signal() depends on something other than its argument."


# What the checks share


class _Market:
    """A frame that can be a cache key: equal where the contents are."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.key = (len(frame), int(pd.util.hash_pandas_object(frame).sum()))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Market) and self.key == other.key


@lru_cache(maxsize=2)
def _whole(model: TradingModel, market: _Market) -> tuple[pd.DataFrame, pd.DataFrame]:
    months = _months(market.frame)
    states = _states(model, market.frame, months)
    return states, build_insights(model, states, months)


def whole(model: TradingModel, market_data: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """States and insights of all months in one run, computed once for all clauses."""
    return _whole(model, _Market(market_data))


def _reports(model: TradingModel, market_data: pd.DataFrame) -> pd.DataFrame:
    """The weekly reports that are public when the market data ends; none for a model without."""
    tickers = market_data["ticker"].unique() if model.reports else []
    reports = pd.concat([weekly_reports("NONE")[:0], *(weekly_reports(t) for t in tickers)])
    return reports[reports["release_date"] <= market_data["date"].max()]


def _states(
    model: TradingModel,
    market_data: pd.DataFrame,
    months: pd.DatetimeIndex,
    reports: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """States of the months, by default with all reports that are public."""
    if reports is None:
        reports = _reports(model, market_data)
    return build_states(model, market_data, months, reports)


def _months(frame: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(np.unique(month_starts(frame["date"])))


def _span(last: pd.Timestamp, before: int, after: int = 0) -> pd.DatetimeIndex:
    return pd.date_range(shift(last, -before), shift(last, after), freq="MS")


def _up_to(frame: pd.DataFrame, date: pd.Timestamp) -> pd.DataFrame:
    return frame[frame["date"] <= date].reset_index(drop=True)


def _around(frame: pd.DataFrame, month: pd.Timestamp, cut: pd.Timestamp) -> pd.DataFrame:
    return _up_to(in_months(frame, _span(month, 2)), cut)


def _same(
    actual: pd.DataFrame,
    expected: pd.DataFrame,
    what: str,
    hint: str,
    atol: float | None = None,
) -> None:
    """Equal rows and columns, and numbers equal in every bit, or to ``atol``.

    :param what: how ``actual`` was computed, for the message
    :param hint: the usual causes of a difference, for the message
    """
    assert list(actual) == list(expected), f"{what}: columns {list(actual)}, not {list(expected)}"
    actual, expected = actual.reset_index(drop=True), expected.reset_index(drop=True)
    if not actual[KEYS].equals(expected[KEYS]):
        rows = actual[KEYS].merge(expected[KEYS], how="outer", indicator=True)
        odd = rows[rows["_merge"] != "both"].to_string(index=False, header=False, max_rows=4)
        raise AssertionError(f"{what}: different rows, or a different order:\n{odd}")
    for column in actual.select_dtypes("number"):
        left, right = actual[column].to_numpy(), expected[column].to_numpy()
        if atol is None:
            equal = (left.view(np.int64) == right.view(np.int64)) | (
                np.isnan(left) & np.isnan(right)
            )
        else:
            equal = np.isclose(left, right, rtol=0.0, atol=atol, equal_nan=True)
        if not equal.all():
            row = int(np.argmin(equal))
            raise AssertionError(
                f"{what}: {column} of {actual['ticker'][row]} on {actual['date'][row]:%Y-%m-%d} "
                f"is {left[row]}, not {right[row]} ({(~equal).sum()} rows differ). {hint}"
            )


def _wide(states: pd.DataFrame) -> dict[str, pd.DataFrame]:
    names = [c for c in states if c not in KEYS]
    return {c: states.pivot(index="date", columns="ticker", values=c) for c in names}


def bars_of(model: TradingModel, market_data: pd.DataFrame) -> dict[str, tuple[Bars, Array]]:
    """Per ticker, the argument of ``features`` for its whole history, and the dates."""
    columns = list(dict.fromkeys(["close", *model.inputs]))
    valid = market_data[np.isfinite(market_data[columns].to_numpy(float)).all(axis=1)]
    reports, found = _reports(model, market_data), {}
    for ticker, rows in valid.sort_values(KEYS).groupby("ticker"):
        dates = rows["date"].to_numpy()
        bars = {c: np.ascontiguousarray(rows[c].to_numpy(float)) for c in columns}
        if model.reports:
            bars |= reports_of(str(ticker), reports).before(dates, model.reports)
        found[str(ticker)] = bars, dates
    return found


def _recomputed(
    model: TradingModel,
    market_data: pd.DataFrame,
    stored: pd.DataFrame,
    month: pd.Timestamp,
    reports: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """States and insights from two months before ``month`` to two after it, computed as a refresh
    does: from ``market_data``, and from the stored states of earlier months."""
    months = _span(month, 2, 2).intersection(_months(market_data))
    mapped = _span(months[0], states_stage.months_needed(model)).union(months)
    states = _states(model, in_months(market_data, mapped), months, reports)
    before = _span(months[0], insights_stage.months_needed(model))[:-1]
    history = pd.concat([in_months(stored, before), states], ignore_index=True)
    return states, build_insights(model, history, months)


def _cuts(market_data: pd.DataFrame) -> list[pd.Timestamp]:
    """Sessions to cut at: in the middle of months, at the end of one, and near the last bar."""
    sessions = sessions_of(market_data["date"])
    months = month_starts(sessions)
    starts = np.flatnonzero(np.append(True, months[1:] != months[:-1]))
    early, late = starts[len(starts) // 2], starts[9 * len(starts) // 10]
    return [sessions[early + 9], sessions[late - 1], sessions[late + 6], sessions[-8]]


# The clauses


def check_identity(model: TradingModel, market_data: pd.DataFrame) -> None:
    """The model is frozen, hashable and picklable; its name and declarations are valid."""
    label = type(model).__name__
    assert re.fullmatch(r"[a-z][a-z0-9_]*", model.name), (
        f"{label}: name {model.name!r}; use lower case, digits and underscores"
    )
    try:
        copy.copy(model).changed = True
    except FrozenInstanceError:
        pass
    else:
        raise AssertionError(f"{label} is not frozen: decorate it with @dataclass(frozen=True)")
    try:
        twin = pickle.loads(pickle.dumps(model))
        same = twin == model and hash(twin) == hash(model) and twin.name == model.name
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise AssertionError(f"{label} cannot be hashed or pickled: {error}") from error
    assert same, f"{label} is not equal to its own pickle, or has another name or hash"
    for memory in (model.warmup, model.lookback, model.reports):
        assert type(memory) is int, (
            f"{label}: warmup, lookback and reports must be of type int, not {memory!r}"
        )
        assert memory >= 0, f"{label}: warmup, lookback and reports must be >= 0, not {memory}"
    assert isinstance(model.slice_stable, bool), f"{label}: slice_stable must be True or False"
    unknown = set(model.inputs) - set(MARKET_NUMBERS)
    assert isinstance(model.inputs, tuple), f"{label}: inputs must be a tuple of column names"
    assert not unknown, f"{label}: inputs {sorted(unknown)} are not columns of market_data"


def check_range(model: TradingModel, market_data: pd.DataFrame) -> None:
    """States have the shape of the market, finite or NaN; insights are bounded, without NaN."""
    states, insights = whole(model, market_data)
    validate(MODEL_STATES_SCHEMA, states, f"{model.name} states")
    validate(INSIGHTS_SCHEMA, insights, f"{model.name} insights")
    _check_shape(model, market_data, states, insights)
    assert (insights["signal"] != 0).any(), f"{model.name}: the signal is 0 in the whole market"


def _check_shape(
    model: TradingModel, market_data: pd.DataFrame, states: pd.DataFrame, insights: pd.DataFrame
) -> None:
    features = [c for c in states if c not in STATE_COLUMNS]
    assert features, f"{model.name}: features() returns no feature"
    assert list(states)[:4] == list(STATE_COLUMNS), f"{model.name}: columns {list(states)}"
    assert not np.isinf(states[features].to_numpy(float)).any(), f"{model.name}: infinite feature"
    expected = market_data.sort_values(KEYS, ignore_index=True)[KEYS]
    assert states[KEYS].equals(expected), f"{model.name}: states are not one row per bar"
    numbers = insights[["signal", "weight"]].to_numpy(float)
    assert (np.abs(numbers) <= 1).all(), f"{model.name}: a signal or weight is NaN or exceeds 1"
    gross = insights["weight"].abs().groupby(insights["date"]).sum()
    assert (gross <= 1 + 1e-12).all(), (
        f"{model.name}: gross {gross.max()} on {gross.idxmax():%Y-%m-%d}"
    )


def check_truncation(model: TradingModel, market_data: pd.DataFrame) -> None:
    """Removing the data after a date changes nothing up to that date."""
    stored, insights = whole(model, market_data)
    for cut in _cuts(market_data):
        past, month = _up_to(market_data, cut), cut.to_period("M").to_timestamp()
        states, opinion = _recomputed(model, past, stored, month)
        what = f"{model.name}: without the data after {cut:%Y-%m-%d}"
        _same(states, _around(stored, month, cut), f"{what}, states", LOOKS_AHEAD)
        _same(opinion, _around(insights, month, cut), f"{what}, insights", LOOKS_AHEAD)


def check_poison(model: TradingModel, market_data: pd.DataFrame) -> None:
    """Noise on the data after a date changes nothing up to that date."""
    stored, insights = whole(model, market_data)
    rng = np.random.default_rng(5)
    reports = _reports(model, market_data)
    for cut in _cuts(market_data):
        future = _poisoned(market_data, "date", cut, MARKET_NUMBERS, rng)
        eve = cut - pd.Timedelta(days=1)  # a report of the day itself counts from the next session
        known = _poisoned(reports, "release_date", eve, list(NUMBERS), rng)
        month = cut.to_period("M").to_timestamp()
        states, opinion = _recomputed(model, future, stored, month, known)
        what = f"{model.name}: with noise on the data after {cut:%Y-%m-%d}"
        _same(_up_to(states, cut), _around(stored, month, cut), f"{what}, states", LOOKS_AHEAD)
        _same(_up_to(opinion, cut), _around(insights, month, cut), f"{what}, insights", LOOKS_AHEAD)


def _poisoned(
    frame: pd.DataFrame,
    date: str,
    cut: pd.Timestamp,
    columns: list[str],
    rng: np.random.Generator,
) -> pd.DataFrame:
    noise = np.exp(rng.normal(0.0, 0.3, (len(frame), len(columns))))
    noise[(frame[date] <= cut).to_numpy()] = 1.0
    return frame.assign(**(frame[columns] * noise))


def check_window(model: TradingModel, market_data: pd.DataFrame) -> None:
    """A month computed alone, from the months it depends on, equals that month of a full run."""
    stored, insights = whole(model, market_data)
    months, reports = _months(market_data), _reports(model, market_data)
    for month in months[np.unique(np.linspace(0, len(months) - 1, 10).astype(int))]:
        alone = pd.DatetimeIndex([month])
        what = f"{model.name}: {month:%Y-%m} computed alone"
        mapped = in_months(market_data, _span(month, states_stage.months_needed(model)))
        known = _span(month, report_months(model))
        released = reports[month_starts(reports["release_date"]).isin(known)]
        states = _states(model, mapped, alone, released)
        _same(states, in_months(stored, alone), f"{what}, states", NEEDS_MORE)
        mapped = in_months(stored, _span(month, insights_stage.months_needed(model)))
        opinion = build_insights(model, mapped, alone)
        _same(opinion, in_months(insights, alone), f"{what}, insights", NEEDS_MORE)


def check_memory(model: TradingModel, market_data: pd.DataFrame) -> None:
    """``warmup`` and ``lookback`` suffice: with more bars than declared, a feature changes by less
    than 1e-9 and no signal flips; from exactly ``lookback`` sessions of states before a session,
    its signal is the same in every bit."""
    stored, _ = whole(model, market_data)
    names = [c for c in stored if c not in STATE_COLUMNS]
    parts = []
    for ticker, (bars, dates) in bars_of(model, market_data).items():
        features = {n: round_significant(a) for n, a in model.features(bars).items()}
        parts.append(pd.DataFrame({"date": dates, "ticker": ticker, **features}))
    longer = stored[list(STATE_COLUMNS)].merge(pd.concat(parts), how="left", on=KEYS)
    for name in names:
        typical = stored[name].abs().groupby(stored["ticker"]).transform("median").fillna(0.0)
        bound = TOLERANCE * np.maximum(typical, stored[name].abs()) + 1e-15
        error = (longer[name] - stored[name]).abs()
        wrong = (error > bound) | (longer[name].isna() != stored[name].isna())
        if wrong.any():
            row = stored[wrong].iloc[0]
            raise AssertionError(
                f"{model.name}: {name} of {row['ticker']} on {row['date']:%Y-%m-%d} is "
                f"{row[name]} after {bars_needed(model)} bars but {longer[name][wrong].iloc[0]} "
                f"after all of them ({wrong.sum()} such rows): warmup is too short, or features() "
                "looks ahead"
            )
    wide = _wide(stored)
    signal = model.signal(wide)
    flipped = ~np.isclose(
        signal, model.signal(_wide(longer)), rtol=0.0, atol=SIGNAL_TOLERANCE, equal_nan=True
    )
    if flipped.any():
        row, column = np.argwhere(flipped)[0]
        raise AssertionError(
            f"{model.name}: with more bars than declared {flipped.sum()} signals change, first "
            f"{signal.columns[column]} on {signal.index[row]:%Y-%m-%d}: warmup is too short, or "
            "signal() compares a rounding error with a threshold"
        )
    for row in {*np.linspace(0, len(signal) - 1, 6).astype(int), *_ends_of_longest_runs(signal)}:
        recent = {n: f.iloc[max(0, row - model.lookback) : row + 1] for n, f in wide.items()}
        assert model.signal(recent).iloc[-1].equals(signal.iloc[row]), (
            f"{model.name}: on {signal.index[row]:%Y-%m-%d} the signal from the {model.lookback} "
            "sessions before differs from the signal from all sessions: lookback is too short"
        )


def _ends_of_longest_runs(signal: pd.DataFrame) -> list[int]:
    """Per ticker, the last session of its longest unchanged opinion: a hold expires there."""
    ends = []
    for _, column in signal.reset_index(drop=True).items():
        runs = column.ne(column.shift()).cumsum()[column.ne(0.0) & column.notna()]
        if len(runs):
            ends.append(int(runs[runs == runs.value_counts().idxmax()].index[-1]))
    return ends


def check_inputs(model: TradingModel, market_data: pd.DataFrame) -> None:
    """Columns that ``inputs`` does not declare have no influence."""
    undeclared = [c for c in MARKET_NUMBERS if c not in ("close", *model.inputs)]
    months = _months(market_data)
    garbage = np.where(np.arange(len(market_data)) % 2, np.nan, -1e9)
    try:
        states = _states(model, market_data.assign(**dict.fromkeys(undeclared, garbage)), months)
    except KeyError as missing:
        raise AssertionError(
            f"{model.name}: features() reads {missing}, which inputs does not declare"
        ) from missing
    what = f"{model.name}: with garbage in {', '.join(undeclared)}"
    _same(states, whole(model, market_data)[0], what, "Declare in inputs what features() reads.")


def check_slice_stable(model: TradingModel, market_data: pd.DataFrame) -> None:
    """Where claimed, the features of a slice equal the slice of the features, bit for bit."""
    if not model.slice_stable:
        return
    rng = np.random.default_rng(3)
    for ticker, (bars, dates) in bars_of(model, market_data).items():
        full = model.features(bars)
        last = max(2, len(dates) - model.warmup - 30)
        starts = (0, 0, *rng.integers(1, last, 5))
        for start, ready in zip(starts, (1, 2, 1, 2, 3, 21, 40), strict=True):
            stop = min(len(dates), start + model.warmup + ready)
            skip = model.warmup if start else 0
            part = model.features({c: v[start:stop] for c, v in bars.items()})
            for name, values in part.items():
                given = pd.DataFrame({"date": dates[start:stop], "ticker": ticker, name: values})
                wanted = given.assign(**{name: full[name][start:stop]})
                what = f"{model.name}: claims slice_stable, but from bars {start} to {stop} alone"
                _same(given[skip:], wanted[skip:], what, NOT_STABLE)


def check_scale(model: TradingModel, market_data: pd.DataFrame) -> None:
    """Another unit of price, as after a split, changes no insight."""
    recent = _months(market_data)[-20:]
    needed = _span(recent[0], insights_stage.months_needed(model)).union(recent)
    expected = in_months(whole(model, market_data)[1], recent)
    tickers = pd.factorize(market_data["ticker"])[0]
    for turn in range(3):
        factor = np.array([7.0, 0.01, 1e-5])[(tickers + turn) % 3]
        prices = market_data[PRICES].mul(factor, axis=0)
        states = _states(model, market_data.assign(**prices), needed)
        what = f"{model.name}: with prices times 7, 0.01 or 1e-5"
        opinion = build_insights(model, states, recent)
        _same(opinion, expected, what, IN_DOLLARS, SIGNAL_TOLERANCE)


def check_holes(model: TradingModel, market_data: pd.DataFrame) -> None:
    """A bar with a hole has no influence on features; a ticker without bars has insights for the
    ``hold_sessions`` of the sizing, then none."""
    states, insights = whole(model, market_data)
    inputs = list(dict.fromkeys(["close", *model.inputs]))
    valid = np.isfinite(market_data[inputs].to_numpy(float)).all(axis=1)
    compressed = market_data[valid]
    again = _states(model, compressed, _months(compressed))
    kept = states.merge(compressed[KEYS], on=KEYS)
    _same(again, kept, f"{model.name}: without the bars that have a hole, states", READS_ELSEWHERE)
    holes = states.merge(market_data[~valid][KEYS], on=KEYS).drop(columns="close")
    filled = holes.drop(columns=KEYS).notna().any(axis=1)
    assert not filled.any(), f"{model.name}: features on bars with a hole:\n{holes[filled].head()}"

    hold = DEFAULT_SIZING.hold_sessions
    traded = market_data[market_data["close"].notna()].assign(traded=True)
    wide = traded.pivot(index="date", columns="ticker", values="traded").notna()
    wide = wide.reindex(sessions_of(market_data["date"]), fill_value=False)
    listed = wide.astype(float).rolling(hold + 1, min_periods=1).max() > 0
    found = insights.assign(found=True).pivot(index="date", columns="ticker", values="found")
    found = found.reindex(index=wide.index, columns=wide.columns).notna()
    odd = (found != listed).stack()
    assert not odd.any(), (
        f"{model.name}: a row without a bar for {hold} sessions, or none with one: "
        f"{list(odd[odd].index[:3])}"
    )


def check_order(model: TradingModel, market_data: pd.DataFrame) -> None:
    """The order of rows has no influence, and the same input gives the same output."""
    states, insights = whole(model, market_data)
    months = _months(market_data)
    shuffled = market_data.sample(frac=1.0, random_state=2)
    reports = _reports(model, market_data).sample(frac=1.0, random_state=2)
    again = _states(model, shuffled, months, reports)
    _same(again, states, f"{model.name}: with the rows of market data shuffled, states", RANDOM)
    opinion = build_insights(model, states.sample(frac=1.0, random_state=2), months)
    _same(opinion, insights, f"{model.name}: with the rows of states shuffled, insights", RANDOM)


def check_purity(model: TradingModel, market_data: pd.DataFrame) -> None:
    """Neither function writes to its argument."""
    bars, _ = next(iter(bars_of(model, market_data).values()))
    for values in bars.values():
        values.setflags(write=False)
    try:
        model.features(bars)
    except ValueError as error:
        raise AssertionError(f"{model.name}: features() writes to its bars: {error}") from error
    given = _wide(whole(model, market_data)[0])
    kept = {name: frame.copy() for name, frame in given.items()}
    model.signal(given)
    assert list(given) == list(kept), f"{model.name}: signal() adds or removes states"
    for name, frame in given.items():
        assert frame.equals(kept[name]), f"{model.name}: signal() writes to states[{name!r}]"


def check_small_markets(model: TradingModel, market_data: pd.DataFrame) -> None:
    """The model works on no data, one bar, 30 bars, one ticker, a flat price, integer prices."""
    ticker = market_data["ticker"].iloc[0]
    single = market_data[market_data["ticker"] == ticker].reset_index(drop=True)
    flat = single.assign(**dict.fromkeys(PRICES, 40.0), volume=0.0)
    rounded = single.assign(**single[PRICES].round())
    for market in (single[:0], single[:1], single[:30], single, flat, rounded):
        months = _months(market) if len(market) else _months(single[:1])
        states = _states(model, market, months)
        _check_shape(model, market, states, build_insights(model, states, months))
    _same(
        _states(model, single.assign(**single[PRICES].round().astype(int)), months),
        states,
        f"{model.name}: with prices of type int",
        READS_ELSEWHERE,
    )


Clause = Callable[[TradingModel, pd.DataFrame], None]
CLAUSES: tuple[Clause, ...] = (
    check_identity,
    check_range,
    check_truncation,
    check_poison,
    check_window,
    check_memory,
    check_inputs,
    check_slice_stable,
    check_scale,
    check_holes,
    check_order,
    check_purity,
    check_small_markets,
)
