"""Why a drug might treat a disease, as far as a run can tell: the paths that join them, named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp

from rxweave.errors import InputError, did_you_mean
from rxweave.explain.order import best_paths, between
from rxweave.explain.paths import PathsOfKind, Through, paths_of_pair
from rxweave.graph.build import Graph
from rxweave.kg.names import Node
from rxweave.rank.paths import Metapath, Step

NOT_ADVICE = "Explanations are research leads, not medical advice."

Direction = Literal["along", "against", "both ways"]
"""How a step walks its relation: as it is written, against it, or along one without direction."""


@dataclass(frozen=True)
class PathStep:
    """One step of a path: the relation, how it is walked, and the two nodes in walking order."""

    relation: str
    direction: Direction
    source: Node
    target: Node

    def __str__(self) -> str:
        dashes = {"along": ("–", "→"), "against": ("←", "–"), "both ways": ("–", "–")}[self.direction]
        return f" {dashes[0]}{self.relation}{dashes[1]} "


@dataclass(frozen=True)
class ExplainingPath:
    """One path from the drug to the disease, and how it stands among those of its kind."""

    metapath: str
    steps: tuple[PathStep, ...]
    strength: float
    """The product over the steps of (out-degree × in-degree)^−damping: the path's part of the ranker's path count."""
    weight: float
    """arcsinh(strength / mean count of the metapath over all pairs): comparable between metapaths."""
    share: float
    """The share of the strength of all paths of its kind between the two, 0 to 1."""
    num_of_kind: int
    """Paths of this kind that join the two."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        return (self.steps[0].source, *(step.target for step in self.steps))

    def __str__(self) -> str:
        return self.steps[0].source.node_name + "".join(f"{step}{step.target.node_name}" for step in self.steps)


Standing = Literal["treatment it learnt from", "contraindication it learnt from", "held-out treatment", "not recorded"]
"""What a pair is to the ranker. One that it learnt from is explained as it was learnt: without its own fold's facts."""


@dataclass(frozen=True)
class Explanation:
    """What joins a drug and a disease in the training graph of a run."""

    drug: Node
    disease: Node
    standing: Standing
    paths: tuple[ExplainingPath, ...]
    """Best first, in the order of `order.best_paths`."""
    num_paths: int
    """Paths of all kinds that join the two; with a filter, those that pass it."""
    num_kinds: int
    num_left_out: int
    """Walks that the ranker counts and that are no paths, since they come back to a node."""
    notes: tuple[str, ...] = ()


def named_paths_of_pair(
    graph: Graph,
    matrices: Mapping[Step, sp.csr_array],
    metapaths: Sequence[tuple[Metapath, float]],
    drug: Node,
    disease: Node,
    *,
    top: int,
    through: Node | None = None,
) -> tuple[list[PathsOfKind], tuple[ExplainingPath, ...]]:
    """Give the paths of each kind, and the best of all with the names of their nodes.

    Raises InputError when no path goes through the node asked for, with those that most paths go through.
    """
    ends = number_of(graph, drug), number_of(graph, disease)
    asked = None if through is None else Through(through.node_type, number_of(graph, through))
    kinds = paths_of_pair(matrices, metapaths, *ends, through=asked)
    if through is not None and not any(kind.num_chosen for kind in kinds):
        others = paths_of_pair(matrices, metapaths, *ends)
        raise InputError(_nothing_through(graph, others, drug, disease, through))
    return kinds, tuple(_named(graph, *each) for each in best_paths(kinds, top))


def allowed_metapaths(
    graph: Graph,
    metapaths: Sequence[tuple[Metapath, float]],
    *,
    without: Sequence[str] = (),
    max_length: int | None = None,
) -> list[tuple[Metapath, float]]:
    """Give the metapaths of at most `max_length` steps that none of the relations `without` is a step of.

    Raises InputError for a relation that the graph does not have, and for a length beyond what the ranker counts.
    """
    there = sorted({relation.name for relation in graph.relations})
    for name in without:
        if name not in there:
            raise InputError(
                f"--without {name!r}: {graph.name} has no such relation (it has {', '.join(there)})."
                f"{did_you_mean(name, there)}"
            )
    longest = max((len(path.steps) for path, _ in metapaths), default=0)
    if max_length is not None and not 2 <= max_length <= max(longest, 2):
        raise InputError(
            f"--max-length is {max_length}, but the ranker of this run counts paths of 2 to {longest} steps. Ask for "
            "one of these, or make a run with -o rank.features.max_path_length."
        )
    return [
        (path, mean)
        for path, mean in metapaths
        if (max_length is None or len(path.steps) <= max_length)
        and not any(graph.relations[step.relation].name in without for step in path.steps)
    ]


def number_of(graph: Graph, node: Node) -> int:
    """Give the number of a node within its type."""
    keys = graph.nodes["node_key"][graph.rows_of(node.node_type)]
    found = np.flatnonzero((keys == node.node_key).to_numpy())
    if not len(found):
        raise InputError(f"{node} is not in the training graph of {graph.name}.")
    return int(found[0])


def node_at(graph: Graph, node_type: str, number: int) -> Node:
    """Give the node with this number within its type."""
    row = graph.nodes.row(graph.rows_of(node_type).start + number, named=True)
    return Node(**{name: row[name] for name in ("node_key", "node_id", "node_name", "node_type", "node_source")})


def _named(graph: Graph, kind: PathsOfKind, row: int) -> ExplainingPath:
    path = kind.metapath
    types = [path.steps[0].source_type, *(step.target_type for step in path.steps)]
    nodes = [node_at(graph, *each) for each in zip(types, kind.nodes[row].tolist(), strict=True)]
    steps = tuple(
        PathStep(graph.relations[step.relation].name, _direction(graph, step), source, target)
        for step, source, target in zip(path.steps, nodes, nodes[1:], strict=False)
    )
    strength, weight, share = (float(each[row]) for each in (kind.strengths, kind.weights, kind.shares))
    return ExplainingPath(path.name, steps, strength, weight, share, kind.num_paths)


def _direction(graph: Graph, step: Step) -> Direction:
    if graph.relations[step.relation].symmetric:
        return "both ways"
    return "against" if step.inverse else "along"


def _nothing_through(graph: Graph, kinds: Sequence[PathsOfKind], drug: Node, disease: Node, through: Node) -> str:
    said = (
        f"None of the {sum(kind.num_paths for kind in kinds):,} paths from {drug} to {disease} goes through {through}."
    )
    on_paths: Counter[tuple[str, int]] = Counter()
    for kind in kinds:
        for row in range(len(kind.strengths)):
            on_paths.update(node for node in between(kind, row) if node[0] == through.node_type)
    if not on_paths:
        return f"{said} No {through.node_type} is on any."
    names = ", ".join(node_at(graph, *node).node_name for node, _ in on_paths.most_common(5))
    return f"{said} Of this type most of them go through {names}."
