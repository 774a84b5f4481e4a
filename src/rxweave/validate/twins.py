"""Nodes that cannot be told apart because another node has (nearly) the same vector."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt64

from rxweave.embed.likeness import BLOCK, row_lengths

NEAR_COSINE = 0.999


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
