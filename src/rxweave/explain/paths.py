"""The best paths from one drug to one disease, and how much of its metapath's count each of them carries.

The ranker counts *walks* (`rank/paths.py`); what is shown are true paths, whose nodes do not repeat. A kind of path
says both: `count` is the ranker's number, of all walks, and `strength` the part of it that is of paths. What is left
out are walks that come back to a node: to the drug or the disease (those use a drug–disease fact of the pair itself, or
a fact of a node with itself), or to one in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float64, Int

from rxweave.explain.walks import Toward, visits_twice, walks
from rxweave.rank.paths import Metapath, Step

KEPT = 100
"""Best paths of each metapath that are held."""


@dataclass(frozen=True, eq=False)
class PathsOfKind:
    """The paths of one metapath between a drug and a disease: how many, how strong, and the best of them."""

    metapath: Metapath
    mean: float
    """Mean count of the metapath over all drugs and the sampled diseases (`PathScale`)."""
    count: float
    """The ranker's count: the sum over all walks of the product of their damped steps."""
    strength: float
    """The part of the count that is of paths; the rest is of walks that come back to a node."""
    num_walks: int
    num_paths: int
    num_chosen: int
    """Paths that go through the node asked for; all of them, if none was."""
    nodes: Int[np.ndarray, "best nodes"]
    """The best of the chosen paths, strongest first: nodes from drug to disease, numbered within their types."""
    strengths: Float64[np.ndarray, " best"]

    @property
    def shares(self) -> Float64[np.ndarray, " best"]:
        """The share of the strength of all paths of the kind that each of the best carries, 0 to 1."""
        return self.strengths / self.strength

    @property
    def weights(self) -> Float64[np.ndarray, " best"]:
        """arcsinh(strength / mean) of each of the best paths: what the ranker would see of the metapath (`rank.paths.
        scaled`) if this were its only path. Comparable between metapaths, as its features are.
        """
        return np.arcsinh(self.strengths / self.mean)


@dataclass(frozen=True)
class Through:
    """A node that paths are asked to go through, numbered within its type."""

    node_type: str
    number: int


def paths_of_pair(
    matrices: Mapping[Step, sp.csr_array],
    metapaths: Sequence[tuple[Metapath, float]],
    drug: int,
    disease: int,
    *,
    through: Through | None = None,
    keep: int = KEPT,
) -> list[PathsOfKind]:
    """Give, for each metapath (with its mean count) that joins the pair, how it does, in their order.

    `matrices` holds the damped matrix of every step; `drug` and `disease` are numbered within their types. `through`
    leaves only the paths that go through a node between the two. Up to `keep` best paths are given of each; ties are
    put in the order of their nodes.
    """
    toward = Toward(matrices, disease)
    found = []
    for metapath, mean in metapaths:
        count = float(toward.along(metapath.steps)[drug])
        if count > 0:
            found.append(_of_kind(metapath, mean, count, drug, toward, through, keep))
    return found


def _of_kind(
    metapath: Metapath, mean: float, count: float, drug: int, toward: Toward, through: Through | None, keep: int
) -> PathsOfKind:
    num_walks = num_paths = num_chosen = 0
    total = 0.0
    best = np.empty((0, len(metapath.steps) + 1), np.int64), np.empty(0)
    for nodes, strength in walks(metapath, drug, toward):
        is_path = ~visits_twice(metapath, nodes)
        num_walks += len(nodes)
        num_paths += int(is_path.sum())
        total += float(strength[is_path].sum())
        chosen = is_path if through is None else is_path & _goes_through(metapath, nodes, through)
        num_chosen += int(chosen.sum())
        best = _strongest(np.concatenate([best[0], nodes[chosen]]), np.concatenate([best[1], strength[chosen]]), keep)
    return PathsOfKind(metapath, mean, count, total, num_walks, num_paths, num_chosen, *best)


def _goes_through(metapath: Metapath, nodes: Int[np.ndarray, "walks nodes"], through: Through) -> np.ndarray:
    there = np.zeros(len(nodes), bool)
    for place, step in enumerate(metapath.steps[:-1], 1):
        if step.target_type == through.node_type:
            there |= nodes[:, place] == through.number
    return there


def _strongest(
    nodes: Int[np.ndarray, "walks nodes"], strength: Float64[np.ndarray, " walks"], keep: int
) -> tuple[Int[np.ndarray, "best nodes"], Float64[np.ndarray, " best"]]:
    if len(strength) > keep:
        least = np.partition(strength, len(strength) - keep)[len(strength) - keep]
        candidates = strength >= least  # all that tie with the last: their nodes decide
        nodes, strength = nodes[candidates], strength[candidates]
    order = np.lexsort((*nodes.T[::-1], -strength))[:keep]
    return nodes[order], strength[order]
