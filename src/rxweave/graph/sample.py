"""A smaller graph for a first look: every node type keeps its share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from jaxtyping import Int

from rxweave.errors import ConfigError
from rxweave.graph.build import Graph


def limit_nodes(graph: Graph, limit: int, *, seed: int) -> Graph:
    """Give the graph of at most `limit` nodes, drawn uniformly within each type, and the facts between them.

    Types keep their proportions (largest remainder), but every type that has nodes keeps at least one. Facts
    thin out with the square of the share of nodes kept, so use this to try things out, not to report results.
    Raises ConfigError if `limit` is smaller than the number of types that have nodes.
    """
    if limit >= graph.num_nodes:
        return graph
    sizes = np.diff(graph.type_offsets)
    shares = _shares(sizes, limit)
    rng = np.random.default_rng(seed)
    keep = np.zeros(graph.num_nodes, bool)
    for start, size, share in zip(graph.type_offsets[:-1], sizes, shares, strict=True):
        keep[start + rng.choice(size, share, replace=False)] = True
    new_row = np.cumsum(keep) - 1
    return replace(
        graph,
        nodes=graph.nodes.filter(pl.Series(keep)),
        type_offsets=np.concatenate([[0], np.cumsum(shares)]),
        facts=tuple(new_row[fact[:, keep[fact].all(axis=0)]] for fact in graph.facts),
    )


def _shares(sizes: Int[np.ndarray, " types"], limit: int) -> Int[np.ndarray, " types"]:
    """Give how many nodes each type keeps: `limit` in all, in proportion, one or more if there are any."""
    present = int((sizes > 0).sum())
    if limit < present:
        raise ConfigError(
            f"limit_nodes is {limit}, but at least one node of each of the graph's {present} types is kept. "
            f"Ask for {present} nodes or more, or load fewer types."
        )
    shares = np.zeros_like(sizes)
    open_types = sizes > 0
    # A type whose proportion is below one node gets one; the others share what is left, which lowers
    # their proportions and may bring another type below one.
    while True:
        left, total = limit - shares.sum(), sizes[open_types].sum()
        small = open_types & (left * sizes < total)
        if not small.any():
            break
        shares[small] = 1
        open_types &= ~small
    shares[open_types] = left * sizes[open_types] // total
    remainders = np.where(open_types, left * sizes % total, -1)
    largest_first = np.argsort(-remainders, kind="stable")
    shares[largest_first[: limit - shares.sum()]] += 1
    return shares
