"""Pictures that `validate.plots` does not have: training, ranking beside the prior, reliability.

All are SVG bytes, but for `training_png`. Figures are built without pyplot, so that nothing global is left behind.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isnan

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rxweave.embed.train import Epoch
from rxweave.rank.metrics import Estimate, RankingMetrics
from rxweave.rank.reliability import Bin
from rxweave.validate.plots import COLOURS, MARKERS, SETTINGS_LOCK, literal

DEGREE_PRIOR = "degree prior"
"""The method that all others are held against, by the name it has in the metrics."""

LOSSES = ("link", "treatment", "contrastive", "total")
GREY = "#777777"


def loss_curves(history: Sequence[Epoch]) -> bytes:
    """Draw the four losses over the epochs as SVG; a loss that was never measured (NaN) has no line."""
    figure, (axes,) = panels(1, width=6.4, height=3.7)
    _draw_losses(axes, history)
    return svg(figure)


def _draw_losses(axes: Axes, history: Sequence[Epoch]) -> None:
    epochs = [epoch.number for epoch in history]
    for i, name in enumerate(LOSSES):
        axes.plot(
            epochs,
            [getattr(epoch, name) for epoch in history],
            color=COLOURS[i],
            linestyle="--" if name == "total" else "-",
            marker=MARKERS[i],
            markevery=max(1, len(history) // 8),
            markersize=5,
            linewidth=1.6,
            label=name,
        )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Epoch")
    axes.set_ylabel("Loss (nats)")
    _legend(axes, "Loss")


def held_out_curve(history: Sequence[Epoch]) -> bytes:
    """Draw the mean reciprocal rank of held-out treatments over the epochs at which it was measured, as SVG."""
    figure, (axes,) = panels(1, width=6.4, height=3.7)
    _draw_held_out(axes, history)
    return svg(figure)


def _draw_held_out(axes: Axes, history: Sequence[Epoch]) -> None:
    measured = [epoch for epoch in history if not isnan(epoch.held_out)]
    numbers, found = [epoch.number for epoch in measured], [epoch.held_out for epoch in measured]
    axes.plot(numbers, found, color=COLOURS[0], marker=MARKERS[0], markersize=5, linewidth=1.6)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Epoch")
    axes.set_ylabel("MRR of held-out treatments")


def training_png(history: Sequence[Epoch]) -> bytes:
    """Draw losses, effective ranks and, where it was measured, the held-out score side by side, as PNG (150 dpi)."""
    shown: list[Callable[[Axes, Sequence[Epoch]], None]] = [_draw_losses]
    if any(epoch.effective_rank for epoch in history):
        shown.append(partial(_draw_types, measure="effective_rank"))
    if any(not isnan(epoch.held_out) for epoch in history):
        shown.append(_draw_held_out)
    figure, all_axes = panels(len(shown), width=5.6 * len(shown), height=3.7)
    for axes, draw in zip(all_axes, shown, strict=True):
        draw(axes, history)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})  # of which version of matplotlib
    return buffer.getvalue()


TYPE_CURVES = {
    "effective_rank": "Effective rank (dimensions)",
    "mean_cosine": "Mean cosine within the type",
    "duplicate_rate": "Share of nodes with a twin",
}
"""What is measured of each node type while training, and how it is named on the axis."""


def rank_curves(history: Sequence[Epoch]) -> bytes:
    """Draw the effective rank of each node type over the epochs at which it was measured, as SVG."""
    return type_curves(history, "effective_rank")


def type_curves(history: Sequence[Epoch], measure: str) -> bytes:
    """Draw one of TYPE_CURVES for each node type over the epochs at which it was measured, as SVG."""
    figure, (axes,) = panels(1, width=6.4, height=3.7)
    _draw_types(axes, history, measure)
    return svg(figure)


def _draw_types(axes: Axes, history: Sequence[Epoch], measure: str) -> None:
    of_types: list[tuple[int, dict[str, float]]] = [(epoch.number, getattr(epoch, measure)) for epoch in history]
    node_types = sorted({node_type for _, found in of_types for node_type in found})
    for i, node_type in enumerate(node_types):
        found = [(number, each[node_type]) for number, each in of_types if node_type in each]
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(
            *zip(*found, strict=True),
            color=colour,
            linestyle="-" if i < len(COLOURS) else ":",
            marker=MARKERS[i % len(MARKERS)],
            markerfacecolor=colour if i < len(COLOURS) else "none",
            markersize=5,
            linewidth=1.6,
            label=literal(node_type),
        )
    low = min([0.0, *(value for _, each in of_types for value in each.values())])
    axes.set_ylim(bottom=low, top=None if measure == "effective_rank" else 1.02)
    axes.set_xlabel("Epoch")
    axes.set_ylabel(TYPE_CURVES[measure])
    if node_types:
        _legend(axes, "Type")


def ranking_beside_prior(metrics: Mapping[str, RankingMetrics]) -> bytes:
    """Draw MRR of both sides and AUPRC of every method with 95 % intervals, as SVG; a dashed line marks the
    degree prior.
    """
    columns = {
        "MRR, diseases given drug": [m.diseases_given_drug.mrr for m in metrics.values()],
        "MRR, drugs given disease": [m.drugs_given_disease.mrr for m in metrics.values()],
        "AUPRC, all pairs": [m.auprc for m in metrics.values()],
    }
    figure, columns_axes = panels(len(columns), width=9.6, height=0.9 + 0.36 * len(metrics))
    names = [literal(name) for name in metrics]
    for axes, (title, estimates) in zip(columns_axes, columns.items(), strict=True):
        _intervals(axes, list(metrics), estimates)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_yticks(range(len(names)), names if axes is columns_axes[0] else [""] * len(names))
    return svg(figure)


def reliability(bins: Sequence[Bin]) -> bytes:
    """Draw the share of treatments against the mean predicted probability of each bin, as SVG.

    Bars are the bins' 95 % intervals, the numbers their pairs; the dashed diagonal is perfect calibration.
    """
    figure, (axes,) = panels(1, width=5.2, height=4.4)
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1.2, label="perfect")
    predicted, observed = [each.predicted for each in bins], [each.observed for each in bins]
    axes.vlines(predicted, [each.low for each in bins], [each.high for each in bins], color=COLOURS[0], alpha=0.45)
    axes.plot(predicted, observed, "o-", color=COLOURS[0], linewidth=1.4, markersize=5, label="ranker")
    for each in bins:
        place = (each.predicted, each.observed)
        axes.annotate(f"{each.pairs:,}", place, (6, -11), textcoords="offset points", fontsize=8)
    axes.set_xlim(-0.05, 1.08)
    axes.set_ylim(-0.06, 1.06)
    axes.set_xlabel("Mean predicted probability of treatment")
    axes.set_ylabel("Share that are treatments")
    axes.legend(frameon=False, loc="upper left")
    return svg(figure)


def _intervals(axes: Axes, names: Sequence[str], estimates: Sequence[Estimate]) -> None:
    """One dot and its interval per method, first method on top."""
    for row, (name, estimate) in enumerate(zip(names, estimates, strict=True)):
        colour = GREY if name == DEGREE_PRIOR else COLOURS[0]
        axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2)
        axes.plot(estimate.value, row, "D" if name == DEGREE_PRIOR else "o", color=colour, markersize=7)
        if name == DEGREE_PRIOR:
            axes.axvline(estimate.value, linestyle="--", color=GREY, linewidth=1, zorder=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def panels(number: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Give a figure of this size in inches, with so many axes side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(1, number, i + 1) for i in range(number)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _legend(axes: Axes, title: str) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, title=title, alignment="left", fontsize=9)


def svg(figure: Figure) -> bytes:
    """Give a figure as SVG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    # Text stays text, and without a date the same input gives the same bytes. Both are global settings of
    # matplotlib, which `validate.plots` changes too: hence its lock.
    with SETTINGS_LOCK, rc_context({"svg.hashsalt": "rxweave", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
