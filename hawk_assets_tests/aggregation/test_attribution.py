import numpy as np
import pandas as pd
import pytest

from hawk_assets.aggregation.attribution import NETTING, attribute
from hawk_assets.aggregation.combination import build_contributions, combine_insights
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.schemas import ATTRIBUTION_SCHEMA, validate
from hawk_assets.core.sessions import in_months, month_starts, shift
from hawk_assets.simulation.parameters import SimulationParameters
from hawk_assets.simulation.performance import simulate
from hawk_assets_tests.aggregation.samples import months
from hawk_assets_tests.aggregation.test_combination import (
    TICKERS,
    insight_table,
    random_case,
    share_table,
)

PARAMETERS = AggregationParameters()


def prices(sessions, seed=1, holes=0.05):
    """Closes of all tickers, with holes except on the first session."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (len(sessions), len(TICKERS))), axis=0))
    close[1:][rng.random((len(sessions) - 1, len(TICKERS))) < holes] = np.nan
    rows = [
        (date, ticker, close[i, j])
        for i, date in enumerate(sessions)
        for j, ticker in enumerate(TICKERS)
    ]
    return pd.DataFrame(rows, columns=["date", "ticker", "close"])


def steady_case(seed=0, holes=0.05):
    """Four months in which every model has an insight on every ticker and session."""
    rng = np.random.default_rng(seed)
    sessions = pd.bdate_range("2023-11-01", "2024-03-29")
    insights = {
        m: insight_table([(d, t, rng.normal(0, 0.1)) for d in sessions for t in TICKERS])
        for m in "abc"
    }
    weights = share_table(months("2023-12-01", 4), a=0.5, b=0.2, c=0.3)
    return weights, insights, prices(sessions, holes=holes), months("2024-01-01", 3)


@pytest.mark.parametrize("seed", range(3))
def test_the_contributions_add_up_to_the_book_within_1e_15(seed):
    weights, insights, sessions, wanted = random_case(seed)
    book, _ = combine_insights(weights, insights, sessions, wanted, PARAMETERS)
    total, exact = {}, {}
    for month in build_contributions(weights, insights, sessions, wanted, PARAMETERS):
        for i, date in enumerate(month.sessions):
            for k, ticker in enumerate(month.tickers):
                said = month.weight[:, i, k][np.isfinite(month.weight[:, i, k])]
                if len(said):
                    total[date, ticker] = sum(said)
                    exact[date, ticker] = float(np.sum(said, dtype=np.longdouble))
    found = dict(zip(zip(book["date"], book["ticker"], strict=True), book["weight"], strict=True))
    assert {(np.datetime64(d), t): w for (d, t), w in found.items()} == total
    assert max(abs(total[key] - exact[key]) for key in total) < 1e-15


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_each_row_equals_a_loop_over_sessions(lag):
    weights, insights, market_data, wanted = steady_case(holes=0.0)
    found = attribute(weights, insights, market_data, wanted, lag, PARAMETERS)
    validate(ATTRIBUTION_SCHEMA, found, "attribution")
    close = market_data.pivot(index="date", columns="ticker", values="close")
    said = {
        m: f.pivot(index="date", columns="ticker", values="weight") for m, f in insights.items()
    }
    share = weights.set_index(["month", "model"])["weight"]
    sessions = list(close.index)
    for row in found[found["model"] != NETTING].itertuples():
        month = [i for i, d in enumerate(sessions) if d.replace(day=1) == row.month]

        def held(i, row=row):
            own = share[sessions[i].replace(day=1), row.model]
            return own * said[row.model].at[sessions[i], row.ticker]

        path = close[row.ticker]
        earned = sum(held(i - 1 - lag) * (path.iloc[i] / path.iloc[i - 1] - 1) for i in month)
        assert row.weight == pytest.approx(np.mean([held(i) for i in month]), abs=1e-15)
        assert row.gross_weight == pytest.approx(np.mean([abs(held(i)) for i in month]), abs=1e-15)
        assert row.gross_return == pytest.approx(earned, abs=1e-14)
    assert len(found) == 3 * (3 * len(TICKERS) + len(TICKERS))


@pytest.mark.parametrize("lag", [0, 1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_with_holes_each_row_equals_a_loop_over_the_closes_of_its_ticker(seed, lag):
    """A model's part of each position in dollars, of a book that starts at 1 in December."""
    weights, insights, market_data, wanted = steady_case(seed, holes=0.25)
    found = attribute(weights, insights, market_data, wanted, lag, PARAMETERS)
    close = market_data.pivot(index="date", columns="ticker", values="close")
    close = close[close.index >= "2023-12-01"]
    share = weights.set_index(["month", "model"])["weight"]
    said = {
        m: {d: dict(zip(rows["ticker"], rows["weight"], strict=True))
            for d, rows in frame.groupby("date")}
        for m, frame in insights.items()
    }  # fmt: skip
    keys = [(model, ticker) for model in said for ticker in TICKERS]
    dollars, value = dict.fromkeys(keys, 0.0), 1.0
    earned = {(month, *key): 0.0 for month in wanted for key in keys}
    for date, closes in close.iterrows():
        before, month = value, date.replace(day=1)
        fills = {}
        for ticker in TICKERS:
            own = close.index[close[ticker].notna() & (close.index <= date)]
            if np.isnan(closes[ticker]) or len(own) <= max(lag, 1):
                continue
            gain = closes[ticker] / close.at[own[-2], ticker] - 1
            if lag == 0:
                due = close.index[(close.index > own[-2]) & (close.index <= date)]
            else:
                due = close.index[(close.index >= own[-1 - lag]) & (close.index < own[-lag])]
            for model in said:
                profit = dollars[model, ticker] * gain
                dollars[model, ticker] += profit
                value += profit
                if month in wanted:
                    earned[month, model, ticker] += profit / before
                weight = share[due[-1].replace(day=1), model] * said[model][due[-1]][ticker]
                fills[model, ticker] = weight
        dollars |= {key: weight * value for key, weight in fills.items()}
    rows = found[found["model"] != NETTING].set_index(["month", "model", "ticker"])
    assert len(rows) == len(earned)
    for key, profit in earned.items():
        assert rows.at[key, "gross_return"] == pytest.approx(profit, abs=1e-13)


