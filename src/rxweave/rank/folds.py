"""The leak rule of the ranker: a training pair's own facts never contribute to its own features.

Every drug–disease pair belongs to one of a few folds, and with it every fact that joins the two, whatever
its relation. What a training row in fold k sees of the training graph leaves out all drug–disease facts of
fold k. Where diseases (or drugs) are to be ranked that have no treatment in training, folds are of diseases (drugs):
a row then sees no drug–disease fact of its disease (drug) at all, as a row to be ranked will.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from rxweave.graph.build import Graph
from rxweave.graph.pairs import fact_pairs, identities
from rxweave.graph.split import Unit
from rxweave.rank.paths import Step, damped, graph_steps, step_matrix

PairList = Int[np.ndarray, "_ 2"]
"""(drug, disease) pairs, each end numbered within its own node type."""


@dataclass(frozen=True, eq=False)
class PairFolds:
    """Which fold each drug–disease pair of a graph belongs to.

    Nodes that are one drug or one disease under several keys (`graph.pairs.identities`) share their folds, so
    that a pair cannot see its own fact under another key either.
    """

    drug_thing: Int[np.ndarray, " drugs"]
    disease_thing: Int[np.ndarray, " diseases"]
    num_folds: int
    seed: int
    unit: Unit = "pair"
    """What shares a fold: the facts of a pair, or all of a disease or a drug."""

    def of(self, pairs: PairList) -> Int[np.ndarray, " _"]:
        """Give the fold, 0 to `num_folds` − 1, of each pair.

        A hash of the pair and the seed (SplitMix64; Steele, Lea & Flood 2014), not a draw: a pair is in the
        same fold whatever relation states it, be it a known treatment or a sampled negative, and whatever
        other pairs there are. With `unit` "disease" or "drug" the hash is of that end alone.
        """
        drug, disease = self.drug_thing[pairs[:, 0]], self.disease_thing[pairs[:, 1]]
        code = (drug.astype(np.uint64) << np.uint64(32)) | disease.astype(np.uint64)
        if self.unit != "pair":
            code = (disease if self.unit == "disease" else drug).astype(np.uint64)
        mixed = code + np.uint64((self.seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
        fold: Int[np.ndarray, " _"] = (mixed % np.uint64(self.num_folds)).astype(np.int64)
        return fold


@dataclass(frozen=True, eq=False)
class FoldFacts:
    """The drug–disease facts that the features of one fold's rows may use."""

    known: sp.csr_array
    """0/1, drugs × diseases: the known treatments."""
    joined: dict[str, sp.csr_array]
    """The same for every kind of drug–disease fact: all treatment relations as one, `treats`, and each
    other.
    """
    steps: dict[Step, sp.csr_array]
    """Damped matrices of the drug–disease steps, for paths."""


def pair_folds(graph: Graph, *, num_folds: int, seed: int, unit: Unit = "pair") -> PairFolds:
    """Give the folds of all drug–disease pairs of a graph."""
    roles = graph.roles
    return PairFolds(identities(graph, roles.drug), identities(graph, roles.disease), num_folds, seed, unit)


def fold_facts(graph: Graph, folds: PairFolds, fold: int | None, *, damping: float) -> FoldFacts:
    """Give the drug–disease facts of the graph that are not in this fold; None leaves nothing out, for
    scoring.
    """
    roles = graph.roles
    shape = (graph.num_of(roles.drug), graph.num_of(roles.disease))
    pairs = {r: fact_pairs(graph, r) for r in graph.drug_disease_relations()}
    # No fold is −1, so nothing is left out for scoring.
    keep = {r: folds.of(found) != (-1 if fold is None else fold) for r, found in pairs.items()}
    kinds: dict[str, list[PairList]] = {"treats": [np.empty((0, 2), np.int64)]}
    for r, found in pairs.items():
        name = graph.relations[r].name
        kinds.setdefault("treats" if name in roles.treats else name, []).append(found[keep[r]])
    joined = {}
    for name, parts in kinds.items():
        drug, disease = np.unique(np.concatenate(parts), axis=0).T
        joined[name] = sp.csr_array((np.ones(len(drug), np.float32), (drug, disease)), shape=shape)
    steps = {
        step: damped(step_matrix(graph, step, keep[step.relation]), damping)
        for step in graph_steps(graph)
        if step.relation in pairs
    }
    return FoldFacts(joined["treats"], joined, steps)
