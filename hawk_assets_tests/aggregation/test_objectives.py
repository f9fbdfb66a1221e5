from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.conic import list_names
from hawk_assets.aggregation.estimation import estimate
from hawk_assets.aggregation.objectives import (
    CLOSED_FORMS,
    PROGRAMS,
    optimise_weights,
)
from hawk_assets.aggregation.parameters import OBJECTIVES
from hawk_assets.aggregation.programs import max_sharpe, min_variance
from hawk_assets_tests.aggregation.samples import (
    build_problem,
    check_limits,
    moments,
    optimise,
    returns,
)

CASES = [(2, 0.7), (6, 0.4), (10, 0.4), (20, 0.2), (20, 1.0), (50, 0.1)]


def exact_solution(p, equality, value, inequality, bound, active, force=0.0):
    """Minimise 1/2 x'Px + f'x, Ex = e, Gx <= g, by the active-set method from a first guess.

    Each round solves the optimality conditions of a guessed active set exactly; a guess whose
    point is feasible and whose multipliers are not negative is the optimum of a convex problem.
    """
    n = len(p)
    for _ in range(100):
        rows = np.vstack([equality, inequality[active]])
        zeros = np.zeros((len(rows), len(rows)))
        right = np.concatenate([np.zeros(n) - force, value, bound[active]])
        point = np.linalg.solve(np.block([[p, rows.T], [rows, zeros]]), right)
        multiplier = np.zeros(len(bound))
        multiplier[active] = point[n + len(value) :]
        better = (active & (multiplier >= 0)) | (inequality @ point[:n] > bound + 1e-12)
        if (better == active).all():
            return point[:n]
        active = better
    raise AssertionError("the active set does not settle")


def guess(weights, cap):
    return np.concatenate([weights < 1e-5, weights > cap - 1e-5])


def exact_max_sharpe(estimates, cap, weights):
    n, mean = len(estimates.mean), estimates.mean * 1e4
    limits = np.vstack([-np.eye(n), np.eye(n) - cap])
    y = exact_solution(
        estimates.covariance * 1e4,
        mean[None],
        np.ones(1),
        limits,
        np.zeros(2 * n),
        guess(weights, cap),
    )
    return y / y.sum()


def exact_min_variance(estimates, cap, weights):
    n = len(estimates.mean)
    limits, bound = np.vstack([-np.eye(n), np.eye(n)]), np.repeat([0.0, cap], n)
    covariance, ones = estimates.covariance * 1e4, np.ones((1, n))
    return exact_solution(covariance, ones, np.ones(1), limits, bound, guess(weights, cap))


