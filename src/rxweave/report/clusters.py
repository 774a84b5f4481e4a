"""Clusters as the report shows them: at most a few types, a bounded map and the largest clusters of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from rxweave.cluster.read import ClustersOfType
from rxweave.kg.tables import Roles
from rxweave.report.figures import GREY, panels, svg
from rxweave.validate.plots import COLOURS, MARKERS

MOST_TYPES = 4
MOST_POINTS = 6000
"""Nodes drawn on a map."""
FEW_POINTS = 500
"""Up to so many, points are drawn larger."""
NUMBERED = 12
"""Clusters with a number on the map."""
SHOWN = 30
"""Clusters in the table."""


@dataclass(frozen=True, eq=False)
class ShownClusters:
    """The clusters of one type for the page."""

    node_type: str
    nodes: pl.DataFrame
    groups: pl.DataFrame
    cautions: tuple[str, ...]
    shown: list[dict[str, Any]]
    clustered: int
    placed: int


def shown_clusters(found: Sequence[ClustersOfType], roles: Roles) -> list[ShownClusters]:
    """Give drugs first, then diseases, then other types by name, at most MOST_TYPES."""
    first = [roles.drug, roles.disease]
    order = sorted(found, key=lambda each: (each.node_type not in first, *_place(each.node_type, first)))
    return [
        ShownClusters(
            each.node_type,
            each.nodes,
            each.groups,
            each.cautions,
            each.groups.sort("cluster").head(SHOWN).to_dicts(),
            len(each.nodes) - each.nodes["cluster"].null_count(),
            len(each.nodes) - each.nodes["x"].null_count(),
        )
        for each in order[:MOST_TYPES]
    ]


def _place(node_type: str, first: list[str]) -> tuple[int, str]:
    return (first.index(node_type) if node_type in first else 0, node_type)


def cluster_map(nodes: pl.DataFrame, *, seed: int = 0) -> bytes:
    """Draw the nodes that have a place, coloured by cluster, the largest clusters numbered, as SVG.

    At most MOST_POINTS nodes, drawn by lot. `nodes` has `cluster` (numbered by size, null for none), `x` and `y`. The
    points are one picture in it, the text is text.
    """
    placed = nodes.drop_nulls(["x", "y"]).select("cluster", "x", "y")
    if len(placed) > MOST_POINTS:
        rows = np.random.default_rng(seed).choice(len(placed), MOST_POINTS, replace=False)
        placed = placed[np.sort(rows)]
    figure, (axes,) = panels(1, width=7.4, height=5.2)
    alone = placed.filter(pl.col("cluster").is_null())
    axes.scatter(alone["x"], alone["y"], s=8, color=GREY, alpha=0.35, linewidths=0, rasterized=True)
    for part in placed.drop_nulls("cluster").sort("cluster").partition_by("cluster", maintain_order=True):
        number = int(part["cluster"][0])
        axes.scatter(
            part["x"],
            part["y"],
            s=14 if len(placed) > FEW_POINTS else 34,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            alpha=0.6,
            linewidths=0,
            rasterized=True,
        )
        if number < NUMBERED:
            place = np.median(part.select("x", "y").to_numpy(), axis=0)
            label = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
            axes.text(place[0], place[1], str(number), ha="center", va="center", fontsize=12, weight="bold", bbox=label)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[["left", "bottom"]].set_visible(False)
    return svg(figure)
