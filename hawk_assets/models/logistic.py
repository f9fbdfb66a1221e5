"""Next week's direction is slightly predictable: a logistic regression, refitted every month."""

from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array
from hawk_assets.features.walk_forward import Labels, Predict, WalkForwardClassifier


@dataclass(frozen=True)
class Logistic(WalkForwardClassifier):
    """See :class:`WalkForwardClassifier` for the parameters."""

    @property
    def name(self) -> str:
        return f"logistic_{self.horizon}_{self.train}"

    def fit(self, features: Array, rises: Labels, seed: int) -> Predict:
        from scipy.special import expit
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            fitted = LogisticRegression(solver="newton-cholesky", tol=1e-10).fit(features, rises)

        def predict(rows: Array) -> Array:
            # Column by column: the last bits of a matrix product depend on the number of rows.
            terms = (w * column for w, column in zip(fitted.coef_[0], rows.T, strict=True))
            return np.asarray(expit(sum(terms, fitted.intercept_[0])))

        return predict


MODELS = (Logistic(),)
