"""Stability: groups that are there are found and called stable; vectors without groups are not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from rxweave.cluster.stability import AtResolution, _choose, _overlaps, find_clusters, told
from rxweave.config import ClusterSettings

SETTINGS = ClusterSettings(resolutions=(0.1, 0.5, 1.0, 4.0), pairs=5)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_groups_that_are_there_are_found_and_stable(rng: np.random.Generator) -> None:
    truth = np.repeat(np.arange(5), 40)
    vectors = unit(rng.normal(size=(5, 16))[truth] + 0.3 * rng.normal(size=(200, 16)))
    labels, stability = find_clusters(vectors, SETTINGS, np.random.default_rng(1))
    assert adjusted_rand_score(truth, labels) == 1
    assert stability.chosen.stability > 0.95
    assert stability.above_control
    assert [told(float(each)) for each in stability.per_cluster] == ["stable"] * 5


def test_vectors_without_groups_are_no_more_stable_than_shuffled_ones(rng: np.random.Generator) -> None:
    _, stability = find_clusters(unit(rng.normal(size=(300, 16))), SETTINGS, np.random.default_rng(1))
    assert not stability.above_control
    assert stability.chosen.stability < 0.5


def test_equal_seeds_give_equal_clusters(rng: np.random.Generator) -> None:
    vectors = unit(rng.normal(size=(120, 8)))
    first, again = (find_clusters(vectors, SETTINGS, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1].tried == again[1].tried
    assert first[1].control == again[1].control


def test_a_given_resolution_is_taken(rng: np.random.Generator) -> None:
    _, stability = find_clusters(unit(rng.normal(size=(60, 8))), SETTINGS.but(resolution=1.5), rng)
    assert [each.resolution for each in stability.tried] == [1.5]


@pytest.mark.parametrize(
    ("stabilities", "counts", "expected"),
    [
        ((0.9, 0.88, 0.5), (2, 4, 9), 1),  # the finest near the best
        ((1.0, 0.6, 0.5), (1, 3, 9), 1),  # one cluster for all is no clustering
        ((0.5, 0.9, 0.2), (2, 3, 4), 1),
        ((0.3, 0.2), (1, 0), 0),
    ],
)
def test_the_finest_resolution_near_the_best_is_chosen(
    stabilities: tuple[float, ...], counts: tuple[int, ...], expected: int
) -> None:
    tried = [AtResolution(r + 1.0, n, s, 0.01) for r, (s, n) in enumerate(zip(stabilities, counts, strict=True))]
    assert _choose(tried, 0.05) == expected


def test_overlap_of_clusters_with_samples_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, -1])
    whole, half = np.ones(6, bool), np.array([True, True, False, True, False, False])
    # In the first sample {0, 1} and {2, 3, 4, 5}; in the second all three kept nodes together.
    again = [np.array([0, 0, 1, 1, 1, 1]), np.array([0, 0, 0])]
    found = _overlaps(labels, [whole, half], again)
    np.testing.assert_allclose(found, [(2 / 3 + 2 / 3) / 2, (2 / 4 + 1 / 3) / 2])


def test_words_for_overlaps() -> None:
    assert [told(value) for value in (0.8, 0.75, 0.6, 0.5, 0.1)] == ["stable", "stable", "doubtful", *["unstable"] * 2]
