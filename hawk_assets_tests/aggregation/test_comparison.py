import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.allocation import build_weights
from hawk_assets.aggregation.comparison import compare
from hawk_assets.aggregation.parameters import OBJECTIVES, AggregationParameters
from hawk_assets.core.errors import MissingMonthError
from hawk_assets_tests.aggregation.samples import months, performance, returns

PARAMETERS = AggregationParameters(window_months=14, cap=0.5)
MONTHS = months("2020-01-01", 48)


def record(n=4, drift=3e-4, start="2020-01-01"):
    values = returns(len(pd.bdate_range(start, "2023-12-29")), n, drift=drift)
    return performance(values)


def run(
    models,
    first="2020-01-01",
    parameters=PARAMETERS,
    lag=1,
    wanted=MONTHS,
    solve=clarabel_solver.solve,
    year=None,
):
    families = {name: name for name in models}
    return compare(models, wanted, pd.Timestamp(first), parameters, families, lag, solve, year)


def row_of(comparison, objective):
    return next(row for row in comparison.rows if row.objective == objective)


@pytest.fixture(scope="module")
def models():
    return record()


@pytest.fixture(scope="module")
def found(models):
    return run(models)


def test_annual_figures_count_the_sessions_of_a_year(models):
    """The same returns on every day of the week: a year has 365 of them."""
    days = pd.date_range("2020-01-01", "2023-12-31")
    dense = performance(returns(len(days), 4, drift=3e-4))
    dense = {name: frame.assign(date=days) for name, frame in dense.items()}
    counted, stated = run(dense), run(dense, year=252.0)
    for row in counted.rows:
        other = row_of(stated, row.objective)
        assert row.annualized_return == pytest.approx(other.annualized_return * 365 / 252)
        ratio = math.sqrt(365 / 252)
        assert row.annualized_volatility == pytest.approx(other.annualized_volatility * ratio)
        assert row.sharpe.value == pytest.approx(other.sharpe.value * ratio)
        assert row.sharpe.standard_error == pytest.approx(other.sharpe.standard_error * ratio)
        assert row.difference.value == pytest.approx(other.difference.value * ratio)
    weekdays = row_of(run(models), "hrp")
    assert weekdays == row_of(run(models, year=252.0), "hrp")


def test_every_objective_is_listed_with_the_best_first(found):
    assert {row.objective for row in found.rows} == set(OBJECTIVES)
    ratios = [row.sharpe.value for row in found.rows]
    assert ratios == sorted(ratios, reverse=True)


@pytest.mark.parametrize(("objective", "lag"), [("max_sharpe_net", 1), ("hrp", 0)])
def test_an_objective_earns_what_its_stored_weights_would_have_earned(models, objective, lag):
    """The weights table of production, applied day by day in a plain loop."""
    parameters = replace(PARAMETERS, objective=objective)
    families = {name: name for name in models}
    table = build_weights(models, MONTHS, None, parameters, families, clarabel_solver.solve)
    weights = table.pivot(index="month", columns="model", values="weight")
    daily = pd.DataFrame({m: f.set_index("date")["daily_return"] for m, f in models.items()})
    eligible = table[table["reason"] == ""]["month"].unique()
    net, before = {}, None
    for position, day in enumerate(daily.index):
        if position <= lag:
            continue
        decided = daily.index[position - 1 - lag].to_period("M").to_timestamp()
        shares = weights.loc[decided].to_numpy()
        cost = 0.0 if before is None else np.abs(shares - before).sum() * 10e-4
        before = shares
        if decided in eligible:
            net[day] = shares @ daily.loc[day].to_numpy() - cost
    net = pd.Series(net)
    comparison = run(models, lag=lag)
    row = row_of(comparison, objective)
    assert (comparison.first, comparison.last) == (net.index[0], net.index[-1])
    assert comparison.sessions == len(net)
    assert row.annualized_return == pytest.approx(net.mean() * 252, rel=1e-9)
    assert row.annualized_volatility == pytest.approx(net.std(ddof=0) * np.sqrt(252), rel=1e-9)
    assert row.sharpe.value == pytest.approx(row.annualized_return / row.annualized_volatility)
    change = weights.diff().abs().sum(axis=1)[eligible]
    assert row.turnover == pytest.approx(change.mean() / 2 * 12, rel=1e-9)
    fallbacks = table[table["month"].isin(eligible)].groupby("month")["fallback"].first()
    assert dict(row.months_per_fallback) == fallbacks.value_counts().to_dict()


def test_differences_are_to_equal_weight(found):
    equal = row_of(found, "equal_weight")
    assert (equal.difference.value, equal.p_value) == (0.0, 1.0)
    for row in found.rows:
        gap = row.sharpe.value - equal.sharpe.value
        assert row.difference.value == pytest.approx(gap, abs=1e-12)
        assert row.p_value >= row.difference.p_value


def test_costs_are_what_turnover_costs(models, found):
    free = run(models, parameters=replace(PARAMETERS, cost_bps=0.0))
    for objective in set(OBJECTIVES) - {"max_sharpe_net"}:
        dear, cheap = row_of(found, objective), row_of(free, objective)
        assert dear.turnover == pytest.approx(cheap.turnover)
        paid = cheap.annualized_return - dear.annualized_return
        assert paid == pytest.approx(2 * cheap.turnover * 10e-4, rel=0.05, abs=1e-12)


def test_a_later_first_month_counts_later_days_of_the_same_walk(models, found):
    later = run(models, first="2022-01-01")
    assert f"{later.first:%Y-%m}" == "2022-01"
    assert later.last == found.last
    assert later.sessions < found.sessions
    months_counted = sum(row_of(later, "hrp").months_per_fallback.values())
    assert months_counted == 24


def test_an_earlier_last_month_ends_there(models):
    earlier = run(models, wanted=MONTHS[:36])
    # The weights of December earn until the second session of January, which is not requested.
    assert f"{earlier.last:%Y-%m-%d}" == "2022-12-30"


def test_objectives_that_do_not_differ_are_reported_as_such(found):
    assert found.remark.startswith("None of 9 objectives differs significantly from equal weight")


def test_a_model_that_is_plainly_better_is_found(models):
    values = returns(1043, 4, drift=0.0)
    values[:, 0] += 4e-3
    better = run(performance(values))
    assert better.rows[0].objective in ("max_sharpe", "max_sharpe_net")
    assert "of 9 objectives differ significantly from equal weight at the 5% level: max" in (
        better.remark
    )
    assert row_of(better, "max_sharpe").p_value < 0.01


def test_a_month_in_which_all_lose_is_counted_under_its_fallback():
    losing = record(drift=-2e-3)
    fallbacks = row_of(run(losing), "max_sharpe").months_per_fallback
    assert "previous_weights" in fallbacks


def test_a_model_without_returns_for_a_while_is_cash(models):
    gone = dict(models)
    gone["m03"] = gone["m03"][gone["m03"]["date"] < "2023-01-01"]
    assert len(run(gone).rows) == len(OBJECTIVES)


def test_less_than_a_year_is_not_compared(models):
    with pytest.raises(MissingMonthError, match="less than a year to compare"):
        run(models, first="2023-06-01")
