"""Comparisons between methods, against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import permutation_test, spearmanr
from sklearn.metrics import average_precision_score

from rxweave.errors import InputError
from rxweave.rank.compare import Found, holm, paired_difference, precision_flips
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


@pytest.mark.parametrize("decimals", [9, 0], ids=["distinct", "ties"])
def test_the_test_of_pooled_precision_agrees_with_scipy_and_scikit_learn(decimals: int) -> None:
    rng = np.random.default_rng(2)
    query = np.repeat(np.arange(9), 3)
    negatives = rng.normal(size=400).round(decimals)
    scores = np.stack([rng.normal(1.2, 1, 27), rng.normal(0.9, 1, 27)]).round(decimals)
    ours, theirs = (Found(each, (negatives >= each[:, None]).sum(axis=1)) for each in scores)
    label = np.repeat([True, False], [27, 400])

    def precision(method: np.ndarray) -> float:
        """Pairs placed by one method or the other: below the negatives unbeaten there, tied as they are tied there."""
        place = np.array([method * 100 - each for each in scores])  # within a method as its scores, methods apart
        unbeaten = np.where(method == 0, ours.unbeaten, theirs.unbeaten)
        inner = np.where(method == 0, place[0], place[1]) / 1e4 + 0.1
        placed = np.concatenate([-(unbeaten + inner), -np.arange(1.0, 401.0)])
        return float(average_precision_score(label, placed))

    flat = np.zeros(27, int)
    for method, each in enumerate(scores):
        assert precision(flat + method) == pytest.approx(average_precision_score(label, np.r_[each, negatives]))
    exact = permutation_test(
        (np.zeros(9, int), np.ones(9, int)),  # which method each query's pairs are placed by
        lambda a, b: precision(np.repeat(a, 3)) - precision(np.repeat(b, 3)),
        permutation_type="samples", n_resamples=np.inf, vectorized=False,
    )  # fmt: skip
    found = precision_flips([ours], [theirs], [query], seed=0)
    assert found == pytest.approx(exact.pvalue, abs=0.02)
    assert 0.01 < found < 0.99
    # Two seeds that say the same are one; a method does not differ from itself.
    assert precision_flips([ours] * 2, [theirs] * 2, [query] * 2, seed=0) == pytest.approx(found, abs=0.02)
    assert precision_flips([ours], [ours], [query], seed=0) == 1


def test_pairs_that_a_method_ties_are_one_place_in_the_test_of_precision() -> None:
    """Forty pairs of one score against forty of distinct scores, above the same negatives: what differs is the ties."""
    unbeaten, query = np.full(40, 40), np.arange(40) // 2
    tied, apart = Found(np.ones(40), unbeaten), Found(np.arange(40.0), unbeaten)
    assert precision_flips([tied], [apart], [query], seed=0) < 0.01


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