def test_a_ticker_that_trades_on_every_day_moves_no_trade_of_the_others():
    """Friday's decision for T0 is filled on Monday, at Monday's close, whatever COIN does."""
    days = pd.date_range("2023-12-01", "2024-01-31")
    market_data = pd.concat(
        [
            pd.DataFrame({"date": days, "ticker": "COIN", "close": 1.0}),
            pd.DataFrame({"date": days[days.weekday < 5], "ticker": "T0"}).assign(
                close=lambda t: 100.0 + (t["date"] >= "2024-01-09") * 10.0
            ),
        ]
    )
    weights = share_table(months("2023-12-01", 2), a=1.0)
    for decided, gain in [("2024-01-05", 0.1), ("2024-01-06", 0.1), ("2024-01-08", 0.0)]:
        sold = insight_table([(d, "T0", 0.0) for d in days])
        first = pd.Timestamp(decided)
        sold.loc[sold["date"] >= first, "weight"] = 0.5
        found = attribute(
            weights, {"a": sold}, market_data, months("2024-01-01"), 1, PARAMETERS
        ).set_index("ticker")
        assert found.at["T0", "gross_return"] == pytest.approx(0.5 * gain)


def test_every_column_adds_up_to_the_books_own():
    """Gross exposure too, with netting; the return is that of the simulator without costs."""
    weights, insights, market_data, wanted = steady_case()
    found = attribute(weights, insights, market_data, wanted, 1, PARAMETERS)
    sessions = pd.DatetimeIndex(market_data["date"].unique())
    known = wanted.insert(0, shift(wanted[0], -1))
    book, _ = combine_insights(weights, insights, sessions, known, PARAMETERS)
    free = SimulationParameters(slippage_bps=0.0)
    account = simulate("book", book, market_data, known, None, free)
    total = found.groupby("month")[["weight", "gross_weight", "gross_return"]].sum()
    daily = book.groupby("date")["weight"].agg(net="sum", gross=lambda w: w.abs().sum())
    per_month = daily.groupby(month_starts(daily.index)).mean().loc[wanted]
    np.testing.assert_allclose(total["weight"], per_month["net"], atol=1e-14)
    np.testing.assert_allclose(total["gross_weight"], per_month["gross"], atol=1e-14)
    earned = account.groupby(month_starts(account["date"]))["daily_return"].sum().loc[wanted]
    np.testing.assert_allclose(total["gross_return"], earned, atol=1e-9)
    assert earned.abs().min() > 1e-4


