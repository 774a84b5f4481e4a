from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from rxweave.errors import InputError
from rxweave.rank import probe
from rxweave.rank.probe import probe_scores


def drawn(num: int, dim: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, dim)).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_it_is_the_linear_discriminant_of_the_products_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PENALTY", 0.2)
    drugs, diseases = drawn(30, 5, 0), drawn(20, 5, 1)
    train = np.array([[0, 1], [3, 4], [7, 7], [29, 19]])
    products = np.array([a * b for a in unit(drugs) for b in unit(diseases)], np.float64)
    covariance = np.cov(products.T, bias=True)
    ridge = covariance + 0.2 * np.diag(covariance.diagonal())
    positives = products.reshape(30, 20, 5)[tuple(train.T)]
    weights = np.linalg.solve(ridge, positives.mean(axis=0) - products.mean(axis=0))
    np.testing.assert_allclose(probe_scores(drugs, diseases, train).ravel(), products @ weights, rtol=1e-4, atol=1e-5)


def test_without_a_ridge_it_points_where_scikit_learn_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PENALTY", 0.0)
    drugs, diseases = drawn(60, 4, 0), drawn(50, 4, 1)
    products = (unit(drugs)[:, None] * unit(diseases)).reshape(-1, 4).astype(np.float64)
    truth = products @ [1.0, -2.0, 0.5, 0.0] > 0.55
    train = np.argwhere(truth.reshape(60, 50))
    # Their classes have a covariance of their own each; ours is that of all pairs, which differs by a factor of the
    # weights and by what little the positives move.
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(products, truth).coef_[0]
    ours = np.linalg.lstsq(products, probe_scores(drugs, diseases, train).ravel(), rcond=None)[0]
    assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) > 0.999


def test_it_reads_a_relation_that_the_cosine_cannot_and_nothing_from_random_vectors() -> None:
    rng = np.random.default_rng(0)
    drugs, diseases = drawn(100, 16, 1), drawn(80, 16, 2)
    sign = np.where(np.arange(16) < 8, 1, -1)
    true = (unit(drugs) * sign) @ unit(diseases).T
    pairs = rng.permutation(np.argwhere(true > np.quantile(true, 0.95)))
    train, test = pairs[:200], pairs[200:]
    ranked = probe_scores(drugs, diseases, train)
    chance = probe_scores(drawn(100, 16, 3), drawn(80, 16, 4), train)
    others = rng.integers((100, 80), size=(2000, 2))
    auroc = [np.mean(scores[tuple(test.T)][:, None] > scores[tuple(others.T)]) for scores in (ranked, chance)]
    assert auroc[0] > 0.9
    assert auroc[1] == pytest.approx(0.5, abs=0.1)


def test_zero_vectors_and_one_point_give_one_score_to_all() -> None:
    for vectors in (np.zeros((10, 3), np.float32), np.ones((10, 3), np.float32)):
        scores = probe_scores(vectors, vectors, np.array([[0, 1], [2, 3]]))
        assert np.isfinite(scores).all()
        assert np.ptp(scores) == 0


def test_nothing_can_be_fitted_on_no_pair() -> None:
    with pytest.raises(InputError, match="no treatment"):
        probe_scores(drawn(5, 3, 0), drawn(5, 3, 1), np.empty((0, 2), np.int64))
