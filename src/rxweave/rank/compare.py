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


def precision_flips(
    ours: Sequence[Int[np.ndarray, " _"]],
    theirs: Sequence[Int[np.ndarray, " _"]],
    query: Sequence[Int[np.ndarray, " _"]],
    *,
    seed: int,
    num_flips: int = 9999,
) -> float:
    """Give the p-value of the same test for pooled average precision, which is no mean over pairs.

    `ours` and `theirs` hold, for each seed, how many negatives each test pair does not beat; that alone decides average
    precision. What is flipped is which of the two methods a query's pairs have their numbers from.
    """
    rng = np.random.default_rng(seed)
    distinct, which = np.unique(np.concatenate(query), return_inverse=True)
    parts = np.split(which, np.cumsum([len(each) for each in query])[:-1])

    def apart(swapped: Bool[np.ndarray, "flips queries"]) -> Float[np.ndarray, " flips"]:
        total = np.zeros(len(swapped))
        for mine, other, part in zip(ours, theirs, parts, strict=True):
            swap = swapped[:, part]
            total += _precision(np.where(swap, other, mine)) - _precision(np.where(swap, mine, other))
        return total / len(parts)

    observed = abs(apart(np.zeros((1, len(distinct)), bool))[0])
    at_least, step = 0, max(1, CHUNK // len(which))
    for start in range(0, num_flips, step):
        swapped = rng.integers(0, 2, (min(step, num_flips - start), len(distinct))).astype(bool)
        at_least += int(np.count_nonzero(np.abs(apart(swapped)) >= observed - 1e-12))
    return (1 + at_least) / (1 + num_flips)


def _precision(negatives: Int[np.ndarray, "flips pairs"]) -> Float[np.ndarray, " flips"]:
    """Average precision from the negatives that each test pair does not beat."""
    found = np.arange(1, negatives.shape[1] + 1)
    return np.asarray((found / (found + np.sort(negatives, axis=1))).mean(axis=1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Give p-values adjusted for how many were asked (Holm 1979), in their order."""
    adjusted, highest = [1.0] * len(p_values), 0.0
    for place, which in enumerate(np.argsort(p_values).tolist()):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[which]))
        adjusted[which] = highest
    return adjusted
