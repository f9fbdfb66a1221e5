import numpy as np
import pandas as pd
import pytest

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.allocation import build_weights
from hawk_assets.aggregation.conic import list_names
from hawk_assets.aggregation.estimation import estimate
from hawk_assets.aggregation.objectives import PROGRAMS
from hawk_assets.aggregation.parameters import BENCHMARKS, OBJECTIVES, AggregationParameters
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.schemas import WEIGHTS_SCHEMA, validate
from hawk_assets_tests.aggregation.samples import (
    build_problem,
    months,
    optimise,
    performance,
    returns,
)

PARAMETERS = AggregationParameters("max_sharpe")
JANUARY = months("2024-01-01")
WINDOW = "2021-01-01"


def build(record, wanted=JANUARY, previous=None, parameters=PARAMETERS, families=None):
    families = families or {name: name for name in record}
    table = build_weights(record, wanted, previous, parameters, families, clarabel_solver.solve)
    validate(WEIGHTS_SCHEMA, table, "weights")
    assert list(table.columns) == list(WEIGHTS_SCHEMA.columns)
    assert list(table.index) == list(range(len(wanted) * len(record)))
    assert table["month"].tolist() == [m for m in wanted for _ in record]
    assert table["model"].tolist() == sorted(record) * len(wanted)
    eligible = table["reason"].eq("").groupby(table["month"]).transform("sum")
    cap = np.where(eligible == 0, 1.0, np.maximum(parameters.cap, 1 / eligible.clip(1)))
    for column in ("weight", *BENCHMARKS):
        total = table.groupby("month")[column].sum()
        np.testing.assert_allclose(total, 1.0, rtol=0, atol=1e-12)
        assert (table[column] >= 0).all()
        assert (table[column] <= cap).all()
    return table


def weigh(objective, sample, cap=0.4, **limits):
    """The weights of the objective alone on a sample."""
    return optimise(
        objective, build_problem(estimate(np.ascontiguousarray(sample)), cap, **limits)
    ).weights


def outcome(table):
    rows = table[["fallback", "status", "solver"]].drop_duplicates()
    assert len(rows) == 1
    return tuple(rows.iloc[0])


def weights_of(table):
    return dict(zip(table["model"], table["weight"], strict=True))


def held(month="2023-12-01", **weights):
    count = len(weights)
    texts = {"objective": "max_sharpe", "solver": "clarabel", "status": "Solved"}
    return pd.DataFrame(
        {
            "month": [pd.Timestamp(month)] * count,
            "model": list(weights),
            "weight": list(weights.values()),
            **{name: [text] * count for name, text in texts.items()},
            "fallback": ["max_sharpe"] * count,
            "reason": [""] * count,
        }
    )


def test_the_weights_are_the_objective_on_the_36_months_before():
    values = returns(1200, 6)
    record = performance(values, last="2024-03-29")
    dates = record["m00"]["date"]
    window = values[(dates >= WINDOW) & (dates < "2024-01-01")]
    expected = weigh("max_sharpe", window)
    table = build(record)
    np.testing.assert_array_equal(table["weight"], expected)
    assert outcome(table) == ("max_sharpe", "Solved", "clarabel")
    assert (table["reason"] == "").all()
    assert (table["objective"] == "max_sharpe").all()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_that_has_a_solution_needs_no_fallback(objective):
    values = returns(700, 6)
    table = build(performance(values), parameters=AggregationParameters(objective))
    np.testing.assert_array_equal(table["weight"], weigh(objective, values))
    assert outcome(table) == (objective, "Solved", "clarabel" if objective in PROGRAMS else "none")
    assert (table["objective"] == objective).all()


def test_the_default_is_the_net_ratio_after_trading_from_the_held_weights():
    values, before = returns(700, 6), [0.25, 0.25, 0.125, 0.125, 0.125, 0.125]
    previous = held(**{f"m{j:02d}": w for j, w in enumerate(before)})
    parameters = AggregationParameters()
    table = build(performance(values), previous=previous, parameters=parameters)
    assert outcome(table) == ("max_sharpe_net", "Solved", "clarabel")
    np.testing.assert_array_equal(table["weight"], weigh("max_sharpe_net", values, held=before))
    afresh = build(performance(values), parameters=parameters)
    assert np.abs(afresh["weight"] - table["weight"]).max() > 0.01


