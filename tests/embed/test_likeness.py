"""Mean cosine and twins, held against all pairs written out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from rxweave.embed import likeness
from rxweave.validate import collapse, geometry


def test_the_mean_cosine_is_that_over_all_pairs(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((40, 8)) + 0.5
    pairs = cosine_similarity(vectors)[np.triu_indices(40, 1)]
    assert likeness.mean_cosine(vectors) == pytest.approx(pairs.mean())
    assert np.isnan(likeness.mean_cosine(np.zeros((3, 2))))


def test_twins_are_those_whose_distance_is_rounding(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((60, 8)).astype(np.float32)
    vectors[10:15] = vectors[3]
    vectors[20] = vectors[21] + 1e-3
    distances = euclidean_distances(vectors.astype(np.float64))
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(likeness.has_twin(vectors), distances.min(axis=1) < 1e-6)


def test_training_and_verdict_measure_the_same() -> None:
    assert geometry.mean_cosine is likeness.mean_cosine
    assert collapse.has_twin is likeness.has_twin
