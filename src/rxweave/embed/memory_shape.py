"""The sizes of a graph that decide what training on it holds: counted before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

import numpy as np

from rxweave.config import EmbedSettings
from rxweave.graph.build import Graph


@dataclass(frozen=True)
class RelationSize:
    """One relation: its facts, and how many nodes stand at either side of them."""

    facts: int
    loops: int
    """Facts that join a node to itself, of a symmetric relation; they are one edge, not two."""
    symmetric: bool
    treatment_like: bool
    """Whether it joins a drug and a disease."""
    sources: int
    """Distinct sources; of a symmetric relation, distinct nodes at either end."""
    targets: int
    source_type: int
    """Nodes of the source's type, with facts or without."""
    target_type: int

    def hidden(self, settings: EmbedSettings) -> int:
        """Give how many facts a step hides and scores; see `FactSampler.hide`."""
        most = settings.edge_sample_size * settings.accumulation_steps
        return min(most, max(int(self.facts * settings.masked_share), int(self.facts > 1)))

    def negatives(self, settings: EmbedSettings) -> tuple[int, int]:
        """Give the shared negatives of a batch: sources, targets."""
        wanted = settings.num_treatment_negatives if self.treatment_like else settings.num_negatives
        return min(self.source_type, wanted), min(self.target_type, wanted)


@dataclass(frozen=True)
class Flow:
    """The sizes of one directed relation in a `MessageIndex`."""

    edges: int
    pairs: int
    senders: int


@dataclass(frozen=True)
class GraphShape:
    """What of a graph decides the memory of training: nodes, facts, and who takes part in each relation."""

    name: str
    type_sizes: tuple[int, ...]
    relations: tuple[RelationSize, ...]
    alike_types: tuple[int, ...]
    """Sizes of the node types whose likeness by genes is learnt (diseases, drugs)."""
    gene_meetings: tuple[int, ...]
    """For each of them, how many pairs of its nodes meet at a gene, each gene counted: an upper bound of the pairs."""

    @classmethod
    def of(cls, graph: Graph) -> GraphShape:
        """Count a graph: a pass over its facts, under a second for PrimeKG."""
        treatment_like = set(graph.drug_disease_relations())
        sizes = []
        for r, (relation, (source, target)) in enumerate(zip(graph.relations, graph.facts, strict=True)):
            sources, targets = (_distinct(nodes, graph.num_nodes) for nodes in (source, target))
            if relation.symmetric:
                sources = targets = _distinct(np.concatenate([source, target]), graph.num_nodes)
            sizes.append(
                RelationSize(
                    facts=len(source),
                    loops=int((source == target).sum()) if relation.symmetric else 0,
                    symmetric=relation.symmetric,
                    treatment_like=r in treatment_like,
                    sources=sources,
                    targets=targets,
                    source_type=graph.num_of(relation.source_type),
                    target_type=graph.num_of(relation.target_type),
                )
            )
        alike = [t for t in (graph.roles.disease, graph.roles.drug) if t in graph.node_types]
        return cls(
            name=graph.name,
            type_sizes=tuple(np.diff(graph.type_offsets).tolist()),
            relations=tuple(sizes),
            alike_types=tuple(graph.num_of(node_type) for node_type in alike),
            gene_meetings=tuple(_gene_meetings(graph, node_type) for node_type in alike),
        )

    @cached_property
    def num_nodes(self) -> int:
        return sum(self.type_sizes)

    @cached_property
    def num_edges(self) -> int:
        return sum(flow.edges for flow in self.flows())

    def flows(self, settings: EmbedSettings | None = None) -> Iterator[Flow]:
        """Give each directed relation; with settings, without the edges that a step hides."""
        for relation in self.relations:
            hidden = 0 if settings is None else relation.hidden(settings)
            seen = (relation.facts - hidden) / max(relation.facts, 1)
            seen *= 1 if settings is None else 1 - settings.edge_dropout
            if relation.symmetric:
                yield Flow(ceil((2 * relation.facts - relation.loops) * seen), relation.targets, relation.sources)
            else:
                yield Flow(ceil(relation.facts * seen), relation.targets, relation.sources)
                yield Flow(ceil(relation.facts * seen), relation.sources, relation.targets)

    def sampled(self, num_nodes: int) -> GraphShape:
        """Give the shape `limit_nodes` would leave, or a little more: facts thin with the square of the nodes kept.

        Nodes that take part are assumed to go on doing so until there are fewer facts than such nodes.
        """
        share = min(1.0, num_nodes / max(self.num_nodes, 1))

        def fewer(count: int, power: int = 1) -> int:
            return ceil(count * share**power)

        def thinned(relation: RelationSize) -> RelationSize:
            facts = fewer(relation.facts, 2)
            most = (2 if relation.symmetric else 1) * facts
            return replace(
                relation,
                facts=facts,
                loops=fewer(relation.loops, 2),
                sources=min(most, fewer(relation.sources)),
                targets=min(most, fewer(relation.targets)),
                source_type=fewer(relation.source_type),
                target_type=fewer(relation.target_type),
            )

        return replace(
            self,
            type_sizes=tuple(fewer(size) for size in self.type_sizes),
            relations=tuple(thinned(relation) for relation in self.relations),
            alike_types=tuple(fewer(size) for size in self.alike_types),
            gene_meetings=tuple(fewer(count, 2) for count in self.gene_meetings),
        )


def _distinct(nodes: np.ndarray, num_nodes: int) -> int:
    present = np.zeros(num_nodes, bool)
    present[nodes] = True
    return int(present.sum())


def _gene_meetings(graph: Graph, node_type: str) -> int:
    """Σ over genes of (facts with this type)²: what a product of the type × genes matrix with itself adds up."""
    if graph.roles.gene is None or graph.roles.gene not in graph.node_types or node_type == graph.roles.gene:
        return 0
    touched = np.zeros(graph.num_nodes, np.int64)
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        if (relation.source_type, relation.target_type) == (node_type, graph.roles.gene):
            touched += np.bincount(target, minlength=graph.num_nodes)
        elif (relation.target_type, relation.source_type) == (node_type, graph.roles.gene):
            touched += np.bincount(source, minlength=graph.num_nodes)
    return min(int((touched**2).sum()), graph.num_of(node_type) ** 2)