def test_equal_weight_and_risk_parity_are_stored_beside_any_objective():
    values = returns(700, 6)
    values[:, 4] = 0.0
    table = build(performance(values))
    for benchmark in BENCHMARKS:
        chosen = build(performance(values), parameters=AggregationParameters(benchmark))
        np.testing.assert_array_equal(table[benchmark], chosen["weight"])
        assert (chosen["fallback"] == benchmark).all()
    np.testing.assert_array_equal(table["equal_weight"], [0.2, 0.2, 0.2, 0.2, 0.0, 0.2])
    assert table["risk_parity"][4] == 0.0


def test_variants_of_one_idea_share_the_cap_of_their_family():
    values = returns(700, 6)
    values[:, :3] += 8e-4
    record = performance(values)
    families = dict(zip(record, ["ema", "ema", "ema", "rsi", "sma", "macd"], strict=True))
    parameters = AggregationParameters("max_sharpe", family_cap=0.5)
    table = build(record, parameters=parameters, families=families)
    assert table["weight"][:3].sum() == pytest.approx(0.5, abs=1e-9)
    assert build(record)["weight"][:3].sum() > 0.6


def test_the_solver_is_given_the_names_of_the_eligible_in_their_order():
    values = returns(700, 5)
    values[:, 1] = 0.0
    programs = []

    def record_program(program):
        programs.append(program)
        return clarabel_solver.solve(program)

    record = performance(values, names=["rsi_14", "ema_8_21", "sma_50", "ema_5_10", "macd"])
    families = {name: name.partition("_")[0] for name in sorted(record, reverse=True)}
    previous = held(ema_5_10=0.4, macd=0.3, rsi_14=0.2, sma_50=0.1)
    build_weights(
        record, JANUARY, previous, AggregationParameters(turnover=0.1), families, record_program
    )
    models = ["ema_5_10", "macd", "rsi_14", "sma_50"]
    of_each = [f"{word}[{model}]" for word in ("weight", "sold") for model in models]
    assert list_names(programs[0].variables) == [*of_each, "scale"]
    row = dict(zip(list_names(programs[0].rows), programs[0].A, strict=True))
    kept = [-row[f"sold[{model}]"][-1] for model in models]
    np.testing.assert_allclose(kept, [-0.4, -0.3, -0.2, -0.1])


def test_a_family_cap_too_low_to_invest_fully_is_raised_and_reported():
    values = returns(700, 4)
    values[:, 3] = 0.0
    families = {"m00": "ema", "m01": "ema", "m02": "rsi", "m03": "sma"}
    parameters = AggregationParameters("min_variance", family_cap=0.4)
    table = build(performance(values), parameters=parameters, families=families)
    assert outcome(table)[:2] == ("min_variance", "Solved; family_cap raised to 0.6")
    assert table["weight"][:2].sum() == pytest.approx(0.6, abs=1e-9)


def test_a_half_life_favours_the_recent_past():
    values = returns(700, 6)
    recent = AggregationParameters("min_variance", half_life=3.0)
    expected = optimise("min_variance", build_problem(estimate(values, 3.0), 0.4)).weights
    table = build(performance(values), parameters=recent)
    np.testing.assert_array_equal(table["weight"], expected)
    assert np.abs(expected - weigh("min_variance", values)).max() > 0.01


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_nothing_from_the_month_on_is_seen(objective):
    record = performance(returns(1500, 6), last="2024-06-28")
    wanted, parameters = months("2023-10-01", 8), AggregationParameters(objective)
    before = build(record, wanted, parameters=parameters)
    for position, month in enumerate(wanted):
        poisoned = {}
        for name, frame in record.items():
            late = frame["date"] >= month
            noise = np.random.default_rng(7).normal(0.0, 9.0, late.sum())
            poisoned[name] = frame.copy()
            poisoned[name].loc[late, "daily_return"] = noise
        poisoned["m03"] = poisoned["m03"][poisoned["m03"]["date"] < month]
        after = build(poisoned, wanted, parameters=parameters)
        rows = slice(0, (position + 1) * len(record))
        pd.testing.assert_frame_equal(before[rows], after[rows], check_exact=True)
        assert position == 7 or not before.equals(after)


