"""The order of paths of different kinds: how strong each is for its kind, and how much it says that is new."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence

from rxweave.explain.paths import PathsOfKind

AGAIN = 0.5
"""What a path's weight is multiplied by for each path before it that leads by the same way, or through its node."""


def best_paths(kinds: Sequence[PathsOfKind], top: int) -> list[tuple[PathsOfKind, int]]:
    """Give the `top` paths of all kinds, each as its kind and its row there, best first.

    Strengths of different metapaths cannot be compared; what can is `PathsOfKind.weights`, the ranker's own scale. A
    second path says less that is new when it leads by the same way as the first (the same types of node in between,
    by whatever relations) or through the same node. So the next path is always the one with the highest weight after it
    is halved for each chosen path of its way, and for each through its most used node, in the manner of maximal
    marginal relevance (Carbonell & Goldstein 1998). Ties keep the order of the kinds.
    """
    ways: Counter[tuple[str, ...]] = Counter()
    used: Counter[tuple[str, int]] = Counter()

    def value(place: int, row: int) -> float:
        repeats = ways[way_of(kinds[place])] + max((used[node] for node in between(kinds[place], row)), default=0)
        return float(weights[place][row]) * AGAIN**repeats

    weights = [kind.weights for kind in kinds]
    heap = [(-float(weight), place, row) for place in range(len(kinds)) for row, weight in enumerate(weights[place])]
    heapq.heapify(heap)
    chosen: list[tuple[PathsOfKind, int]] = []
    while heap and len(chosen) < top:
        stale, place, row = heap[0]
        now = -value(place, row)
        if now > stale:  # values only ever fall, so one that still holds is the best of all
            heapq.heapreplace(heap, (now, place, row))
            continue
        heapq.heappop(heap)
        chosen.append((kinds[place], row))
        ways[way_of(kinds[place])] += 1
        used.update(between(kinds[place], row))
    return chosen


def way_of(kind: PathsOfKind) -> tuple[str, ...]:
    """Give the types of the nodes between drug and disease."""
    return tuple(step.target_type for step in kind.metapath.steps[:-1])


def between(kind: PathsOfKind, row: int) -> list[tuple[str, int]]:
    """Give the nodes between drug and disease of one of the best paths: type, and number within it."""
    return list(zip(way_of(kind), kind.nodes[row, 1:-1].tolist(), strict=True))
