"""Is one method better than another? The same test pairs ranked by both, over several seeds.

A difference between two methods is asked of the pairs that both ranked, which takes out how hard each pair is. The
pairs of one query (a disease, or a drug) are not independent, nor are those of the same query under several seeds:
queries, with their pairs of all seeds, are what is drawn again and what signs are flipped of. Which of its two queries
a pair counts under is the caller's choice; of test pairs it is the disease, whose pairs are the least independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from rxweave.errors import InputError
from rxweave.graph.filtered_ranks import CHUNK
from rxweave.rank.bootstrap import Estimate, ratio, resample


@dataclass(frozen=True)
class PairedDifference:
    """Mean of `ours − theirs` over the test pairs of all seeds."""

    difference: Estimate
    """The interval draws queries again, with all their pairs of all seeds."""
    p_value: float
    """Of the sign-flip test: how often flipping the sign of whole queries at random gives a difference at least as
    large."""
    num_pairs: int
    num_queries: int


def paired_difference(
    ours: Float[np.ndarray, " pairs"],
    theirs: Float[np.ndarray, " _"],
    query: Int[np.ndarray, " _"],
    *,
    seed: int,
    num_bootstraps: int = 1000,
    num_flips: int = 9999,
) -> PairedDifference:
    """Compare two methods on the same test pairs, by any number per pair (1 / rank, or being within the top 10).

    `query` says which query each pair belongs to, by the same number under every seed. The test is a permutation test
    (Fisher 1935; for retrieval: Smucker, Allan & Carterette 2007): if the two were alike, each query's sum of
    differences could as well have the other sign; p = (1 + flips at least as large) / (1 + flips). It speaks of these
    training sets, with splits drawn as they were: their overlap between seeds is not in it. Raises InputError without
    pairs or when the lengths differ.
    """
    if not (len(ours) == len(theirs) == len(query)) or not len(query):
        raise InputError(
            f"A paired test needs the same pairs from both methods; got {len(ours)} and {len(theirs)} values of "
            f"{len(query)} pairs."
        )
    rng = np.random.default_rng(seed)
    apart = ours - theirs
    weights, which = resample(query, num_bootstraps, rng)
    sums, sizes = np.bincount(which, apart), np.bincount(which)
    at_least, rounding = 0, 1e-12 * np.abs(sums).sum()
    step = max(1, CHUNK // len(sums))
    for start in range(0, num_flips, step):
        signs = rng.integers(0, 2, (min(step, num_flips - start), len(sums))) * 2 - 1
        at_least += int(np.count_nonzero(np.abs(signs @ sums) >= abs(sums.sum()) - rounding))
    return PairedDifference(
        ratio(weights, sums, sizes), (1 + at_least) / (1 + num_flips), num_pairs=len(query), num_queries=len(sums)
    )


@dataclass(frozen=True, eq=False)
class Found:
    """What decides a method's pooled average precision of a split's test pairs."""

    score: Float[np.ndarray, " pairs"]
    unbeaten: Int[np.ndarray, " pairs"]
    """How many negatives score at least as much as each pair."""

    def places(self) -> Int[np.ndarray, " pairs"]:
        """Number the pairs' scores from the highest, 0, on; equal scores have one number."""
        places: Int[np.ndarray, " pairs"] = np.unique(-self.score, return_inverse=True)[1].astype(np.int64)
        return places


def precision_flips(
    ours: Sequence[Found],
    theirs: Sequence[Found],
    query: Sequence[Int[np.ndarray, " _"]],
    *,
    seed: int,
    num_flips: int = 9999,
) -> float:
    """Give the p-value of the same test for pooled average precision, which is no mean over pairs.

    `ours` and `theirs` hold one element for each seed. What is flipped is which of the two methods a query's pairs are
    placed by, among the negatives and among each other; pairs tied by the method that places them share the last
    place, as in the metric itself.
    """
    rng = np.random.default_rng(seed)
    distinct, which = np.unique(np.concatenate(query), return_inverse=True)
    parts = np.split(which, np.cumsum([len(each) for each in query])[:-1])
    coded = [_codes(mine, other) for mine, other in zip(ours, theirs, strict=True)]

    def apart(swapped: Bool[np.ndarray, "flips queries"]) -> Float[np.ndarray, " flips"]:
        total = np.zeros(len(swapped))
        for (mine, other), part in zip(coded, parts, strict=True):
            swap = swapped[:, part]
            total += _precision(np.where(swap, other, mine)) - _precision(np.where(swap, mine, other))
        return total / len(parts)

    observed = abs(apart(np.zeros((1, len(distinct)), bool))[0])
    at_least, step = 0, max(1, CHUNK // len(which))
    for start in range(0, num_flips, step):
        swapped = rng.integers(0, 2, (min(step, num_flips - start), len(distinct))).astype(bool)
        at_least += int(np.count_nonzero(np.abs(apart(swapped)) >= observed - 1e-12))
    return (1 + at_least) / (1 + num_flips)


def _codes(mine: Found, other: Found) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Number each pair's place by each of two methods: by negatives first, alike only where one method ties them."""
    most = len(mine.score)
    return mine.unbeaten * (2 * most) + mine.places(), other.unbeaten * (2 * most) + most + other.places()


def _precision(codes: Int[np.ndarray, "flips pairs"]) -> Float[np.ndarray, " flips"]:
    """Average precision of the test pairs whose places have these codes."""
    count = codes.shape[1]
    codes = np.sort(codes, axis=1)
    last_of_tie = np.ones(codes.shape, bool)
    last_of_tie[:, :-1] = codes[:, 1:] != codes[:, :-1]
    found = np.where(last_of_tie, np.arange(1, count + 1), count)
    found = np.minimum.accumulate(found[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((found / (found + codes // (2 * count))).mean(axis=1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Give p-values adjusted for how many were asked (Holm 1979), in their order."""
    adjusted, highest = [1.0] * len(p_values), 0.0
    for place, which in enumerate(np.argsort(p_values).tolist()):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[which]))
        adjusted[which] = highest
    return adjusted
