"""What a training step scores: facts hidden from its messages, and shared negatives of the right type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from rxweave.config import EmbedSettings
from rxweave.embed.place import ALONE, Place
from rxweave.graph.build import Graph


@dataclass(frozen=True)
class FactBatch:
    """Some facts of one relation, negatives for each side, and which negatives are known to be true after all.

    Nodes are rows of the graph. For a symmetric relation both ends count as source and as target of its facts.
    """

    relation: int
    share: float
    """Share of the step's scored facts of this relation that stand in this batch."""
    source: Int[np.ndarray, " facts"]
    target: Int[np.ndarray, " facts"]
    other_sources: Int[np.ndarray, " sources"]
    other_targets: Int[np.ndarray, " targets"]
    source_also_true: Bool[np.ndarray, "facts sources"]
    target_also_true: Bool[np.ndarray, "facts targets"]

    @property
    def nodes(self) -> Int[np.ndarray, " nodes"]:
        """All nodes that stand in the batch, some more than once."""
        return np.concatenate([self.source, self.target, self.other_sources, self.other_targets])

    def among(self, rows: Int[np.ndarray, " rows"]) -> FactBatch:
        """Give the batch with its nodes numbered by their places among `rows`, which ascend and hold them all."""
        names = ("source", "target", "other_sources", "other_targets")
        return replace(self, **{name: np.searchsorted(rows, getattr(self, name)) for name in names})


@dataclass(frozen=True)
class _KnownEnds:
    """The known ends at the other side of each node, as a CSR table over the rows of one type."""

    first_row: int
    start: Int[np.ndarray, " bounds"]
    end: Int[np.ndarray, " facts"]

    @classmethod
    def of(cls, node: Int[np.ndarray, " facts"], end: Int[np.ndarray, " facts"], rows: slice) -> _KnownEnds:
        order = np.argsort(node, kind="stable")
        counts = np.bincount(node - rows.start, minlength=rows.stop - rows.start)
        return cls(rows.start, np.concatenate([[0], np.cumsum(counts)]), end[order])

    def among(
        self, node: Int[np.ndarray, " facts"], candidates: Int[np.ndarray, " candidates"], rows: slice
    ) -> Bool[np.ndarray, "facts candidates"]:
        """Mark, for each node, the candidates (rows of the other type) that are known ends of it."""
        place = np.full(rows.stop - rows.start, -1)
        place[candidates - rows.start] = np.arange(len(candidates))
        # Once per distinct node: hubs stand in many facts of a batch.
        distinct, inverse = np.unique(node, return_inverse=True)
        first = self.start[distinct - self.first_row]
        count = self.start[distinct - self.first_row + 1] - first
        row = np.repeat(np.arange(len(distinct)), count)
        within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        column = place[self.end[first[row] + within] - rows.start]
        known = np.zeros((len(distinct), len(candidates)), bool)
        known[row[column >= 0], column[column >= 0]] = True
        return known[inverse]


