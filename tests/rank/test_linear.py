"""The linear member against scikit-learn's own pipeline."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rxweave.rank.linear import FARTHEST, fit_linear


def rows_of(num_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = rng.uniform(-1, 1, (400, 6)).astype(np.float32)
    label = np.argmax(rows[:, :num_classes] + 0.3 * rng.normal(size=(400, num_classes)), axis=1)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows, label, np.where(label == 0, 3.0, 1.0)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_margins_are_those_of_a_scikit_learn_pipeline(num_classes: int) -> None:
    rows, label, weights = rows_of(num_classes)
    model = fit_linear(rows, label, weights, penalty=0.01)
    regression = LogisticRegression(C=1 / (0.01 * weights.sum()), tol=1e-8, max_iter=5000)
    theirs = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), regression)
    theirs.fit(rows.astype(np.float64), label, logisticregression__sample_weight=weights)
    expected = theirs.decision_function(rows.astype(np.float64))
    margins = model.margins(rows)
    if num_classes == 2:
        np.testing.assert_allclose(margins[:, 0], -expected, atol=2e-3)
    else:
        np.testing.assert_allclose(margins, expected, atol=2e-3)


def test_a_penalty_means_the_same_for_few_rows_and_for_the_same_rows_many_times() -> None:
    rows, label, weights = rows_of(2)
    few = fit_linear(rows, label, weights, penalty=0.05)
    many = fit_linear(np.tile(rows, (5, 1)), np.tile(label, 5), np.tile(weights, 5), penalty=0.05)
    np.testing.assert_allclose(few.weights, many.weights, atol=1e-3)
    strict = fit_linear(rows, label, weights, penalty=5.0)
    assert np.abs(strict.weights).max() < 0.3 * np.abs(few.weights).max()


def test_gaps_constants_and_extremes_give_finite_margins() -> None:
    rows, label, weights = rows_of(2)
    rows[:, 4], rows[:, 5] = 7.0, np.nan
    model = fit_linear(rows, label, weights, penalty=0.05)
    assert np.isfinite(model.margins(rows)).all()
    far = np.full((1, 6), 1e30, np.float32)
    assert np.abs(model.standardised(far)).max() == FARTHEST
    assert np.isfinite(model.margins(np.full((1, 6), np.nan, np.float32))).all()


def test_a_row_has_the_same_margin_alone_and_among_others() -> None:
    rows, label, weights = rows_of(3)
    model = fit_linear(rows, label, weights, penalty=0.05)
    together = model.margins(rows)
    for i in (0, 13, 399):
        np.testing.assert_array_equal(model.margins(rows[i : i + 1])[0], together[i])
