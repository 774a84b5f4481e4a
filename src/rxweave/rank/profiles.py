"""How much drugs are alike in what they act on, and diseases in what belongs to them, relation by relation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32

from rxweave.graph.build import Graph
from rxweave.rank.neighbours import Similarity
from rxweave.rank.paths import Step, graph_steps, step_matrix

ALL = "all relations"
"""The name of the profile that joins those of every relation."""


def profile_similarities(
    graph: Graph, node_type: str, steps: tuple[Step, ...], known: Bool[np.ndarray, " nodes"]
) -> dict[str, Similarity]:
    """Give, by name, the cosines between the profiles of all nodes of a type and those of its known nodes.

    A node without a fact along a step is not usable there. Steps along which no node has a profile are left out.
    Memory: nodes × known nodes for each step.
    """
    return {name: _cosines(unit, known) for name, unit in profiles(graph, node_type, steps).items()}


def profiles(graph: Graph, node_type: str, steps: tuple[Step, ...]) -> dict[str, sp.csr_array]:
    """Give, by name, the profiles of all nodes of a type, nodes × what they may have, each row of length 1 or empty.

    The profile of a node along a step is the row of the step's 0/1 matrix with each column weighted by
    log(nodes / nodes that have it): the inverse document frequency of Spärck Jones (1972), so that sharing a rare
    gene or side effect says more than sharing a common one. One profile for each of the `steps`, which must leave
    the type and join no drug with a disease, and one of all of them side by side, each scaled to length 1 before.
    """
    found: dict[str, sp.csr_array] = {}
    for step in steps:
        if step.source_type != node_type:
            raise ValueError(f"step{step.label} leaves {step.source_type}, not {node_type}")
        unit = _unit(_weighted(step_matrix(graph, step)))
        if unit.nnz:
            found[f"{node_type}{step.label}"] = unit
    if len(found) > 1:
        found[ALL] = _unit(sp.csr_array(sp.hstack(list(found.values()))))
    return found


def profile_steps(graph: Graph, node_type: str) -> tuple[Step, ...]:
    """Give the steps that leave a type and join no drug with a disease."""
    joining = set(graph.drug_disease_relations())
    return tuple(step for step in graph_steps(graph) if step.source_type == node_type and step.relation not in joining)


def whole_profile(made: Mapping[str, sp.csr_array]) -> sp.csr_array | None:
    """Give, of what `profiles` gives, the one of all relations; None where there is no profile."""
    return made.get(ALL, next(iter(made.values()), None))  # of a single relation there is only its own


def _weighted(matrix: sp.csr_array) -> sp.csr_array:
    """Weigh each column by its rarity; what all nodes have tells none from another and weighs nothing."""
    having = np.bincount(matrix.indices, minlength=matrix.shape[1])
    rarity = np.log(matrix.shape[0] / np.maximum(having, 1)).astype(np.float32)
    weighted = sp.csr_array((rarity[matrix.indices], matrix.indices, matrix.indptr), shape=matrix.shape)
    weighted.eliminate_zeros()
    return weighted


def _unit(matrix: sp.csr_array) -> sp.csr_array:
    """Scale each row that is not empty to length 1."""
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1), np.float64).ravel())
    entries = np.repeat(length, np.diff(matrix.indptr))
    return sp.csr_array(((matrix.data / entries).astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def _cosines(unit: sp.csr_array, known: Bool[np.ndarray, " nodes"]) -> Similarity:
    usable = np.diff(unit.indptr) > 0
    known = known & usable
    column = np.full(unit.shape[0], -1)
    column[known] = np.arange(known.sum())
    cosine: Float32[np.ndarray, "nodes known"] = (unit @ unit[known].T).toarray().astype(np.float32, copy=False)
    return Similarity(cosine, column, usable)
