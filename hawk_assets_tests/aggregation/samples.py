"""Returns of imaginary models for the tests of this folder: seeded, correlated, with known ends."""

import numpy as np
import pandas as pd

from hawk_assets.core.model import Array


def returns(n_obs: int, n_models: int, seed: int = 0, drift: float = 3e-4) -> Array:
    """Daily returns with two common factors, shape ``(n_obs, n_models)``."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(0.0, 0.006, (n_obs, 2)) @ rng.normal(0.0, 1.0, (2, n_models))
    own = rng.normal(0.0, 0.005, (n_obs, n_models))
    return np.asarray(factors + own + rng.normal(drift, 3e-4, n_models))


def performance(
    values: Array, last: str = "2023-12-29", names: list[str] | None = None
) -> dict[str, pd.DataFrame]:
    """One frame per column of ``values``, on the business days up to ``last``."""
    dates = pd.bdate_range(end=last, periods=len(values))
    names = names or [f"m{j:02d}" for j in range(values.shape[1])]
    return {
        name: pd.DataFrame({"date": dates, "daily_return": values[:, j]})
        for j, name in enumerate(names)
    }


def months(first: str, count: int = 1) -> pd.DatetimeIndex:
    return pd.date_range(first, periods=count, freq="MS")
