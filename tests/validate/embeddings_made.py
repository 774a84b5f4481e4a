"""Embeddings made for tests."""

from __future__ import annotations

import numpy as np
import polars as pl

from rxweave.embed.store import Embeddings
from rxweave.graph.build import Graph


def embeddings_of(**types: np.ndarray) -> Embeddings:
    """Embeddings with the given vectors per type."""
    names = [name for name, vectors in types.items() for _ in range(len(vectors))]
    keys = [f"{name}|{i}" for i, name in enumerate(names)]
    nodes = pl.DataFrame({"node_key": keys, "node_id": keys, "node_name": keys, "node_type": names})
    return Embeddings(nodes, np.concatenate(list(types.values())).astype(np.float32), {})


def on_nodes_of(graph: Graph, vectors: np.ndarray) -> Embeddings:
    """Embeddings of a graph's nodes, in its order."""
    return Embeddings(graph.nodes, vectors.astype(np.float32), {})


def gaussian(num: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, dim))
