"""A made-up graph of four groups of drugs, with vectors that show them, and drugs without facts."""

from __future__ import annotations

import numpy as np
import polars as pl

from rxweave.embed.store import Embeddings
from rxweave.graph.build import Graph
from rxweave.kg.tables import Relation, Roles

GROUPS, PER_GROUP, LONELY = 4, 30, 3


def planted(*, seed: int = 0, noise: float = 0.4) -> tuple[Graph, Embeddings, np.ndarray]:
    """Give a graph, its embeddings, and each drug's group (−1 for those without facts).

    Each group of drugs hits a gene of its own, with exceptions; every gene is in the pathway of its group.
    """
    rng = np.random.default_rng(seed)
    num = GROUPS * PER_GROUP
    group = np.concatenate([np.repeat(np.arange(GROUPS), PER_GROUP), np.full(LONELY, -1)])
    sizes = {"Disease": 20, "Drug": num + LONELY, "Gene": 2 * GROUPS, "Pathway": GROUPS}
    offsets = np.concatenate([[0], np.cumsum(list(sizes.values()))])
    names = [f"{kind} {i:03d}" for kind, size in sizes.items() for i in range(size)]
    nodes = pl.DataFrame(
        {
            "node_key": [f"{name.split()[0]}|Made|{name.split()[1]}" for name in names],
            "node_id": [name.split()[1] for name in names],
            "node_name": names,
            "node_type": [name.split()[0] for name in names],
            "node_source": ["Made"] * len(names),
        }
    )
    drug, gene, pathway = (offsets[list(sizes).index(kind)] for kind in ("Drug", "Gene", "Pathway"))
    hits = np.where(rng.random(num) < 0.8, group[:num], rng.integers(GROUPS, size=num))
    target = np.stack([drug + np.arange(num), gene + hits])
    other = np.stack([drug + np.arange(num), gene + GROUPS + rng.integers(GROUPS, size=num)])
    member = np.stack([gene + np.arange(2 * GROUPS), pathway + np.arange(2 * GROUPS) % GROUPS])
    treats = np.stack([drug + np.arange(20), np.arange(20)])
    relations = (
        Relation("Drug", "targets", "Gene"),
        Relation("Gene", "in", "Pathway"),
        Relation("Drug", "treats", "Disease"),
    )
    facts = (np.unique(np.concatenate([target, other], axis=1), axis=1), member, treats)
    roles = Roles("Drug", "Disease", "Gene", ("treats",))
    graph = Graph("made", nodes, tuple(sizes), offsets, relations, facts, roles)
    centres = rng.normal(size=(GROUPS + 1, 16))
    vectors = rng.normal(size=(len(nodes), 16))
    rows = graph.rows_of("Drug")
    vectors[rows] = centres[group] + noise * rng.normal(size=(len(group), 16))
    return graph, Embeddings(nodes, vectors.astype(np.float32), {}), group
