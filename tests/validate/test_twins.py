from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from rxweave.embed import likeness
from rxweave.embed.likeness import TWIN_DISTANCE, has_twin
from rxweave.validate.twins import has_near_twin, shares_vector_with_another_kind


def nearest(vectors: np.ndarray) -> np.ndarray:
    """Distance to the nearest other row, as a multiple of the tolerance."""
    exact = vectors.astype(np.float64)
    apart = cdist(exact, exact)
    np.fill_diagonal(apart, np.inf)
    return apart.min(axis=1) / (TWIN_DISTANCE * np.sqrt((exact**2).sum(axis=1).mean()))


def test_copies_and_near_copies_are_twins_and_no_others() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 16)).astype(np.float32)
    vectors[7] = vectors[200]
    vectors[11] = vectors[12] + np.float32(2e-7)
    vectors[30] = vectors[31] + np.float32(1e-5)
    marked = has_twin(vectors)
    assert np.flatnonzero(marked).tolist() == [7, 11, 12, 200]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-7, 5e-7, 1e-6, 3e-6, 1e-4]), st.integers(1, 12))
def test_crowded_points_are_marked_as_by_comparing_every_pair(seed: int, noise: float, dim: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, dim))
    vectors = centres[rng.integers(4, size=120)] + noise * rng.normal(size=(120, dim))
    vectors = vectors.astype(np.float32)
    multiple = nearest(vectors)
    clear = np.abs(multiple - 1) > 1e-3
    assert has_twin(vectors)[clear].tolist() == (multiple[clear] < 1).tolist()


def test_the_search_through_blocks_marks_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # A ball of points within reach along any direction, few of them twins: settled by the blocks alone.
    rng = np.random.default_rng(1)
    vectors = (np.ones(8) + 2e-6 * rng.normal(size=(700, 8))).astype(np.float32)
    expected = nearest(vectors) < 1
    assert np.abs(nearest(vectors) - 1).min() > 1e-4
    assert 0.02 < expected.mean() < 0.98
    monkeypatch.setattr(likeness, "NEIGHBOURS", 1)
    monkeypatch.setattr(likeness, "BLOCK", 7)
    assert has_twin(vectors).tolist() == expected.tolist()


def test_all_zero_vectors_are_twins_and_a_single_node_has_none() -> None:
    assert has_twin(np.zeros((3, 4), np.float32)).all()
    assert not has_twin(np.ones((1, 4), np.float32)).any()
    assert len(has_twin(np.ones((0, 4), np.float32))) == 0


def test_near_twins_are_found_among_all_vectors_not_only_the_asked_ones() -> None:
    angle = np.arccos([1.0, 0.9985, 0.9995, 0.0])
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    # 0 and 2 are .9995 apart in cosine, 1 and 2 are nearer still; 3 is far from all.
    assert has_near_twin(vectors, np.array([0, 3])).tolist() == [True, False]
    assert has_near_twin(vectors * np.float32([[1], [5], [3], [2]]), np.array([2])).tolist() == [True]
    assert has_near_twin(np.zeros((4, 2), np.float32), np.arange(4)).tolist() == [False] * 4


def test_a_vector_shared_with_another_kind_is_found_bit_for_bit(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(400, 6)).astype(np.float32)
    kinds = np.arange(400) % 3
    vectors[30] = vectors[31]
    vectors[60] = vectors[63]
    found = shares_vector_with_another_kind(vectors, kinds)
    assert np.flatnonzero(found).tolist() == [30, 31]
    vectors[0], vectors[1] = np.float32(0.0), np.float32(-0.0)
    vectors[2], vectors[3] = np.float32([0, 1, 2, 3, 4, 5]), np.float32([-0.0, 1, 2, 3, 4, 5])
    assert np.flatnonzero(shares_vector_with_another_kind(vectors, kinds)).tolist() == [2, 3, 30, 31]


def test_it_agrees_with_grouping_rows(rng: np.random.Generator) -> None:
    vectors = rng.integers(0, 3, size=(500, 4)).astype(np.float32)
    kinds = rng.integers(0, 4, size=500)
    _, group = np.unique(vectors, axis=0, return_inverse=True)
    expected = [len(set(kinds[group == g])) > 1 for g in group]
    expected = np.array(expected) & vectors.any(axis=1)
    assert (shares_vector_with_another_kind(vectors, kinds) == expected).all()
    assert shares_vector_with_another_kind(vectors[:0], kinds[:0]).shape == (0,)
