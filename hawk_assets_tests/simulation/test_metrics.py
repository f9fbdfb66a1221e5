import math
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hawk_backtester import HawkBacktester

from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.schemas import PERFORMANCE_METRICS_SCHEMA, validate
from hawk_assets.core.sessions import in_months, shift
from hawk_assets.simulation.metrics import RUNNING, SINCE_START, WINDOWS, build_metrics
from hawk_assets.simulation.parameters import SimulationParameters
from hawk_assets.simulation.performance import simulate
from hawk_assets_tests.simulation.samples import long, months_of


def timeseries_of(returns, start="2019-12-16", dates=None):
    """A performance_timeseries with these daily returns, some trades and some costs."""
    rng = np.random.default_rng(len(returns))
    value = 1e6 * np.cumprod(1 + np.asarray(returns))
    return pd.DataFrame(
        {
            "date": pd.bdate_range(start, periods=len(returns)) if dates is None else dates,
            "portfolio_value": value,
            "daily_return": returns,
            "drawdown": value / np.maximum(np.maximum.accumulate(value), 1e6) - 1,
            "volume_traded": rng.uniform(0, 1e5, len(returns)),
            "daily_slippage_cost": rng.uniform(0, 10, len(returns)),
            "daily_commission_cost": rng.uniform(0, 5, len(returns)),
        }
    )


@pytest.fixture(scope="module")
def record():
    """Just over four years, with a flat period and one calendar month without sessions."""
    dates = pd.bdate_range("2019-12-16", periods=1095)
    dates = dates[dates.strftime("%Y-%m") != "2021-06"]
    returns = np.random.default_rng(1).normal(0.0004, 0.01, len(dates))
    returns[300:330] = 0.0
    return timeseries_of(returns, dates=dates)


def of(metrics, as_of, window):
    rows = metrics[(metrics["as_of"] == as_of) & (metrics["window"] == window)]
    return dict(zip(rows["metric"], rows["value"], strict=True))


def by_hand(rows, year=252):
    """The definitions, one window at a time, in plain arithmetic."""
    r, n = rows["daily_return"].tolist(), len(rows)
    opening = rows["portfolio_value"].iloc[0] / (1 + r[0])
    total = rows["portfolio_value"].iloc[-1] / opening - 1
    mean = math.fsum(r) / n
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in r) / (n - 1))
    downside = math.sqrt(math.fsum(min(x, 0.0) ** 2 for x in r) / n)
    losses = [x for x in r if x < 0]
    peak, drawdowns = opening, []
    for value in rows["portfolio_value"]:
        peak = max(peak, value)
        drawdowns.append(value / peak - 1)
    annual = (1 + total) ** (year / n) - 1
    volatility = deviation * math.sqrt(year)
    turnover = rows["volume_traded"].sum() / 2 / rows["portfolio_value"].mean() * year / n
    costs = rows["daily_slippage_cost"].sum() + rows["daily_commission_cost"].sum()
    return {
        "total_return": total,
        "annualized_return": annual,
        "annualized_volatility": volatility,
        "sharpe_ratio": mean / deviation * math.sqrt(year),
        "sortino_ratio": mean * year / (math.sqrt(year) * downside),
        "max_drawdown": min(drawdowns),
        "calmar_ratio": annual / abs(min(drawdowns)),
        "win_rate": sum(x > 0 for x in r) / sum(x != 0 for x in r),
        "turnover": turnover,
        "total_cost": costs,
        "engine_sharpe_ratio": annual / volatility,
        "engine_sortino_ratio": annual
        / math.sqrt(year * math.fsum(x * x for x in losses) / len(losses)),
        "engine_win_rate": sum(x > 0 for x in r) / n,
        "engine_avg_daily_return": mean,
        "engine_avg_drawdown": sum(drawdowns) / n,
        "engine_holding_period_years": 1 / turnover,
    }


