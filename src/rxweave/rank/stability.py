"""Do two trainings say the same? Overlap and rank correlation of two score matrices of the same pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from rxweave.errors import InputError
from rxweave.graph.pairs import Pairs
from rxweave.rank.full_matrix import candidates, find_tops


def top_overlap(
    one: Float[np.ndarray, "drugs diseases"],
    other: Float[np.ndarray, "_ _"],
    known: Pairs,
    *,
    tops: Sequence[int],
) -> dict[int, float]:
    """Give, for each n, the share of the n best pairs of one matrix that are among the n best of the other.

    Known pairs, those of any part of any split, are left out: both have learnt some of them, and not the same. Ties
    at the edge count by their chance to be drawn in both. Two independent orders share n / pairs. Raises InputError
    for matrices of different sizes.
    """
    _check_alike(one, other)
    ours, theirs = candidates(one, known), candidates(other, known)
    lengths, edges = find_tops(ours, tops)
    other_edges = find_tops(theirs, tops)[1]
    return {
        n: float((edge.weights(ours) * other_edge.weights(theirs)).sum(dtype=np.float64) / n)
        for n, edge, other_edge in zip(lengths, edges, other_edges, strict=True)
    }


def rank_correlation(one: Float[np.ndarray, "drugs diseases"], other: Float[np.ndarray, "_ _"], known: Pairs) -> float:
    """Give Spearman's correlation of two matrices over all pairs that are not known; 0 where one is constant.

    Raises InputError for matrices of different sizes.
    """
    _check_alike(one, other)
    is_open = np.ones(one.shape, bool)
    is_open[tuple(known.T)] = False
    ours, theirs = rankdata(one[is_open]), rankdata(other[is_open])
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return 0.0
    return float(np.corrcoef(ours, theirs)[0, 1])


def _check_alike(one: Float[np.ndarray, "drugs diseases"], other: Float[np.ndarray, "_ _"]) -> None:
    if one.shape != other.shape:
        raise InputError(
            f"The score matrices are of {one.shape[0]} × {one.shape[1]} and of {other.shape[0]} × {other.shape[1]} "
            "pairs; only scores of the same drugs and diseases can be compared."
        )