class FactSampler:
    """Draws, step by step, which facts to hide and score; every relation in every step.

    With several ranks all draw the same, and each makes batches of its share of the facts.
    """

    def __init__(self, graph: Graph, settings: EmbedSettings, place: Place = ALONE) -> None:
        self.place = place
        self.graph = graph
        self.settings = settings
        self.treatment_like = set(graph.drug_disease_relations())
        self.per_relation = facts_per_relation([fact.shape[1] for fact in graph.facts], settings)
        self.first_fact = np.concatenate([[0], np.cumsum([fact.shape[1] for fact in graph.facts])])
        self.known = []
        for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
            if relation.symmetric:
                source, target = np.concatenate([source, target]), np.concatenate([target, source])
            targets_of = _KnownEnds.of(source, target, graph.rows_of(relation.source_type))
            sources_of = _KnownEnds.of(target, source, graph.rows_of(relation.target_type))
            self.known.append((targets_of, sources_of))

    def hide(self, rng: np.random.Generator) -> list[Int[np.ndarray, " _"]]:
        """Choose the facts of each relation to score in a step, in random order; at least one if there are two."""
        most = self.per_relation * self.settings.accumulation_steps
        chosen = []
        for fact in self.graph.facts:
            num_facts = fact.shape[1]
            num_hidden = min(most, max(int(num_facts * self.settings.masked_share), int(num_facts > 1)))
            chosen.append(rng.choice(num_facts, num_hidden, replace=False))
        return chosen

    def hidden_mask(
        self, chosen: list[Int[np.ndarray, " _"]], rng: np.random.Generator
    ) -> Bool[np.ndarray, " all_facts"]:
        """Mark the facts that a step's messages leave out, counted relation after relation: chosen or dropped."""
        share, num_facts = self.settings.edge_dropout, self.first_fact[-1]
        mask = rng.random(num_facts) < share if share else np.zeros(num_facts, bool)
        mask[self.numbers(chosen)] = True
        return mask

    def numbers(self, chosen: list[Int[np.ndarray, " _"]]) -> Int[np.ndarray, " chosen"]:
        """Number the chosen facts of each relation among all facts of the graph, relation after relation."""
        return np.concatenate([first + facts for first, facts in zip(self.first_fact, chosen, strict=False)])

    def micro_batches(self, chosen: list[Int[np.ndarray, " _"]], rng: np.random.Generator) -> Iterator[FactBatch]:
        """Cut the chosen facts into `accumulation_steps` micro-batches and give each relation's part of each.

        Of each of these, every rank gets an equal part of the facts, with the same negatives.
        """
        sizes = [len(facts) for facts in chosen]
        for part in self.cut(chosen):
            yield from self.micro_batch(part, sizes, rng, self.place)

    def cut(self, chosen: list[Int[np.ndarray, " _"]]) -> list[list[Int[np.ndarray, " _"]]]:
        """Give the chosen facts of each relation that belong to each micro-batch."""
        steps = self.settings.accumulation_steps
        return [list(part) for part in zip(*(np.array_split(facts, steps) for facts in chosen), strict=True)]

    def micro_batch(
        self, part: list[Int[np.ndarray, " _"]], sizes: list[int], rng: np.random.Generator, place: Place = ALONE
    ) -> Iterator[FactBatch]:
        """Give each relation's part of a micro-batch, or what of it is for the rank at `place`.

        `sizes` are the numbers of each relation's facts in the whole step.
        """
        for r, (facts, size) in enumerate(zip(part, sizes, strict=True)):
            if len(facts):
                negatives = self._negatives(r, rng)
                ours = np.array_split(facts, place.size)[place.rank]
                if len(ours):
                    yield self._batch(r, ours, len(ours) / size, *negatives)

    def _batch(
        self,
        r: int,
        facts: Int[np.ndarray, " facts"],
        share: float,
        other_sources: Int[np.ndarray, " sources"],
        other_targets: Int[np.ndarray, " targets"],
    ) -> FactBatch:
        relation = self.graph.relations[r]
        source, target = self.graph.facts[r][:, facts]
        source_rows = self.graph.rows_of(relation.source_type)
        target_rows = self.graph.rows_of(relation.target_type)
        targets_of, sources_of = self.known[r]
        return FactBatch(
            relation=r,
            share=share,
            source=source,
            target=target,
            other_sources=other_sources,
            other_targets=other_targets,
            source_also_true=sources_of.among(target, other_sources, source_rows),
            target_also_true=targets_of.among(source, other_targets, target_rows),
        )

    def _negatives(
        self, r: int, rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " sources"], Int[np.ndarray, " targets"]]:
        """Draw other sources and other targets for facts of a relation."""
        relation = self.graph.relations[r]
        first, second = (self.graph.rows_of(t) for t in (relation.source_type, relation.target_type))
        return self._drawn(r, first, rng), self._drawn(r, second, rng)

    def _drawn(self, r: int, rows: slice, rng: np.random.Generator) -> Int[np.ndarray, " negatives"]:
        wanted = self.settings.num_treatment_negatives if r in self.treatment_like else self.settings.num_negatives
        size = rows.stop - rows.start
        if size <= wanted:
            return np.arange(rows.start, rows.stop)
        picked: Int[np.ndarray, " negatives"] = rng.choice(size, wanted, replace=False, shuffle=False)
        return picked + int(rows.start)


def facts_per_relation(num_facts: Sequence[int], settings: EmbedSettings) -> int:
    """Give the most facts of a relation in a micro-batch; `num_facts` are those of each relation in the graph."""
    if settings.batching == "full":
        return settings.edge_sample_size
    scored = sum(int(number > 1) for number in num_facts)
    return min(settings.edge_sample_size, max(1, settings.batch_facts // max(1, scored)))
