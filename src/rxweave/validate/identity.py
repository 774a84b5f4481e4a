"""Do the vectors know which node is which, or only how many edges of each kind it has?

A transformer whose nodes all start from the same vector can tell nodes apart by the kinds and numbers of their
edges, and of their neighbours' edges, and by nothing else. After enough training such embeddings spread well enough
to pass measures of geometry. So the question is put directly: how well can a linear map give the vectors from those
numbers alone?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int

from rxweave.graph.build import Graph
from rxweave.validate.geometry import UNDEFINED, Interval
from rxweave.validate.intervals import bootstrap_ratio

FOLDS = 5
PENALTIES = (0.01, 0.1, 1.0)
"""Ridge penalties tried, as a share of the number of nodes, for predictors of variance 1."""
FEWEST_NODES = 50
"""With fewer nodes the map has too little to be fitted on, and would find nothing."""


@dataclass(frozen=True)
class EdgeShare:
    """Share of the vectors' variance that a linear map of edge counts predicts for nodes it was not fitted on.

    At most 1; near or below 0 when edge counts say nothing of the vectors. NaN below 50 nodes.
    """

    value: float
    interval: Interval


class EdgeCounts:
    """What is known of every node without knowing which node it is: its edges of each kind, and its neighbours'.

    A kind is a relation in one direction. Of each node: the shares and the logarithms of its numbers of edges of
    each kind; and the mean of these over its neighbours of each kind.
    """

    def __init__(self, graph: Graph) -> None:
        self.adjacency = directed_matrices(graph)
        counts = np.stack([np.diff(matrix.indptr) for matrix in self.adjacency], axis=1).astype(np.float32)
        self.counts = counts
        self.own = np.concatenate([counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), np.log1p(counts)], axis=1)

    def of_rows(self, rows: Int[np.ndarray, " rows"]) -> Float32[np.ndarray, "rows numbers"]:
        """Give the numbers of these nodes, without columns that are the same for all of them."""
        parts = [self.own[rows]]
        for kind, matrix in enumerate(self.adjacency):
            some = self.counts[rows, kind]
            if some.any():
                total = np.asarray(matrix[rows] @ self.own, np.float32)
                parts.append(total / np.maximum(some, 1)[:, None])
        numbers = np.concatenate(parts, axis=1)
        return numbers[:, np.ptp(numbers, axis=0) > 1e-6] if len(rows) else numbers


def edge_share(
    vectors: Float32[np.ndarray, "nodes dim"],
    numbers: Float32[np.ndarray, "nodes numbers"],
    rng: np.random.Generator,
) -> EdgeShare:
    """Give R² of ridge regression (Hoerl & Kennard 1970) from edge counts, over five folds of the nodes.

    1 − Σ‖x − x̂‖² / Σ‖x − x̄‖², x̂ and the mean x̄ from the other folds; the best of three penalties. Rotating or
    scaling the vectors does not change it. It cannot see other kinds of collapse, nor noise added to what edge
    counts give.
    """
    num = len(vectors)
    if num < FEWEST_NODES or not numbers.shape[1]:
        return EdgeShare(UNDEFINED, (UNDEFINED, UNDEFINED))
    given = numbers.astype(np.float64)
    given = (given - given.mean(axis=0)) / given.std(axis=0)
    wanted = vectors.astype(np.float64)
    missed, whole = np.zeros((len(PENALTIES), num)), np.zeros(num)
    fold = rng.permutation(num) % FOLDS
    for part in range(FOLDS):
        left_out = fold == part
        centre, mean = given[~left_out].mean(axis=0), wanted[~left_out].mean(axis=0)
        known, target = given[~left_out] - centre, wanted[~left_out] - mean
        strength, axes = np.linalg.eigh(known.T @ known)
        projected = axes.T @ (known.T @ target)
        asked, truth = (given[left_out] - centre) @ axes, wanted[left_out] - mean
        whole[left_out] = (truth**2).sum(axis=1)
        for i, penalty in enumerate(PENALTIES):
            guess = asked @ (projected / (strength + penalty * len(known))[:, None])
            missed[i, left_out] = ((truth - guess) ** 2).sum(axis=1)
    if whole.sum() == 0:
        return EdgeShare(UNDEFINED, (UNDEFINED, UNDEFINED))
    best = missed[missed.sum(axis=1).argmin()]
    return EdgeShare(float(1 - best.sum() / whole.sum()), bootstrap_ratio(whole - best, whole, rng))


def directed_matrices(graph: Graph) -> list[sp.csr_array]:
    """Give a nodes × nodes matrix for each relation and direction: the row has an edge to the column."""
    size = (graph.num_nodes, graph.num_nodes)
    matrices = []
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        if relation.symmetric:
            other = source != target
            ends = np.concatenate([source, target[other]]), np.concatenate([target, source[other]])
            matrices.append(_matrix(*ends, size))
        else:
            matrices += [_matrix(source, target, size), _matrix(target, source, size)]
    return matrices


def _matrix(row: Int[np.ndarray, " facts"], column: Int[np.ndarray, " facts"], size: tuple[int, int]) -> sp.csr_array:
    return sp.csr_array((np.ones(len(row), np.float32), (row, column)), shape=size)
