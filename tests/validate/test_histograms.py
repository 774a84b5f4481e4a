from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from embeddings_made import embeddings_of, gaussian
from matplotlib.figure import Figure
from PIL import Image

from rxweave.embed.store import Embeddings
from rxweave.validate import histograms
from rxweave.validate.collapse import CollapseReport, measure_collapse

NAMES = ["biological_process", "disease", "drug", "one $x$"]


@pytest.fixture(scope="module")
def embeddings() -> Embeddings:
    types = {name: gaussian(40 + 10 * i, 24, i) * np.arange(1, 25) ** -0.8 for i, name in enumerate(NAMES)}
    types["one $x$"] = np.ones((1, 24))
    types["disease"][:, 20:] = 0.5
    return embeddings_of(**types)


@pytest.fixture(scope="module")
def report(embeddings: Embeddings) -> CollapseReport:
    return measure_collapse(embeddings)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    original = histograms.render

    def keep(figure: Figure, image: histograms.ImageFormat) -> bytes:
        figures.append(figure)
        return original(figure, image)

    monkeypatch.setattr(histograms, "render", keep)
    return figures


PLOTS = ["cosine_histograms", "variance_per_dimension", "hubness_histograms"]


def plot(name: str, embeddings: Embeddings, report: CollapseReport, **named: object) -> bytes:
    return getattr(histograms, name)(report if name == "hubness_histograms" else embeddings, **named)


@pytest.mark.parametrize("name", PLOTS)
def test_every_type_has_its_panel_in_both_formats_and_the_same_bytes(
    name: str, embeddings: Embeddings, report: CollapseReport
) -> None:
    svg = plot(name, embeddings, report)
    shown = ["".join(node.itertext()).strip() for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert set(NAMES) <= set(shown)
    assert plot(name, embeddings, report) == svg
    assert min(Image.open(io.BytesIO(plot(name, embeddings, report, image="png"))).size) > 500


@pytest.mark.parametrize("name", PLOTS)
def test_no_two_labels_overlap(name: str, embeddings: Embeddings, report: CollapseReport, drawn: list[Figure]) -> None:
    plot(name, embeddings, report, image="png")
    (figure,) = drawn
    labels = [figure._supxlabel, figure._supylabel, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
        inside = axes.get_window_extent().expanded(1.01, 1.01)
        for tick in ticks:
            box = tick.get_window_extent()
            within = inside.x0 <= (box.x0 + box.x1) / 2 <= inside.x1 or inside.y0 <= (box.y0 + box.y1) / 2 <= inside.y1
            if tick.get_text() and within and tick.get_visible():
                labels.append(tick)
        labels += [axes.title, axes._left_title, *axes.texts]
    boxes = [label.get_window_extent() for label in labels if label is not None and label.get_text()]
    assert len(boxes) > 15
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_cosine_bars_are_shares_of_pairs(embeddings: Embeddings, report: CollapseReport, drawn: list[Figure]) -> None:
    plot("cosine_histograms", embeddings, report)
    panel = drawn[0].axes[embeddings.node_types.index("drug")]
    heights, edges, _ = panel.patches[0].get_data()
    assert heights.sum() == pytest.approx(1)
    mean = (heights * (edges[1:] + edges[:-1]) / 2).sum()
    measured = report.types[report.node_types.index("drug")]
    assert mean == pytest.approx(measured.cosines.mean, abs=0.02)
    alone = drawn[0].axes[embeddings.node_types.index("one $x$")]
    assert alone.texts[0].get_text() == "fewer than two directions"


def test_dead_dimensions_are_counted_in_the_panel(
    embeddings: Embeddings, report: CollapseReport, drawn: list[Figure]
) -> None:
    plot("variance_per_dimension", embeddings, report)
    panel = drawn[0].axes[embeddings.node_types.index("disease")]
    assert panel.texts[0].get_text() == "4 dead"
    assert len(panel.lines[0].get_xdata()) == 20
    assert drawn[0].axes[embeddings.node_types.index("one $x$")].texts[0].get_text() == "no variance"


def test_nodes_that_are_not_active_are_not_drawn(embeddings: Embeddings, drawn: list[Figure]) -> None:
    active = np.ones(embeddings.num_nodes, bool)
    active[embeddings.of_type("drug")[1:]] = False
    histograms.cosine_histograms(embeddings, active=active)
    assert drawn[0].axes[embeddings.node_types.index("drug")].texts[0].get_text() == "fewer than two directions"
