"""The graph that is clustered: every node joined to its nearest by cosine, weighted by the neighbours they share."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Int

from rxweave.validate.neighbours import nearest_rows

BLOCK = 512
SPARE = 2
"""Neighbours are sought for this multiple of those wanted, so that a sample of the nodes finds its own among them."""


def nearest(unit: Float32[np.ndarray, "nodes dim"], k: int) -> Int[np.ndarray, "nodes found"]:
    """Give the 2k rows of largest cosine for each row of unit length, nearest first (fewer, of few nodes)."""
    k = min(SPARE * k, len(unit) - 1)
    rows = np.arange(len(unit))
    return np.concatenate([nearest_rows(unit, rows[i : i + BLOCK], k) for i in range(0, len(unit), BLOCK)])


def neighbour_graph(
    found: Int[np.ndarray, "nodes found"], k: int, kept: Bool[np.ndarray, " nodes"] | None = None
) -> sp.csr_array:
    """Give the symmetric weights, kept nodes × kept nodes, of the k-nearest-neighbour graph.

    Two nodes are joined when one is among the k nearest of the other; the weight, above 0 and up to 1, is the Jaccard
    overlap of their neighbourhoods, each with the node itself (PhenoGraph: Levine et al. 2015), so that a hub that is
    near everybody binds nobody. A kept node's nearest are sought among the kept ones of `found`.
    """
    num = len(found)
    kept = np.ones(num, bool) if kept is None else kept
    number = np.full(num, -1)
    number[kept] = np.arange(int(kept.sum()))
    there = kept[found[kept]]
    wanted = there & (there.cumsum(axis=1) <= k)
    source = np.repeat(np.arange(len(wanted)), wanted.sum(axis=1))
    target = number[found[kept][wanted]]
    size = (len(wanted), len(wanted))
    near = sp.csr_array((np.ones(len(source)), (source, target)), shape=size)
    around = (near + sp.eye_array(len(wanted), format="csr")).tocsr()
    shared = np.asarray(around[source].multiply(around[target]).sum(axis=1)).ravel()
    members = np.diff(around.indptr)
    weight = shared / (members[source] + members[target] - shared)
    weights = sp.csr_array((weight, (source, target)), shape=size)
    joined = weights.maximum(weights.T).tocsr()
    joined.sort_indices()
    return joined