def test_nothing_from_before_the_window_is_seen():
    record = performance(returns(1200, 6))
    cut = {name: frame[frame["date"] >= WINDOW] for name, frame in record.items()}
    pd.testing.assert_frame_equal(build(record), build(cut), check_exact=True)
    later = {name: frame[frame["date"] >= "2021-01-04"] for name, frame in record.items()}
    assert not build(record).equals(build(later))


@pytest.mark.parametrize("objective", ["max_sharpe", "max_sharpe_net", "min_cvar"])
def test_a_range_equals_its_months_one_by_one_bit_for_bit(objective):
    parameters = AggregationParameters(objective)
    values = returns(1600, 6)
    values[700:1100] -= 0.004
    values[:500, 2] = 0.0
    record = performance(values, last="2024-06-28")
    wanted = months("2018-06-01", 52)
    whole = build(record, wanted, parameters=parameters)
    assert {objective, "equal_weight"} <= set(whole["fallback"])
    assert ("previous_weights" in set(whole["fallback"])) == (objective != "min_cvar")
    previous = None
    for month in wanted:
        window = {
            name: frame[
                (frame["date"] >= month - pd.DateOffset(months=36)) & (frame["date"] < month)
            ]
            for name, frame in record.items()
        }
        alone = build(window, pd.DatetimeIndex([month]), previous, parameters)
        same = whole[whole["month"] == month].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, same, check_exact=True)
        previous = alone


@pytest.mark.parametrize("objective", ["max_sharpe_net", "min_cvar"])
def test_noise_does_not_grow_from_month_to_month(objective):
    """Performance agrees to 1e-9 for any split of the months; weights must agree to 1e-6."""
    values = returns(1800, 8)
    noise = np.random.default_rng(1).uniform(-1e-9, 1e-9, values.shape)
    wanted, parameters = months("2019-01-01", 60), AggregationParameters(objective)
    clean = build(performance(values), wanted, parameters=parameters)
    noisy = build(performance(values + noise), wanted, parameters=parameters)
    assert (clean["fallback"] == objective).all()
    np.testing.assert_allclose(noisy["weight"], clean["weight"], rtol=0, atol=1e-6)


def test_the_order_of_models_and_rows_changes_nothing():
    record = performance(returns(700, 8))
    shuffled = {
        name: record[name].sample(frac=1.0, random_state=3) for name in sorted(record, reverse=True)
    }
    pd.testing.assert_frame_equal(build(record), build(shuffled), check_exact=True)


def test_the_names_of_the_models_change_nothing_but_the_last_bits():
    values, order = returns(700, 8), [3, 1, 7, 0, 6, 2, 5, 4]
    weights = build(performance(values))["weight"].to_numpy()
    renamed = build(performance(values[:, order]))["weight"].to_numpy()
    np.testing.assert_allclose(renamed, weights[order], rtol=0, atol=1e-9)


def test_before_any_model_is_eligible_all_weigh_the_same():
    record = performance(returns(143, 3)) | {"young": pd.DataFrame()}
    table = build(record)
    np.testing.assert_array_equal(table["weight"], 0.25)
    assert outcome(table) == ("equal_weight", "no_record", "none")
    reasons = ["record of 143 sessions, needs 252"] * 3 + ["no performance for 2023-12"]
    assert table["reason"].tolist() == reasons


def test_the_status_says_when_no_model_is_eligible_for_another_reason_than_a_short_record():
    values = returns(700, 3)
    values[650] = np.nan
    values[:, 2] = 1e-4
    table = build(performance(values))
    np.testing.assert_array_equal(table["weight"], 1 / 3)
    assert outcome(table) == ("equal_weight", "no model is eligible", "none")
    for benchmark in BENCHMARKS:
        np.testing.assert_array_equal(table[benchmark], 1 / 3)


def test_without_any_performance_all_weigh_the_same():
    empty = performance(returns(5, 1))["m00"][:0]
    table = build({"a": empty, "b": pd.DataFrame()}, months("2000-01-01", 2))
    np.testing.assert_array_equal(table["weight"], 0.5)
    assert (
        table["reason"].tolist()
        == ["no performance for 1999-12"] * 2 + ["no performance for 2000-01"] * 2
    )