def test_every_figure_of_every_window_follows_its_definition(record):
    months = months_of(record)
    metrics = build_metrics("book", record, months, None)
    for i, month in enumerate(months):
        upto = record[record["date"] < shift(month, 1)]
        as_of = upto["date"].iloc[-1]
        if month == pd.Timestamp("2021-06-01"):
            assert not metrics["as_of"].between("2021-06-01", "2021-06-30").any()
            continue
        assert of(metrics, as_of, SINCE_START) == pytest.approx(by_hand(upto), rel=1e-9)
        for window, length in WINDOWS.items():
            if i + 1 < length:
                assert of(metrics, as_of, window) == {}
            else:
                rows = upto[upto["date"] >= months[i + 1 - length]]
                if (rows["daily_return"] != 0).any():
                    expected = by_hand(rows)
                    assert of(metrics, as_of, window) == pytest.approx(expected, rel=1e-9)


def test_the_engine_figures_equal_the_engine_s_own():
    rng = np.random.default_rng(4)
    dates = pd.bdate_range("2020-01-01", periods=300)
    tickers = ["AAA", "BBB", "CCC", "DDD"]
    close = 100 * np.exp(rng.normal(0.0003, 0.012, (300, 4)).cumsum(axis=0))
    weight = rng.normal(0, 0.3, (300, 4))
    market_data = long(pd.DataFrame(close, dates, tickers), "close")
    insights = long(pd.DataFrame(weight, dates, tickers), "weight")
    parameters = SimulationParameters(execution_lag=0, fee_model="ibkr_pro_fixed")
    months = months_of(market_data)
    table = simulate("book", insights, market_data, months, None, parameters)
    ours = of(build_metrics("book", table, months, None), dates[-1], SINCE_START)

    days = dates.strftime("%Y-%m-%d").to_list()
    output = HawkBacktester(1e6, 1.0, "ibkr_pro_fixed").run(
        pl.DataFrame({"date": days, **dict(zip(tickers, close.T, strict=True))}),
        pl.DataFrame({"date": days, **dict(zip(tickers, weight.T, strict=True))}),
    )
    engine = dict(output["backtest_metrics"].iter_rows())
    for name in ("total_return", "annualized_return", "annualized_volatility", "max_drawdown"):
        assert ours[name] == pytest.approx(engine[name], rel=1e-9), name
    for name in (
        "sharpe_ratio",
        "sortino_ratio",
        "win_rate",
        "avg_daily_return",
        "avg_drawdown",
        "holding_period_years",
    ):
        assert ours[f"engine_{name}"] == pytest.approx(engine[name], rel=1e-9), name
    assert {n.removeprefix("engine_") for n in ours if n.startswith("engine_")} <= set(engine)
    assert ours["turnover"] == pytest.approx(engine["portfolio_turnover"], rel=1e-9)
    assert ours["total_cost"] == pytest.approx(
        engine["cumulative_slippage_cost"] + engine["cumulative_commission_cost"], rel=1e-9
    )


@pytest.mark.parametrize("cuts", [range(1, 51), [1, 2, 20, 38, 39], [12, 36]], ids=str)
def test_metrics_by_month_and_in_ranges_equal_those_of_one_run(record, cuts):
    months = months_of(record)
    whole = build_metrics("book", record, months, None)
    tables, previous = [], None
    for start, stop in pairwise([0, *cuts, len(months)]):
        seen = in_months(record, months[max(0, start - 36) : stop])
        table = build_metrics("book", seen.reset_index(drop=True), months[start:stop], previous)
        tables.append(table)
        if len(table):
            previous = table[table["as_of"] == table["as_of"].iloc[-1]]
    assert len(tables) == len(cuts) + 1
    pd.testing.assert_frame_equal(pd.concat(tables, ignore_index=True), whole, rtol=1e-12)


CALENDARS = {"D": 365, "B": 252, "W-FRI": 52}


@pytest.mark.parametrize("frequency", CALENDARS)
def test_annual_figures_count_the_sessions_of_a_year(frequency):
    """A year is a year: 20 % of it, whatever the number of sessions in which it is earned."""
    days = pd.date_range("2022-01-01", "2023-12-31", freq=frequency)
    noise = np.tile([0.004, -0.004], len(days))[: len(days)]
    record = timeseries_of(1.44 ** (1 / len(days)) - 1 + noise, dates=days)
    months, annual = months_of(record), CALENDARS[frequency]
    metrics = build_metrics("book", record, months, None)
    for window, rows in [
        (SINCE_START, record),
        ("12m", record[record["date"] >= "2023-01-01"]),
        ("1m", record[record["date"] >= "2023-12-01"]),
    ]:
        figures = of(metrics, days[-1], window)
        assert figures == pytest.approx(by_hand(rows, annual), rel=1e-9)
        if window != "1m":
            assert figures["annualized_return"] == pytest.approx(0.2, abs=0.01)
    deviation = record["daily_return"].std() * math.sqrt(annual)
    assert of(metrics, days[-1], SINCE_START)["annualized_volatility"] == pytest.approx(deviation)


