"""The graph of nearest neighbours: against scikit-learn, and by hand."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from rxweave.cluster.neighbours import nearest, neighbour_graph


def unit_vectors(rng: np.random.Generator, num: int, dim: int = 8) -> np.ndarray:
    vectors = rng.normal(size=(num, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_neighbours_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    unit = unit_vectors(rng, 200)
    theirs = NearestNeighbors(n_neighbors=5, metric="cosine").fit(unit).kneighbors(return_distance=False)
    joined = neighbour_graph(nearest(unit, 5), 5)
    expected = np.zeros((200, 200), bool)
    expected[np.arange(200)[:, None], theirs] = True
    np.testing.assert_array_equal(joined.toarray() > 0, expected | expected.T)


def test_weights_are_the_overlap_of_neighbourhoods_by_hand() -> None:
    # 0 and 1 are each other's nearest, 2's nearest is 1; a neighbourhood holds the node itself.
    found = np.array([[1, 2], [0, 2], [1, 0]])
    weights = neighbour_graph(found, 1).toarray()
    np.testing.assert_allclose(weights, [[0, 1, 0], [1, 0, 1 / 3], [0, 1 / 3, 0]])


def test_a_sample_is_joined_as_if_it_were_all_there_is(rng: np.random.Generator) -> None:
    unit = unit_vectors(rng, 300)
    kept = rng.random(300) < 0.9
    of_sample = neighbour_graph(nearest(unit, 6), 6, kept)
    alone = neighbour_graph(nearest(unit[kept], 6), 6)
    np.testing.assert_allclose(of_sample.toarray(), alone.toarray())
