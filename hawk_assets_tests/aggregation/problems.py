"""Problems for the solvers: what the objectives state for random windows, also awkward ones."""

from dataclasses import replace

import numpy as np

from hawk_assets.aggregation.conic import ConicProblem
from hawk_assets.aggregation.estimation import estimate
from hawk_assets.aggregation.objectives import PROGRAMS
from hawk_assets.aggregation.task import Task
from hawk_assets.core.model import Array
from hawk_assets_tests.aggregation.samples import moments, returns, task

SESSIONS = 504


def window(n: int, seed: int, n_obs: int = SESSIONS) -> Array:
    """A window of a longer record, as a rebalancing sees it."""
    start = int(np.random.default_rng(seed).integers(1000))
    return returns(n_obs + 1000, n, seed)[start : start + n_obs]


def stated(objective: str, sample: Array, cap: float) -> ConicProblem:
    """What an objective asks of a solver, coming from equal weights."""
    held = np.full(sample.shape[1], 1.0 / sample.shape[1])
    return PROGRAMS[objective](task(estimate(sample), cap, held=held))


def limited(n_obs: int = 40, **changes: float) -> Task:
    """Eight models under every limit there is at once."""
    sample = window(8, 0, n_obs)
    sample[:, :3] += 4e-4
    limits = {"cap": 0.25, "family_cap": 0.3, "turnover": 0.1, "gross": 1.5, **changes}
    families = ["ema", "ema", "ema", "rsi", "rsi", "sma", "macd", "hurst"]
    held = [0.0, 0.05, 0.15, 0.2, 0.1, 0.2, 0.2, 0.1]
    return task(estimate(sample), families=families, held=held, **limits)


def singular(objective: str, n: int, n_obs: int, cap: float) -> ConicProblem:
    """A sample covariance of fewer observations than models, two of which are equal."""
    sample = window(n, 5, n_obs)
    sample[:, 1] = sample[:, 0]
    return PROGRAMS[objective](task(moments(sample.mean(axis=0), np.cov(sample.T)), cap))


def mixed(sample: Array, cap: float) -> ConicProblem:
    """Variance less a tenth of the mean: no part is its own opposite, mirror image or multiple."""
    n, mean, covariance = sample.shape[1], sample.mean(axis=0), np.cov(sample.T)
    return ConicProblem(
        name="mixed",
        P=covariance * n / np.trace(covariance),
        q=-0.1 * mean / np.abs(mean).max(),
        A=np.vstack([np.ones(n), -np.eye(n), np.eye(n)]),
        b=np.concatenate([[1.0], np.zeros(n), np.full(n, cap)]),
        cones=(("zero", 1), ("nonnegative", 2 * n)),
        variables=(("weight", range(n)),),
        rows=(("budget", None), ("floor", range(n)), ("cap", range(n))),
    )


MIXED = mixed(window(10, 3), 0.4)
PROBLEMS = {
    f"{objective}-{n}-{seed}": stated(objective, window(n, seed), cap)
    for n, cap, seeds in ((10, 0.4, (0, 1, 2)), (50, 0.2, (0, 1)), (200, 0.2, (0,)))
    for objective in PROGRAMS
    for seed in seeds
} | {
    "mixed": MIXED,
    "linear": replace(MIXED, P=np.zeros_like(MIXED.P)),
    "singular-max_sharpe": singular("max_sharpe", 30, 20, 0.2),
    "singular-min_variance": singular("min_variance", 30, 20, 0.2),
    "one-model": stated("max_sharpe", np.abs(window(1, 0)), 1.0),
}
LIMITED = {f"limited-{objective}": state(limited()) for objective, state in PROGRAMS.items()}