def test_a_model_without_performance_for_the_last_month_weighs_nothing():
    record = performance(returns(700, 6))
    record["m01"] = record["m01"][record["m01"]["date"] < "2023-12-01"]
    table = build(record)
    assert table["weight"][1] == 0.0
    assert table["reason"].tolist() == ["", "no performance for 2023-12", "", "", "", ""]
    del record["m01"]
    np.testing.assert_array_equal(build(record)["weight"], table["weight"].drop(1))


def test_the_last_month_is_the_last_that_any_model_has():
    table = build(performance(returns(700, 6), last="2023-10-31"))
    assert outcome(table)[0] == "max_sharpe"
    assert (table["reason"] == "").all()


@pytest.mark.parametrize(
    ("idle", "reason"), [(448, ""), (449, "record of 251 sessions, needs 252")]
)
def test_a_record_counts_from_the_first_return_that_is_not_zero(idle, reason):
    values = returns(700, 6)
    values[:idle, 2] = [(-1) ** k * 1e-13 for k in range(idle)]
    table = build(performance(values))
    assert table["reason"][2] == reason
    eligible = [0, 1, 2, 3, 4, 5] if reason == "" else [0, 1, 3, 4, 5]
    sample = np.ascontiguousarray(values[idle if reason == "" else 0 :, eligible])
    expected = weigh("max_sharpe", sample)
    np.testing.assert_array_equal(table["weight"][eligible], expected)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (np.zeros(700), "record of 0 sessions, needs 252"),
        (np.full(700, 1e-4), "returns do not vary"),
        (np.where(np.arange(700) < 300, 0.0, 1e-4), "returns do not vary"),
        (
            np.where(np.arange(700) == 650, np.nan, returns(700, 1)[:, 0]),
            "daily_return is missing or infinite on 2023-10-23",
        ),
        (
            np.where(np.arange(700) == 650, np.inf, returns(700, 1)[:, 0]),
            "daily_return is missing or infinite on 2023-10-23",
        ),
    ],
    ids=["zero", "constant", "constant from a day on", "NaN", "infinite"],
)
def test_a_broken_model_weighs_nothing_and_does_not_affect_the_others(column, reason):
    values = returns(700, 6)
    values[:, 4] = column
    table = build(performance(values))
    assert table["reason"].tolist() == ["", "", "", "", reason, ""]
    others = performance(np.delete(values, 4, axis=1))
    assert table["weight"][4] == 0.0
    np.testing.assert_array_equal(table["weight"].drop(4), build(others)["weight"])
    assert outcome(table) == ("max_sharpe", "Solved", "clarabel")


def test_a_model_that_stopped_before_the_youngest_began_weighs_nothing():
    values = returns(700, 5)
    values[:400, 0] = 0.0
    values[400:, 3] = 0.0
    table = build(performance(values))
    youngest = performance(values)["m00"]["date"][400]
    assert table["reason"][3] == f"returns do not vary since {youngest:%Y-%m-%d}"
    assert table["weight"][3] == 0.0
    assert outcome(table)[0] == "max_sharpe"


def test_sessions_missing_for_one_model_are_ignored_for_all():
    values = returns(700, 5)
    record = performance(values)
    record["m02"] = record["m02"].drop(index=range(100, 140))
    expected = weigh("max_sharpe", np.delete(values, range(100, 140), axis=0))
    np.testing.assert_array_equal(build(record)["weight"], expected)


def test_too_few_sessions_in_common_hold_the_previous_weights_or_weigh_equally():
    record = performance(returns(700, 2))
    record["m00"] = record["m00"].drop(index=range(0, 340))
    record["m01"] = record["m01"].drop(index=range(340, 680))
    status = "infeasible: 20 sessions in common, needs 252; cap raised to 0.5"
    table = build(record)
    assert outcome(table) == ("equal_weight", status, "none")
    assert (table["reason"] == "").all()
    table = build(record, previous=held(m00=0.5, m01=0.5))
    assert outcome(table) == ("previous_weights", status, "none")


def losing():
    """Six models whose means are all negative."""
    values = returns(700, 6)
    return values - values.mean(axis=0) - 1e-4 * np.arange(1, 7)


def test_without_a_positive_mean_the_previous_weights_are_held():
    previous = held(m00=0.1, m01=0.2, m02=0.3, m03=0.4, m04=0.0, m05=0.0)
    table = build(performance(losing()), previous=previous)
    np.testing.assert_allclose(table["weight"], [0.1, 0.2, 0.3, 0.4, 0.0, 0.0], atol=1e-15)
    assert outcome(table) == (
        "previous_weights",
        "infeasible: no mix has a positive mean",
        "none",
    )


