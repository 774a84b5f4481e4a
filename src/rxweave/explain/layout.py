"""Where the nodes and edges of a few paths are drawn: columns from drug to disease, in inches, a lane for each path."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from rxweave.explain.explanation import ExplainingPath, PathStep
from rxweave.kg.names import Node

LETTERS = 18
"""Letters of a name in a line of its box."""
LETTER, ROW = 0.073, 0.15
"""Width and height of a letter of 8 points, in inches."""
WIDTH, MARGIN, GAP = 13.0, 1.0, 0.22


@dataclass(frozen=True)
class Box:
    """A node, its name in lines, and where its middle stands."""

    node: Node
    lines: tuple[str, ...]
    x: float
    y: float

    @property
    def width(self) -> float:
        return LETTER * max(len(line) for line in self.lines) + 0.16

    @property
    def height(self) -> float:
        return ROW * len(self.lines) + 0.12


@dataclass(frozen=True)
class Line:
    """One or more relations between two nodes, walked in one direction, and the highest weight of a path that does."""

    steps: tuple[PathStep, ...]
    weight: float

    @property
    def label(self) -> str:
        return ", ".join(dict.fromkeys(step.relation for step in self.steps))


@dataclass(frozen=True)
class Layout:
    boxes: dict[Node, Box]
    lines: tuple[Line, ...]
    height: float


def lay_out(paths: Sequence[ExplainingPath]) -> Layout:
    """Give boxes and lines for paths between one drug and one disease.

    A node stands as far to the right as it is on its paths, on average. Each path has a lane of its own, next to one
    that it shares nodes with; a node stands in the middle of the lanes of its paths. Boxes of one column are put apart.
    """
    columns: dict[Node, list[float]] = {}
    for path in paths:
        for place, node in enumerate(path.nodes):
            columns.setdefault(node, []).append(place / len(path.steps))
    boxes = {
        node: Box(
            node,
            tuple(textwrap.wrap(node.node_name, LETTERS) or [node.node_id]),
            x=MARGIN + (WIDTH - 2 * MARGIN) * round(float(np.mean(places)) * 12) / 12,
            y=0.0,
        )
        for node, places in columns.items()
    }
    lanes: dict[Node, list[float]] = {node: [] for node in boxes}
    y = 0.0
    for path in _side_by_side(paths):
        height = max(boxes[node].height for node in path.nodes[1:-1])
        for node in path.nodes:
            lanes[node].append(y + height / 2)
        y += height + GAP
    boxes = _apart({node: replace(box, y=float(np.mean(lanes[node]))) for node, box in boxes.items()})
    low = min(box.y - box.height / 2 for box in boxes.values())
    high = max(box.y + box.height / 2 for box in boxes.values())
    return Layout({node: replace(box, y=box.y - low) for node, box in boxes.items()}, _lines(paths), high - low)


def _side_by_side(paths: Sequence[ExplainingPath]) -> list[ExplainingPath]:
    """The paths in an order in which each follows the one, of those left, that it shares most nodes with."""
    left, order = list(paths[1:]), [paths[0]]
    while left:
        shared = [len({*path.nodes} & {*order[-1].nodes}) for path in left]
        order.append(left.pop(int(np.argmax(shared))))
    return order


def _lines(paths: Sequence[ExplainingPath]) -> tuple[Line, ...]:
    found: dict[tuple[Node, Node, str], Line] = {}
    for path in paths:
        for step in path.steps:
            key = step.source, step.target, step.direction
            known = found.get(key, Line((), 0.0))
            steps = known.steps if step in known.steps else (*known.steps, step)
            found[key] = Line(steps, max(known.weight, path.weight))
    return tuple(found.values())


def _apart(boxes: dict[Node, Box]) -> dict[Node, Box]:
    """Put the boxes of each column apart, in their order, around the middle of where they stood."""
    placed: dict[Node, Box] = {}
    for _, column in groupby(sorted(boxes.values(), key=lambda box: (box.x, box.y, box.node.node_key)), lambda b: b.x):
        in_order = list(column)
        wanted = np.array([box.y for box in in_order])
        heights = np.array([box.height for box in in_order])
        steps = (heights[1:] + heights[:-1]) / 2 + GAP
        ys = wanted.copy()
        for i, step in enumerate(steps, 1):
            ys[i] = max(ys[i], ys[i - 1] + step)
        ys += wanted.mean() - ys.mean()
        placed |= {box.node: replace(box, y=float(y)) for box, y in zip(in_order, ys, strict=True)}
    return {node: placed[node] for node in boxes}
