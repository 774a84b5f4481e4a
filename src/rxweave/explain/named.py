"""From nodes as people are told of them to their numbers within a type, and back."""

from __future__ import annotations

import numpy as np

from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.kg.names import Node


def number_of(graph: Graph, node: Node) -> int:
    """Give the number of a node within its type; raises InputError for a node that the graph does not have."""
    keys = graph.nodes["node_key"][graph.rows_of(node.node_type)]
    found = np.flatnonzero((keys == node.node_key).to_numpy())
    if not len(found):
        raise InputError(f"{node} is not in the training graph of {graph.name}.")
    return int(found[0])


def node_at(graph: Graph, node_type: str, number: int) -> Node:
    """Give the node with this number within its type."""
    row = graph.nodes.row(graph.rows_of(node_type).start + number, named=True)
    return Node(**{name: row[name] for name in ("node_key", "node_id", "node_name", "node_type", "node_source")})
