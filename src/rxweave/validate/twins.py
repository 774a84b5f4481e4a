"""Nodes that cannot be told apart because another node has (nearly) the same vector."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt64

from rxweave.validate.geometry import row_lengths

TWIN_DISTANCE = 1e-6
"""Twins are closer than this share of the root mean square length of the vectors."""
NEAR_COSINE = 0.999
NEIGHBOURS = 4
BLOCK = 256


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


def has_near_twin(
    vectors: Float32[np.ndarray, "nodes dim"], rows: Int[np.ndarray, " rows"]
) -> Bool[np.ndarray, " rows"]:
    """Mark which of the given rows have a cosine above 0.999 to any other vector; zero vectors have none."""
    lengths = row_lengths(vectors)
    unit = (vectors / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32)
    marked = np.zeros(len(rows), bool)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        cosine = unit[block] @ unit.T
        cosine[np.arange(len(block)), block] = -1
        marked[start : start + BLOCK] = (cosine > NEAR_COSINE).any(axis=1)
    return marked


def shares_vector_with_another_kind(
    vectors: Float32[np.ndarray, "nodes dim"], kinds: Int[np.ndarray, " nodes"]
) -> Bool[np.ndarray, " nodes"]:
    """Mark every node whose vector is, bit for bit, that of a node of another kind; zero vectors are never marked.

    Nodes of two types cannot have the same neighbours, so no model gives them the same vector; a table joined on ids
    that are unique only within a type does. Vectors are compared through two random 64-bit sums of their bits: a
    false match among a million has a chance below 1e-7.
    """
    marked = np.zeros(len(vectors), bool)
    rows = np.flatnonzero(vectors.any(axis=1))
    _, group = np.unique(_signatures(vectors[rows]), axis=0, return_inverse=True)
    least = np.full(group.max(initial=-1) + 1, np.iinfo(np.int64).max)
    most = np.full_like(least, -1)
    np.minimum.at(least, group, kinds[rows])
    np.maximum.at(most, group, kinds[rows])
    marked[rows] = (least != most)[group]
    return marked


def _signatures(vectors: Float32[np.ndarray, "nodes dim"]) -> UInt64[np.ndarray, "nodes 2"]:
    weights = np.random.default_rng(0).integers(0, 2**64, (vectors.shape[1], 2), dtype=np.uint64) | np.uint64(1)
    signature = np.zeros((len(vectors), 2), np.uint64)
    for start in range(0, len(vectors), BLOCK * 16):
        # Adding 0 turns −0 into 0: they are equal, and their bits are not.
        words = (vectors[start : start + BLOCK * 16] + np.float32(0)).view(np.uint32)
        signature[start : start + BLOCK * 16] = words.astype(np.uint64) @ weights
    return signature