def test_sessions_of_a_year_can_be_set(record):
    months = months_of(record)
    counted = build_metrics("book", record, months, None)
    stated = build_metrics("book", record, months, None, 252)
    pd.testing.assert_frame_equal(stated, counted, check_exact=True)
    other = build_metrics("book", record, months, None, 365.0)
    rows = record[record["date"] >= shift(months[-1], -35)]
    assert of(other, record["date"].iloc[-1], "36m") == pytest.approx(by_hand(rows, 365), rel=1e-9)


def test_a_calendar_that_changes_is_counted_in_each_window():
    """Weekdays, and every day from 2021 on: 12 months know the new calendar only."""
    days = pd.bdate_range("2018-01-01", "2020-12-31").union(
        pd.date_range("2021-01-01", "2021-12-31")
    )
    returns = np.random.default_rng(3).normal(0.0004, 0.01, len(days))
    record = timeseries_of(returns, dates=days)
    months = months_of(record)
    metrics = build_metrics("book", record, months, None)
    old, new = pd.Timestamp("2020-12-31"), days[-1]
    for window, as_of, first, annual in [
        ("12m", old, "2020-01-01", 252),
        ("12m", new, "2021-01-01", 365),
        ("1m", new, "2021-12-01", 365),
        (SINCE_START, new, "2018-01-01", (len(days) - 1) * 365.25 / (new - days[0]).days),
    ]:
        rows = record[(record["date"] >= first) & (record["date"] <= as_of)]
        assert of(metrics, as_of, window) == pytest.approx(by_hand(rows, annual), rel=1e-9)
    tables, previous = [], None
    for i, month in enumerate(months):
        seen = in_months(record, months[max(0, i - 35) : i + 1]).reset_index(drop=True)
        previous = build_metrics("book", seen, pd.DatetimeIndex([month]), previous)
        tables.append(previous)
    pd.testing.assert_frame_equal(pd.concat(tables, ignore_index=True), metrics, rtol=1e-12)


def test_sums_of_older_code_do_not_have_the_first_day_and_count_from_its_month(record):
    months = months_of(record)
    early = build_metrics("book", record, months[:40], None)
    previous = early[early["as_of"] == early["as_of"].iloc[-1]]
    older = previous[previous["metric"] != "first_day"]
    assert len(older) == len(previous) - 1
    for last in (previous, older):
        later = build_metrics("book", record, months[40:], last)
        whole = build_metrics("book", record, months, None)
        whole = whole[whole["as_of"] >= months[40]].reset_index(drop=True)
        compared = [t[t["metric"] != "first_day"].reset_index(drop=True) for t in (later, whole)]
        pd.testing.assert_frame_equal(*compared, rtol=1e-12)


def test_a_window_longer_than_the_record_is_absent(record):
    months = months_of(record)
    metrics = build_metrics("book", record, months, None)
    first = metrics.groupby("window", sort=False)["as_of"].min().dt.strftime("%Y-%m")
    assert first.to_dict() == {
        "1m": "2019-12",
        "12m": "2020-11",
        "36m": "2022-11",
        SINCE_START: "2019-12",
        RUNNING: "2019-12",
    }


def test_a_drawdown_of_a_window_starts_before_its_first_row():
    january, february = [0.01] * 23, [-0.1, 0.02, -0.01, 0.0]
    record = timeseries_of(january + february, "2024-01-01")
    metrics = build_metrics("book", record, months_of(record), None)
    assert of(metrics, record["date"].iloc[-1], "1m")["max_drawdown"] == pytest.approx(-0.1)


