from __future__ import annotations

import io
import re
import threading
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.decomposition import PCA

from rxweave.embed.store import Embeddings
from rxweave.validate import plots
from rxweave.validate.collapse import CollapseReport, measure_collapse

TYPES = {
    "anatomy": 30,
    "biological_process": 90,
    "cellular_component": 12,
    "disease": 40,
    "drug": 35,
    "effect/phenotype": 50,
    "exposure": 1,
    "gene/protein": 120,
    "molecular_function": 25,
    "pathway": 20,
}


@pytest.fixture(scope="module")
def embeddings() -> Embeddings:
    rng = np.random.default_rng(0)
    names = [name for name, num in TYPES.items() for _ in range(num)]
    vectors = rng.normal(size=(len(names), 24)) * np.arange(1, 25) ** -0.5
    vectors[np.array(names) == "pathway"] = vectors[0]
    keys = [str(i) for i in range(len(names))]
    nodes = pl.DataFrame({"node_key": keys, "node_id": keys, "node_name": keys, "node_type": names})
    return Embeddings(nodes, vectors.astype(np.float32), {})


@pytest.fixture(scope="module")
def report(embeddings: Embeddings) -> CollapseReport:
    return measure_collapse(embeddings)


def texts(svg: bytes) -> list[str]:
    root = ET.fromstring(svg)
    return ["".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")]


def figure_of(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Catches each figure as it is drawn."""
    drawn: list[Figure] = []
    original = plots.render

    def keep(figure: Figure, image: plots.ImageFormat) -> bytes:
        drawn.append(figure)
        return original(figure, image)

    monkeypatch.setattr(plots, "render", keep)
    return drawn


@pytest.fixture(scope="module")
def pictures(embeddings: Embeddings, report: CollapseReport) -> dict[str, bytes]:
    """Each plot as SVG, drawn once."""
    return {
        "map": plots.pca_map(embeddings),
        "spectrum": plots.spectrum(report),
        "matrix": plots.cosine_matrix(report),
    }


def test_every_plot_is_a_picture_in_both_formats(
    pictures: dict[str, bytes], embeddings: Embeddings, report: CollapseReport
) -> None:
    for svg in pictures.values():
        assert ET.fromstring(svg).tag.endswith("svg")
    for png in (
        plots.pca_map(embeddings, image="png"),
        plots.spectrum(report, image="png"),
        plots.cosine_matrix(report, image="png"),
    ):
        picture = Image.open(io.BytesIO(png))
        assert min(picture.size) > 500
        assert len(picture.convert("RGB").getcolors(maxcolors=10**6) or []) > 20


def test_legends_name_every_type_with_its_numbers(pictures: dict[str, bytes], report: CollapseReport) -> None:
    on_map, on_spectrum = texts(pictures["map"]), texts(pictures["spectrum"])
    for name, num in TYPES.items():
        assert f"{name} ({num})" in on_map
    drug = report.types[report.node_types.index("drug")].spread
    assert f"drug ({drug.components_90}, {drug.components_95})" in on_spectrum
    assert "pathway (one point)" in on_spectrum
    assert "exposure (one point)" in on_spectrum
    assert {"90 %", "95 %"} <= set(on_spectrum)


def test_the_matrix_shows_every_cosine(pictures: dict[str, bytes], report: CollapseReport) -> None:
    shown = texts(pictures["matrix"])
    numbers = [text for text in shown if re.fullmatch(r"[-−]?[01]\.\d\d", text)]
    expected = [f"{value:z.2f}".replace("-", "−") for value in report.cosine_matrix.ravel() if np.isfinite(value)]
    assert len(expected) == len(TYPES) ** 2 - 1
    assert sorted(numbers) == sorted(expected)
    assert set(TYPES) <= set(shown)


@pytest.mark.parametrize("name", ["pca_map", "spectrum", "cosine_matrix"])
def test_no_two_labels_overlap(
    name: str, embeddings: Embeddings, report: CollapseReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = figure_of(monkeypatch)
    getattr(plots, name)(embeddings if name == "pca_map" else report, image="png")
    (figure,) = drawn
    axes = figure.axes[0]
    ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    # Ticks beyond the ends of an axis keep a label that is never drawn.
    ticks = [tick for tick in ticks if tick.get_window_extent().overlaps(figure.bbox)]
    labels = [*ticks, axes.xaxis.label, axes.yaxis.label, *axes.texts]
    legend = axes.get_legend()
    if legend is not None:
        labels += [*legend.get_texts(), legend.get_title()]
    # The boxes of slanted labels overlap where their text does not: they are looked at, not measured.
    upright = [label for label in labels if label.get_text() and not label.get_rotation() % 90]
    assert len(upright) > 10
    boxes = [label.get_window_extent() for label in upright]
    for i, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        for other in boxes[i + 1 :]:
            assert not box.overlaps(other)


def test_the_map_is_the_principal_plane(embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = figure_of(monkeypatch)
    plots.pca_map(embeddings, image="png")
    places = np.concatenate([np.asarray(c.get_offsets()) for c in drawn[0].axes[0].collections])
    pca = PCA(n_components=2, svd_solver="full")
    expected = pca.fit_transform(embeddings.vectors.astype(np.float64))
    assert np.sort(np.abs(places), axis=0) == pytest.approx(np.sort(np.abs(expected), axis=0), abs=1e-5)
    share = 100 * pca.explained_variance_ratio_[0]
    assert drawn[0].axes[0].get_xlabel() == f"Principal component 1 ({share:.1f} % of the variance)"


def test_large_types_give_way_so_that_small_ones_are_shown_whole(
    embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = figure_of(monkeypatch)
    active = np.ones(embeddings.num_nodes, bool)
    active[embeddings.of_type("drug")[:30]] = False
    plots.pca_map(embeddings, max_points=200, active=active, image="png")
    counts = {c.get_label().split(" (")[0]: len(c.get_offsets()) for c in drawn[0].axes[0].collections}
    assert sum(counts.values()) == 200
    assert (counts["exposure"], counts["cellular_component"], counts["drug"]) == (1, 12, 5)
    assert counts["gene/protein"] == max(counts.values())


def test_no_two_types_look_alike(embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = figure_of(monkeypatch)
    plots.pca_map(embeddings, image="png")
    looks = set()
    for points in drawn[0].axes[0].collections:
        shape = points.get_paths()[0].vertices.round(6).tobytes()
        looks.add((points.get_edgecolor().tobytes(), points.get_facecolor().tobytes(), shape))
    assert len(looks) == len(TYPES)


def test_points_are_one_embedded_picture_however_many(pictures: dict[str, bytes]) -> None:
    root = ET.fromstring(pictures["map"])
    assert any(node.tag.endswith("}image") for node in root.iter())
    assert sum(1 for _ in root.iter()) < 600


def test_drawing_gives_the_same_bytes_from_any_thread_and_leaves_global_settings_alone(
    pictures: dict[str, bytes], embeddings: Embeddings, report: CollapseReport
) -> None:
    before = dict(mpl.rcParams)
    drawn: dict[str, bytes] = {}
    threads = [
        threading.Thread(target=lambda: drawn.update(map=plots.pca_map(embeddings))),
        threading.Thread(target=lambda: drawn.update(spectrum=plots.spectrum(report))),
        threading.Thread(target=lambda: drawn.update(matrix=plots.cosine_matrix(report))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(mpl.rcParams) == before
    assert drawn == pictures


def test_one_dimension_and_one_type_can_be_drawn() -> None:
    nodes = pl.DataFrame({name: ["a", "b"] for name in ("node_key", "node_id", "node_name")})
    nodes = nodes.with_columns(node_type=pl.lit("drug"))
    tiny = Embeddings(nodes, np.float32([[1], [2]]), {})
    report = measure_collapse(tiny)
    assert "drug (2)" in texts(plots.pca_map(tiny))
    assert "drug (1, 1)" in texts(plots.spectrum(report))
    assert "1.00" in texts(plots.cosine_matrix(report))
