"""Small random graphs with every kind of relation between three types, for the tests of this folder."""

from __future__ import annotations

import numpy as np
import polars as pl

from rxweave.graph.build import Graph
from rxweave.kg.tables import Relation, Roles

TREATS = Relation("drug", "treats", "disease")
HARMS = Relation("drug", "harms", "disease")
BINDS = Relation("drug", "binds", "gene")
LINKED = Relation("disease", "linked", "gene")
INTERACTS = Relation("gene", "interacts", "gene", symmetric=True)
REGULATES = Relation("gene", "regulates", "gene")
RESEMBLES = Relation("drug", "resembles", "drug", symmetric=True)
NEAR = Relation("disease", "near", "disease", symmetric=True)
ROLES = Roles("drug", "disease", "gene", treats=("treats",), contraindicated=("harms",))
SIZES = {"disease": 4, "drug": 4, "gene": 5}


def joined_graph(seed: int, *, density: float = 0.35) -> Graph:
    """Each possible fact is there with the same chance, facts of a node with itself included."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(list(SIZES.values()))]).astype(np.int64)
    start = dict(zip(SIZES, offsets.tolist(), strict=False))
    relations = (TREATS, HARMS, BINDS, LINKED, INTERACTS, REGULATES, RESEMBLES, NEAR)
    facts = []
    for relation in relations:
        there = rng.random((SIZES[relation.source_type], SIZES[relation.target_type])) < density
        pairs = np.stack(np.nonzero(np.triu(there) if relation.symmetric else there))
        facts.append(pairs + np.array([[start[relation.source_type]], [start[relation.target_type]]]))
    rows = [(f"{t}|Test|{i}", f"{t}{i}", f"{t} {i}", t, "Test") for t, size in SIZES.items() for i in range(size)]
    columns = ("node_key", "node_id", "node_name", "node_type", "node_source")
    nodes = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
    return Graph("test", nodes, tuple(SIZES), offsets, relations, tuple(facts), ROLES)
