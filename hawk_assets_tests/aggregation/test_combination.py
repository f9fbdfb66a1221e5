import numpy as np
import pandas as pd
import pytest

from hawk_assets.aggregation.combination import combine_insights
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.schemas import COMBINED_INSIGHTS_SCHEMA, validate
from hawk_assets.core.sessions import in_months
from hawk_assets_tests.aggregation.samples import months

PARAMETERS = AggregationParameters()
TICKERS = [f"T{k}" for k in range(7)]


def share_table(wanted, **weights):
    return pd.DataFrame(
        [(month, model, w) for month in wanted for model, w in weights.items()],
        columns=["month", "model", "weight"],
    )


def insight_table(rows):
    table = pd.DataFrame(rows, columns=["date", "ticker", "weight"])
    return table.astype({"date": "datetime64[ns]", "weight": float})


def random_case(seed=0):
    """Three months; tickers come and go and models have no insights for up to eight sessions."""
    rng = np.random.default_rng(seed)
    sessions = pd.bdate_range("2023-12-01", "2024-03-29")
    wanted = months("2024-01-01", 3)
    insights = {}
    for model in ("c", "a", "d", "b"):
        rows, silent = [], 0
        for date in sessions:
            silent = silent - 1 if silent else int(rng.integers(1, 9)) * (rng.random() < 0.1)
            if not silent:
                rows += [(date, t, rng.normal()) for t in TICKERS if rng.random() < 0.7]
        insights[model] = insight_table(rows)
    shares = [
        (month, model, share)
        for month in wanted
        for model, share in zip("abcde", [*rng.dirichlet(np.ones(4)) * 0.9, 0.1], strict=True)
    ]
    weights = pd.DataFrame(shares, columns=["month", "model", "weight"])
    weights.loc[weights.index[5], "weight"] = 0.0
    return weights, insights, sessions, wanted


