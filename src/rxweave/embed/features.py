"""An identity for every node: without one, nodes with the same kinds of edges get the same embedding, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Float32, Int
from sklearn.utils.extmath import randomized_svd

from rxweave.graph.build import Graph

FEATURE_RMS = 0.3
"""Root mean square of a feature row: small enough that the first attention layer starts near uniform."""


def svd_features(
    graph: Graph, dim: int, *, seed: int, found: SingularVectors | None = None
) -> Float32[np.ndarray, "nodes dim"]:
    """Give each node a spectral position in the graph: rows of U·sqrt(S) of its balanced adjacency, equal lengths.

    Every relation is first normalised by the degrees of both its ends, so that large relations do not drown small
    ones; the sum is normalised again. The SVD is randomised (Halko, Martinsson & Tropp 2011), seeded. Pass the
    TRAINING graph: an edge that is held out must not shape the features. A node without facts gets a row of zeros.
    Columns beyond the rank of the graph (small graphs) are zero. `found` are its `singular_vectors`, if made before.
    """
    found = found or singular_vectors(graph, dim, seed=seed)
    return _on_sphere(found.left * np.sqrt(found.values), graph.degrees > 0, dim)


@dataclass(frozen=True, eq=False)
class SingularVectors:
    """The leading part of the singular value decomposition of a graph's balanced adjacency: left · values · right."""

    left: Float[np.ndarray, "nodes rank"]
    values: Float[np.ndarray, " rank"]
    right: Float[np.ndarray, "rank nodes"]


def singular_vectors(graph: Graph, dim: int, *, seed: int) -> SingularVectors:
    """Give the `dim` leading ones, fewer for a graph with no more nodes than that."""
    adjacency = balanced_adjacency(graph)
    left, values, right = randomized_svd(adjacency, min(dim, graph.num_nodes - 1), n_iter=4, random_state=seed)
    return SingularVectors(left, values, right)


def folded_in(found: SingularVectors, rows: sp.csr_matrix, dim: int) -> Float32[np.ndarray, "new dim"]:
    """Give the features of nodes that the decomposition has not seen, from their balanced adjacency to its nodes.

    The out-of-sample row of U·sqrt(S) is a·V·S^(-1/2), `a` being the new node's own row (folding in, as Deerwester et
    al. 1990 add a document to latent semantic analysis), put on the sphere of all others. A row that says nothing
    gets zeros.
    """
    keep = found.values > found.values[0] * 1e-6  # a graph of lower rank than `dim` has noise beyond it
    position = np.zeros((rows.shape[0], len(found.values)))
    position[:, keep] = (rows @ found.right[keep].T) / np.sqrt(found.values[keep])
    return _on_sphere(position, np.diff(rows.indptr) > 0, dim)


def _on_sphere(
    position: Float[np.ndarray, "nodes rank"], linked: Bool[np.ndarray, " nodes"], dim: int
) -> Float32[np.ndarray, "nodes dim"]:
    length = np.linalg.norm(position, axis=1, keepdims=True)
    # Nodes without facts have rounding noise only; everyone else is put on one sphere.
    placed = linked[:, None] & (length > 1e-6)
    position = np.where(placed, position / np.maximum(length, 1e-12), 0.0)
    features = np.zeros((len(position), dim), np.float32)
    features[:, : position.shape[1]] = position * (FEATURE_RMS * np.sqrt(dim))
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