def test_an_undefined_metric_is_absent_and_never_infinite():
    idle = timeseries_of([0.0] * 60).assign(
        volume_traded=0.0, daily_slippage_cost=0.0, daily_commission_cost=0.0
    )
    metrics = build_metrics("book", idle, months_of(idle), None)
    assert np.isfinite(metrics["value"]).all()
    assert of(metrics, idle["date"].iloc[-1], SINCE_START) == {
        "total_return": 0.0,
        "annualized_return": 0.0,
        "annualized_volatility": 0.0,
        "max_drawdown": 0.0,
        "turnover": 0.0,
        "total_cost": 0.0,
        "engine_win_rate": 0.0,
        "engine_avg_daily_return": 0.0,
        "engine_avg_drawdown": 0.0,
    }


def test_rounding_noise_of_the_engine_is_neither_a_win_nor_volatility():
    quiet = timeseries_of([2e-16, -1e-16, 0.0, 1e-16] * 10, "2024-01-01")
    noisy = build_metrics("book", quiet, months_of(quiet), None)
    figures = of(noisy, quiet["date"].iloc[-1], SINCE_START)
    assert figures["annualized_volatility"] == 0.0
    assert figures["engine_win_rate"] == 0.0
    assert not {"win_rate", "sharpe_ratio", "sortino_ratio", "engine_sharpe_ratio"} & set(figures)


def test_rounding_noise_is_no_turnover_and_no_drawdown():
    """A position that is kept is traded by the engine for a millionth of a millionth."""
    record = timeseries_of([0.0] * 40)
    record["drawdown"] = 0.0
    record["volume_traded"] = 0.0
    noisy = record.assign(volume_traded=1e-10)
    noisy["portfolio_value"] *= 1 + np.tile([0.0, 1e-16, -2e-16, 4e-16], 10)
    months = months_of(record)
    plain, found = (build_metrics("book", rows, months, None) for rows in (record, noisy))
    for metrics in (plain, found):
        figures = of(metrics, record["date"].iloc[-1], "1m")
        assert figures["turnover"] == 0.0 == figures["max_drawdown"]
        assert not {"calmar_ratio", "engine_holding_period_years"} & set(figures)


def test_a_constant_return_has_no_sharpe_ratio_and_no_sortino_ratio():
    steady = timeseries_of([0.0007] * 40, "2024-01-01")
    figures = of(
        build_metrics("book", steady, months_of(steady), None),
        steady["date"].iloc[-1],
        SINCE_START,
    )
    assert figures["annualized_volatility"] == 0.0
    assert figures["win_rate"] == 1.0
    absent = {"sharpe_ratio", "sortino_ratio", "calmar_ratio"}
    assert not {*absent, *(f"engine_{name}" for name in absent)} & set(figures)


def test_one_session_has_a_return_but_no_volatility():
    record = timeseries_of([0.01], "2024-01-31")
    figures = of(
        build_metrics("book", record, months_of(record), None), record["date"].iloc[0], "1m"
    )
    assert figures["total_return"] == pytest.approx(0.01)
    assert not {"annualized_volatility", "sharpe_ratio", "engine_sharpe_ratio"} & set(figures)


def test_the_table_conforms_to_its_schema_even_when_empty(record):
    metrics = build_metrics("book", record, months_of(record), None)
    pd.testing.assert_frame_equal(validate(PERFORMANCE_METRICS_SCHEMA, metrics, "here"), metrics)
    later = pd.DatetimeIndex(["2031-05-01"])
    previous = metrics[metrics["as_of"] == metrics["as_of"].iloc[-1]]
    for rows, last in [(record, previous), (record[:0], None)]:
        empty = build_metrics("book", rows, later, last)
        assert len(empty) == 0
        assert empty.dtypes.to_dict() == metrics.dtypes.to_dict()


def test_sums_that_do_not_extend_to_the_month_before_are_refused(record):
    months = months_of(record)
    metrics = build_metrics("book", record, months[:5], None)
    early = in_months(metrics.rename(columns={"as_of": "date"}), months[:4])
    early = early.rename(columns={"date": "as_of"})
    with pytest.raises(MissingMonthError, match=r"^book: .*before 2020-05 .*materialise"):
        build_metrics("book", record, months[5:], early)
    with pytest.raises(MissingMonthError, match=r"^book: "):
        build_metrics("book", record, months[5:], metrics[metrics["window"] != RUNNING])
