"""Combinations of features predict next week's direction: boosted trees, refitted every quarter."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hawk_assets.core.model import Array
from hawk_assets.features.walk_forward import Labels, Predict, WalkForwardClassifier


@dataclass(frozen=True)
class GradientBoosting(WalkForwardClassifier):
    """See :class:`WalkForwardClassifier` for the other parameters.

    :param trees: boosting iterations
    :param leaves: largest number of leaves of a tree
    """

    trees: int = 60
    leaves: int = 8

    period: ClassVar[str] = "Q"

    @property
    def name(self) -> str:
        return f"gradient_boosting_{self.horizon}_{self.train}"

    def fit(self, features: Array, rises: Labels, seed: int) -> Predict:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        model = HistGradientBoostingClassifier(
            max_iter=self.trees,
            max_leaf_nodes=self.leaves,
            early_stopping=False,
            random_state=seed,
        )
        with threadpool_limits(1):
            model.fit(features.astype(np.float32), rises)

        def predict(rows: Array) -> Array:
            with threadpool_limits(1):
                return np.asarray(model.predict_proba(rows.astype(np.float32))[:, 1])

        return predict


MODELS = (GradientBoosting(),)
