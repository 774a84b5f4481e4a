"""The demo graph with a ranker, the paths of its held-out treatments, and the mechanisms that it was drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from rxweave.config import RankSettings, SplitSettings
from rxweave.explain.order import between
from rxweave.explain.paths import PathsOfKind, paths_of_pair
from rxweave.graph.build import Graph, build_graph
from rxweave.graph.make_split import make_split
from rxweave.graph.pairs import Pairs
from rxweave.graph.split import training_graph
from rxweave.kg.demo import DISEASE, DRUG, GENE, demo_kg
from rxweave.rank.features import PairFeatures
from rxweave.rank.ranker import Ranker, fit_ranker

RANK = RankSettings(num_draws=3, num_trees=100, bilinear_inputs=("profiles",), threads=1)
"""Without embeddings: what is asked here is of paths, and training takes a minute."""

Chosen = list[tuple[PathsOfKind, int]]
"""Paths, each as its kind and its row there."""


@dataclass(frozen=True, eq=False)
class Demo:
    training: Graph
    test: Pairs
    ranker: Ranker
    features: PairFeatures
    mechanisms: dict[str, set[int]]
    """By node key."""

    @classmethod
    def of(cls, num_nodes: int, seed: int) -> Demo:
        kg = demo_kg(num_nodes=num_nodes, num_edges=20 * num_nodes, seed=seed)
        graph = build_graph(kg)
        split = make_split(graph, SplitSettings(), seed=seed)
        training = training_graph(graph, split)
        ranker = fit_ranker(training, split, None, RANK, seed=0)
        assert kg.truth is not None
        assert kg.truth.mechanisms is not None
        parts = kg.truth.mechanisms.group_by("node_key").agg("mechanism")
        mechanisms = {key: set(numbers) for key, numbers in parts.iter_rows()}
        return cls(training, split.test, ranker, ranker.features(training, None), mechanisms)

    def kinds(self, pair: np.ndarray) -> list[PathsOfKind]:
        """Every kind of path that joins a pair."""
        metapaths = [*self.features.fixed_paths, *self.features.varying_paths]
        matrices = {**self.features.steps, **self.features.by_fold[None].steps}
        return paths_of_pair(matrices, metapaths, int(pair[0]), int(pair[1]))

    def scores(self, graph: Graph, pairs: Pairs) -> Float32[np.ndarray, " pairs"]:
        """The ranker's scores from a graph that may have lost facts."""
        return self.ranker.score(self.ranker.features(graph, None).scoring_rows(pairs), pairs)[:, 0]

    def mechanisms_of(self, node_type: str, number: int) -> set[int]:
        key = self.training.nodes["node_key"][self.training.rows_of(node_type).start + int(number)]
        return self.mechanisms.get(key, set())

    def shared_mechanisms(self, pair: np.ndarray) -> set[int]:
        return self.mechanisms_of(DRUG, pair[0]) & self.mechanisms_of(DISEASE, pair[1])

    def genes_on(self, chosen: Chosen) -> list[int]:
        return [number for each in chosen for node_type, number in between(*each) if node_type == GENE]

    def facts_on(self, chosen: Chosen) -> dict[int, np.ndarray]:
        """The facts that the paths walk along, by relation."""
        found: dict[int, set[int]] = {}
        for kind, row in chosen:
            for place, step in enumerate(kind.metapath.steps):
                ends = [
                    self.training.rows_of(node_type).start + int(kind.nodes[row, place + after])
                    for after, node_type in enumerate((step.source_type, step.target_type))
                ]
                source, target = self.training.facts[step.relation]
                there = (source == ends[step.inverse]) & (target == ends[not step.inverse])
                if self.training.relations[step.relation].symmetric:
                    there |= (source == ends[1]) & (target == ends[0])
                found.setdefault(step.relation, set()).add(int(np.flatnonzero(there)[0]))
        return {relation: np.array(sorted(facts)) for relation, facts in found.items()}

    def without(self, facts: dict[int, np.ndarray]) -> Graph:
        """The training graph without some facts of each relation."""
        return self.training.keep_facts(
            {
                relation: ~np.isin(np.arange(self.training.facts[relation].shape[1]), gone)
                for relation, gone in facts.items()
            }
        )

    def random_facts(self, like: dict[int, np.ndarray], rng: np.random.Generator) -> dict[int, np.ndarray]:
        """As many other facts of each relation."""
        return {
            relation: rng.choice(
                np.setdiff1d(np.arange(self.training.facts[relation].shape[1]), facts), len(facts), replace=False
            )
            for relation, facts in like.items()
        }


def any_five(kinds: list[PathsOfKind], rng: np.random.Generator) -> Chosen:
    """Five of the paths, drawn at random."""
    paths = [(kind, row) for kind in kinds for row in range(len(kind.strengths))]
    return [paths[i] for i in rng.choice(len(paths), 5, replace=False)]
