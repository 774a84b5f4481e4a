"""The paths of an explanation as one picture: the drug on the left, the disease on the right, the rest between."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as MplPath

from rxweave.artifacts import atomic_path
from rxweave.errors import ConfigError
from rxweave.explain.explanation import NOT_ADVICE, Explanation
from rxweave.explain.layout import MARGIN, WIDTH, Box, Layout, Line, lay_out
from rxweave.validate.plots import COLOURS, ImageFormat, blank_figure, literal, render

MOST = 12
"""Paths that are drawn: of more, the first; a picture of all would show none."""
HEAD, FOOT = 0.75, 0.75
"""Inches above the boxes, for the title, and below them, for the legend."""
FAN = 3.6
"""Inches from the left in which lines fan out from the drug; as many from the right they come together."""


def check_figure(path: Path) -> None:
    """Raise ConfigError for a file whose ending names no kind of picture."""
    if path.suffix.lower() not in (".svg", ".png"):
        ending = repr(path.suffix) if path.suffix else "nothing"
        raise ConfigError(f"--figure {path} ends in {ending}. Give a file that ends in .svg or .png.")


def write_figure(found: Explanation, path: Path) -> None:
    """Draw the paths into a file, SVG or PNG by its ending; raises ConfigError for another ending."""
    check_figure(path)
    with atomic_path(path) as temporary:
        temporary.write_bytes(draw_paths(found, image="svg" if path.suffix.lower() == ".svg" else "png"))


def draw_paths(found: Explanation, *, image: ImageFormat = "svg") -> bytes:
    """Draw the best paths as a graph: nodes coloured by type, relations named, thicker where a path weighs more.

    An arrow points as its relation is written; a relation without direction has none. At most MOST paths are drawn.
    """
    drawn = found.paths[:MOST]
    title = f"{found.drug.node_name} for {found.disease.node_name}: "
    if not drawn:
        figure = blank_figure(WIDTH, HEAD + FOOT)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.text(0.5, 0.5, literal(title + "no path that the ranker counts joins the two"), ha="center", fontsize=12)
        return render(figure, image)
    layout = lay_out(drawn)
    height = layout.height + HEAD + FOOT
    figure = blank_figure(WIDTH, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    # Data are inches, so that boxes are as large as their texts.
    axes.set(xlim=(0, WIDTH), ylim=(layout.height + FOOT, -HEAD))
    axes.set_axis_off()
    heaviest = max(line.weight for line in layout.lines)
    for line in layout.lines:
        _draw_line(axes, layout, line, 0.7 + 2.3 * line.weight / heaviest)
    types = sorted({node.node_type for node in layout.boxes})
    for box in layout.boxes.values():
        _draw_box(axes, box, COLOURS[types.index(box.node.node_type) % len(COLOURS)])
    title += f"the best {len(drawn)} of {found.num_paths:,} paths"
    axes.text(0.3, 0.35 - HEAD, literal(title), fontsize=13, va="center")
    _draw_legend(axes, types, layout.height + FOOT - 0.25)
    axes.text(
        WIDTH - 0.3, layout.height + FOOT - 0.25, NOT_ADVICE, fontsize=8, ha="right", va="center", color="#555555"
    )
    return render(figure, image)


def _draw_box(axes: Axes, box: Box, colour: str) -> None:
    corner = box.x - box.width / 2, box.y - box.height / 2
    axes.add_patch(
        FancyBboxPatch(
            corner, box.width, box.height, boxstyle="round,pad=0,rounding_size=0.06",
            facecolor="white", edgecolor=colour, linewidth=1.6, zorder=3,
        )
    )  # fmt: skip
    axes.text(
        box.x, box.y, literal("\n".join(box.lines)), fontsize=8, ha="center", va="center", zorder=4, linespacing=1.15
    )


def _draw_line(axes: Axes, layout: Layout, line: Line, width: float) -> None:
    step = line.steps[0]
    source, target = layout.boxes[step.source], layout.boxes[step.target]
    bend = _bend(layout, source, target)
    points = [(source.x, source.y), *bend, (target.x, target.y)]
    points[0], points[-1] = _edge_of(source, points[1]), _edge_of(target, points[-2])
    axes.add_patch(
        FancyArrowPatch(
            path=MplPath(points), arrowstyle={"along": "-|>", "against": "<|-", "both ways": "-"}[step.direction],
            mutation_scale=9, linewidth=width, color="#888888", shrinkA=1, shrinkB=1, zorder=1,
            joinstyle="round",
        )
    )  # fmt: skip
    # The label of a line that bends stands on its part that fans out, near the bend, where lines are apart.
    to_disease = bool(bend) and target.x >= WIDTH - MARGIN
    (x0, y0), (x1, y1) = points[-2:] if to_disease else points[:2]
    along = 0.3 if to_disease else 0.7 if bend else 0.5
    axes.text(
        x0 + along * (x1 - x0), y0 + along * (y1 - y0), literal(line.label), fontsize=7, ha="center", va="center",
        color="#333333", zorder=2, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.9},
    )  # fmt: skip


def _bend(layout: Layout, source: Box, target: Box) -> list[tuple[float, float]]:
    """Where the line of a step from the drug, or to the disease, turns into a lane that leads past other boxes."""
    if source.x <= MARGIN < target.x < WIDTH - MARGIN:
        end = target.x - target.width / 2 - 0.2
        lane = _free_lane(layout, target, FAN, end)
        return [(min(FAN, end), lane), (end, lane)]
    if MARGIN < source.x < WIDTH - MARGIN <= target.x:
        end = source.x + source.width / 2 + 0.2
        lane = _free_lane(layout, source, end, WIDTH - FAN)
        return [(end, lane), (max(WIDTH - FAN, end), lane)]
    return []


def _free_lane(layout: Layout, own: Box, left: float, right: float) -> float:
    """The height of a box, or the nearest to it at which no other box stands between left and right."""
    for box in layout.boxes.values():
        if left < box.x < right and abs(box.y - own.y) < box.height / 2 + 0.06:
            aside = box.height / 2 + 0.1
            return box.y + (aside if own.y >= box.y else -aside)
    return own.y


def _edge_of(box: Box, point: tuple[float, float]) -> tuple[float, float]:
    """Where the line from the middle of a box to a point leaves it."""
    dx, dy = point[0] - box.x, point[1] - box.y
    reach = min(box.width / 2 / max(abs(dx), 1e-9), box.height / 2 / max(abs(dy), 1e-9), 1.0)
    return box.x + reach * dx, box.y + reach * dy


def _draw_legend(axes: Axes, types: list[str], y: float) -> None:
    x = 0.3
    for number, node_type in enumerate(types):
        colour = COLOURS[number % len(COLOURS)]
        axes.add_line(Line2D([x], [y], marker="s", markersize=7, color=colour, markerfacecolor="white", linestyle=""))
        axes.text(x + 0.12, y, literal(node_type), fontsize=8, va="center")
        x += 0.45 + 0.075 * len(node_type)
