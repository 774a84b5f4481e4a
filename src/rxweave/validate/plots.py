"""Pictures of a validation, as SVG or PNG bytes to embed in a page.

Figures are built without pyplot, so that nothing global is left behind and threads may draw at the same time.
"""

from __future__ import annotations

import io
import threading
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from rxweave.embed.store import Embeddings
from rxweave.validate.collapse import CollapseReport

ImageFormat = Literal["svg", "png"]

# Okabe & Ito (2008), told apart with every common colour blindness; yellow darkened, to show on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800")
# Seven shapes against eight colours: no pair repeats below 56 types. From the ninth type on they are hollow.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DPI = 150
SETTINGS_LOCK = threading.Lock()
"""How SVG is written is a global setting of matplotlib: one thread at a time may change and restore it."""


def pca_map(
    embeddings: Embeddings,
    *,
    max_points: int = 8000,
    seed: int = 0,
    active: Bool[np.ndarray, " nodes"] | None = None,
    image: ImageFormat = "svg",
) -> bytes:
    """Draw the nodes on the first two principal components of all types, a colour and shape per type.

    At most `max_points` nodes (those marked `active`, where given) are drawn and enter the components, as
    many of each type as possible: types with few nodes are shown whole. In SVG the points are one picture,
    the text is text.
    """
    rows = _drawn_rows(embeddings, max_points, np.random.default_rng(seed), active)
    vectors = embeddings.vectors[np.concatenate(rows)].astype(np.float64)
    places, shares = _principal_plane(vectors)
    starts = np.cumsum([0, *(len(part) for part in rows)])
    figure, axes = _figure(8.4, 5.6)
    sizes = [int((embeddings.nodes["node_type"] == node_type).sum()) for node_type in embeddings.node_types]
    # Largest type first, so that small types lie on top and are seen.
    for i in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        part = places[starts[i] : starts[i + 1]]
        axes.scatter(
            part[:, 0],
            part[:, 1],
            s=11,
            facecolors=_fill(i),
            edgecolors=_colour(i),
            marker=_marker(i),
            alpha=0.55,
            linewidths=0.6,
            rasterized=True,
            label=f"{literal(embeddings.node_types[i])} ({sizes[i]:,})",
        )
    axes.set_xlabel(f"Principal component 1 ({100 * shares[0]:.1f} % of the variance)")
    axes.set_ylabel(f"Principal component 2 ({100 * shares[1]:.1f} % of the variance)")
    legend = _legend(axes, "Type (nodes)", markerscale=2.0)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)
    return render(figure, image)


