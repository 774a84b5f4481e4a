from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_graphs import HARMS, TREATS, graph_of

from rxweave.errors import ConfigError
from rxweave.rank.negatives import contraindicated_pairs, uniform_negatives


def some_pairs(rng: np.random.Generator, count: int, num_drugs: int, num_diseases: int) -> np.ndarray:
    codes = rng.choice(num_drugs * num_diseases, count, replace=False)
    return np.stack(np.divmod(codes, num_diseases), axis=1)


def as_set(pairs: np.ndarray) -> set[tuple[int, int]]:
    return {(int(c), int(d)) for c, d in pairs}


@settings(max_examples=60, deadline=None)
@given(
    num_drugs=st.integers(1, 12),
    num_diseases=st.integers(1, 12),
    share=st.floats(0, 1),
    ratio=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_drawn_pairs_are_distinct_inside_the_matrix_and_never_known(
    num_drugs: int, num_diseases: int, share: float, ratio: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    size = num_drugs * num_diseases
    known = some_pairs(rng, int(share * size), num_drugs, num_diseases)
    train, forbidden = known[::2], known[1::2]
    drawn = uniform_negatives(
        train, num_drugs=num_drugs, num_diseases=num_diseases, ratio=ratio, forbidden=forbidden, rng=rng
    )
    assert len(drawn) == min(ratio * len(train), size - len(known))
    assert len(as_set(drawn)) == len(drawn)
    assert not as_set(drawn) & as_set(known)
    assert all(0 <= c < num_drugs and 0 <= d < num_diseases for c, d in as_set(drawn))


def test_every_free_pair_is_drawn_equally_often() -> None:
    train = np.array([[0, 0], [2, 3], [5, 4]])
    times = np.zeros((6, 5))
    for seed in range(3000):
        drawn = uniform_negatives(train, num_drugs=6, num_diseases=5, ratio=3, rng=np.random.default_rng(seed))
        times[drawn[:, 0], drawn[:, 1]] += 1
    assert times[train[:, 0], train[:, 1]].tolist() == [0, 0, 0]
    free = np.delete(times.ravel(), train[:, 0] * 5 + train[:, 1])
    # 9 of 27 free pairs in each draw: expected 1,000 times with standard deviation 26.
    assert np.abs(free - 1000).max() < 130


def test_pairs_outside_the_training_graph_may_be_drawn() -> None:
    """A held-out treatment is not spared: sparing it would tell the model what the test knows."""
    everything = uniform_negatives(
        np.array([[0, 0]]), num_drugs=3, num_diseases=3, ratio=8, rng=np.random.default_rng(0)
    )
    assert len(as_set(everything)) == 8


def test_the_same_generator_gives_the_same_draw() -> None:
    train = np.array([[0, 0], [7, 7]])
    draws = [
        uniform_negatives(train, num_drugs=50, num_diseases=40, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert as_set(draws[0]) != as_set(draws[2])
    assert len(draws[0]) == 60


def test_a_ratio_under_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="negatives_per_positive is 0"):
        uniform_negatives(np.array([[0, 0]]), num_drugs=2, num_diseases=2, ratio=0, rng=np.random.default_rng(0))


def test_a_pair_both_treated_and_contraindicated_is_a_treatment() -> None:
    graph = graph_of({"drug": 3, "disease": 3, "gene": 1}, {TREATS: [(0, 0), (1, 1)], HARMS: [(1, 1), (2, 0)]})
    assert as_set(contraindicated_pairs(graph)) == {(2, 0)}
