"""An identity for every node: without one, nodes with the same kinds of edges get the same embedding, exactly."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int
from sklearn.utils.extmath import randomized_svd

from rxweave.graph.build import Graph

FEATURE_RMS = 0.3
"""Root mean square of a feature row: small enough that the first attention layer starts near uniform."""


def svd_features(graph: Graph, dim: int, *, seed: int) -> Float32[np.ndarray, "nodes dim"]:
    """Give each node a spectral position in the graph: rows of U·sqrt(S) of its balanced adjacency, equal lengths.

    Every relation is first normalised by the degrees of both its ends, so that large relations do not drown small
    ones; the sum is normalised again. The SVD is randomised (Halko, Martinsson & Tropp 2011), seeded. Pass the
    TRAINING graph: an edge that is held out must not shape the features. A node without facts gets a row of zeros.
    Columns beyond the rank of the graph (small graphs) are zero.
    """
    adjacency = balanced_adjacency(graph)
    rank = min(dim, graph.num_nodes - 1)
    left, singular, _ = randomized_svd(adjacency, rank, n_iter=4, random_state=seed)
    position = left * np.sqrt(singular)
    length = np.linalg.norm(position, axis=1, keepdims=True)
    # Nodes without facts have rounding noise only; everyone else is put on one sphere.
    linked = (graph.degrees > 0)[:, None] & (length > 1e-6)
    position = np.where(linked, position / np.maximum(length, 1e-12), 0.0)
    features = np.zeros((graph.num_nodes, dim), np.float32)
    features[:, :rank] = position * (FEATURE_RMS * np.sqrt(dim))
    return features


def balanced_adjacency(graph: Graph) -> sp.csr_matrix:
    """Give the symmetric nodes × nodes adjacency in which each relation weighs by its degree-normalised facts."""
    nothing = np.empty(0, np.int64)
    total = _symmetric(nothing, nothing, graph.num_nodes)
    for source, target in graph.facts:
        total = total + _normalised(_symmetric(source, target, graph.num_nodes))
    return _normalised(total)


def _symmetric(source: Int[np.ndarray, " facts"], target: Int[np.ndarray, " facts"], num_nodes: int) -> sp.csr_matrix:
    ones = np.ones(len(source), np.float32)
    one_way = sp.csr_matrix((ones, (source, target)), shape=(num_nodes, num_nodes))
    return (one_way + one_way.T).tocsr()


def _normalised(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """D^-1/2 A D^-1/2."""
    degree = np.asarray(matrix.sum(1)).ravel()
    scale = np.zeros_like(degree)
    scale[degree > 0] = degree[degree > 0] ** -0.5
    scaled: sp.csr_matrix = (sp.diags(scale) @ matrix @ sp.diags(scale)).tocsr().astype(np.float32)
    return scaled
