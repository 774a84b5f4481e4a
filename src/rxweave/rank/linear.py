"""The linear member of the ranker: logistic regression on the same rows as the trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int
from sklearn.linear_model import LogisticRegression

FARTHEST = 5.0
"""Standard deviations from the mean beyond which a feature counts as this far: no pair is decided by one number."""


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A logistic regression on standardised features; a missing value counts as the median of those learnt from."""

    median: Float32[np.ndarray, " features"]
    mean: Float32[np.ndarray, " features"]
    deviation: Float32[np.ndarray, " features"]
    """Standard deviation; 1 where a feature is the same in all rows."""
    weights: Float32[np.ndarray, "margins features"]
    """For each standard deviation of a feature; one row for two classes, else one for each."""
    intercept: Float32[np.ndarray, " margins"]

    def standardised(self, rows: Float32[np.ndarray, "rows features"]) -> Float32[np.ndarray, "rows features"]:
        """Give the features as the weights take them: no gaps, mean 0, deviation 1, none beyond `FARTHEST`."""
        filled: Float32[np.ndarray, "rows features"] = np.where(np.isnan(rows), self.median, rows)
        filled -= self.mean
        filled /= self.deviation
        np.clip(filled, -FARTHEST, FARTHEST, out=filled)
        return filled

    def margins(self, rows: Float32[np.ndarray, "rows features"]) -> Float[np.ndarray, "rows margins"]:
        """Give the log-odds of the first of two classes, or what softmax turns into the probability of each."""
        # einsum and not a matrix product: a row's last bits would hang on how many rows there are.
        parts: Float[np.ndarray, "rows margins"] = np.einsum(
            "rf,mf->rm", self.standardised(rows), self.weights, dtype=np.float64
        )
        parts += self.intercept
        return parts


def fit_linear(
    rows: Float32[np.ndarray, "rows features"],
    label: Int[np.ndarray, " rows"],
    weights: Float[np.ndarray, " rows"],
    *,
    penalty: float,
) -> LinearModel:
    """Fit the classes 0, 1 (, 2) of `label`: least mean log loss, plus `penalty` / 2 times the squared weights.

    The mean is over rows, each counting as much as it weighs; so a penalty means the same for few rows and many.
    """
    gaps = np.isnan(rows)
    empty = gaps.all(axis=0)
    median = np.zeros(rows.shape[1], np.float32)
    median[~empty] = np.nanmedian(rows[:, ~empty], axis=0)
    filled = np.where(gaps, median, rows)
    mean, deviation = filled.mean(axis=0, dtype=np.float64), filled.std(axis=0, dtype=np.float64)
    deviation[deviation < 1e-8] = 1.0
    count = rows.shape[1]
    blank = np.empty((0, count), np.float32), np.empty(0, np.float32)
    shape = LinearModel(median, mean.astype(np.float32), deviation.astype(np.float32), *blank)
    model = LogisticRegression(C=1 / (penalty * weights.sum()), tol=1e-5, max_iter=2000)
    model.fit(shape.standardised(rows).astype(np.float64), label, sample_weight=weights)
    # Of two classes scikit-learn gives the log-odds of the second.
    sign = -1.0 if len(model.classes_) == 2 else 1.0
    learnt = (sign * model.coef_).astype(np.float32), (sign * model.intercept_).astype(np.float32)
    return LinearModel(shape.median, shape.mean, shape.deviation, *learnt)
