"""The cost of the model weights beside cvxpy and skfolio, and the fallbacks of difficult cases.

CPU milliseconds on one thread, the best of three runs, medians over the same windows of 504
sessions with the same Ledoit-Wolf covariance and the same tolerance of 1e-9. Clarabel alone is its
time from ready matrices to the solution. cvxpy compiles its problem once (DPP) and receives the
estimates. skfolio computes its own estimates, so it is compared with ours including estimation.
"""

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.allocation import build_weights
from hawk_assets.aggregation.conic import ConicProgram, Solution
from hawk_assets.aggregation.estimation import Estimates, estimate
from hawk_assets.aggregation.objectives import PROGRAMS
from hawk_assets.aggregation.parameters import OBJECTIVES, AggregationParameters
from hawk_assets.core.types import Array
from hawk_assets_tests.aggregation.samples import (
    build_problem,
    months,
    optimise,
    performance,
    returns,
)

SIZES = ((10, 0.4, 240), (50, 0.2, 240), (200, 0.2, 10))
"""Models, cap and months."""
MONTHS = 240
SESSIONS = 504
REPEATS = 3
TOLERANCE = {
    "tol_gap_abs": clarabel_solver.GAP_TOLERANCE,
    "tol_gap_rel": clarabel_solver.GAP_TOLERANCE,
}


