"""Which kinds of path are asked for, and what is said when nothing is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rxweave.errors import ConfigError, InputError, did_you_mean
from rxweave.explain.named import node_at
from rxweave.explain.order import between
from rxweave.explain.paths import PathsOfKind
from rxweave.graph.build import Graph
from rxweave.kg.names import Node
from rxweave.rank.paths import Metapath


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
        raise ConfigError(
            f"--max-length is {max_length}, but the ranker of this run counts paths of 2 to {longest} steps. Ask for "
            "one of these, or make a run with -o rank.features.max_path_length."
        )
    return [
        (path, mean)
        for path, mean in metapaths
        if (max_length is None or len(path.steps) <= max_length)
        and not any(graph.relations[step.relation].name in without for step in path.steps)
    ]


def nothing_through(graph: Graph, kinds: Sequence[PathsOfKind], drug: Node, disease: Node, through: Node) -> str:
    """Give the message that no path goes through a node, with those of its type that most paths go through."""
    num_paths = sum(kind.num_paths for kind in kinds)
    if not num_paths:
        return f"No path that is asked for joins {drug} and {disease}, so none goes through {through}."
    said = f"None of the {num_paths:,} paths from {drug} to {disease} goes through {through}."
    on_paths: Counter[tuple[str, int]] = Counter()
    for kind in kinds:
        for row in range(len(kind.strengths)):
            on_paths.update(node for node in between(kind, row) if node[0] == through.node_type)
    if not on_paths:
        return f"{said} No {through.node_type} is on any."
    names = ", ".join(node_at(graph, *node).node_name for node, _ in on_paths.most_common(5))
    return f"{said} Of this type most of them go through {names}."
