"""Small graphs for the tests of this folder: made by hand, at random, or with a planted answer."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from jaxtyping import Float32

from rxweave.embed.decoder import DistMult
from rxweave.embed.store import Embeddings
from rxweave.embed.treatment_scores import WEIGHTS_KEY, told_weights
from rxweave.graph.build import Graph
from rxweave.graph.leaks import split_fingerprint
from rxweave.graph.split import Split, split_of_pairs, training_graph
from rxweave.kg.tables import Relation, Roles

TREATS = Relation("drug", "treats", "disease")
HARMS = Relation("drug", "harms", "disease")
EASED_BY = Relation("disease", "eased by", "drug")
BINDS = Relation("drug", "binds", "gene")
LINKED = Relation("disease", "linked", "gene")
INTERACTS = Relation("gene", "interacts", "gene", symmetric=True)
REGULATES = Relation("gene", "regulates", "gene")
ROLES = Roles("drug", "disease", "gene", treats=("treats",), contraindicated=("harms",))

Facts = dict[Relation, list[tuple[int, int]]]
"""Facts of each relation, both ends numbered within their types."""


def graph_of(sizes: dict[str, int], facts: Facts, *, names: dict[tuple[str, int], str] | None = None) -> Graph:
    """Build a graph; nodes are named after their type and number unless `names` says otherwise."""
    node_types = tuple(sorted(sizes))
    offsets = np.concatenate([[0], np.cumsum([sizes[t] for t in node_types])]).astype(np.int64)
    start = dict(zip(node_types, offsets[:-1].tolist(), strict=True))
    rows = [
        (f"{t}|Test|{i:04d}", f"{i:04d}", (names or {}).get((t, i), f"{t} {i:04d}"), t, "Test")
        for t in node_types
        for i in range(sizes[t])
    ]
    columns = ["node_key", "node_id", "node_name", "node_type", "node_source"]
    nodes = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
    arrays = tuple(
        np.array(pairs, np.int64).reshape(-1, 2).T + np.array([[start[r.source_type]], [start[r.target_type]]])
        for r, pairs in facts.items()
    )
    return Graph("test", nodes, node_types, offsets, tuple(facts), arrays, ROLES)


def random_graph(seed: int, *, drugs: int = 5, diseases: int = 4, genes: int = 6, density: float = 0.3) -> Graph:
    """A graph of every kind of relation, each possible fact there with the same chance."""
    rng = np.random.default_rng(seed)
    sizes = {"drug": drugs, "disease": diseases, "gene": genes}
    facts: Facts = {}
    for relation in (TREATS, HARMS, EASED_BY, BINDS, LINKED, INTERACTS, REGULATES):
        there = rng.random((sizes[relation.source_type], sizes[relation.target_type])) < density
        if relation.symmetric:
            there = np.triu(there)
        facts[relation] = [(int(s), int(t)) for s, t in zip(*np.nonzero(there), strict=True)]
    return graph_of(sizes, facts)


def planted_graph(seed: int = 0, *, drugs: int = 40, diseases: int = 30, groups: int = 5) -> Graph:
    """A graph in which a drug treats diseases of its own group, through the group's genes, and harms some of
    the next group. Degrees are much the same everywhere, so they tell little. The last drug and the last
    disease have no facts.
    """
    rng = np.random.default_rng(seed)
    genes = 8 * groups
    group_of = {"drug": np.arange(drugs) % groups, "disease": np.arange(diseases) % groups}
    group_of["gene"] = np.arange(genes) % groups

    def within(source: str, target: str, shift: int, share: float) -> list[tuple[int, int]]:
        left, right = group_of[source][:, None], group_of[target][None, :]
        there = ((left + shift) % groups == right) & (rng.random((len(left), right.shape[1])) < share)
        return [
            (int(s), int(t))
            for s, t in zip(*np.nonzero(there), strict=True)
            if not (source == "drug" and s == drugs - 1)
            and not (target == "disease" and t == diseases - 1)
            and not (source == "disease" and s == diseases - 1)
        ]

    return graph_of(
        {"drug": drugs, "disease": diseases, "gene": genes},
        {
            TREATS: within("drug", "disease", 0, 0.5),
            HARMS: within("drug", "disease", 1, 0.3),
            BINDS: within("drug", "gene", 0, 0.5),
            LINKED: within("disease", "gene", 0, 0.5),
            INTERACTS: [(s, t) for s, t in within("gene", "gene", 0, 0.3) if s <= t],
        },
    )


def split_at(graph: Graph, *, num_valid: int, num_test: int, seed: int = 0) -> tuple[Split, Graph]:
    """Hold out random treatments; give the split and the training graph."""
    pairs = np.random.default_rng(seed).permutation(graph.pairs(graph.roles.treats))
    held = num_valid + num_test
    split = split_of_pairs(graph, train=pairs[held:], valid=pairs[:num_valid], test=pairs[num_valid:held])
    return split, training_graph(graph, split)


def vectors_of(graph: Graph, *, seed: int = 0, dim: int = 6) -> Float32[np.ndarray, "nodes dim"]:
    return np.random.default_rng(seed).normal(size=(graph.num_nodes, dim)).astype(np.float32)


def embeddings_of(graph: Graph, split: Split, *, seed: int = 0) -> Embeddings:
    vectors = vectors_of(graph, seed=seed)
    decoder = DistMult(len(graph.relations), vectors.shape[1], generator=torch.Generator().manual_seed(seed))
    metadata = {"split": split_fingerprint(split, graph), WEIGHTS_KEY: told_weights(decoder, graph)}
    return Embeddings(graph.nodes, vectors, metadata)


def without_pair(graph: Graph, drug: int, disease: int) -> Graph:
    """Give the graph without any fact between this drug and this disease."""
    ends = {graph.rows_of("drug").start + drug, graph.rows_of("disease").start + disease}
    keep = {}
    for r in graph.drug_disease_relations():
        source, target = graph.facts[r]
        keep[r] = ~(np.isin(source, list(ends)) & np.isin(target, list(ends)))
    return graph.keep_facts(keep)
