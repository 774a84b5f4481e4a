"""A graph inside one with more nodes: where its nodes stand there, and its pairs by their new numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from jaxtyping import Int

from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs
from rxweave.graph.split import Split


def rows_within(graph: Graph, larger: Graph) -> Int[np.ndarray, " nodes"]:
    """Give the row of each node of a graph in a larger one, found by key; InputError if it lacks one."""
    rows = larger.nodes.select("node_key", row=pl.int_range(pl.len(), dtype=pl.Int64))
    found = graph.nodes.join(rows, on="node_key", how="left", maintain_order="left")
    lost = found.filter(pl.col("row").is_null())
    if len(lost):
        raise InputError(f"{larger.name} lacks {len(lost):,} nodes of {graph.name}, first {lost['node_key'][0]!r}.")
    rows_there: Int[np.ndarray, " nodes"] = found["row"].to_numpy().astype(np.int64)
    return rows_there


def pairs_within(pairs: Pairs, graph: Graph, larger: Graph) -> Pairs:
    """Give (drug, disease) pairs of a graph by the numbers that these have in a larger one."""
    rows, roles = rows_within(graph, larger), graph.roles
    columns = [
        rows[graph.rows_of(node_type).start + pairs[:, end]] - larger.rows_of(node_type).start
        for end, node_type in enumerate((roles.drug, roles.disease))
    ]
    return np.stack(columns, axis=1)


def split_within(split: Split, graph: Graph, larger: Graph) -> Split:
    """Give a split of a graph by the numbers of a larger one; pairs that only that one has are in no part."""
    train, valid, test = (pairs_within(part, graph, larger) for part in (split.train, split.valid, split.test))
    return replace(split, train=train, valid=valid, test=test)