def brute_force(weights, insights, sessions, wanted, hold):
    said = {model: {} for model in weights["model"]}
    for model, table in insights.items():
        for row in table.itertuples():
            said[model].setdefault(row.date, []).append(row)
    book, ages = [], []
    for date in sessions[sessions >= wanted[0]]:
        month = date.replace(day=1)
        begin = month - pd.DateOffset(months=1)
        total = {}
        for row in weights[weights["month"] == month].sort_values("model").itertuples():
            if row.weight == 0:
                continue
            known = [d for d in said[row.model] if begin <= d <= date]
            age = sum(1 for s in sessions if max(known, default=begin) < s <= date)
            age += not known and begin in sessions
            if age:
                ages.append((date, row.model, age))
            if known and age <= hold:
                for old in said[row.model][max(known)]:
                    total[old.ticker] = total.get(old.ticker, 0.0) + row.weight * old.weight
        book += [(date, ticker, total[ticker]) for ticker in sorted(total)]
    return (
        pd.DataFrame(book, columns=["date", "ticker", "weight"]),
        pd.DataFrame(ages, columns=["date", "model", "age"]),
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hold", [0, 3, 30])
def test_the_book_and_the_ages_equal_a_loop_over_days_models_and_tickers(seed, hold):
    case = random_case(seed)
    parameters = AggregationParameters(hold_sessions=hold)
    book, ages = combine_insights(*case, parameters)
    expected_book, expected_ages = brute_force(*case, hold)
    validate(COMBINED_INSIGHTS_SCHEMA, book, "combined_insights")
    pd.testing.assert_frame_equal(book, expected_book, check_exact=True)
    pd.testing.assert_frame_equal(ages, expected_ages, check_exact=True)
    assert len(book) > 200
    assert ages["age"].max() > 3


def test_a_range_equals_its_months_one_by_one_bit_for_bit():
    weights, insights, sessions, wanted = random_case()
    whole = combine_insights(weights, insights, sessions, wanted, PARAMETERS)
    books, ages = [], []
    for month in wanted:
        span = pd.DatetimeIndex([month - pd.DateOffset(months=1), month])
        alone = combine_insights(
            weights[weights["month"] == month],
            {model: in_months(frame, span) for model, frame in insights.items()},
            in_months(pd.DataFrame({"date": sessions}), span)["date"].pipe(pd.DatetimeIndex),
            span[1:],
            PARAMETERS,
        )
        books.append(alone[0])
        ages.append(alone[1])
    pd.testing.assert_frame_equal(pd.concat(books, ignore_index=True), whole[0], check_exact=True)
    pd.testing.assert_frame_equal(pd.concat(ages, ignore_index=True), whole[1], check_exact=True)


def test_the_order_of_rows_and_models_changes_nothing():
    weights, insights, sessions, wanted = random_case()
    expected = combine_insights(weights, insights, sessions, wanted, PARAMETERS)
    shuffled = {m: insights[m].sample(frac=1.0, random_state=1) for m in sorted(insights)}
    found = combine_insights(weights[::-1], shuffled, sessions, wanted, PARAMETERS)
    pd.testing.assert_frame_equal(found[0], expected[0], check_exact=True)
    pd.testing.assert_frame_equal(found[1], expected[1], check_exact=True)


def test_the_books_of_single_models_add_up_to_the_book():
    weights, insights, sessions, wanted = random_case()
    whole, _ = combine_insights(weights, insights, sessions, wanted, PARAMETERS)
    parts = []
    for model in insights:
        alone = weights.assign(weight=weights["weight"].where(weights["model"] == model, 0.0))
        parts.append(combine_insights(alone, insights, sessions, wanted, PARAMETERS)[0])
    total = pd.concat(parts).groupby(["date", "ticker"], as_index=False)["weight"].sum()
    pd.testing.assert_frame_equal(total[["date", "ticker"]], whole[["date", "ticker"]])
    np.testing.assert_allclose(total["weight"], whole["weight"], rtol=0, atol=1e-15)


def test_the_insights_of_later_sessions_are_not_seen():
    weights, insights, sessions, wanted = random_case()
    whole, _ = combine_insights(weights, insights, sessions, wanted, PARAMETERS)
    day = pd.Timestamp("2024-02-13")
    known = {model: frame[frame["date"] <= day] for model, frame in insights.items()}
    cut, _ = combine_insights(weights, known, sessions, wanted, PARAMETERS)
    for found, same in ((cut, True), (whole, True)):
        rows = found[found["date"] <= day].reset_index(drop=True)
        expected = whole[whole["date"] <= day].reset_index(drop=True)
        assert rows.equals(expected) is same


SESSIONS = pd.bdate_range("2024-01-01", "2024-02-29")
FEBRUARY = months("2024-02-01")


def stops_after(day, full=("A",), fallen=("A", "B")):
    """Model ``full`` has insights daily, model ``fallen`` until ``day`` only."""
    return {
        "full": insight_table([(d, t, 0.5) for d in SESSIONS for t in full]),
        "fallen": insight_table([(d, t, 0.4) for d in SESSIONS if d <= day for t in fallen]),
    }


def book_on(book, day):
    rows = book[book["date"] == day]
    return dict(zip(rows["ticker"], rows["weight"], strict=True))


def test_a_model_without_insights_is_held_for_three_sessions_and_is_cash_from_the_fourth():
    weights = share_table(FEBRUARY, full=0.6, fallen=0.4)
    insights = stops_after(pd.Timestamp("2024-02-07"))
    book, ages = combine_insights(weights, insights, SESSIONS, FEBRUARY, PARAMETERS)
    both = {"A": pytest.approx(0.6 * 0.5 + 0.4 * 0.4), "B": pytest.approx(0.4 * 0.4)}
    for day in ("2024-02-07", "2024-02-08", "2024-02-09", "2024-02-12"):
        assert book_on(book, day) == both
    for day in SESSIONS[SESSIONS > "2024-02-12"]:
        assert book_on(book, day) == {"A": pytest.approx(0.6 * 0.5)}
    assert set(ages["model"]) == {"fallen"}
    late = SESSIONS[SESSIONS > "2024-02-07"]
    assert ages["date"].tolist() == list(late)
    assert ages["age"].tolist() == list(range(1, len(late) + 1))


def test_insights_are_held_across_the_turn_of_the_month():
    weights = share_table(FEBRUARY, full=0.6, fallen=0.4)
    insights = stops_after(pd.Timestamp("2024-01-30"))
    book, ages = combine_insights(weights, insights, SESSIONS, FEBRUARY, PARAMETERS)
    assert book["date"].min() == pd.Timestamp("2024-02-01")
    assert "B" in book_on(book, "2024-02-01")
    assert "B" in book_on(book, "2024-02-02")
    assert "B" not in book_on(book, "2024-02-05")
    assert ages["age"].tolist()[:3] == [2, 3, 4]


def test_a_held_insight_takes_the_weight_of_the_month_it_is_held_in():
    wanted = months("2024-01-01", 2)
    weights = pd.concat(
        [
            share_table(wanted[:1], full=0.9, fallen=0.1),
            share_table(wanted[1:], full=0.7, fallen=0.3),
        ]
    )
    insights = stops_after(pd.Timestamp("2024-01-31"))
    book, _ = combine_insights(weights, insights, SESSIONS, wanted, PARAMETERS)
    assert book_on(book, "2024-01-31")["B"] == pytest.approx(0.1 * 0.4)
    assert book_on(book, "2024-02-01")["B"] == pytest.approx(0.3 * 0.4)


def test_a_model_that_begins_within_the_first_month_contributes_nothing_before():
    insights = {"m": insight_table([(d, "A", 0.5) for d in SESSIONS[2:]])}
    first = months("2024-01-01")
    book, ages = combine_insights(share_table(first, m=1.0), insights, SESSIONS, first, PARAMETERS)
    assert book["date"].min() == SESSIONS[2]
    assert ages["date"].tolist() == list(SESSIONS[:2])
    assert ages["age"].tolist() == [1, 2]


def test_a_ticker_that_a_model_no_longer_has_is_not_held():
    insights = {"m": insight_table([(d, "A", 0.5) for d in SESSIONS] + [(SESSIONS[30], "B", 0.2)])}
    book, ages = combine_insights(
        share_table(FEBRUARY, m=1.0), insights, SESSIONS, FEBRUARY, PARAMETERS
    )
    assert book_on(book, SESSIONS[30]) == {"A": 0.5, "B": 0.2}
    assert book_on(book, SESSIONS[31]) == {"A": 0.5}
    assert ages.empty


def test_a_zero_insight_keeps_its_row_and_a_model_without_weight_has_none():
    insights = {
        "flat": insight_table([(d, "A", 0.0) for d in SESSIONS]),
        "idle": insight_table([(d, "B", 1.0) for d in SESSIONS[:-5]]),
    }
    weights = share_table(FEBRUARY, flat=1.0, idle=0.0)
    book, ages = combine_insights(weights, insights, SESSIONS, FEBRUARY, PARAMETERS)
    assert book["ticker"].unique().tolist() == ["A"]
    assert (book["weight"] == 0.0).all()
    assert len(book) == 21
    assert ages.empty


def test_a_weighted_model_without_insights_is_cash_and_old():
    insights = stops_after(SESSIONS[-1]) | {"none": pd.DataFrame()}
    weights = share_table(FEBRUARY, full=0.2, none=0.3, gone=0.5)
    book, ages = combine_insights(weights, insights, SESSIONS, FEBRUARY, PARAMETERS)
    assert book["weight"].tolist() == [0.2 * 0.5] * 21
    assert ages["model"].tolist() == ["gone", "none"] * 21
    assert ages["age"].tolist() == list(np.repeat(range(24, 45), 2))


def test_sessions_without_any_contribution_have_no_rows_but_typed_columns():
    weights = share_table(FEBRUARY, none=1.0)
    book, ages = combine_insights(weights, {"none": pd.DataFrame()}, SESSIONS, FEBRUARY, PARAMETERS)
    validate(COMBINED_INSIGHTS_SCHEMA, book, "combined_insights")
    assert book.empty
    assert len(ages) == 21
    book, ages = combine_insights(weights, {}, SESSIONS[:0], FEBRUARY, PARAMETERS)
    validate(COMBINED_INSIGHTS_SCHEMA, book, "combined_insights")
    assert ages.dtypes.astype(str).to_dict() == {
        "date": "datetime64[ns]",
        "model": "object",
        "age": "int64",
    }


def test_insights_on_a_day_that_is_not_a_session_are_ignored():
    insights = stops_after(SESSIONS[-1])
    expected, _ = combine_insights(
        share_table(FEBRUARY, full=1.0), insights, SESSIONS, FEBRUARY, PARAMETERS
    )
    sunday = insight_table([("2024-02-11", "B", 9.0), ("2023-11-15", "B", 9.0)])
    insights["full"] = pd.concat([insights["full"], sunday])
    found, ages = combine_insights(
        share_table(FEBRUARY, full=1.0), insights, SESSIONS, FEBRUARY, PARAMETERS
    )
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert ages.empty


def test_a_month_without_weights_is_an_error_that_names_the_command():
    weights = share_table(months("2024-01-01"), full=1.0)
    insights = stops_after(SESSIONS[-1])
    with pytest.raises(MissingMonthError, match=r"2024-02.*hawk backfill --from 2024-02-01"):
        combine_insights(weights, insights, SESSIONS, FEBRUARY, PARAMETERS)
