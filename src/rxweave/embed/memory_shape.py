"""The sizes of a graph that decide what training on it holds: counted before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

import numpy as np
from jaxtyping import Int

from rxweave.config import EmbedSettings
from rxweave.embed.batches import facts_per_relation
from rxweave.graph.build import Graph


@dataclass(frozen=True)
class Degrees:
    """How many facts of a relation the nodes at one end of it stand in, nodes of about the same number together."""

    of_group: tuple[float, ...]
    """Mean of each group, 1 or more."""
    sizes: tuple[float, ...]
    """Nodes of each group."""

    @classmethod
    def of(cls, nodes: Int[np.ndarray, " ends"], num_nodes: int) -> Degrees:
        """Count the ends of facts; up to 16 a group for each number, beyond it eight groups to every doubling."""
        degree = np.bincount(nodes, minlength=num_nodes)
        degree = degree[degree > 0]
        group = np.where(degree <= 16, degree, np.floor(8 * np.log2(np.maximum(degree, 1))))
        _, which = np.unique(group, return_inverse=True)
        sizes = np.bincount(which)
        return cls(tuple((np.bincount(which, degree) / sizes).tolist()), tuple(sizes.astype(float).tolist()))

    @property
    def nodes(self) -> float:
        return float(sum(self.sizes))

    @property
    def facts(self) -> float:
        return float(np.dot(self.of_group, self.sizes))

    def capped(self, most: int, *, met: float = 1.0, others: float = 0.0) -> tuple[float, float]:
        """Give how many of the nodes are expected, and their facts if none stands in more than `most` (-1: all).

        A node is expected as one that a random share `met` of the facts meets, or as one of a share of `others`.
        """
        degree = np.array(self.of_group)
        nodes = (1 - (1 - min(met, 1.0)) ** degree * (1 - others)) * np.array(self.sizes)
        return float(nodes.sum()), float(np.dot(nodes, degree if most < 0 else np.minimum(degree, most)))

    def met(self, share: float) -> float:
        """Give how many of the nodes are expected in a share of the facts, drawn at random."""
        return float(np.dot(1 - (1 - min(share, 1.0)) ** np.array(self.of_group), self.sizes))

    def thinned(self, share: float) -> Degrees:
        """Give those of a graph in which a share of the nodes is kept."""
        return Degrees(
            tuple(max(1.0, degree * share) for degree in self.of_group),
            tuple(
                size * share * min(1.0, degree * share) for degree, size in zip(self.of_group, self.sizes, strict=True)
            ),
        )


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
    source_kind: int
    """The number of the source's type."""
    target_kind: int
    source_degrees: Degrees
    """Of a symmetric relation, of nodes at either end."""
    target_degrees: Degrees

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
    alike_kinds: tuple[int, ...]
    """The numbers of the node types whose likeness by genes is learnt (diseases, drugs)."""
    gene_meetings: tuple[int, ...]
    """For each of them, how many pairs of its nodes meet at a gene, each gene counted: an upper bound of the pairs."""

    @classmethod
    def of(cls, graph: Graph) -> GraphShape:
        """Count a graph: a pass over its facts, under a second for PrimeKG."""
        treatment_like = set(graph.drug_disease_relations())
        sizes = []
        for r, (relation, (source, target)) in enumerate(zip(graph.relations, graph.facts, strict=True)):
            ends = [np.concatenate([source, target])] if relation.symmetric else [source, target]
            degrees = [Degrees.of(nodes, graph.num_nodes) for nodes in ends] * (3 - len(ends))
            sizes.append(
                RelationSize(
                    facts=len(source),
                    loops=int((source == target).sum()) if relation.symmetric else 0,
                    symmetric=relation.symmetric,
                    treatment_like=r in treatment_like,
                    sources=round(degrees[0].nodes),
                    targets=round(degrees[1].nodes),
                    source_type=graph.num_of(relation.source_type),
                    target_type=graph.num_of(relation.target_type),
                    source_kind=graph.node_types.index(relation.source_type),
                    target_kind=graph.node_types.index(relation.target_type),
                    source_degrees=degrees[0],
                    target_degrees=degrees[1],
                )
            )
        alike = [t for t in (graph.roles.disease, graph.roles.drug) if t in graph.node_types]
        return cls(
            name=graph.name,
            type_sizes=tuple(np.diff(graph.type_offsets).tolist()),
            relations=tuple(sizes),
            alike_kinds=tuple(graph.node_types.index(node_type) for node_type in alike),
            gene_meetings=tuple(_gene_meetings(graph, node_type) for node_type in alike),
        )

    @cached_property
    def num_nodes(self) -> int:
        return sum(self.type_sizes)

    @cached_property
    def num_edges(self) -> int:
        return sum(flow.edges for flow in self.flows())

    @property
    def alike_types(self) -> tuple[int, ...]:
        """The sizes of those types."""
        return tuple(self.type_sizes[kind] for kind in self.alike_kinds)

    def hidden(self, relation: RelationSize, settings: EmbedSettings) -> int:
        """Give how many facts of a relation a step hides and scores; see `FactSampler.hide`."""
        most = facts_per_relation([each.facts for each in self.relations], settings) * settings.accumulation_steps
        return min(most, max(int(relation.facts * settings.masked_share), int(relation.facts > 1)))

    def scored(self, relation: RelationSize, settings: EmbedSettings) -> int:
        """Give how many of them the largest micro-batch scores."""
        return -(-self.hidden(relation, settings) // settings.accumulation_steps)

    def flows(self, settings: EmbedSettings | None = None) -> Iterator[Flow]:
        """Give each directed relation; with settings, without the edges that a step hides."""
        for relation in self.relations:
            hidden = 0 if settings is None else self.hidden(relation, settings)
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
                source_degrees=relation.source_degrees.thinned(share),
                target_degrees=relation.target_degrees.thinned(share),
            )

        return replace(
            self,
            type_sizes=tuple(fewer(size) for size in self.type_sizes),
            relations=tuple(thinned(relation) for relation in self.relations),
            gene_meetings=tuple(fewer(count, 2) for count in self.gene_meetings),
        )


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
