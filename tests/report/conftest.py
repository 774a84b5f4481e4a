"""Pages of the made-up run, drawn once for all tests of this folder."""

from __future__ import annotations

import pytest
from report_data import Element, made_up_run, read_html

from rxweave.report.page import ReportData, render_page

DRAWING = (
    "pca_map", "spectrum", "cosine_matrix", "loss_curves", "held_out_curve", "rank_curves", "type_curves",
    "ranking_beside_prior", "reliability",
)  # fmt: skip


@pytest.fixture(scope="session")
def data() -> ReportData:
    return made_up_run()


@pytest.fixture(scope="session")
def html(data: ReportData) -> str:
    """The page with its figures, which take most of the time."""
    return render_page(data)


@pytest.fixture(scope="session")
def page(html: str) -> Element:
    return read_html(html)


@pytest.fixture(scope="session")
def refused() -> Element:
    """The page of a run whose embeddings have collapsed."""
    with pytest.MonkeyPatch.context() as patch:
        draw_blanks(patch)
        return read_html(render_page(made_up_run(collapsed=True)))


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_blanks(monkeypatch)


def draw_blanks(patch: pytest.MonkeyPatch) -> None:
    """Put an empty picture in the place of every figure, for tests that make one more page."""
    for name in DRAWING:
        patch.setattr(f"rxweave.report.page.{name}", lambda *_, **__: b"<svg/>")
