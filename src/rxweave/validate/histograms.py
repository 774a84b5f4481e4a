"""Pictures of how cosines, variances and hubs are distributed, a small panel per node type, as SVG or PNG bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rxweave.embed.likeness import row_lengths
from rxweave.embed.store import Embeddings
from rxweave.validate.collapse import CollapseReport
from rxweave.validate.plots import COLOURS, ImageFormat, blank_figure, literal, render

PER_ROW = 3
COSINE_NODES = 600
"""Nodes of each type whose cosines are drawn."""
WITHIN, ACROSS, RANDOM = COLOURS[0], COLOURS[1], "#777777"


def cosine_histograms(
    embeddings: Embeddings,
    *,
    seed: int = 0,
    active: Bool[np.ndarray, " nodes"] | None = None,
    image: ImageFormat = "svg",
) -> bytes:
    """Draw, for each type, the cosines between its nodes (filled) and with nodes of all other types (line).

    At most 600 nodes of each type (of those marked `active`, where given) are drawn. A type without two vectors that
    have a direction has an empty panel that says so.
    """
    rng = np.random.default_rng(seed)
    samples = []
    for node_type in embeddings.node_types:
        rows = embeddings.of_type(node_type)
        rows = rows if active is None else rows[active[rows]]
        rows = rows if len(rows) <= COSINE_NODES else rng.choice(rows, COSINE_NODES, replace=False)
        vectors = embeddings.vectors[rows]
        lengths = row_lengths(vectors)
        samples.append(np.asarray(vectors[lengths > 0] / lengths[lengths > 0, None], np.float32))
    figure, panels = _panels(embeddings.node_types)
    edges = np.linspace(-1, 1, 81)
    for i, (axes, unit) in enumerate(zip(panels, samples, strict=True)):
        if len(unit) < 2:
            _say(axes, "fewer than two directions")
            continue
        within = (unit @ unit.T)[np.tri(len(unit), k=-1, dtype=bool)]
        _bars(axes, within, edges, WITHIN, "within the type", fill=True)
        others = np.concatenate([other for j, other in enumerate(samples) if j != i] or [unit[:0]])
        if len(others):
            across = (unit @ rng.permutation(others)[:COSINE_NODES].T).ravel()
            _bars(axes, across, edges, ACROSS, "with other types")
        axes.set_xlim(-1.02, 1.02)
        axes.set_xticks([-1, 0, 1])
    return _finish(figure, panels, "Cosine", "Share of pairs", image)


def variance_per_dimension(
    embeddings: Embeddings, *, active: Bool[np.ndarray, " nodes"] | None = None, image: ImageFormat = "svg"
) -> bytes:
    """Draw, for each type, the variance of every dimension, sorted, as a multiple of the mean (log scale).

    The dashed line at 1 is where all dimensions would lie if they varied alike; dead ones fall off the lower edge,
    and their number is written in the panel.
    """
    figure, panels = _panels(embeddings.node_types)
    for node_type, axes in zip(embeddings.node_types, panels, strict=True):
        rows = embeddings.of_type(node_type)
        rows = rows if active is None else rows[active[rows]]
        variance = np.sort(embeddings.vectors[rows].var(axis=0, dtype=np.float64))[::-1] if len(rows) else np.zeros(1)
        if variance[0] <= 0:
            _say(axes, "no variance")
            continue
        share = variance / variance.mean()
        place = np.arange(1, len(share) + 1)
        live = share > 1e-6
        axes.plot(place[live], share[live], color=WITHIN, lw=1.8, label="variance")
        axes.axhline(1, ls="--", lw=1, color=RANDOM, label="all alike")
        axes.set_yscale("log")
        axes.set_ylim(min(0.03, 0.5 * float(share[live].min())), max(30.0, 2 * float(share.max())))
        axes.set_xlim(1, max(len(share), 2))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        if not live.all():
            _say(axes, f"{int((~live).sum())} dead")
    return _finish(figure, panels, "Dimension, most variable first", "Variance / mean", image)


def hubness_histograms(report: CollapseReport, *, image: ImageFormat = "svg") -> bytes:
    """Draw, for each type, how often each node is among the 10 nearest neighbours of others, with the skewness.

    The grey line is what random vectors would show; counts share their axis, so that hubs stand far to the right.
    """
    figure, panels = _panels(report.node_types)
    for measured, axes in zip(report.types, panels, strict=True):
        counts, control = measured.neighbours.occurrences, measured.random_neighbours.occurrences
        if math.isnan(measured.neighbours.hubness):
            _say(axes, "fewer than three directions")
            continue
        top = max(int(counts.max()), int(control.max(initial=0)), 1)
        edges = _count_edges(top)
        _bars(axes, counts, edges, WITHIN, "embeddings", fill=True)
        _bars(axes, control, edges, RANDOM, "random vectors")
        axes.set_xlim(0, edges[-1])
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        _say(axes, f"skewness {measured.neighbours.hubness:z.1f}")
    return _finish(figure, panels, "Times among the 10 nearest", "Share of nodes", image)


def _count_edges(top: int) -> Float[np.ndarray, " edges"]:
    """Edges between whole numbers, about 40 bins."""
    step = max(1, math.ceil((top + 1) / 40))
    return np.arange(0, top + step + 1, step) - 0.5


def _bars(
    axes: Axes,
    values: Float32[np.ndarray, " values"] | Int[np.ndarray, " values"],
    edges: Float[np.ndarray, " edges"],
    colour: str,
    label: str,
    *,
    fill: bool = False,
) -> None:
    counts, _ = np.histogram(values, edges)
    shares = counts / max(len(values), 1)
    axes.stairs(shares, edges, fill=fill, color=colour, alpha=0.75 if fill else 1.0, linewidth=1.6, label=label)


def _panels(names: Sequence[str]) -> tuple[Figure, list[Axes]]:
    columns = min(PER_ROW, len(names))
    rows = math.ceil(len(names) / columns)
    figure = blank_figure(3.1 * columns + 0.4, 2.15 * rows + 0.7)
    panels = []
    for i, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(literal(name), fontsize=10, loc="left")
        axes.tick_params(labelsize=8)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        panels.append(axes)
    return figure, panels


def _say(axes: Axes, text: str) -> None:
    axes.text(0.97, 0.93, text, transform=axes.transAxes, ha="right", va="top", fontsize=8.5)


def _finish(figure: Figure, panels: Sequence[Axes], x: str, y: str, image: ImageFormat) -> bytes:
    handles: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside upper left",
            ncols=len(handles),
            frameon=False,
            fontsize=9,
        )
    figure.supxlabel(x, fontsize=10)
    figure.supylabel(y, fontsize=10)
    return render(figure, image)
