"""Where known pairs stand among the others in a score matrix: counts that every ranking metric is made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from rxweave.graph.pairs import Pairs, pair_codes

CHUNK = 1 << 20
"""Scores looked at in one go: few enough to stay near the processor and never to matter beside the matrix."""


def expected_ranks(
    scores: Float[np.ndarray, "queries candidates"], positives: Pairs, known: Pairs
) -> Float[np.ndarray, " pairs"]:
    """Give the filtered rank, from 1, of each positive (query, candidate) pair among its query's candidates.

    Other known candidates of the query are left out. A tie counts as the mean of the best and the worst place
    it allows, which is the mean over all orders of the tied: the "realistic" rank of Berrendorf et al. (2020,
    "On the ambiguity of rank-based evaluation of entity alignment or link prediction methods") and PyKEEN.
    """
    above, level = count_negatives(scores, positives, known)
    return 1 + above + level / 2


def ranks_and_precisions(
    scores: Float[np.ndarray, "queries candidates"], positives: Pairs, known: Pairs
) -> tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Give `expected_ranks`, and the precision at each positive: the share of positives among all that score as much.

    The mean of the precisions over a query's positives is its average precision, other known candidates left out.
    """
    above, level = count_negatives(scores, positives, known)
    query, value = positives[:, 0], values_at(scores, positives)
    found = np.add(*count_in_query(query, value, query, value))
    return 1 + above + level / 2, found / (found + above + level)


def count_negatives(
    scores: Float[np.ndarray, "queries candidates"], positives: Pairs, known: Pairs
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Give how many negatives of its query score above each positive (query, candidate), and how many level.

    Negatives are the candidates that are with this query in neither `known` nor `positives`.
    """
    known = distinct_pairs(np.concatenate([known, positives]), scores.shape[1])
    query, value = positives[:, 0], values_at(scores, positives)
    above, level = np.zeros((2, len(positives)), np.int64)
    step = max(1, CHUNK // scores.shape[1])
    for start in range(0, len(positives), step):
        part = slice(start, start + step)
        candidates = scores[query[part]]
        above[part] = np.count_nonzero(candidates > value[part, None], axis=1)
        level[part] = np.count_nonzero(candidates == value[part, None], axis=1)
    # Taking the known ones off afterwards is cheaper than masking them in every row.
    known_above, known_level = count_in_query(query, value, known[:, 0], values_at(scores, known))
    return above - known_above, level - known_level


def count_negatives_anywhere(
    scores: Float[np.ndarray, "drugs diseases"], positives: Pairs, known: Pairs
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Give how many negatives of the whole matrix score above each positive pair, and how many the same.

    Exact, without a sorted copy of the matrix: each piece is sorted by itself and asked for the values of the
    positives. Negatives are the pairs that are in neither `known` nor `positives`.
    """
    known = distinct_pairs(np.concatenate([known, positives]), scores.shape[1])
    wanted, which = np.unique(values_at(scores, positives), return_inverse=True)
    above, level = np.zeros((2, len(wanted)), np.int64)

    def add(values: Float[np.ndarray, ...], sign: int) -> None:
        ordered = np.sort(values, axis=None)
        upper, lower = (np.searchsorted(ordered, wanted, side) for side in ("right", "left"))
        np.add(above, sign * (ordered.size - upper), out=above)
        np.add(level, sign * (upper - lower), out=level)

    for piece in pieces(scores):
        add(piece, 1)
    add(values_at(scores, known), -1)
    return above[which], level[which]


def count_in_query(
    query: Int[np.ndarray, " pairs"],
    value: Float[np.ndarray, " pairs"],
    other_query: Int[np.ndarray, " others"],
    other_value: Float[np.ndarray, " others"],
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Give how many others of the same query have a greater value than each pair, and how many the same."""
    order, place = np.unique(np.concatenate([value, other_value]), return_inverse=True)
    # One number that sorts by query, then by value: its neighbours are counted by bisection.
    key = query * len(order) + place[: len(value)]
    others = np.sort(other_query * len(order) + place[len(value) :])
    upper = np.searchsorted(others, key, "right")
    above = np.searchsorted(others, (query + 1) * len(order), "left") - upper
    return above, upper - np.searchsorted(others, key, "left")


def pieces(scores: Float[np.ndarray, "rows columns"]) -> Iterator[Float[np.ndarray, "_ _"]]:
    """Yield a matrix in slices of about CHUNK scores, along the axis on which it lies in memory."""
    rows = scores if abs(scores.strides[0]) >= abs(scores.strides[1]) else scores.T
    step = max(1, CHUNK // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def values_at(scores: Float[np.ndarray, "rows columns"], pairs: Pairs) -> Float[np.ndarray, " pairs"]:
    """Give the score of each pair."""
    found: Float[np.ndarray, " pairs"] = scores[pairs[:, 0], pairs[:, 1]]
    return found


def distinct_pairs(pairs: Pairs, num_columns: int) -> Pairs:
    """Give the pairs sorted, each once."""
    return np.stack(np.divmod(np.unique(pair_codes(pairs, num_columns)), num_columns), axis=1)