def test_held_weights_are_scaled_to_the_eligible_within_the_cap():
    record = performance(losing())
    record["m01"] = pd.DataFrame()
    previous = held(m00=0.3, m01=0.4, m02=0.2, m03=0.05, m04=0.05, gone=0.0)
    table = build(record, previous=previous)
    np.testing.assert_allclose(table["weight"], [0.4, 0.0, 0.4, 0.1, 0.1, 0.0], atol=1e-15)


def test_without_a_positive_mean_or_previous_weights_the_variance_is_minimised():
    values = losing()
    expected = weigh("min_variance", values)
    for previous in (None, held(gone=1.0)):
        table = build(performance(values), previous=previous)
        np.testing.assert_array_equal(table["weight"], expected)
        assert outcome(table) == (
            "min_variance",
            "infeasible: no mix has a positive mean",
            "clarabel",
        )


def test_a_single_positive_mean_limited_by_the_cap_is_not_enough():
    values = losing()
    values[:, 0] += 2e-4
    assert values[:, 0].mean() > 0
    assert outcome(build(performance(values)))[:2] == (
        "min_variance",
        "infeasible: no mix has a positive mean",
    )


def test_a_solver_that_fails_leads_to_inverse_volatility(monkeypatch):
    monkeypatch.setattr(clarabel_solver, "GAP_TOLERANCE", -1.0)
    values = returns(700, 6)
    table = build(performance(values))
    fallback, status, solver = outcome(table)
    assert (fallback, solver) == ("inverse_vol", "none")
    assert status not in ("Solved", "")
    expected = weigh("inverse_vol", values)
    np.testing.assert_array_equal(table["weight"], expected)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_returns_that_overflow_lead_to_equal_weights():
    values = returns(700, 4)
    values[10, 1] = 1e200
    table = build(performance(values))
    fallback, status, _ = outcome(table)
    assert fallback == "equal_weight"
    assert status != "Solved"
    np.testing.assert_array_equal(table["weight"], 0.25)


def test_duplicate_models_are_solved():
    values = returns(700, 3)[:, [0, 0, 1, 1, 2, 2]]
    table = build(performance(values))
    assert outcome(table) == ("max_sharpe", "Solved", "clarabel")


def test_fewer_observations_than_models_are_solved():
    parameters = AggregationParameters("max_sharpe", min_months=1, window_months=1, cap=0.2)
    table = build(performance(returns(21, 60)), parameters=parameters)
    assert outcome(table) == ("max_sharpe", "Solved", "clarabel")
    assert (table["reason"] == "").all()


def test_one_model_has_the_whole_book():
    assert weights_of(build(performance(returns(700, 1)))) == {"m00": 1.0}
    assert weights_of(build(performance(-abs(returns(700, 1))))) == {"m00": 1.0}


def test_a_cap_too_low_to_invest_fully_is_raised():
    table = build(performance(returns(700, 2)))
    assert weights_of(table) == {"m00": 0.5, "m01": 0.5}
    assert outcome(table) == ("max_sharpe", "Solved; cap raised to 0.5", "clarabel")


def test_a_month_of_the_window_without_sessions_is_fine():
    record = performance(returns(700, 6))
    gap = {name: f[f["date"].dt.strftime("%Y-%m") != "2022-09"] for name, f in record.items()}
    assert outcome(build(gap)) == ("max_sharpe", "Solved", "clarabel")


def test_a_model_that_joins_starts_with_nothing_held():
    previous = held(m00=0.25, m01=0.25, m02=0.25, m03=0.25)
    table = build(performance(losing()), previous=previous)
    assert weights_of(table)["m05"] == 0.0


def test_missing_previous_weights_are_an_error_that_names_the_command():
    record = performance(returns(700, 6))
    with pytest.raises(MissingMonthError, match=r"2023-12.*hawk backfill --from 2023-12-01"):
        build_weights(
            record,
            JANUARY,
            held(month="2023-11-01", m00=1.0),
            PARAMETERS,
            dict.fromkeys(record, "one"),
            clarabel_solver.solve,
        )
