"""What a loaded graph is like before anything is trained on it, and what that means for embeddings and ranking.

Every finding has a level: `problem` (nothing can be ranked, or something is lost), `warning` (part of the result will
be poor, and which part), `good`. Thresholds are choices, made so that PrimeKG and Hetionet as published pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Int
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from rxweave.graph.build import Graph
from rxweave.graph.tally import relation_tally, type_tally
from rxweave.kg.published import PUBLISHED
from rxweave.kg.tables import KnowledgeGraph

Level = Literal["problem", "warning", "good"]
LEVELS: tuple[Level, ...] = ("problem", "warning", "good")

OUTSIDE = 0.01
"""Share of the linked nodes outside the largest component above which it is a warning."""
ISOLATED = 0.01
"""Share of all nodes without facts above which it is a warning."""
HUBS = 0.01
HUB_FACTS = 0.5
"""Share of all ends of facts that the 1 % busiest nodes may have before it is a warning."""
WITHOUT = 0.8
"""Share of drugs or diseases that may have no gene before it is a warning."""
FEW_TREATMENTS = 100
"""Fewer known treatments than this are too few to hold some out and still measure anything."""
AGREES = 0.01
"""Counts that differ by no more than this share agree with the published ones."""


@dataclass(frozen=True)
class Finding:
    """One thing about a graph: what was counted, what that means, and what can be done about it."""

    level: Level
    subject: str
    found: str
    means: str
    """What follows for embeddings or ranking; empty for what is as it should be."""
    change: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (f"{self.level}: {self.subject}: {self.found}.", self.means, self.change)))


@dataclass(frozen=True)
class GraphCheck:
    """Findings about a graph, the gravest first, and its counts by node type and relation."""

    name: str
    findings: tuple[Finding, ...]
    types: pl.DataFrame
    """`node_type, nodes, published, isolated, median_degree, max_degree`; `published` is null where unknown."""
    relations: pl.DataFrame
    """`relation, facts, published`; `facts` counts display relations of one fact apart, as sources do."""

    @property
    def level(self) -> Level:
        """The gravest level of all findings."""
        return min((finding.level for finding in self.findings), key=LEVELS.index, default="good")


def check_graph(kg: KnowledgeGraph, graph: Graph) -> GraphCheck:
    """Check a loaded graph and the arrays built of it; `graph` must be `build_graph(kg)`."""
    degrees = graph.degrees
    types, relations = type_tally(graph, degrees), relation_tally(kg)
    findings = [
        _components(graph, degrees),
        _isolated(graph, degrees),
        _skew(degrees),
        *_roles(graph),
        _namesakes(graph),
        _against_published(kg.name, types, relations),
    ]
    ordered = sorted(filter(None, findings), key=lambda finding: LEVELS.index(finding.level))
    return GraphCheck(kg.name, tuple(ordered), types, relations)


def _components(graph: Graph, degrees: Int[np.ndarray, " nodes"]) -> Finding:
    source, target = np.concatenate([np.empty((2, 0), np.int64), *graph.facts], axis=1)
    links = sparse.coo_array((np.ones(len(source), np.int8), (source, target)), shape=(graph.num_nodes,) * 2)
    _, label = connected_components(links, directed=False)
    sizes = np.sort(np.bincount(label[degrees > 0]))[::-1]
    sizes = sizes[sizes > 0]
    if not len(sizes):
        return Finding("problem", "components", "there is no fact at all", "Nothing can be learnt.", "Check the file.")
    outside = 1 - sizes[0] / sizes.sum()
    found = f"{len(sizes):,}, the largest with {sizes[0]:,} nodes, {1 - outside:.2%} of those with facts"
    if outside <= OUTSIDE:
        return Finding("good", "components", found, "")
    return Finding(
        "warning",
        "components",
        found,
        "Nothing passes between components: vectors of nodes in different ones cannot be compared, and no path joins "
        "their drugs and diseases.",
        "Look for node types that no relation links to the rest, or for ids written in two ways.",
    )


def _isolated(graph: Graph, degrees: Int[np.ndarray, " nodes"]) -> Finding:
    alone = degrees == 0
    by_type = [
        f"{name} {int(alone[graph.rows_of(name)].sum()):,}"
        for name in graph.node_types
        if alone[graph.rows_of(name)].any()
    ]
    found = f"{int(alone.sum()):,} of {graph.num_nodes:,}" + (f" ({', '.join(by_type)})" if by_type else "")
    if alone.sum() <= ISOLATED * graph.num_nodes:
        return Finding("good", "nodes without facts", found, "")
    return Finding(
        "warning",
        "nodes without facts",
        found,
        "No message ever reaches them: their vectors say nothing, and they are left out of the collapse measures.",
        "Leave them out of the node table, or add the relations that link them.",
    )


def _skew(degrees: Int[np.ndarray, " nodes"]) -> Finding | None:
    linked = np.sort(degrees[degrees > 0])[::-1]
    if not len(linked):
        return None
    hubs = max(1, round(HUBS * len(linked)))
    share = linked[:hubs].sum() / linked.sum()
    found = (
        f"median {int(np.median(linked)):,}, highest {linked[0]:,}; the {HUBS:.0%} busiest nodes have {share:.0%} of "
        f"all ends of facts (Gini {_gini(linked):.2f})"
    )
    if share <= HUB_FACTS:
        return Finding("good", "degrees", found, "")
    return Finding(
        "warning",
        "degrees",
        found,
        "Hubs drown what their neighbours have of their own, and counting facts (the degree prior) ranks well.",
        "Read every metric beside the degree prior; rank.features.damping takes hubs out of paths.",
    )


def _gini(falling: Int[np.ndarray, " nodes"]) -> float:
    """Give the Gini coefficient (Gini 1912) of counts sorted from high to low: 0 all equal, towards 1 all in one."""
    places = np.arange(len(falling), 0, -1)
    return float(2 * (places * falling).sum() / (len(falling) * falling.sum()) - (len(falling) + 1) / len(falling))


def _roles(graph: Graph) -> list[Finding]:
    roles, present = graph.roles, set(graph.node_types)
    absent = [
        f"{role} ({name})" for role, name in (("drug", roles.drug), ("disease", roles.disease)) if name not in present
    ]
    if absent:
        return [
            Finding(
                "problem",
                "roles",
                f"no nodes of the type for {' and '.join(absent)}",
                "This graph can be embedded but not ranked.",
                "Name the types with -o load.drug_type and load.disease_type.",
            )
        ]
    clinical = graph.drug_disease_relations()
    treated = graph.pairs(roles.treats)
    findings = [_treatments(graph, treated)]
    other = _touched(graph, [r for r in range(len(graph.relations)) if r not in clinical])
    for role, name in (("drugs", roles.drug), ("diseases", roles.disease)):
        rows = graph.rows_of(name)
        findings.append(_only_clinical(role, name, other[rows], _touched(graph, clinical)[rows]))
        if roles.gene in present:
            findings.append(_without_genes(graph, role, name, str(roles.gene)))
    return findings


def _treatments(graph: Graph, treated: Int[np.ndarray, "pairs 2"]) -> Finding:
    drugs, diseases = len(np.unique(treated[:, 0])), len(np.unique(treated[:, 1]))
    names = ", ".join(graph.roles.treats) or "no relation"
    found = (
        f"{len(treated):,} pairs ({names}), of {drugs:,} of {graph.num_of(graph.roles.drug):,} drugs and "
        f"{diseases:,} of {graph.num_of(graph.roles.disease):,} diseases"
    )
    if len(treated) >= FEW_TREATMENTS:
        return Finding("good", "known treatments", found, "")
    return Finding(
        "warning" if len(treated) else "problem",
        "known treatments",
        found,
        "Too few to hold some out: metrics will have wide intervals." if len(treated) else "Nothing can be ranked.",
        "Name the relations that mean treatment with --treats.",
    )


def _touched(graph: Graph, relations: list[int]) -> Bool[np.ndarray, " nodes"]:
    """Tell which nodes take part in a fact of these relations."""
    touched = np.zeros(graph.num_nodes, bool)
    for r in relations:
        touched[graph.facts[r].ravel()] = True
    return touched


def _only_clinical(
    role: str, name: str, other: Bool[np.ndarray, " nodes"], clinical: Bool[np.ndarray, " nodes"]
) -> Finding:
    only = int((clinical & ~other).sum())
    found = f"{only:,} of {len(other):,} ({name})"
    subject = f"{role} linked by drug–disease facts alone"
    if not only:
        return Finding("good", subject, found, "")
    return Finding(
        "warning",
        subject,
        found,
        "When such a fact is held out, nothing is left to foretell it from: they rank no better than chance or degree.",
        "Expect it of them, or load more relations (--include-node-types may have left them out).",
    )


def _without_genes(graph: Graph, role: str, name: str, gene: str) -> Finding:
    to_genes = [r for r, rel in enumerate(graph.relations) if {rel.source_type, rel.target_type} == {name, gene}]
    linked = _touched(graph, to_genes)[graph.rows_of(name)]
    missing = int((~linked).sum())
    subject = "drugs without targets" if role == "drugs" else "diseases without genes"
    found = f"{missing:,} of {len(linked):,} ({missing / len(linked):.0%})"
    if missing <= WITHOUT * len(linked):
        return Finding("good", subject, found, "")
    return Finding(
        "warning",
        subject,
        found,
        f"The contrastive loss pulls together {role} that share genes, and does nothing for these.",
        "Set embed.contrastive_weight to 0 if hardly any are left, or load the relation to genes.",
    )


def _namesakes(graph: Graph) -> Finding:
    same = graph.nodes.filter(pl.col("node_name") != pl.col("node_id")).group_by("node_type", "node_name").len()
    same = same.filter(pl.col("len") > 1).sort("len", "node_name", descending=[True, False])
    if not same.height:
        return Finding("good", "namesakes within a type", "none", "")
    node_type, node_name, count = same.row(0)
    return Finding(
        "warning",
        "namesakes within a type",
        f"{same.height:,} names stand for several nodes, for example {node_name!r} for {count} of type {node_type}",
        "If they are one thing, its facts are split among its nodes, and a treatment of one can give away another's.",
        "The leak guard treats namesakes as one when pairs are held out; merge them in the file if they are one.",
    )


def _against_published(name: str, types: pl.DataFrame, relations: pl.DataFrame) -> Finding | None:
    if name not in PUBLISHED:
        return None
    off = [
        f"{what} {found:,} of {published:,}"
        for what, found, published in (
            *types.select("node_type", "nodes", "published").iter_rows(),
            *relations.filter(pl.col("published").is_not_null()).iter_rows(),
        )
        if published is not None and abs(found - published) > AGREES * published
    ]
    if not off:
        return Finding("good", "counts against the published ones", f"all within {AGREES:.0%}", "")
    shown = "; ".join(off[:8]) + (f"; and {len(off) - 8} more" if len(off) > 8 else "")
    return Finding(
        "warning",
        "counts against the published ones",
        f"{len(off)} differ by more than {AGREES:.0%}: {shown}",
        f"This is not the published {name} whole: results cannot be compared with those of others.",
        "If it was meant to be, download it again.",
    )
