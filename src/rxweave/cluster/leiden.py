"""Communities of a weighted graph by the Leiden algorithm (Traag, Waltman & van Eck 2019), in Rust."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

ITERATIONS = 4
"""Runs of the algorithm, each from where the last ended."""


def communities(weights: sp.csr_array, resolution: float, seed: int) -> Int[np.ndarray, " nodes"]:
    """Give each node's community, numbered from 0 by size, of the partition that Leiden finds.

    It maximises modularity with a resolution γ > 0, Q = Σ_ij (w_ij − γ k_i k_j / 2m) δ(c_i, c_j) / 2m (Reichardt &
    Bornholdt 2006): a higher γ gives more and smaller communities. `weights` is symmetric. Equal seeds give equal
    partitions; of equally large communities the one with the first node comes first.
    """
    from graspologic_native import leiden_csr

    num = weights.shape[0]
    _, found = leiden_csr(
        weights.indptr.astype(np.int64),
        weights.indices.astype(np.int32),
        weights.data.astype(np.float64),
        num,
        resolution=resolution,
        iterations=ITERATIONS,
        seed=seed,
    )
    # A node without any edge is in no community of its own accord; it gets one.
    labels = np.array([found.get(node, num + node) for node in range(num)], np.int64)
    return by_size(labels)


def by_size(labels: Int[np.ndarray, " nodes"]) -> Int[np.ndarray, " nodes"]:
    """Give the same groups numbered from 0, the largest first, equal ones by their first node."""
    _, first, group, size = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -size))
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    return number[group]


def without_small(labels: Int[np.ndarray, " nodes"], smallest: int) -> Int[np.ndarray, " nodes"]:
    """Give groups numbered by size with −1 for the nodes of those that have fewer than `smallest` members."""
    return np.where(np.bincount(labels)[labels] >= smallest, labels, -1)
