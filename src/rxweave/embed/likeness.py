"""How alike vectors are: their mean cosine, and which of them cannot be told from another."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

TWIN_DISTANCE = 1e-6
"""Twins are closer than this share of the root mean square length of the vectors."""
NEIGHBOURS = 4
BLOCK = 256


def mean_cosine(vectors: Float[np.ndarray, "nodes dim"], *, floor: float = 0.0) -> float:
    """Give the mean cosine over all pairs of different nodes, exactly and without forming the pairs.

    With unit vectors u it is (‖Σu‖² − n) / (n(n−1)), since ‖Σu‖² is the sum over all pairs and n self-pairs
    of 1. Vectors no longer than `floor` have no direction and are left out; NaN when fewer than two are left.
    """
    unit = unit_rows(vectors, floor=floor)
    num, total = len(unit), unit.sum(axis=0)
    return float((total @ total - num) / (num * (num - 1))) if num >= 2 else float("nan")


def unit_rows(vectors: Float[np.ndarray, "nodes dim"], *, floor: float = 0.0) -> Float[np.ndarray, "directed dim"]:
    """Give the vectors longer than `floor`, scaled to length 1, in the precision they came in."""
    lengths = row_lengths(vectors)
    kept = lengths > floor
    return np.asarray(vectors[kept] / lengths[kept, None], vectors.dtype)


def row_lengths(vectors: Float[np.ndarray, "nodes dim"]) -> Float[np.ndarray, " nodes"]:
    """Give each vector's length, summed in float64: a float32 square overflows above 1e19."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)))


def has_twin(vectors: Float32[np.ndarray, "nodes dim"]) -> Bool[np.ndarray, " nodes"]:
    """Mark every node that has another within 1e-6 of the vectors' root mean square length; exact.

    Projection on a unit vector cannot lengthen a distance, so twins lie within the tolerance of each other
    along any one direction. Sorted along a random direction, each node is compared with its next four
    neighbours, which settles nearly all; the rest are compared with every node within reach. The cost is that
    of sorting, except for points that crowd within about 1e-5 of each other without being twins: n² of them.
    """
    num, dim = vectors.shape
    found = np.zeros(num, bool)
    tolerance = TWIN_DISTANCE * float(np.sqrt((row_lengths(vectors) ** 2).mean())) if num else 0.0
    direction = np.random.default_rng(0).normal(size=dim)
    along = vectors @ (direction / np.linalg.norm(direction))
    order = np.argsort(along, kind="stable")
    along, rows = along[order], vectors[order]
    # The projection is rounded: a sliver more than the tolerance keeps the search exact.
    reach = tolerance * (1 + 1e-6) + 1e-12 * float(np.abs(along).max(initial=0))
    first = np.searchsorted(along, along - reach, side="left")
    last = np.searchsorted(along, along + reach, side="right")
    for step in range(1, min(NEIGHBOURS, num - 1) + 1):
        near = np.flatnonzero(last[: num - step] > np.arange(step, num))
        for start in range(0, len(near), BLOCK * 16):
            here = near[start : start + BLOCK * 16]
            apart = np.linalg.norm(rows[here].astype(np.float64) - rows[here + step], axis=1)
            twins = here[apart <= tolerance]
            found[twins] = found[twins + step] = True
    place = np.arange(num)
    open_rows = np.flatnonzero(~found & ((place - first > NEIGHBOURS) | (last - 1 - place > NEIGHBOURS)))
    for start in range(0, len(open_rows), BLOCK):
        block = open_rows[start : start + BLOCK]
        low, high = int(first[block].min()), int(last[block].max())
        found[block] |= _any_within(rows, block, low, high, tolerance)
    marked = np.zeros(num, bool)
    marked[order] = found
    return marked


def _any_within(
    rows: Float32[np.ndarray, "nodes dim"],
    block: Int[np.ndarray, " block"],
    low: int,
    high: int,
    tolerance: float,
) -> Bool[np.ndarray, " block"]:
    """Whether each row of the block has another of `rows[low:high]` within the tolerance."""
    centre = rows[block[0]].astype(np.float64)
    mine = rows[block] - centre
    marked = np.zeros(len(block), bool)
    for start in range(low, high, BLOCK * 16):
        others = rows[start : min(start + BLOCK * 16, high)] - centre
        squared = (mine**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * mine @ others.T
        own = block - start
        inside = (own >= 0) & (own < len(others))
        squared[np.flatnonzero(inside), own[inside]] = np.inf
        marked |= (squared <= tolerance**2).any(axis=1)
    return marked
