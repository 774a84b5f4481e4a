"""From the ranker's score to a probability that means something, without changing the order of any two
pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit
from sklearn.linear_model import LogisticRegression


@dataclass(frozen=True)
class Calibration:
    """Probability of treatment = sigmoid(slope · score + intercept) (Platt 1999), slope > 0.

    The probability holds for a pair from a mix of one true treatment to `negatives_per_positive` pairs
    without record. For another mix, 1 to n, subtract log(n / negatives_per_positive) from the intercept.
    """

    slope: float = 1.0
    intercept: float = 0.0
    num_treatments: int = 0
    """Validation treatments it was fitted on; 0 means that the score is used as it is."""
    note: str = "Not calibrated: no validation treatments were given."

    def probability(self, scores: Float[np.ndarray, " pairs"]) -> Float[np.ndarray, " pairs"]:
        return expit(self.slope * scores.astype(np.float64) + self.intercept)


def fit_calibration(scores: Float[np.ndarray, " pairs"], treated: Bool[np.ndarray, " pairs"]) -> Calibration:
    """Fit slope and intercept on pairs that the ranker has not learnt from; the mix of the pairs is what it
    holds for.

    The two labels are softened as Platt (1999) does, so that perfectly separated scores still give finite
    numbers. With fewer than 10 pairs of either label, or scores that do not rise with the label, the result
    is the identity and says why in its note.
    """
    positive, negative = int(treated.sum()), int((~treated).sum())
    if min(positive, negative) < 10:
        return Calibration(note=f"Not calibrated: {positive} validation treatments and {negative} others; 10 needed.")
    soft = np.where(treated, (positive + 1) / (positive + 2), 1 / (negative + 2))
    x = np.concatenate([scores, scores]).astype(np.float64)[:, None]
    y = np.repeat([1, 0], len(scores))
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(x, y, sample_weight=np.concatenate([soft, 1 - soft]))
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        return Calibration(
            note=f"Not calibrated: on {positive} validation treatments, the score falls where it should rise."
        )
    return Calibration(slope, intercept, positive, f"Fitted on {positive} validation treatments and {negative} others.")
