"""Small hand-made drug graphs for the tests of this folder."""

from __future__ import annotations

import polars as pl

from rxweave.graph.build import Graph, build_graph
from rxweave.kg.tables import NODE_COLUMNS, KnowledgeGraph, LoadReport, Relation, Roles

INDICATION = Relation("drug", "indication", "disease")
OFF_LABEL = Relation("drug", "off-label use", "disease")
TREATED_BY = Relation("disease", "treated by", "drug")
TARGET = Relation("drug", "target", "gene")
INTERACTS = Relation("gene", "interacts", "gene", symmetric=True)
RELATIONS = (INDICATION, OFF_LABEL, TREATED_BY, TARGET, INTERACTS)
ROLES = Roles(drug="drug", disease="disease", gene="gene", treats=("indication",))

Node = tuple[str, str]
"""Key and name; the key is type|source|id."""
Fact = tuple[str, str, str]
"""Source key, relation, target key."""


def kg_of(
    nodes: list[Node],
    facts: list[Fact],
    *,
    relations: tuple[Relation, ...] = RELATIONS,
    roles: Roles = ROLES,
) -> KnowledgeGraph:
    rows = []
    for key, name in nodes:
        node_type, source, node_id = key.split("|")
        rows.append((key, node_id, name, node_type, source))
    report = LoadReport(
        source="hand",
        files=(),
        rows_read=len(facts),
        facts=len(facts),
        exact_duplicates=0,
        swapped_duplicates=0,
        rejected_rows=0,
        self_loops=sum(source == target for source, _, target in facts),
        nodes=len(nodes),
        isolated_nodes=len({key for key, _ in nodes} - {end for s, _, t in facts for end in (s, t)}),
        empty_names=0,
        renamed_ids=0,
    )
    return KnowledgeGraph(
        name="handmade",
        nodes=pl.DataFrame(rows, schema=dict.fromkeys(NODE_COLUMNS, pl.String), orient="row"),
        edges=pl.DataFrame(
            facts, schema=dict.fromkeys(("source_key", "relation", "target_key"), pl.String), orient="row"
        ),
        relations=relations,
        roles=roles,
        report=report,
    )


def graph_of(
    nodes: list[Node],
    facts: list[Fact],
    *,
    relations: tuple[Relation, ...] = RELATIONS,
    roles: Roles = ROLES,
) -> Graph:
    return build_graph(kg_of(nodes, facts, relations=relations, roles=roles))


def facts_of(graph: Graph) -> list[Fact]:
    """Give the facts of a graph by key, sorted, repeats kept."""
    keys = graph.nodes["node_key"].to_list()
    return sorted(
        (keys[source], relation.name, keys[target])
        for relation, fact in zip(graph.relations, graph.facts, strict=True)
        for source, target in fact.T.tolist()
    )


METFORMIN, ASPIRIN, IMATINIB = "drug|DrugBank|DB00331", "drug|DrugBank|DB00945", "drug|DrugBank|DB00619"
DIABETES, PAIN, LEUKEMIA = "disease|MONDO|5148", "disease|MONDO|1", "disease|MONDO|11996"
PDE6G, ABL1 = "gene|NCBI|5148", "gene|NCBI|25"
NODES: list[Node] = [
    (METFORMIN, "Metformin"),
    (ASPIRIN, "Aspirin"),
    (IMATINIB, "Imatinib"),
    (DIABETES, "type 2 diabetes mellitus"),
    (PAIN, "pain"),
    (LEUKEMIA, "chronic myeloid leukemia"),
    (PDE6G, "PDE6G"),
    (ABL1, "ABL1"),
]
FACTS: list[Fact] = [
    (METFORMIN, "indication", DIABETES),
    (ASPIRIN, "indication", PAIN),
    (IMATINIB, "indication", LEUKEMIA),
    (ASPIRIN, "off-label use", DIABETES),
    (PAIN, "treated by", ASPIRIN),
    (IMATINIB, "target", ABL1),
    (PDE6G, "interacts", ABL1),
    (ABL1, "interacts", ABL1),
]
