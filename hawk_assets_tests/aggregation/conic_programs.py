"""Conic programs for the solver tests: the objectives on random windows, difficult ones too."""

from dataclasses import replace

import numpy as np

from hawk_assets.aggregation.conic import ConicProgram, Solution
from hawk_assets.aggregation.estimation import estimate
from hawk_assets.aggregation.objectives import PROGRAMS
from hawk_assets.aggregation.problem import AllocationProblem
from hawk_assets.core.types import Array
from hawk_assets_tests.aggregation.samples import build_problem, moments, returns

SESSIONS = 504


def sample_window(n: int, seed: int, n_obs: int = SESSIONS) -> Array:
    """A window of a longer record, as in a rebalancing."""
    start = int(np.random.default_rng(seed).integers(1000))
    return returns(n_obs + 1000, n, seed)[start : start + n_obs]


def build_program(objective: str, sample: Array, cap: float) -> ConicProgram:
    """The program of an objective; equal weights are held before."""
    held = np.full(sample.shape[1], 1.0 / sample.shape[1])
    return PROGRAMS[objective](build_problem(estimate(sample), cap, held=held))


def limited_problem(n_obs: int = 40, **changes: float) -> AllocationProblem:
    """Eight models under all limits at once."""
    sample = sample_window(8, 0, n_obs)
    sample[:, :3] += 4e-4
    limits = {"cap": 0.25, "family_cap": 0.3, "turnover": 0.1, "gross": 1.5, **changes}
    families = ["ema", "ema", "ema", "rsi", "rsi", "sma", "macd", "hurst"]
    held = [0.0, 0.05, 0.15, 0.2, 0.1, 0.2, 0.2, 0.1]
    return build_problem(estimate(sample), families=families, held=held, **limits)


def singular(objective: str, n: int, n_obs: int, cap: float) -> ConicProgram:
    """A sample covariance of fewer observations than models, two of which are equal."""
    sample = sample_window(n, 5, n_obs)
    sample[:, 1] = sample[:, 0]
    return PROGRAMS[objective](build_problem(moments(sample.mean(axis=0), np.cov(sample.T)), cap))


def mixed(sample: Array, cap: float) -> ConicProgram:
    """Variance less a tenth of the mean: a wrong sign, order or scale of any part changes it."""
    n, mean, covariance = sample.shape[1], sample.mean(axis=0), np.cov(sample.T)
    return ConicProgram(
        name="mixed",
        P=covariance * n / np.trace(covariance),
        q=-0.1 * mean / np.abs(mean).max(),
        A=np.vstack([np.ones(n), -np.eye(n), np.eye(n)]),
        b=np.concatenate([[1.0], np.zeros(n), np.full(n, cap)]),
        cones=(("zero", 1), ("nonnegative", 2 * n)),
        variables=(("weight", range(n)),),
        rows=(("budget", None), ("floor", range(n)), ("cap", range(n))),
    )


PROJECTION = ConicProgram(
    name="projection",
    P=np.eye(2),
    q=np.zeros(2),
    A=np.array([[1.0, 1.0], [1.0, 0.0]]),
    b=np.array([1.0, 0.25]),
    cones=(("zero", 1), ("nonnegative", 1)),
    variables=(("x", None), ("y", None)),
    rows=(("line", None), ("limit", ("x",))),
)
"""The point of the line x + y = 1, x <= 1/4, closest to the origin: (1/4, 3/4)."""
OPTIMUM = Solution(
    x=np.array([0.25, 0.75]),
    status="Solved",
    objective=0.3125,
    dual=np.array([-0.75, 0.5]),
    solver="by hand",
)
MIXED = mixed(sample_window(10, 3), 0.4)
CONIC_PROGRAMS = {
    f"{objective}-{n}-{seed}": build_program(objective, sample_window(n, seed), cap)
    for n, cap, seeds in ((10, 0.4, (0, 1, 2)), (50, 0.2, (0, 1)), (200, 0.2, (0,)))
    for objective in PROGRAMS
    for seed in seeds
} | {
    "mixed": MIXED,
    "linear": replace(MIXED, P=np.zeros_like(MIXED.P)),
    "singular-max_sharpe": singular("max_sharpe", 30, 20, 0.2),
    "singular-min_variance": singular("min_variance", 30, 20, 0.2),
    "one-model": build_program("max_sharpe", np.abs(sample_window(1, 0)), 1.0),
}
LIMITED_PROGRAMS = {
    f"limited-{objective}": build(limited_problem()) for objective, build in PROGRAMS.items()
}
