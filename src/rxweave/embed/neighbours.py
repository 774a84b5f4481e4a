"""Neighbour sampling: the part of a graph that a few nodes need messages from, drawn layer by layer, outward.

From the nodes whose embeddings are wanted, each layer of the encoder, last one first, draws a few incoming edges for
every node and directed relation; what sends along them are the nodes the layer before must know. So each layer runs
on edges of its own, into no more nodes than are needed after it (Hamilton, Ying & Leskovec 2017). What a part takes is
bounded by the number of nodes wanted and of edges drawn, whatever the size of the graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from rxweave.embed.attention.index import Edges, MessageIndex, directed_edges, index_of
from rxweave.graph.build import Graph

ALL = -1
"""In place of a number of neighbours: every one of them."""


@dataclass(frozen=True)
class Hop:
    """One round of messages on a part of the graph: its edges, and the nodes whose state is wanted after it."""

    index: MessageIndex
    """Counts the nodes whose state is known before the round; only kept ones receive."""
    kept: Int[Tensor, " receivers"]
    """Which of them are wanted after it, ascending."""
    type_offsets: tuple[int, ...]
    """Kept nodes of type i: `type_offsets[i]:type_offsets[i + 1]`."""

    def to(self, device: torch.device | str) -> Hop:
        return Hop(self.index.to(device), self.kept.to(device), self.type_offsets)


@dataclass(frozen=True)
class Part:
    """The part of a graph that the embeddings of some nodes are made from."""

    nodes: Int[np.ndarray, " nodes"]
    """Rows of the graph whose features go in, ascending."""
    hops: tuple[Hop, ...]
    """One for each layer of the encoder, first layer first."""
    seeds: Int[np.ndarray, " seeds"]
    """Rows of the graph whose embeddings come out, ascending."""


@dataclass(frozen=True)
class IncomingEdges:
    """The edges that enter each node, in compressed rows: 8 bytes an edge.

    A row is a *pair*, as in `MessageIndex`: a directed relation together with a node that receives along it, sorted
    by both.
    """

    type_offsets: tuple[int, ...]
    relation_rows: Int[np.ndarray, " relation_bounds"]
    """Rows of directed relation r: `relation_rows[r]:relation_rows[r + 1]`."""
    pair_node: Int[np.ndarray, " pairs"]
    """The node that receives, for each row."""
    row_start: Int[np.ndarray, " pair_bounds"]
    source: Int[np.ndarray, " edges"]
    fact: Int[np.ndarray, " edges"]
    """The fact behind each edge, counted through `Graph.facts` in order."""

    @classmethod
    def of(cls, graph: Graph) -> IncomingEdges:
        """Lay out every fact of a graph in both directions; directed relations come in the order of `build_index`."""
        nodes, degrees, sources, facts = [], [], [], []
        for source, target, fact in directed_edges(graph):
            order = np.argsort(target, kind="stable")
            degree = np.bincount(target, minlength=graph.num_nodes)
            nodes.append(np.flatnonzero(degree).astype(np.int32))
            degrees.append(degree[nodes[-1]])
            sources.append(source[order].astype(np.int32))
            facts.append(fact[order])
        return cls(
            type_offsets=tuple(graph.type_offsets.tolist()),
            relation_rows=_bounds([len(each) for each in nodes]),
            pair_node=np.concatenate(nodes),
            row_start=_bounds(np.concatenate(degrees)),
            source=np.concatenate(sources),
            fact=np.concatenate(facts),
        )

    @property
    def num_nodes(self) -> int:
        return self.type_offsets[-1]

    @property
    def num_relations(self) -> int:
        return len(self.relation_rows) - 1

    @property
    def num_edges(self) -> int:
        return len(self.source)

    def into(self, nodes: slice) -> Iterator[Edges]:
        """Give all edges into consecutive nodes, for each directed relation."""
        for first, past in pairwise(self.relation_rows.tolist()):
            row, end = first + np.searchsorted(self.pair_node[first:past], (nodes.start, nodes.stop))
            start = self.row_start[row : end + 1]
            at = slice(start[0], start[-1])
            yield self.source[at], np.repeat(self.pair_node[row:end], np.diff(start)), self.fact[at]


def sample_part(
    edges: IncomingEdges,
    seeds: Int[np.ndarray, " _"],
    num_neighbours: Sequence[int],
    hidden: Int[np.ndarray, " hidden"],
    rng: np.random.Generator,
    *,
    edge_dropout: float = 0.0,
) -> Part:
    """Draw the part of a graph that the embeddings of `seeds` (rows; repeats count once) are made from.

    `num_neighbours` are the most edges drawn for each node and directed relation, without replacement, for the hop
    into the seeds first; -1 takes all. An edge of a `hidden` fact is left out when drawn, in whichever direction, so a
    node has fewer edges then, as it has when facts are hidden from the whole graph; so is, at random, a share
    `edge_dropout` of the others.
    """
    hidden = np.sort(hidden)
    nodes = wanted = np.unique(seeds)
    hops: list[Hop] = []
    for most in num_neighbours:
        drawn = _edges_into(edges, nodes, most, hidden, edge_dropout, rng)
        known = marked(edges.num_nodes, nodes, *(source for source, _, _ in drawn))
        hops.append(hop(drawn, known, nodes, edges.type_offsets))
        nodes = known
    return Part(nodes, tuple(reversed(hops)), wanted)


def hop(
    edges: Sequence[Edges],
    known: Int[np.ndarray, " nodes"],
    receivers: Int[np.ndarray, " receivers"],
    type_offsets: tuple[int, ...],
) -> Hop:
    """Give the round of messages along these edges, for each directed relation, between rows of a graph.

    `known` holds, in ascending order, all nodes that send, and the receivers.
    """
    place = np.empty(type_offsets[-1], np.int32)
    place[known] = np.arange(len(known), dtype=np.int32)
    index = index_of(
        ((place[source], place[target], fact) for source, target, fact in edges), offsets_among(known, type_offsets)
    )
    return Hop(index, torch.from_numpy(place[receivers].astype(np.int64)), offsets_among(receivers, type_offsets))


def offsets_among(nodes: Int[np.ndarray, " nodes"], type_offsets: tuple[int, ...]) -> tuple[int, ...]:
    """Give the type offsets of some nodes, in ascending order, that are numbered anew from 0."""
    return tuple(np.searchsorted(nodes, type_offsets).tolist())


def marked(num_nodes: int, *nodes: Int[np.ndarray, " _"]) -> Int[np.ndarray, " distinct"]:
    """Give the distinct nodes of several arrays, ascending."""
    marked = np.zeros(num_nodes, bool)
    for each in nodes:
        marked[each] = True
    return np.flatnonzero(marked)


def _edges_into(
    edges: IncomingEdges,
    nodes: Int[np.ndarray, " nodes"],
    most: int,
    hidden: Int[np.ndarray, " hidden"],
    edge_dropout: float,
    rng: np.random.Generator,
) -> list[Edges]:
    """Draw edges into the nodes, for each directed relation."""
    wanted = np.zeros(edges.num_nodes, bool)
    wanted[nodes] = True
    rows = np.flatnonzero(wanted[edges.pair_node])
    start = edges.row_start[rows]
    degree = edges.row_start[rows + 1] - start
    taken = degree if most == ALL else np.minimum(degree, most)
    first = _bounds(taken)
    at = np.arange(first[-1]) + np.repeat(start - first[:-1], taken)
    many = np.flatnonzero(degree > taken)
    if len(many):
        picked = start[many, None] + _distinct(degree[many], most, rng)
        at[first[many, None] + np.arange(most)] = picked
    fact = edges.fact[at]
    seen = ~_among(fact, hidden)
    if edge_dropout:
        seen &= rng.random(len(seen)) >= edge_dropout
    bounds = first[np.searchsorted(rows, edges.relation_rows)]
    source, target = edges.source[at], np.repeat(edges.pair_node[rows], taken)
    return [
        (source[part][seen[part]], target[part][seen[part]], fact[part][seen[part]])
        for part in (slice(*each) for each in pairwise(bounds.tolist()))
    ]


def _distinct(sizes: Int[np.ndarray, " rows"], count: int, rng: np.random.Generator) -> Int[np.ndarray, "rows count"]:
    """Draw `count` distinct numbers below each size, all subsets alike, in count² steps for each (Floyd 1987)."""
    picked = np.empty((len(sizes), count), np.int64)
    for i in range(count):
        last = sizes - count + i
        drawn = rng.integers(0, last + 1)
        taken = (picked[:, :i] == drawn[:, None]).any(1)
        picked[:, i] = np.where(taken, last, drawn)
    return picked


def _among(numbers: Int[np.ndarray, " numbers"], ascending: Int[np.ndarray, " _"]) -> np.ndarray:
    if not len(ascending):
        return np.zeros(len(numbers), bool)
    place = np.searchsorted(ascending, numbers).clip(max=len(ascending) - 1)
    found: np.ndarray = ascending[place] == numbers
    return found


def _bounds(sizes: Sequence[int] | Int[np.ndarray, " sizes"]) -> Int[np.ndarray, " bounds"]:
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
