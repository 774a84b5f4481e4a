from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from rxweave.rank.calibration import Calibration, fit_calibration


class ScoreItself(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose decision value is the one number it is given."""

    classes_ = np.array([0, 1])

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return x[:, 0]

    def fit(self, x: np.ndarray, y: np.ndarray) -> ScoreItself:
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return (x[:, 0] > 0).astype(int)


def scored_pairs(seed: int, *, size: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(-1.0, 2.0, size).astype(np.float32)
    return scores, rng.random(size) < expit(1.5 * scores - 0.7)


@pytest.mark.parametrize("seed", range(4))
def test_probabilities_are_those_of_scikit_learns_sigmoid_calibration(seed: int) -> None:
    scores, treated = scored_pairs(seed)
    ours = fit_calibration(scores, treated).probability(scores)
    theirs = CalibratedClassifierCV(FrozenEstimator(ScoreItself()), method="sigmoid", ensemble=False)
    theirs.fit(scores[:, None].astype(np.float64), treated.astype(int))
    np.testing.assert_allclose(ours, theirs.predict_proba(scores[:, None].astype(np.float64))[:, 1], atol=1e-4)


def test_the_line_that_made_the_labels_is_found_again() -> None:
    scores, treated = scored_pairs(0, size=200_000)
    found = fit_calibration(scores, treated)
    assert found.slope == pytest.approx(1.5, abs=0.05)
    assert found.intercept == pytest.approx(-0.7, abs=0.05)
    assert found.num_treatments == treated.sum()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_calibration_never_changes_the_order(seed: int) -> None:
    scores, treated = scored_pairs(seed, size=120)
    probability = fit_calibration(scores, treated).probability(scores)
    assert (np.diff(probability[np.argsort(scores)]) >= 0).all()


def test_perfectly_separated_scores_give_finite_numbers() -> None:
    scores = np.repeat(np.array([-3.0, 3.0], np.float32), 50)
    found = fit_calibration(scores, scores > 0)
    assert np.isfinite([found.slope, found.intercept]).all()
    # Platt's targets: 51 of 52 for the treated, 1 of 52 for the others.
    np.testing.assert_allclose(found.probability(np.array([3.0, -3.0])), [51 / 52, 1 / 52], atol=1e-4)


def test_too_few_treatments_leave_the_score_as_it_is() -> None:
    scores = np.linspace(-1, 1, 100).astype(np.float32)
    found = fit_calibration(scores, scores > 0.9)
    assert (found.slope, found.intercept, found.num_treatments) == (1.0, 0.0, 0)
    assert "5 validation treatments" in found.note


def test_scores_that_fall_with_the_label_leave_the_score_as_it_is() -> None:
    scores, treated = scored_pairs(0)
    found = fit_calibration(-scores, treated)
    assert (found.slope, found.intercept, found.num_treatments) == (1.0, 0.0, 0)
    assert "falls where it should rise" in found.note


def test_the_documented_shift_moves_the_probability_to_another_mix() -> None:
    """With k times as many untreated pairs at every score, the odds of treatment are k times lower."""
    here = Calibration(slope=1.2, intercept=0.3)
    score = np.array([0.8])
    there = Calibration(slope=1.2, intercept=0.3 - np.log(90 / 30))
    odds = [p / (1 - p) for p in (here.probability(score), there.probability(score))]
    np.testing.assert_allclose(odds[0], 3 * odds[1])
