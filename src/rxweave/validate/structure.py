"""Nodes that the graph itself cannot tell apart: they must share a vector, whatever the model."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, UInt64
from scipy.sparse import csr_array

from rxweave.graph.build import Graph


def structural_duplicate_rate(graph: Graph) -> dict[str, float]:
    """Give, per type, the share of nodes with facts whose neighbours are exactly those of another such node.

    Neighbours are compared per relation and direction, through two independent random 64-bit sums: a false
    match among a million nodes has a chance below 1e-26. Types without a node that has facts have 0. Hand in
    the graph that was trained on, and measure the collapse on the same nodes (`active=graph.degrees > 0`).
    """
    rng = np.random.default_rng(0)
    signature = np.zeros((graph.num_nodes, 2), np.uint64)
    label = rng.integers(0, 2**64, (graph.num_nodes, 2), dtype=np.uint64)
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        outgoing, incoming = rng.integers(0, 2**64, (2, 1, 2), dtype=np.uint64) | np.uint64(1)
        if relation.symmetric:
            incoming = outgoing
        signature += outgoing * _sum_of_labels(source, target, label)
        other = slice(None) if not relation.symmetric else source != target
        signature += incoming * _sum_of_labels(target[other], source[other], label)
    active = graph.degrees > 0
    rates = {}
    for node_type in graph.node_types:
        rows = graph.rows_of(node_type)
        seen = signature[rows][active[rows]]
        _, copies = np.unique(seen, axis=0, return_counts=True)
        rates[node_type] = float(copies[copies > 1].sum() / max(len(seen), 1))
    return rates


def _sum_of_labels(
    node: Int[np.ndarray, " facts"],
    neighbour: Int[np.ndarray, " facts"],
    label: UInt64[np.ndarray, "nodes 2"],
) -> UInt64[np.ndarray, "nodes 2"]:
    """Sum of the neighbours' labels for each node, modulo 2⁶⁴."""
    ones = np.ones(len(node), np.uint64)
    adjacency = csr_array((ones, (node, neighbour)), shape=(len(label), len(label)))
    return np.asarray(adjacency @ label)
