"""Other orders of a graph's nodes within their types, to measure what nearness in memory is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int
from scipy.sparse.csgraph import reverse_cuthill_mckee

from rxweave.errors import ConfigError, did_you_mean
from rxweave.graph.build import Graph

NodeOrder = Literal["key", "degree", "rcm"]


def checked_order(name: str) -> NodeOrder:
    """Give the order of that name; ConfigError, with the closest name, if there is none."""
    names: tuple[NodeOrder, ...] = get_args(NodeOrder)
    for order in names:
        if name == order:
            return order
    raise ConfigError(f"There is no node order {name!r}; expected {', '.join(names)}.{did_you_mean(name, names)}")


def reordered(graph: Graph, order: NodeOrder) -> Graph:
    """Give the same graph with the nodes of each type in another order; types and facts stay where they are.

    `degree`: most facts first. `rcm`: reverse Cuthill–McKee (1969) of the graph without its types, which puts linked
    nodes near each other. `key`: as they are.
    """
    if order == "key":
        return graph
    place = np.empty(graph.num_nodes, np.int64)
    rank = _rank(graph, order)
    for node_type in graph.node_types:
        rows = graph.rows_of(node_type)
        place[rows.start + np.argsort(rank[rows], kind="stable")] = np.arange(rows.start, rows.stop)
    facts = tuple(place[fact][:, np.lexsort(place[fact][::-1])] for fact in graph.facts)
    return replace(graph, nodes=graph.nodes[np.argsort(place)], facts=facts)


def _rank(graph: Graph, order: NodeOrder) -> Int[np.ndarray, " nodes"]:
    """Where each node stands among all nodes."""
    if order == "degree":
        return -graph.degrees
    source, target = np.concatenate(graph.facts, axis=1)
    linked = sp.csr_matrix((np.ones(len(source), bool), (source, target)), shape=(graph.num_nodes,) * 2)
    rank = np.empty(graph.num_nodes, np.int64)
    rank[reverse_cuthill_mckee((linked + linked.T).tocsr(), symmetric_mode=True)] = np.arange(graph.num_nodes)
    return rank