def spectrum(report: CollapseReport, *, image: ImageFormat = "svg") -> bytes:
    """Draw, per type, the variance in the first k principal components, with its 90 % and 95 % marks.

    The dashed line is what random vectors of the same number and length as the largest type's sample would
    show. A type whose nodes share one point has no variance, hence no line: the legend says so.
    """
    figure, axes = _figure(8.4, 5.0)
    largest = max(report.types, key=lambda measured: measured.num_sampled)
    control = _cumulative(largest.random_spread.singular_values)
    if len(control):
        axes.plot(np.arange(1, len(control) + 1), control, "--", color="#777777", lw=1.4, label="random vectors")
    for i, measured in enumerate(report.types):
        share = _cumulative(measured.spread.singular_values)
        if not len(share):
            axes.plot([], [], _marker(i), color=_colour(i), label=f"{literal(measured.node_type)} (one point)")
            continue
        components = (measured.spread.components_90, measured.spread.components_95)
        axes.plot(
            np.arange(1, len(share) + 1),
            share,
            color=_colour(i),
            linestyle="-" if i < len(COLOURS) else ":",
            linewidth=1.6,
            marker=_marker(i),
            markerfacecolor=_fill(i),
            markevery=[count - 1 for count in components],
            markersize=6,
            label=f"{literal(measured.node_type)} ({components[0]}, {components[1]})",
        )
    for level in (0.90, 0.95):
        axes.axhline(level, color="#777777", lw=0.8, zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(0.9, report.dim * 1.1)
    axes.set_ylim(0, 1.02)
    ticks = (0, 20, 40, 60, 80, 90, 95)
    axes.set_yticks([tick / 100 for tick in ticks], [f"{tick} %" for tick in ticks])
    axes.set_xlabel(f"Principal components (of {report.dim})")
    axes.set_ylabel("Share of the variance within the type")
    _legend(axes, "Type (components\nfor 90 %, 95 %)")
    return render(figure, image)


def cosine_matrix(report: CollapseReport, *, image: ImageFormat = "svg") -> bytes:
    """Draw the mean cosine of every type with every type as coloured cells, blank where undefined."""
    names, matrix = [literal(name) for name in report.node_types], report.cosine_matrix
    side = 2.6 + 0.52 * len(names)
    figure, axes = _figure(side + 1.2, side)
    lowest = min(0.0, float(np.nanmin(matrix))) if np.isfinite(matrix).any() else 0.0
    cells = axes.imshow(np.ma.masked_invalid(matrix), cmap="cividis", vmin=lowest, vmax=1.0)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    for (row, column), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            dark = (value - lowest) / (1.0 - lowest) < 0.47
            ink = "white" if dark else "black"
            axes.text(column, row, f"{value:z.2f}".replace("-", "−"), ha="center", va="center", color=ink, fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.colorbar(cells, ax=axes, shrink=0.8, label="Mean cosine")
    return render(figure, image)


def blank_figure(width: float, height: float) -> Figure:
    """Give an empty figure of this size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def literal(name: str) -> str:
    """Give a name as matplotlib draws it letter by letter: between two dollar signs it would see a formula."""
    return name.replace("$", r"\$")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = blank_figure(width, height)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend(axes: Axes, title: str, *, markerscale: float = 1.0) -> Legend:
    """A legend beside the axes, where it covers nothing."""
    return axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        title=title,
        alignment="left",
        markerscale=markerscale,
    )


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _fill(i: int) -> str:
    return _colour(i) if i < len(COLOURS) else "none"


def _marker(i: int) -> str:
    return MARKERS[i % len(MARKERS)]


def render(figure: Figure, image: ImageFormat) -> bytes:
    """Give a figure as bytes, the same ones for the same input, leaving matplotlib's settings as they were."""
    buffer = io.BytesIO()
    # Without date and version the same input gives the same bytes.
    stamps = {"Date": None} if image == "svg" else {"Software": None}
    with SETTINGS_LOCK, rc_context({"svg.hashsalt": "rxweave", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=image, metadata=stamps)
    return buffer.getvalue()


def _drawn_rows(
    embeddings: Embeddings,
    max_points: int,
    rng: np.random.Generator,
    active: Bool[np.ndarray, " nodes"] | None,
) -> list[Int[np.ndarray, " _"]]:
    """Rows per type: equal shares of `max_points`, what small types leave over going to the larger ones."""
    rows = [embeddings.of_type(node_type) for node_type in embeddings.node_types]
    if active is not None:
        rows = [part[active[part]] for part in rows]
    left = max_points
    smallest_first = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for place, i in enumerate(smallest_first):
        quota = min(len(rows[i]), left // (len(rows) - place))
        rows[i] = rng.choice(rows[i], quota, replace=False)
        left -= quota
    return rows


def _principal_plane(
    vectors: Float[np.ndarray, "points dim"],
) -> tuple[Float[np.ndarray, "points 2"], Float[np.ndarray, " 2"]]:
    """Places on the first two principal components, and their shares of the variance, 0 if there is none."""
    centred = vectors - vectors.mean(axis=0) if len(vectors) else vectors
    variance, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    # The sign of an eigenvector is arbitrary: fix it, so that the same data gives the same picture
    # everywhere.
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    places = centred @ (axes * signs)
    shares = np.maximum(variance[::-1][:2], 0) / max(float(variance.sum()), np.finfo(float).tiny)
    missing = 2 - places.shape[1]
    return np.pad(places, ((0, 0), (0, missing))), np.pad(shares, (0, missing))


def _cumulative(singular_values: Float[np.ndarray, " values"]) -> Float[np.ndarray, " shown"]:
    """Cumulative share of the variance; empty when there is no variance."""
    variance = singular_values**2
    return np.cumsum(variance) / variance.sum() if variance.any() else variance[:0]
