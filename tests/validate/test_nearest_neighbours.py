from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import skew
from sklearn.neighbors import NearestNeighbors

from rxweave.validate.neighbours import measure_neighbours, nearest_rows, skewness, type_purity


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_occurrences_and_their_skewness_agree_with_scikit_learn_and_scipy(rng: np.random.Generator) -> None:
    vectors = (rng.normal(size=(300, 20)) + 0.5).astype(np.float32)
    found = measure_neighbours(vectors, rng)
    nearest = NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(vectors)
    counts = np.bincount(nearest.kneighbors(return_distance=False).ravel(), minlength=300)
    assert (found.occurrences == counts).all()
    assert found.hubness == pytest.approx(skew(counts))
    assert found.anti_hub_share == pytest.approx((counts == 0).mean())
    assert found.largest_hub == counts.max() / 300
    low, high = found.hubness_interval
    assert low < found.hubness < high


def test_hand_computed_skewness() -> None:
    # One node is everyone's neighbour: counts 0, 0, 0, 4 have mean 1, deviation sqrt(3), third moment 6.
    assert skewness(np.array([0, 0, 0, 4])) == pytest.approx(6 / 3**1.5)
    assert skewness(np.array([2, 2, 2])) == 0


def test_a_point_in_the_middle_of_all_directions_is_a_hub(rng: np.random.Generator) -> None:
    spread = rng.normal(size=(400, 300)) + 0.3
    even = measure_neighbours(spread.astype(np.float32), rng)
    spread[:2] = 0.3 + 0.05 * rng.normal(size=(2, 300))
    hubs = measure_neighbours(spread.astype(np.float32), rng)
    assert hubs.hubness > 4 * max(even.hubness, 1)
    assert hubs.largest_hub > 0.9
    assert (np.argsort(hubs.occurrences)[-2:] < 2).all()


def test_high_dimensions_have_more_hubs_than_low_ones(rng: np.random.Generator) -> None:
    """The curse of dimensionality itself (Radovanović et al. 2010), for points around a centre off the origin."""
    low, high = (
        measure_neighbours((rng.normal(size=(600, dim)) + 0.7).astype(np.float32), rng).hubness for dim in (3, 200)
    )
    assert high > low + 1


def test_vectors_without_a_direction_take_no_part(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(50, 8)).astype(np.float32)
    with_zeros = np.concatenate([vectors, np.zeros((20, 8), np.float32)])
    assert (measure_neighbours(with_zeros, rng).occurrences == measure_neighbours(vectors, rng).occurrences).all()
    assert np.isnan(measure_neighbours(np.zeros((20, 8), np.float32), rng).hubness)
    assert np.isnan(measure_neighbours(vectors[:2], rng).hubness)
    assert len(measure_neighbours(vectors[:4], rng).occurrences) == 4


def test_nearest_rows_come_nearest_first_and_never_oneself(rng: np.random.Generator) -> None:
    points = unit(rng.normal(size=(80, 6)))
    rows = np.array([3, 70])
    found = nearest_rows(points, rows, 5)
    asked = NearestNeighbors(n_neighbors=6, metric="cosine", algorithm="brute").fit(points)
    expected = asked.kneighbors(points[rows], return_distance=False)[:, 1:]
    assert (found == expected).all()


def test_purity_is_1_for_types_apart_and_chance_for_mixed_types(rng: np.random.Generator) -> None:
    mixed = [rng.normal(size=(size, 30)).astype(np.float32) for size in (150, 450)]
    apart = [sample + 20 * centre for sample, centre in zip(mixed, np.eye(30, dtype=np.float32), strict=False)]
    for purity, size in zip(type_purity(apart, rng), (150, 450), strict=True):
        assert purity.value > 0.99
        assert purity.chance == pytest.approx((size - 1) / 599)
    for purity in type_purity(mixed, rng):
        assert purity.value == pytest.approx(purity.chance, abs=0.05)
        assert purity.interval[0] <= purity.value <= purity.interval[1]


def test_purity_of_one_type_alone_or_of_none_is_undefined(rng: np.random.Generator) -> None:
    some, none = rng.normal(size=(9, 3)).astype(np.float32), np.zeros((0, 3), np.float32)
    assert np.isnan(type_purity([some], rng)[0].value)
    assert np.isnan([purity.value for purity in type_purity([some, none], rng)]).all()