def aggregation() -> None:
    """The tables of ``make bench``; a minute and a half."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        side_by_side()
        all_objectives()
        failures()


def side_by_side() -> None:
    """Maximum Sharpe ratio: the solver alone, ours around it, cvxpy, skfolio."""
    say("\nmax_sharpe, CPU ms a month; 240 months in s (of 200 models: ten months, times 24)")
    say("    models   Clarabel      ours  ratio | with estimates     cvxpy   skfolio  times ours")
    for n, cap, count in SIZES:
        samples = list(windows(n, count))
        known = [estimate(sample) for sample in samples]
        programs = [PROGRAMS["max_sharpe"](build_problem(one, cap)) for one in known]
        figures = (
            [alone(program) for program in programs],
            each(partial(weigh, cap), known),
            each(lambda sample, cap=cap: weigh(cap, estimate(sample)), samples),
            each(compiled(n, cap), known),
            each(skfolio(cap).fit, samples),
        )
        a, b, c, d, e = map(median, figures)
        say(
            f"    {n:>6}{a:>11.2f}{b:>10.2f}{b / a:>7.1f} |"
            f"{c:>15.2f}{d:>10.2f}{e:>10.1f}{e / c:>12.1f}"
        )
        a, b, c, d, e = (sum(column) * MONTHS / count / 1e3 for column in figures)
        say(f"    {'in all':>6}{a:>9.1f} s{b:>8.1f} s{'':>7} |{c:>13.1f} s{d:>8.1f} s{e:>8.1f} s")


def alone(program: ConicProgram) -> float:
    """CPU milliseconds of Clarabel from ready matrices to the solution, the best of three."""
    import clarabel
    from scipy import sparse

    settings = clarabel.DefaultSettings()
    settings.verbose, settings.max_threads = False, 1
    settings.tol_gap_abs = settings.tol_gap_rel = clarabel_solver.GAP_TOLERANCE
    kinds = {"zero": clarabel.ZeroConeT, "nonnegative": clarabel.NonnegativeConeT}
    ready = (
        sparse.csc_matrix(np.triu(program.P)),
        program.q,
        sparse.csc_matrix(program.A),
        program.b,
        [kinds[kind](size) for kind, size in program.cones],
        settings,
    )
    return min(timed(lambda: clarabel.DefaultSolver(*ready).solve()) for _ in range(REPEATS))


def all_objectives() -> None:
    """Every objective as in production: eligibility, estimates, fallbacks, both benchmarks."""
    say("\nall objectives, CPU s of 240 months of weights from 36 months each, all included")
    say(f"    {'models':<16}{10:>8}{50:>8}")
    for objective in OBJECTIVES:
        spent = []
        for n, count in ((10, MONTHS), (50, 24)):
            record = performance(returns(21 * (count + 40), n, drift=2e-4))
            wanted = pd.date_range(end="2024-01-01", periods=count, freq="MS")
            make = partial(
                build_weights,
                record,
                wanted,
                None,
                AggregationParameters(objective),
                {name: name for name in record},
                clarabel_solver.solve,
            )
            spent.append(timed(make) * MONTHS / count / 1e3)
        say(f"    {objective:<16}{spent[0]:>6.1f} s{spent[1]:>6.1f} s")


def failures() -> None:
    """Cases without a solution and their fallbacks, and models without weight and the reasons."""
    say("\nfailures: case, objective, fallback, status; why a model has no weight")
    for name, (objective, values, held, parameters) in cases().items():
        record = performance(values)
        families = {model: f"f{i // 2}" for i, model in enumerate(sorted(record))}
        chosen = AggregationParameters(objective, **parameters)
        solve = gives_up if name.startswith("solver") else clarabel_solver.solve
        table = build_weights(
            record, months("2024-01-01"), before(held, record), chosen, families, solve
        )
        assert abs(table["weight"].sum() - 1.0) < 1e-12
        first, against = table.iloc[0], table.loc[table["reason"] != "", "reason"]
        say(f"    {name:<46}{objective:<15}{first['fallback']:<17}{first['status']}")
        if len(against):
            say(f"    {'':<46}{len(against)} of {len(table)} without weight: {against.iloc[0]}")


Case = tuple[str, Array, Array | None, dict[str, Any]]


def cases() -> Mapping[str, Case]:
    """Objective, returns, weights held and parameters."""
    good = returns(700, 6)
    losing = good - good.mean(axis=0) - 1e-4 * np.arange(1, 7)
    one_positive = losing + np.eye(6)[0] * 2e-4
    even = np.full(6, 1 / 6)

    def with_column(column: Array | float) -> Array:
        values = good.copy()
        values[:, 4] = column
        return values

    holed = with_column(good[:, 4])
    holed[650, 4] = np.nan
    stuck = np.full((700, 3), 1e-4)
    short: dict[str, Any] = {"min_months": 1, "window_months": 1, "cap": 0.2}
    return {
        "all means negative, weights held": ("max_sharpe_net", losing, even, {}),
        "all means negative, none held": ("max_sharpe_net", losing, None, {}),
        "one positive mean, limited by its cap": ("max_sharpe", one_positive, even, {}),
        "no mean above the cost of trading": (
            "max_sharpe_net",
            good - good.mean(axis=0) + np.array([-9e-4, 9e-4, 0, 0, 0, 0]),
            np.eye(6)[0],
            {"cost_bps": 1000.0, "cap": 1.0},
        ),
        "singular covariance: every model twice": ("max_sharpe", good[:, [0, 0, 1, 1]], None, {}),
        "fewer observations than models": ("max_sharpe_net", returns(21, 60), None, short),
        "constant series": ("max_sharpe", with_column(1e-4), None, {}),
        "a model that never traded": ("max_sharpe", with_column(0.0), None, {}),
        "NaN in performance": ("max_sharpe", holed, None, {}),
        "one model": ("max_sharpe_net", good[:, :1], None, {}),
        "cap below 1/n": ("max_sharpe", good[:, :2], None, {"cap": 0.4}),
        "family cap too low to invest fully": (
            "max_sharpe",
            good[:, :3],
            None,
            {"family_cap": 0.4},
        ),
        "solver gives up, weights held": ("max_sharpe_net", good, even, {}),
        "solver gives up, none held": ("max_sharpe_net", good, None, {}),
        "no model eligible": ("max_sharpe_net", stuck, None, {}),
        "record too short": ("max_sharpe_net", good[:100], None, {}),
    }


def gives_up(program: ConicProgram) -> Solution:
    n, m = len(program.q), len(program.b)
    return Solution(np.zeros(n), "MaxIterations", np.nan, np.zeros(m), "clarabel")


def before(held: Array | None, record: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    if held is None:
        return None
    december = pd.Timestamp("2023-12-01")
    return pd.DataFrame({"month": december, "model": sorted(record), "weight": held})


def weigh(cap: float, estimates: Estimates) -> Array | None:
    return optimise("max_sharpe", build_problem(estimates, cap)).weights


def windows(n: int, count: int) -> Iterator[Array]:
    """Windows month after month through one long record."""
    record = returns(SESSIONS + 21 * count, n, drift=5e-4)
    for month in range(count):
        yield record[21 * month : 21 * month + SESSIONS]


def compiled(n: int, cap: float) -> Callable[[Estimates], Array]:
    """cvxpy's second-order cone program, the mean and a root of the covariance as parameters."""
    import cvxpy as cp

    mean, root, y = cp.Parameter(n), cp.Parameter((n, n)), cp.Variable(n)
    program = cp.Problem(
        cp.Minimize(cp.norm(root @ y)), [mean @ y == 1, y >= 0, y <= cap * cp.sum(y)]
    )

    def solve(estimates: Estimates) -> Array:
        size = np.trace(estimates.covariance) / n
        mean.value = estimates.mean / np.abs(estimates.mean).max()
        root.value = np.linalg.cholesky(estimates.covariance / size).T
        program.solve(solver=cp.CLARABEL, **TOLERANCE)
        return np.asarray(y.value / y.value.sum())

    return solve


def skfolio(cap: float) -> Any:
    from skfolio import RiskMeasure
    from skfolio.moments import LedoitWolf
    from skfolio.optimization import MeanRisk, ObjectiveFunction
    from skfolio.prior import EmpiricalPrior

    return MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_RATIO,
        risk_measure=RiskMeasure.STANDARD_DEVIATION,
        max_weights=cap,
        prior_estimator=EmpiricalPrior(covariance_estimator=LedoitWolf()),
        solver_params=TOLERANCE,
    )


def each(make: Callable[[Any], object], over: Sequence[Any]) -> list[float]:
    """CPU milliseconds of each, the best of three; imports and compilation excluded."""
    make(over[0])
    return [min(timed(partial(make, one)) for _ in range(REPEATS)) for one in over]


def timed(make: Callable[[], object]) -> float:
    """CPU milliseconds."""
    began = time.process_time()
    make()
    return 1e3 * (time.process_time() - began)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    aggregation()