def slsqp(function, gradient, n, cap):
    found = minimize(
        function,
        np.full(n, 1.0 / n),
        jac=gradient,
        method="SLSQP",
        bounds=[(0.0, cap)] * n,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert found.success
    return found.x


def sharpe(weights, estimates):
    return weights @ estimates.mean / np.sqrt(weights @ estimates.covariance @ weights)


def solve(objective, estimates, cap=1.0, **limits):
    problem = build_problem(estimates, cap, **limits)
    found = optimise(objective, problem)
    assert found.status == "Solved"
    assert found.solver == ("clarabel" if objective in PROGRAMS else "none")
    return check_limits(found.weights, problem)


def test_every_objective_is_a_program_or_a_closed_form():
    assert {*PROGRAMS, *CLOSED_FORMS} == set(OBJECTIVES)
    assert not set(PROGRAMS) & set(CLOSED_FORMS)


@pytest.mark.parametrize(("n", "cap"), CASES)
@pytest.mark.parametrize("seed", range(5))
def test_max_sharpe_equals_the_exact_solution(n, cap, seed):
    estimates = estimate(returns(504, n, seed))
    weights = solve("max_sharpe", estimates, cap)
    exact = exact_max_sharpe(estimates, cap, weights)
    np.testing.assert_allclose(weights, exact, atol=2e-6)
    assert sharpe(weights, estimates) == pytest.approx(sharpe(exact, estimates), rel=1e-9)


@pytest.mark.parametrize(("n", "cap"), CASES[:4])
def test_max_sharpe_equals_a_search_over_the_ratio_itself(n, cap):
    estimates = estimate(returns(504, n))
    mean, covariance = estimates.mean, estimates.covariance

    def gradient(w):
        risk = np.sqrt(w @ covariance @ w)
        return -(mean - w @ mean / risk**2 * (covariance @ w)) / risk

    searched = slsqp(lambda w: -sharpe(w, estimates), gradient, n, cap)
    np.testing.assert_allclose(solve("max_sharpe", estimates, cap), searched, atol=1e-5)


@pytest.mark.parametrize(("n", "cap"), CASES)
@pytest.mark.parametrize("seed", range(5))
def test_min_variance_equals_the_exact_solution(n, cap, seed):
    estimates = estimate(returns(504, n, seed))
    weights = solve("min_variance", estimates, cap)
    np.testing.assert_allclose(weights, exact_min_variance(estimates, cap, weights), atol=1e-5)


@pytest.mark.parametrize(("n", "cap"), CASES[:4])
def test_min_variance_equals_a_search(n, cap):
    estimates = estimate(returns(504, n))
    covariance = 1e4 * estimates.covariance
    searched = slsqp(lambda w: w @ covariance @ w, lambda w: 2 * covariance @ w, n, cap)
    np.testing.assert_allclose(solve("min_variance", estimates, cap), searched, atol=1e-5)


def test_without_a_binding_limit_max_sharpe_is_the_tangency_portfolio():
    covariance = np.array([[4.0, 1.0], [1.0, 9.0]]) * 1e-4
    mean = np.array([5.0, 6.0]) * 1e-4
    tangency = np.linalg.solve(covariance, mean)
    weights = solve("max_sharpe", moments(mean, covariance), 1.0)
    np.testing.assert_allclose(weights, tangency / tangency.sum(), atol=1e-7)


@pytest.mark.parametrize(
    "objective", [o for o in OBJECTIVES if o not in ("max_sharpe_net", "utility")]
)
def test_the_unit_of_the_returns_does_not_matter(objective):
    sample = returns(504, 10)
    weights = solve(objective, estimate(sample), 0.4)
    for unit in (1e-6, 1e6):
        scaled = solve(objective, estimate(sample * unit), 0.4)
        np.testing.assert_allclose(scaled, weights, atol=1e-7)


@pytest.mark.parametrize("objective", [o for o in OBJECTIVES if o != "hrp"])
def test_the_order_of_the_models_does_not_matter(objective):
    sample, order = returns(504, 12), np.random.default_rng(1).permutation(12)
    weights = solve(objective, estimate(sample), 0.3)
    reordered = solve(objective, estimate(sample[:, order]), 0.3)
    np.testing.assert_allclose(reordered, weights[order], atol=1e-9)


def test_duplicate_models_share_what_one_of_them_would_get():
    sample = returns(504, 4)
    once = solve("max_sharpe", moments(sample.mean(axis=0), np.cov(sample.T)), 1.0)
    twice = sample[:, [0, 0, 1, 1, 2, 2, 3, 3]]
    weights = solve("max_sharpe", moments(twice.mean(axis=0), np.cov(twice.T)), 1.0)
    np.testing.assert_allclose(weights[::2] + weights[1::2], once, atol=1e-5)


@pytest.mark.parametrize(
    ("mean", "cap"), [([-1e-4, -2e-4, -3e-4], 1.0), ([1e-4, -5e-4, -6e-4], 0.4), ([0.0, 0.0], 0.5)]
)
def test_max_sharpe_asks_for_a_positive_mean_that_the_cap_allows(mean, cap):
    estimates = moments(mean, np.eye(len(mean)) * 1e-4)
    found = optimise("max_sharpe", build_problem(estimates, cap))
    assert found.weights is None
    assert (found.status, found.solver) == (
        "infeasible: no mix has a positive mean",
        "none",
    )


def test_a_large_loss_of_one_model_does_not_flip_max_sharpe():
    estimates = moments([1e-4, 2e-4, -9e-4], np.eye(3) * 1e-4)
    np.testing.assert_allclose(solve("max_sharpe", estimates, 0.7), [1 / 3, 2 / 3, 0.0], atol=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_estimates_that_are_not_finite_are_not_solved(objective, hole):
    covariance = np.eye(2) * 1e-4
    for estimates in (
        moments([1e-4, 2e-4], np.full((2, 2), hole)),
        moments([1e-4, hole], covariance),
    ):
        found = optimise(objective, build_problem(estimates))
        assert found.weights is None
        assert found.status == "the estimates are not finite"


def test_a_solution_that_is_not_optimal_is_rejected_whatever_its_status():
    def careless(program):
        solution = clarabel_solver.solve(program)
        return replace(solution, x=solution.x * (1 + 1e-4))

    problem = build_problem(estimate(returns(504, 5)), 0.4)
    for objective in PROGRAMS:
        found = optimise_weights(objective, problem, careless)
        assert found.weights is None
        assert found.status.startswith("rejected: KKT residual")


def test_a_rejection_names_the_most_violated_limit():
    def overlooks_the_caps(program):
        caps = [name.startswith("cap[") for name in list_names(program.rows)]
        return clarabel_solver.solve(replace(program, b=np.where(caps, 1.0, program.b)))

    estimates = estimate(returns(504, 5))
    largest = solve("min_variance", estimates).argmax()
    found = optimise_weights("min_variance", build_problem(estimates, 0.25), overlooks_the_caps)
    assert found.weights is None
    assert found.status.startswith("rejected: KKT residual ")
    assert found.status.endswith(f" (cap[m{largest:02d}])")


def test_the_status_of_a_backend_that_fails_is_reported():
    def gives_up(program):
        return replace(clarabel_solver.solve(program), status="MaxIterations")

    problem = build_problem(estimate(returns(504, 5)), 0.4)
    for objective in PROGRAMS:
        found = optimise_weights(objective, problem, gives_up)
        assert (found.weights, found.status) == (None, "MaxIterations")


def test_the_programs_are_scaled_to_size_one():
    estimates = estimate(returns(504, 5) * 1e-3)
    for program in (
        max_sharpe(build_problem(estimates, 0.4)),
        min_variance(build_problem(estimates, 0.4)),
    ):
        assert sum(size for _, size in program.cones) == len(program.b) == len(program.A)
        assert np.trace(program.P) == pytest.approx(5.0)
        assert np.abs(program.A).max() == 1.0


def exact_net(problem, weights):
    """The optimum of max_sharpe_net by the active-set method, over y, the sales of all, and k."""
    estimates, limits, held = problem.estimates, problem.limits, problem.held
    n, eye = len(held), np.eye(len(held))
    cost = problem.parameters.cost_bps * 1e-4 / 21
    none, column = np.zeros((n, n)), np.zeros((n, 1))
    rows = np.vstack(
        [
            np.hstack([-eye, none, column]),
            np.hstack([eye, none, np.full((n, 1), -limits.cap)]),
            np.hstack([-eye, -eye, held[:, None]]),
            np.hstack([none, -eye, column]),
        ]
    )
    keep = np.concatenate([np.ones(2 * n, bool), np.repeat(held[None] > 0, 2, axis=0).ravel()])
    columns = np.concatenate([np.ones(n, bool), held > 0, [True]])
    sales = np.maximum(held - weights, 0.0)
    slack = np.concatenate([weights, limits.cap - weights, weights + sales - held, sales])
    net = np.concatenate([estimates.shrunk_mean, np.full(n, -2 * cost), [0.0]])
    full = np.concatenate([np.ones(n), np.zeros(n), [-1.0]])
    equality = np.vstack([net * 1e4, full])[:, columns]
    y = exact_solution(
        np.pad(estimates.covariance * 1e4, (0, n + 1))[np.ix_(columns, columns)],
        equality,
        np.array([1.0, 0.0]),
        rows[np.ix_(keep, columns)],
        np.zeros(keep.sum()),
        slack[keep] < 1e-6,
    )
    return y[:n] / y[:n].sum()


@pytest.mark.parametrize(("n", "cap"), CASES[1:])
@pytest.mark.parametrize("seed", range(4))
def test_max_sharpe_net_equals_the_exact_solution(n, cap, seed):
    estimates = estimate(returns(504, n, seed))
    held = solve("inverse_vol", estimates)
    problem = build_problem(estimates, cap, held=held, cost_bps=10.0)
    weights = check_limits(optimise("max_sharpe_net", problem).weights, problem)
    np.testing.assert_allclose(weights, exact_net(problem, weights), atol=2e-6)


def net_sharpe(weights, problem):
    turnover = np.abs(weights - problem.held).sum()
    cost = problem.parameters.cost_bps * 1e-4 / 21 * turnover
    mean = weights @ problem.estimates.shrunk_mean - cost
    return mean / np.sqrt(weights @ problem.estimates.covariance @ weights)


@pytest.mark.parametrize("gross", [1.0, 1.5])
@pytest.mark.parametrize("seed", range(4))
def test_no_weights_nearby_have_a_better_net_ratio(seed, gross):
    estimates = estimate(returns(504, 8, seed))
    rng = np.random.default_rng(seed)
    held = rng.dirichlet(np.ones(8))
    problem = build_problem(estimates, 0.6, held=held, gross=gross, cost_bps=5.0)
    weights = check_limits(optimise("max_sharpe_net", problem).weights, problem)
    best = net_sharpe(weights, problem)
    others = [held, *np.eye(8)[weights < 0.6], *rng.dirichlet(np.ones(8), 200)]
    for other in others:
        for step in (1e-4, 1e-2, 0.3):
            moved = weights + step * (other - weights)
            if np.abs(moved).max() <= 0.6:
                assert net_sharpe(moved, problem) <= best + 1e-9


def test_without_held_weights_or_without_cost_the_net_ratio_is_the_ratio_of_the_shrunk_mean():
    estimates = estimate(returns(504, 8))
    shrunk = replace(estimates, mean=estimates.shrunk_mean)
    plain = solve("max_sharpe", shrunk, 0.4)
    np.testing.assert_allclose(solve("max_sharpe_net", estimates, 0.4), plain, atol=1e-9)
    free = solve("max_sharpe_net", estimates, 0.4, held=np.full(8, 1 / 8), cost_bps=0.0)
    np.testing.assert_allclose(free, plain, atol=1e-9)


def test_a_higher_cost_trades_less_until_nothing_is_traded():
    estimates, held = estimate(returns(504, 8)), np.full(8, 1 / 8)
    traded = [
        np.abs(solve("max_sharpe_net", estimates, 0.4, held=held, cost_bps=bps) - held).sum()
        for bps in (0.0, 2.0, 5.0, 10.0, 50.0, 500.0)
    ]
    assert traded[0] > 0.5
    assert (np.diff(traded) <= 1e-9).all()
    assert traded[-1] < 1e-9


def test_a_cost_above_every_mean_is_infeasible():
    held = np.array([1.0, 0.0, 0.0])
    estimates = moments([-3e-3, 2e-3, 2e-3], np.eye(3) * 1e-4)
    assert estimates.shrunk_mean.max() > 1e-4
    found = optimise("max_sharpe_net", build_problem(estimates, held=held, cost_bps=1000.0))
    assert found.weights is None
    assert found.status == "infeasible: no mix within reach has a positive mean after costs"


@pytest.mark.parametrize("aversion", [0.01, 1.0, 5.0, 50.0])
@pytest.mark.parametrize("seed", range(3))
def test_utility_equals_the_exact_solution(aversion, seed):
    estimates = estimate(returns(504, 10, seed))
    weights = solve("utility", estimates, 0.4, risk_aversion=aversion)
    exact = exact_solution(
        aversion * estimates.covariance * 1e4,
        np.ones((1, 10)),
        np.ones(1),
        np.vstack([-np.eye(10), np.eye(10)]),
        np.repeat([0.0, 0.4], 10),
        guess(weights, 0.4),
        force=-estimates.shrunk_mean * 1e4,
    )
    np.testing.assert_allclose(weights, exact, atol=2e-6)


def test_utility_goes_from_the_best_mean_to_the_smallest_variance():
    estimates = estimate(returns(504, 6))
    bold = solve("utility", estimates, risk_aversion=1e-3)
    np.testing.assert_allclose(bold, np.eye(6)[estimates.mean.argmax()], atol=1e-6)
    timid = solve("utility", estimates, risk_aversion=1e6)
    np.testing.assert_allclose(timid, solve("min_variance", estimates), atol=1e-5)


def cvar(weights, scenarios, tail):
    """The mean of the worst losses, a share ``tail``; the last one may count in part."""
    losses = np.sort(-scenarios @ weights)[::-1]
    count = tail * len(losses)
    part = np.clip(count - np.arange(len(losses)), 0.0, 1.0)
    return part @ losses / count


@pytest.mark.parametrize(("n", "cap"), CASES[:4])
@pytest.mark.parametrize("tail", [0.05, 0.5])
def test_min_cvar_has_the_smallest_loss_in_the_tail(n, cap, tail):
    """Against HiGHS, on all scenarios at once."""
    from scipy.optimize import linprog

    sample = returns(504, n)
    weights = solve("min_cvar", estimate(sample), cap, tail=tail)
    everyday = np.hstack([-sample * 100, -np.ones((504, 1)), -np.eye(504)])
    best = linprog(
        np.concatenate([np.zeros(n), [1.0], np.full(504, 1 / 504 / tail)]),
        A_ub=everyday,
        b_ub=np.zeros(504),
        A_eq=np.concatenate([np.ones(n), np.zeros(505)])[None],
        b_eq=[1.0],
        bounds=[(0, cap)] * n + [(None, None)] + [(0, None)] * 504,
    )
    np.testing.assert_allclose(weights, best.x[:n], atol=1e-6)
    assert cvar(weights, sample, tail) * 100 == pytest.approx(best.fun, rel=1e-8)


def test_min_cvar_finds_the_tail_from_any_starting_scenarios():
    sample = returns(504, 6)
    sample[:30, 2], sample[:30, 3] = -0.2, 0.2
    held = np.eye(6)[3]
    weights = solve("min_cvar", estimate(sample), 0.5)
    misled = solve("min_cvar", estimate(sample), 0.5, held=held)
    np.testing.assert_allclose(misled, weights, atol=1e-6)


def test_min_cvar_counts_a_return_as_much_as_its_probability():
    sample = returns(504, 5)
    count = np.repeat([1, 3], 252)
    weighed = replace(estimate(sample), probability=count / count.sum())
    weights = solve("min_cvar", weighed, 0.6)
    copied = solve("min_cvar", estimate(np.repeat(sample, count, axis=0)), 0.6)
    np.testing.assert_allclose(weights, copied, atol=1e-6)
    assert np.abs(weights - solve("min_cvar", estimate(sample), 0.6)).max() > 0.01


def signed(sample, **limits):
    estimates = estimate(sample)
    return {
        o: solve(o, estimates, limits.pop("cap", 0.5), **limits)
        for o in ("max_sharpe", "max_sharpe_net", "min_variance", "utility", "min_cvar")
    }


def test_shorts_reach_the_gross_limit():
    found = signed(returns(504, 8), gross=1.6)
    for objective in ("max_sharpe", "utility"):
        assert np.abs(found[objective]).sum() == pytest.approx(1.6, abs=1e-6)
    long_only = signed(returns(504, 8))
    assert all((weights >= 0).all() for weights in long_only.values())
    estimates = estimate(returns(504, 8))
    assert sharpe(found["max_sharpe"], estimates) > sharpe(long_only["max_sharpe"], estimates)


def test_a_gross_limit_out_of_reach_leaves_the_unconstrained_optimum():
    estimates = estimate(returns(504, 6))
    free = np.linalg.solve(estimates.covariance, np.ones(6))
    weights = solve("min_variance", estimates, 1.0, gross=10.0)
    np.testing.assert_allclose(weights, free / free.sum(), atol=1e-9)


def test_closed_forms_stay_long_only_whatever_the_gross_limit():
    estimates = estimate(returns(504, 6))
    for objective in CLOSED_FORMS:
        assert (solve(objective, estimates, 0.4, gross=2.0) >= 0).all()


FAMILIES = ["ema", "ema", "ema", "rsi", "rsi", "sma", "macd", "hurst"]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("gross", [1.0, 1.5])
def test_every_objective_keeps_to_all_limits_at_once(objective, gross):
    sample = returns(504, 8)
    sample[:, :3] += 4e-4
    held = np.array([0.05, 0.05, 0.1, 0.2, 0.1, 0.2, 0.2, 0.1])
    solve(
        objective,
        estimate(sample),
        0.25,
        families=FAMILIES,
        family_cap=0.3,
        held=held,
        turnover=0.1,
        gross=gross,
    )


def test_the_best_family_gets_its_cap_and_no_more():
    sample = returns(504, 8)
    sample[:, :3] += 8e-4
    weights = solve("max_sharpe", estimate(sample), 0.4, families=FAMILIES, family_cap=0.3)
    assert weights[:3].sum() == pytest.approx(0.3, abs=1e-9)
    assert solve("max_sharpe", estimate(sample), 0.4)[:3].sum() > 0.6


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_turnover_limit_is_reached_and_not_exceeded(objective):
    estimates, held = estimate(returns(504, 6)), np.eye(6)[0] * 0.7 + 0.05
    free = solve(objective, estimates, 0.8, held=held, cost_bps=0.0)
    change = np.abs(free - held).sum() / 2
    assert change > 0.05
    slow = solve(objective, estimates, 0.8, held=held, cost_bps=0.0, turnover=0.05)
    assert np.abs(slow - held).sum() / 2 == pytest.approx(0.05, abs=1e-6)


def perturbed(estimates, size):
    noise = np.random.default_rng(0).normal(0.0, size, estimates.scenarios.shape)
    return estimate(estimates.scenarios + noise)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_noise_in_the_last_digits_stays_there(objective):
    """Performance agrees to 1e-9 for any split of the months; weights must agree as well."""
    estimates = estimate(returns(756, 20))
    held = solve("inverse_vol", estimates, 0.4)
    weights = solve(objective, estimates, 0.4, held=held)
    moved = solve(objective, perturbed(estimates, 1e-12), 0.4, held=held)
    np.testing.assert_allclose(moved, weights, atol=1e-8)
