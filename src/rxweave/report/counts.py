"""Counts of the graph as the report shows them: nodes, facts, what left the training graph and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from rxweave.graph.build import Graph
from rxweave.graph.split import Split
from rxweave.kg.tables import Relation


@dataclass(frozen=True)
class NodeCount:
    node_type: str
    nodes: int
    isolated: int
    """Without any fact."""
    isolated_in_training: int
    """Without any fact that was trained on: what their vector says is nothing about them."""
    median_degree: float
    highest_degree: int


@dataclass(frozen=True)
class FactCount:
    relation: Relation
    facts: int
    training_facts: int


def node_counts(graph: Graph, training: Graph) -> list[NodeCount]:
    """Give a row per node type; degrees are those of the whole graph."""
    degrees, training_degrees = graph.degrees, training.degrees
    rows = []
    for node_type in graph.node_types:
        own = graph.rows_of(node_type)
        rows.append(
            NodeCount(
                node_type,
                graph.num_of(node_type),
                int((degrees[own] == 0).sum()),
                int((training_degrees[own] == 0).sum()),
                float(np.median(degrees[own])) if len(degrees[own]) else 0.0,
                int(degrees[own].max(initial=0)),
            )
        )
    return rows


def fact_counts(graph: Graph, training: Graph) -> list[FactCount]:
    """Give a row per relation, drug–disease relations first, then by number of facts."""
    drug_disease = set(graph.drug_disease_relations())
    order = sorted(range(len(graph.relations)), key=lambda r: (r not in drug_disease, -graph.facts[r].shape[1]))
    return [FactCount(graph.relations[r], graph.facts[r].shape[1], training.facts[r].shape[1]) for r in order]


def removed_counts(split: Split) -> list[tuple[str, str, str, int]]:
    """Give (part, relation, reason, facts removed from the training graph)."""
    counted = split.removed.group_by("part", "relation", "reason").agg(pl.len())
    return counted.sort("part", "relation", "reason").rows()
