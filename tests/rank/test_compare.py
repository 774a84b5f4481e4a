"""Comparisons between methods, against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import permutation_test, spearmanr
from sklearn.metrics import average_precision_score

from rxweave.errors import InputError
from rxweave.rank.compare import holm, paired_difference, precision_flips
from rxweave.rank.one_to_one import one_to_one
from rxweave.rank.stability import rank_correlation, top_overlap

NONE = np.empty((0, 2), np.int64)


def test_the_sign_flip_test_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(12), 4)
    ours, theirs = rng.random(48) + 0.08, rng.random(48)
    found = paired_difference(ours, theirs, query, seed=1)
    sums = np.bincount(query, ours - theirs)
    exact = permutation_test(
        (sums, np.zeros(12)), lambda a, b: (a - b).sum(), permutation_type="samples", n_resamples=np.inf
    )
    assert found.difference.value == pytest.approx((ours - theirs).mean())
    assert found.p_value == pytest.approx(exact.pvalue, abs=0.02)
    assert found.difference.low < found.difference.value < found.difference.high
    assert (found.num_pairs, found.num_queries) == (48, 12)


def test_a_method_does_not_differ_from_itself() -> None:
    same = np.random.default_rng(0).random(30)
    found = paired_difference(same, same, np.arange(30), seed=0)
    assert (found.difference.value, found.p_value) == (0, 1)


def test_pairs_of_one_query_do_not_make_certainty() -> None:
    ours, theirs = np.ones(1000), np.zeros(1000)
    # A thousand pairs of one disease are one observation: either sign is as likely.
    assert paired_difference(ours, theirs, np.zeros(1000, np.int64), seed=0).p_value == 1
    assert paired_difference(ours, theirs, np.arange(1000), seed=0).p_value == pytest.approx(1e-4)


def test_the_test_of_pooled_precision_agrees_with_scipy_and_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    query = np.repeat(np.arange(9), 3)
    negatives = rng.normal(size=400)
    ours, theirs = rng.normal(1.2, 1, 27), rng.normal(0.9, 1, 27)

    def unbeaten(scores: np.ndarray) -> np.ndarray:
        return (negatives >= scores[:, None]).sum(axis=1)

    def precision(counts: np.ndarray) -> np.ndarray:
        return (np.arange(1, 28) / (np.arange(1, 28) + np.sort(counts))).mean()

    label = np.repeat([True, False], [27, 400])
    expected = average_precision_score(label, np.concatenate([ours, negatives]))
    assert precision(unbeaten(ours)) == pytest.approx(expected)
    by_query = [unbeaten(scores).reshape(9, 3) for scores in (ours, theirs)]
    exact = permutation_test(
        (np.arange(9), np.arange(9) + 9),  # which query's counts of which method
        lambda a, b: np.subtract(*(precision(np.concatenate(by_query)[each].ravel()) for each in (a, b))),
        permutation_type="samples", n_resamples=np.inf, vectorized=False,
    )  # fmt: skip
    found = precision_flips([unbeaten(ours)], [unbeaten(theirs)], [query], seed=0)
    assert found == pytest.approx(exact.pvalue, abs=0.02)
    assert 0.01 < found < 0.99
    # Two seeds that say the same are one; a method does not differ from itself.
    twice = precision_flips([unbeaten(ours)] * 2, [unbeaten(theirs)] * 2, [query] * 2, seed=0)
    assert twice == pytest.approx(found, abs=0.02)
    assert precision_flips([unbeaten(ours)], [unbeaten(ours)], [query], seed=0) == 1


def test_under_no_difference_p_values_are_even() -> None:
    rng = np.random.default_rng(3)
    p_values = [
        paired_difference(
            *rng.normal(size=(2, 40)), np.arange(40) // 2, seed=i, num_bootstraps=2, num_flips=199
        ).p_value
        for i in range(200)
    ]
    assert 0.02 < np.mean(np.array(p_values) <= 0.1) < 0.2


def test_other_pairs_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="got 3 and 2 values of 3 pairs"):
        paired_difference(np.ones(3), np.ones(2), np.arange(3), seed=0)


def test_p_values_are_adjusted_for_how_many_were_asked() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_two_matrices_that_agree_overlap_wholly_and_independent_ones_by_chance() -> None:
    rng = np.random.default_rng(0)
    scores, other = rng.normal(size=(2, 100, 80)).astype(np.float32)
    known = np.array([[0, 0], [5, 5]])
    assert top_overlap(scores, 3 * scores + 1, known, tops=(10, 1000)) == {10: 1, 1000: 1}
    assert top_overlap(scores, other, known, tops=(4000,))[4000] == pytest.approx(0.5, abs=0.03)
    constant = np.zeros_like(scores)
    assert top_overlap(constant, scores, NONE, tops=(80,))[80] == pytest.approx(0.01, rel=1e-3)


def test_the_rank_correlation_is_spearmans_without_the_known() -> None:
    rng = np.random.default_rng(0)
    scores, other = rng.integers(6, size=(2, 30, 20)).astype(np.float32)
    known = np.array([[1, 2], [3, 4]])
    is_open = np.ones(scores.shape, bool)
    is_open[known[:, 0], known[:, 1]] = False
    expected = spearmanr(scores[is_open], other[is_open]).statistic
    assert rank_correlation(scores, other, known) == pytest.approx(expected)
    assert rank_correlation(scores, np.ones_like(scores), known) == 0
    with pytest.raises(InputError, match="30 × 20"):
        rank_correlation(scores, other[:5], known)


def test_one_to_one_is_kinder_than_ranking_among_all() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 50)).astype(np.float32)
    test = np.stack(np.divmod(rng.choice(10_000, 60, replace=False), 50), axis=1)
    scores[tuple(test.T)] += 2
    found = one_to_one(scores, test, test, seed=0)
    expected = np.mean(np.subtract.outer(scores[tuple(test.T)], np.delete(scores.ravel(), test @ [50, 1])) > 0)
    assert found.auroc == pytest.approx(expected, abs=0.03)
    assert found.auprc > 0.85
    assert one_to_one(scores, test, test, seed=0) == found
    assert one_to_one(np.zeros_like(scores), test, test, seed=0).auroc == 0.5
