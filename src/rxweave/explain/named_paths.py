"""The best paths between a drug and a disease, with the names of what is on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import scipy.sparse as sp

from rxweave.errors import InputError
from rxweave.explain.explanation import Direction, ExplainingPath, PathStep
from rxweave.explain.filters import nothing_through
from rxweave.explain.named import node_at, number_of
from rxweave.explain.order import best_paths
from rxweave.explain.paths import PathsOfKind, Through, paths_of_pair
from rxweave.graph.build import Graph
from rxweave.kg.names import Node
from rxweave.rank.paths import Metapath, Step


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
        raise InputError(nothing_through(graph, others, drug, disease, through))
    return kinds, tuple(_named(graph, *each) for each in best_paths(kinds, top))


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
