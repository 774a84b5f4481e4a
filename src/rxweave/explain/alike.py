"""The known treatments most like a pair: the same disease with a similar drug, the same drug with a similar disease."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from rxweave.explain.named import node_at
from rxweave.graph.build import Graph
from rxweave.graph.pairs import End
from rxweave.kg.names import Node
from rxweave.rank.neighbours import similarity
from rxweave.rank.paths import Step
from rxweave.rank.profiles import profile_steps, profiles, whole_profile

SHOWN = 8
"""Shared nodes of one relation that are named."""


@dataclass(frozen=True)
class Shared:
    """What two nodes share along one relation, and the rarest of it by name."""

    relation: str
    num_shared: int
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class AlikeTreatment:
    """A known treatment that differs from a pair in one end, and how alike the two ends are that differ."""

    drug: Node
    disease: Node
    other: End
    """The end that is another than the pair's."""
    profile: float | None
    """Cosine of what the two ends have facts with, rare partners weighing more (`rank.profiles`); None without any."""
    embedding: float | None
    """Cosine of their embeddings after centring on the mean of the type; None without embeddings or facts."""
    shared: tuple[Shared, ...]
    """What adds most to the cosine of profiles first."""


def alike_treatments(
    graph: Graph,
    known: sp.csr_array,
    drug: int,
    disease: int,
    vectors: Float[np.ndarray, "nodes dim"] | None,
    *,
    top: int = 3,
) -> tuple[AlikeTreatment, ...]:
    """Give, for each end, the known treatments most like the pair: `top` by profile and `top` by embedding.

    `known` marks the treatments that may be named (drugs × diseases); the pair itself never is. `drug` and `disease`
    are numbered within their types, `vectors` are in the graph's node order. Treatments with another drug come first;
    each end is in the order of profiles, those without any last.
    """
    found: list[AlikeTreatment] = []
    of_disease, of_drug = known[:, [disease]].nonzero()[0], known[[drug]].nonzero()[1]
    ends = (("drug", graph.roles.drug, drug, of_disease), ("disease", graph.roles.disease, disease, of_drug))
    for end, node_type, itself, others in ends:
        candidates = others[others != itself]
        if not len(candidates):
            continue
        steps = profile_steps(graph, node_type)
        made = profiles(graph, node_type, steps)
        by_profile = _profile_cosines(made, itself, candidates)
        by_embedding = _embedding_cosines(graph, node_type, vectors, itself, candidates)
        for place in _nearest(by_profile, by_embedding, top):
            other = int(candidates[place])
            found.append(
                AlikeTreatment(
                    drug=node_at(graph, graph.roles.drug, other if end == "drug" else drug),
                    disease=node_at(graph, graph.roles.disease, other if end == "disease" else disease),
                    other="drug" if end == "drug" else "disease",
                    profile=_or_none(by_profile[place]),
                    embedding=_or_none(by_embedding[place]),
                    shared=_shared(graph, made, steps, itself, other),
                )
            )
    return tuple(found)


def _profile_cosines(
    made: dict[str, sp.csr_array], itself: int, candidates: Int[np.ndarray, " candidates"]
) -> Float[np.ndarray, " candidates"]:
    unit = whole_profile(made)
    if unit is None:
        return np.full(len(candidates), np.nan)
    empty = np.diff(unit.indptr) == 0
    cosine = (unit[candidates] @ unit[[itself]].T).toarray().ravel().astype(np.float64)
    return np.where(empty[candidates] | empty[itself], np.nan, cosine)


def _embedding_cosines(
    graph: Graph,
    node_type: str,
    vectors: Float[np.ndarray, "nodes dim"] | None,
    itself: int,
    candidates: Int[np.ndarray, " candidates"],
) -> Float[np.ndarray, " candidates"]:
    if vectors is None:
        return np.full(len(candidates), np.nan)
    rows = graph.rows_of(node_type)
    asked = np.zeros(graph.num_of(node_type), bool)
    asked[candidates] = True
    like = similarity(vectors[rows], (graph.degrees > 0)[rows], asked)
    cosine = np.append(like.cosine[itself].astype(np.float64), np.nan)[like.column[candidates]]  # column −1: not usable
    return np.where(like.usable[itself], cosine, np.nan)


def _nearest(
    by_profile: Float[np.ndarray, " candidates"], by_embedding: Float[np.ndarray, " candidates"], top: int
) -> list[int]:
    """The places of the `top` by each, in the order of profiles; NaN sorts last, and is never among the top."""
    best = {
        int(place) for cosine in (by_profile, by_embedding) for place in np.argsort(-cosine)[:top] if cosine[place] > -2
    }
    return [int(place) for place in np.argsort(-by_profile, kind="stable") if int(place) in best]


def _or_none(cosine: float) -> float | None:
    return None if np.isnan(cosine) else float(cosine)


def _shared(
    graph: Graph, made: dict[str, sp.csr_array], steps: tuple[Step, ...], one: int, other: int
) -> tuple[Shared, ...]:
    found = []
    for step in steps:
        unit = made.get(f"{step.source_type}{step.label}")
        if unit is None:
            continue
        both = sp.coo_array(unit[[one]].multiply(unit[[other]]))
        if both.nnz:
            rarest = both.coords[1][np.argsort(-both.data, kind="stable")][:SHOWN]
            nodes = tuple(node_at(graph, step.target_type, int(number)) for number in rarest)
            found.append((float(both.data.sum()), Shared(graph.relations[step.relation].name, both.nnz, nodes)))
    return tuple(shared for _, shared in sorted(found, key=lambda each: -each[0]))
