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


def steady_case(seed=0):
    """Four months in which every model has an insight on every ticker and session."""
    rng = np.random.default_rng(seed)
    sessions = pd.bdate_range("2023-11-01", "2024-03-29")
    insights = {
        m: insight_table([(d, t, rng.normal(0, 0.1)) for d in sessions for t in TICKERS])
        for m in "abc"
    }
    weights = share_table(months("2023-12-01", 4), a=0.5, b=0.2, c=0.3)
    return weights, insights, prices(sessions), months("2024-01-01", 3)


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
    weights, insights, market_data, wanted = steady_case()
    found = attribute(weights, insights, market_data, wanted, lag, PARAMETERS)
    validate(ATTRIBUTION_SCHEMA, found, "attribution")
    close = market_data.pivot(index="date", columns="ticker", values="close").ffill()
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
