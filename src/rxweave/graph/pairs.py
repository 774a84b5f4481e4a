"""Pairs of a drug and a disease: where they stand in a graph, and which are the same under other keys."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Int
from scipy.sparse.csgraph import connected_components

from rxweave.errors import InputError
from rxweave.graph.build import Graph

Pairs = Int[np.ndarray, "_ 2"]
"""(drug, disease) pairs, each end numbered within its own node type."""
End = Literal["drug", "disease"]
ENDS: tuple[End, End] = ("drug", "disease")


def fact_pairs(graph: Graph, relation_ix: int) -> Pairs:
    """Give a drug–disease relation's facts as (drug, disease) pairs in their order, whichever way it runs."""
    source, target = graph.facts[relation_ix]
    if graph.relations[relation_ix].source_type != graph.roles.drug:
        source, target = target, source
    first_drug = graph.rows_of(graph.roles.drug).start
    first_disease = graph.rows_of(graph.roles.disease).start
    return np.stack([source - first_drug, target - first_disease], axis=1)


def pair_codes(pairs: Pairs, num_diseases: int) -> Int[np.ndarray, " _"]:
    """Give one whole number per pair, the same for equal pairs only."""
    codes: Int[np.ndarray, " _"] = pairs[:, 0].astype(np.int64) * num_diseases + pairs[:, 1]
    return codes


def identities(graph: Graph, node_type: str) -> Int[np.ndarray, " nodes"]:
    """Give each node of a type the number of the thing it stands for.

    Two nodes stand for one thing when they share a name, or an id that has a letter in it, or the name of one
    is the id of the other; case and blanks at the ends do not count, and it carries on from node to node.
    Bare numbers identify nothing: sources number their things independently (MONDO 5148, Entrez 5148).
    """
    nodes = graph.nodes[graph.rows_of(node_type)].with_row_index("row")
    labels = (
        nodes.unpivot(["node_name", "node_id"], index="row")
        .with_columns(pl.col("value").str.strip_chars().str.to_lowercase())
        .filter(pl.col("value").str.contains(r"\p{L}"))
        .with_columns(pl.col("value").rank("dense").alias("label"))
    )
    node, label = labels["row"].to_numpy().astype(np.int64), labels["label"].to_numpy().astype(np.int64)
    size = len(nodes) + (int(label.max()) if len(label) else 0)
    shares = sp.coo_array((np.ones(len(node), np.int8), (node, len(nodes) - 1 + label)), shape=(size, size))
    _, thing = connected_components(shares, directed=False)
    return np.asarray(thing[: len(nodes)], np.int64)


def pair_identities(graph: Graph, pairs: Pairs) -> Int[np.ndarray, " _"]:
    """Give one whole number per pair, equal for pairs of one drug and one disease (see `identities`)."""
    drug, disease = identities(graph, graph.roles.drug), identities(graph, graph.roles.disease)
    things = np.stack([drug[pairs[:, 0]], disease[pairs[:, 1]]], axis=1)
    return pair_codes(things, int(disease.max(initial=0)) + 1)


def check_pairs(graph: Graph, pairs: Pairs) -> Pairs:
    """Give the pairs back; raises InputError when one names a drug or a disease that is not in the graph."""
    counts = np.array([graph.num_of(graph.roles.drug), graph.num_of(graph.roles.disease)])
    outside = ((pairs < 0) | (pairs >= counts)).any(axis=1)
    if outside.any():
        raise InputError(
            f"{int(outside.sum())} pairs lie outside {graph.name}, first {pairs[outside][0].tolist()}; "
            f"it has {counts[0]} drugs and {counts[1]} diseases, numbered from 0 within their types. "
            "Number the pairs within this graph, or read the split with its keys."
        )
    return pairs


def pair_keys(graph: Graph, pairs: Pairs) -> pl.DataFrame:
    """Give `drug_key, disease_key` of each pair, in their order."""
    drugs = graph.nodes["node_key"][graph.rows_of(graph.roles.drug)]
    diseases = graph.nodes["node_key"][graph.rows_of(graph.roles.disease)]
    return pl.DataFrame(
        {"drug_key": drugs.gather(pairs[:, 0]), "disease_key": diseases.gather(pairs[:, 1])},
        schema={"drug_key": pl.String, "disease_key": pl.String},
    )
