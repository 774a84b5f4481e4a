"""Look at single nodes: who is nearest to whom, and which nodes are twins without a reason in the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from rxweave.embed.likeness import row_lengths
from rxweave.embed.store import Embeddings
from rxweave.graph.build import Graph
from rxweave.validate.geometry import UNDEFINED
from rxweave.validate.identity import directed_matrices
from rxweave.validate.neighbours import nearest_rows
from rxweave.validate.on_graph import rows_on_graph
from rxweave.validate.twins import NEAR_COSINE

TWIN_NODES = 3000
"""Nodes of a type whose nearest neighbour is looked at, among all of the type, for twins."""


@dataclass(frozen=True)
class Node:
    """A node as people know it."""

    node_key: str
    name: str
    num_facts: int | None
    """Facts it takes part in; None without a graph."""


@dataclass(frozen=True)
class Pair:
    """Two nodes of a type, how alike their vectors are, and how alike the graph has them."""

    first: Node
    second: Node
    cosine: float
    shared: float | None
    """Jaccard overlap of their neighbours, each with its relation and direction, 0 to 1; None without a graph."""


@dataclass(frozen=True)
class Inspection:
    """Some nodes of a type with their nearest neighbours, and its worst twins."""

    node_type: str
    nearest: tuple[tuple[Pair, ...], ...]
    """For each sampled node, its nearest neighbours of the same type, nearest first."""
    twins: tuple[Pair, ...]
    """Pairs with a cosine above 0.999, those that share the fewest neighbours first; without any, the pairs of
    highest cosine."""


def inspect_type(
    embeddings: Embeddings,
    node_type: str,
    *,
    graph: Graph | None = None,
    seed: int = 0,
    num_nodes: int = 5,
    num_neighbours: int = 5,
    num_twins: int = 10,
) -> Inspection:
    """Sample nodes of a type and say who is nearest to them by cosine, and find the worst twins of the type.

    With `graph`, nodes without facts in it are passed over. Twins are sought from 3,000 nodes at most. The same seed
    gives the same nodes. Raises InputError for a type that is not embedded, or a graph of other nodes.
    """
    rows = embeddings.of_type(node_type)
    on_graph = None
    if graph is not None:
        on_graph = np.full(embeddings.num_nodes, -1)
        place = rows_on_graph(embeddings, graph)
        on_graph[place[place >= 0]] = np.flatnonzero(place >= 0)
        rows = rows[(on_graph[rows] >= 0) & (graph.degrees[on_graph[rows]] > 0)]
    lengths = row_lengths(embeddings.vectors[rows])
    rows = rows[lengths > 0]
    unit = np.asarray(embeddings.vectors[rows] / lengths[lengths > 0, None], np.float32)
    if len(rows) < 2:
        return Inspection(node_type, (), ())
    rng = np.random.default_rng(seed)
    sampled = np.sort(rng.choice(len(rows), min(num_nodes, len(rows)), replace=False))
    k = min(num_neighbours, len(rows) - 1)
    nearest = nearest_rows(unit, sampled, k)
    twins = _closest_pairs(unit, rng)
    first = np.concatenate([np.repeat(sampled, k), twins[:, 0]])
    second = np.concatenate([nearest.ravel(), twins[:, 1]])
    pairs = _pairs(embeddings, graph, rows, on_graph, unit, first, second)
    near = sum(pair.cosine > NEAR_COSINE for pair in pairs[len(sampled) * k :])
    worst = pairs[len(sampled) * k :][: near or None]
    if near and graph is not None:
        worst = sorted(worst, key=lambda pair: (pair.shared, -pair.cosine))
    return Inspection(
        node_type,
        nearest=tuple(tuple(pairs[i * k : (i + 1) * k]) for i in range(len(sampled))),
        twins=tuple(worst[:num_twins]),
    )


def neighbour_overlap(
    graph: Graph, first: Int[np.ndarray, " pairs"], second: Int[np.ndarray, " pairs"]
) -> Float[np.ndarray, " pairs"]:
    """Give the Jaccard overlap of two nodes' neighbours, each with its relation and direction; NaN without any."""
    shared, either = np.zeros(len(first)), np.zeros(len(first))
    for matrix in directed_matrices(graph):
        one, other = matrix[first], matrix[second]
        both = np.asarray(one.multiply(other).sum(axis=1)).ravel()
        shared += both
        either += np.diff(one.indptr) + np.diff(other.indptr) - both
    return np.where(either > 0, shared / np.where(either > 0, either, 1), UNDEFINED)


def _closest_pairs(unit: Float32[np.ndarray, "nodes dim"], rng: np.random.Generator) -> Int[np.ndarray, "pairs 2"]:
    """Each looked-at node with its nearest, each pair once, closest first."""
    asked = np.sort(rng.choice(len(unit), min(TWIN_NODES, len(unit)), replace=False))
    nearest = np.concatenate([nearest_rows(unit, asked[i : i + 256], 1)[:, 0] for i in range(0, len(asked), 256)])
    pairs = np.unique(np.sort(np.stack([asked, nearest], axis=1), axis=1), axis=0)
    cosine = np.einsum("ij,ij->i", unit[pairs[:, 0]], unit[pairs[:, 1]])
    return pairs[np.argsort(-cosine, kind="stable")]


def _pairs(
    embeddings: Embeddings,
    graph: Graph | None,
    rows: Int[np.ndarray, " nodes"],
    on_graph: Int[np.ndarray, " embedded"] | None,
    unit: Float32[np.ndarray, "nodes dim"],
    first: Int[np.ndarray, " pairs"],
    second: Int[np.ndarray, " pairs"],
) -> list[Pair]:
    cosine = np.einsum("ij,ij->i", unit[first], unit[second], dtype=np.float64).tolist()
    shared: list[float | None] = [None] * len(first)
    facts: dict[int, int] = {}
    if graph is not None and on_graph is not None:
        shared = list(neighbour_overlap(graph, on_graph[rows[first]], on_graph[rows[second]]).tolist())
        degrees = graph.degrees
        facts = {int(row): int(degrees[on_graph[row]]) for row in rows[np.concatenate([first, second])]}
    keys, names = embeddings.nodes["node_key"], embeddings.nodes["node_name"]

    def node(row: int) -> Node:
        return Node(keys[row], names[row], facts.get(row))

    return [
        Pair(node(int(rows[one])), node(int(rows[other])), min(alike, 1.0), overlap)
        for one, other, alike, overlap in zip(first, second, cosine, shared, strict=True)
    ]