def test_offsetting_models_have_a_netting_row_and_agreeing_models_have_none():
    sessions = pd.bdate_range("2023-12-01", "2024-01-31")
    both = share_table(months("2024-01-01"), up=0.5, down=0.5)
    flat = prices(sessions)

    def book(**weight):
        said = {
            model: insight_table(
                [(d, t, w) for d in sessions for t, w in zip("AB", ws, strict=True)]
            )
            for model, ws in weight.items()
        }
        market_data = flat[flat["ticker"].isin(["T0", "T1"])].replace({"T0": "A", "T1": "B"})
        return attribute(both, said, market_data, months("2024-01-01"), 1, PARAMETERS)

    found = book(up=(0.2, 0.2), down=(-0.1, 0.3)).set_index(["model", "ticker"])["gross_weight"]
    assert found["up", "A"] == pytest.approx(0.1)
    assert found["down", "A"] == pytest.approx(0.05)
    assert found[NETTING, "A"] == pytest.approx(-0.1)
    assert (NETTING, "B") not in found


def test_months_one_by_one_equal_the_range_bit_for_bit():
    weights, insights, market_data, wanted = steady_case()
    whole = attribute(weights, insights, market_data, wanted, 1, PARAMETERS)
    alone = []
    for month in wanted:
        span = pd.DatetimeIndex([shift(month, by) for by in (-2, -1, 0)])
        alone.append(
            attribute(
                weights[weights["month"].isin(span[1:])],
                {m: in_months(f, span) for m, f in insights.items()},
                in_months(market_data, span),
                span[2:],
                1,
                PARAMETERS,
            )
        )
    pd.testing.assert_frame_equal(pd.concat(alone, ignore_index=True), whole, check_exact=True)


def test_the_first_month_of_the_history_earns_nothing_before_its_first_trade():
    weights, insights, market_data, _ = steady_case()
    first = months("2023-12-01")
    later = {m: f[f["date"] >= first[0]] for m, f in insights.items()}
    found = attribute(
        weights, later, market_data[market_data["date"] >= first[0]], first, 1, PARAMETERS
    )
    account = simulate(
        "book",
        combine_insights(
            weights,
            later,
            pd.DatetimeIndex(market_data["date"].unique()),
            first,
            PARAMETERS,
        )[0],
        market_data[market_data["date"] >= first[0]],
        first,
        None,
        SimulationParameters(slippage_bps=0.0),
    )
    assert found["gross_return"].sum() == pytest.approx(account["daily_return"].sum(), abs=1e-9)


def test_a_month_without_weights_is_an_error_that_names_the_command():
    weights, insights, market_data, wanted = steady_case()
    with pytest.raises(MissingMonthError, match="hawk backfill --from 2024-01-01"):
        attribute(
            weights[weights["month"] < wanted[0]], insights, market_data, wanted, 1, PARAMETERS
        )


def test_a_month_without_sessions_has_no_rows():
    weights, insights, market_data, _ = steady_case()
    empty = months("2024-04-01")
    weights = pd.concat([weights, share_table(empty, a=1.0)])
    found = attribute(weights, insights, market_data, empty, 1, PARAMETERS)
    validate(ATTRIBUTION_SCHEMA, found, "attribution")
    assert found.empty
