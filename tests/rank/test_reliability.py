from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.pairs import pair_codes
from rxweave.graph.split import random_split, training_graph
from rxweave.rank.negatives import contraindicated_pairs
from rxweave.rank.reliability import (
    BINS,
    CURVE_BINS,
    Reliability,
    held_out_pairs,
    measure_reliability,
    wilson,
)


def measured(probability: np.ndarray, treated: np.ndarray) -> Reliability:
    return measure_reliability(probability, treated, negatives_per_positive=30, calibrated_on=10)


def labelled(seed: int, *, size: int = 500, rounded: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.3, 1.5, size)
    if rounded:
        probability = probability.round(1)
    treated = rng.random(size) < probability**1.3
    treated[:2] = True, False
    return probability, treated


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_bins_and_brier_score_are_those_of_scikit_learn(seed: int, rounded: bool) -> None:
    probability, treated = labelled(seed, rounded=rounded)
    found = measured(probability, treated)
    for bins, strategy, number in ((found.bins, "quantile", BINS), (found.curve, "uniform", CURVE_BINS)):
        if rounded and strategy == "uniform":
            continue  # on an edge theirs belongs below, and 0.7 × 10 is not 7 in floating point
        observed, predicted = calibration_curve(treated, probability, n_bins=number, strategy=strategy)
        np.testing.assert_allclose([each.observed for each in bins], observed)
        np.testing.assert_allclose([each.predicted for each in bins], predicted)
    assert found.brier == pytest.approx(brier_score_loss(treated, probability))
    assert found.brier_base_rate == pytest.approx(brier_score_loss(treated, np.full(len(treated), treated.mean())))


def test_the_expected_calibration_error_by_hand() -> None:
    # Two bins of the curve hold pairs: 0.2 (4 pairs, 1 true) and 0.9 (2 pairs, 1 true).
    probability = np.array([0.2, 0.2, 0.2, 0.2, 0.9, 0.9])
    treated = np.array([True, False, False, False, True, False])
    found = measured(probability, treated)
    assert found.ece == found.ece_equal_width == pytest.approx((4 * 0.05 + 2 * 0.4) / 6)
    assert [(each.pairs, each.treatments) for each in found.curve] == [(4, 1), (2, 1)]
    assert (found.num_treatments, found.num_others) == (2, 4)


def test_the_error_of_likely_pairs_leaves_out_the_hopeless_ones() -> None:
    probability = np.array([0.0] * 96 + [0.8] * 4)
    treated = np.arange(100) == 99
    found = measured(probability, treated)
    assert found.ece == pytest.approx(4 * 0.55 / 100)
    assert found.ece_likely == pytest.approx(0.55)
    assert math.isnan(measured(np.full(100, 0.01), treated).ece_likely)


def test_a_probability_on_an_edge_belongs_to_the_bin_above_and_one_to_the_last() -> None:
    found = measured(np.array([0.7, 0.69, 1.0, 0.95]), np.array([True, False, True, False]))
    assert [each.pairs for each in found.curve] == [1, 1, 2]


def test_exact_probabilities_have_little_error_and_others_have_it_all() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(100_000)
    treated = rng.random(100_000) < probability
    assert measured(probability, treated).ece < 0.01
    assert measured(probability**3, treated).ece == pytest.approx(0.25, abs=0.01)  # ∫ x − x³


@given(seed=st.integers(0, 10_000))
def test_errors_lie_between_0_and_1_and_bins_hold_every_pair(seed: int) -> None:
    probability, treated = labelled(seed, size=60, rounded=seed % 2 == 0)
    found = measured(probability, treated)
    assert 0 <= found.ece <= 1
    for bins in (found.bins, found.curve):
        assert sum(each.pairs for each in bins) == len(treated)
        assert sum(each.treatments for each in bins) == treated.sum()
        assert all(0 <= each.low <= each.observed <= each.high <= 1 for each in bins)


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (3, 7), (151, 4681), (9, 9)])
def test_intervals_are_those_of_scipy(successes: int, trials: int) -> None:
    theirs = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes, trials) == pytest.approx((theirs.low, theirs.high))


def test_one_kind_of_pair_alone_or_scores_are_refused() -> None:
    with pytest.raises(InputError, match="got 2 and 0"):
        measured(np.array([0.1, 0.2]), np.array([True, True]))
    with pytest.raises(InputError, match=r"1 of 2 probabilities are not between 0 and 1, first 1\.5"):
        measured(np.array([0.1, 1.5]), np.array([True, False]))
    with pytest.raises(InputError, match="first nan"):
        measured(np.array([0.1, np.nan]), np.array([True, False]))


def test_held_out_pairs_are_the_test_treatments_and_pairs_without_a_record(small_graph: Graph) -> None:
    split = random_split(small_graph, seed=0)
    training = training_graph(small_graph, split)
    pairs, treated = held_out_pairs(split, training, ratio=7, rng=np.random.default_rng(0))
    assert np.array_equal(pairs[treated], split.test)
    codes = pair_codes(pairs, small_graph.num_of("disease"))
    others = codes[~treated]
    assert len(np.unique(others)) == len(others) == 7 * len(split.test)
    for record in (split.known, contraindicated_pairs(training)):
        assert not np.isin(others, pair_codes(record, small_graph.num_of("disease"))).any()
