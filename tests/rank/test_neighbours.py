from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics.pairwise import cosine_similarity

from rxweave.rank.neighbours import similarity, summarise


def summary_by_hand(cosine: np.ndarray, query: int, listed: list[int]) -> list[float]:
    found = sorted((cosine[query, node] for node in listed if node != query), reverse=True)
    if not found:
        return [np.nan, np.nan, 0.0]
    return [found[0], float(np.mean(found[:3])), float(np.log1p(np.sum(np.exp(5 * np.array(found)))))]


@pytest.mark.parametrize("seed", range(5))
def test_summaries_are_those_of_scikit_learn_cosines_taken_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(1.0, 1.0, (12, 4)).astype(np.float32)
    lists = (rng.random((9, 12)) < rng.choice([0.0, 0.2, 0.6], (9, 1))).astype(np.float32)
    like = similarity(vectors, np.full(12, True), lists.any(axis=0))
    found = summarise(like, np.arange(12), sp.csr_array(lists))
    cosine = cosine_similarity(vectors - vectors.mean(axis=0))
    for query in range(12):
        for i in range(9):
            expected = summary_by_hand(cosine, query, np.flatnonzero(lists[i]).tolist())
            np.testing.assert_allclose(found[query, i], expected, rtol=1e-4, atol=1e-5)


def test_equal_cosines_all_count_in_the_mean_of_three() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [-4, 0]], np.float32)
    like = similarity(vectors, np.full(5, True), np.full(5, True))
    found = summarise(like, np.array([0]), sp.csr_array(np.array([[1, 1, 1, 0, 1]], np.float32)))
    # Itself is left out: two cosines of 1 and one of −1.
    np.testing.assert_allclose(found[0, 0, :2], [1.0, 1 / 3], rtol=1e-6)


def test_nodes_without_facts_or_with_zero_vectors_are_compared_with_nothing() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6, 3)).astype(np.float32)
    vectors[1] = 0
    linked = np.array([True, True, True, True, True, False])
    everyone = sp.csr_array(np.ones((1, 6), np.float32))
    like = similarity(vectors, linked, np.full(6, True))
    found = summarise(like, np.arange(6), everyone)
    assert np.isnan(found[[1, 5]]).all()
    # To the others they do not exist: neither as neighbours nor in the centre.
    usable = [0, 2, 3, 4]
    alone = similarity(vectors[usable], np.full(4, True), np.full(4, True))
    expected = summarise(alone, np.arange(4), sp.csr_array(np.ones((1, 4), np.float32)))
    np.testing.assert_array_equal(found[usable], expected)


def test_turning_all_vectors_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(8, 5)).astype(np.float32)
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    lists = sp.csr_array((rng.random((4, 8)) < 0.5).astype(np.float32))
    yes = np.full(8, True)
    plain, turned = (similarity(v, yes, yes) for v in (vectors, (vectors @ turn).astype(np.float32)))
    np.testing.assert_allclose(summarise(plain, np.arange(8), lists), summarise(turned, np.arange(8), lists), atol=1e-5)
