from __future__ import annotations

import io
import math
import threading
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib
import pytest
from PIL import Image

from rxweave.embed.train import Epoch
from rxweave.rank.reliability import Bin
from rxweave.report.figures import (
    held_out_curve,
    loss_curves,
    rank_curves,
    ranking_beside_prior,
    reliability,
    training_png,
    type_curves,
)
from rxweave.report.page import ReportData

SVG = "{http://www.w3.org/2000/svg}"
HISTORY = tuple(
    Epoch(i, 9 / i, 8 / i, 2 / i, 10 / i, 0.1, {"drug": 40.0 - i, "gene": 90.0 - i} if i % 2 == 0 else {})
    for i in range(1, 7)
)


def texts(svg: bytes) -> list[str]:
    """Every text of a picture; fails when it is no well-formed SVG."""
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    return ["".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")]


def drawn_lines(svg: bytes) -> int:
    """Number of curves inside the axes: paths that are cut at their border."""
    root = ElementTree.fromstring(svg)
    return sum(
        "clip-path" in path.attrib and " L " in f" {' '.join(path.get('d', '').split())} "
        for path in root.iter(f"{SVG}path")
    )


def test_loss_curves_name_all_four_losses() -> None:
    svg = loss_curves(HISTORY)
    assert {"link", "treatment", "contrastive", "total", "Epoch"} <= set(texts(svg))
    assert drawn_lines(svg) == 4


def test_a_loss_that_was_never_measured_has_no_line() -> None:
    assert drawn_lines(loss_curves([replace(e, treatment=math.nan) for e in HISTORY])) == 3


def test_one_epoch_can_be_drawn() -> None:
    assert "total" in texts(loss_curves(HISTORY[:1]))


def test_the_held_out_score_is_drawn_where_it_was_measured() -> None:
    measured = [replace(e, held_out=0.1 * e.number if e.number % 2 else math.nan) for e in HISTORY]
    assert drawn_lines(held_out_curve(measured)) == 1
    assert "MRR of held-out treatments" in texts(held_out_curve(measured))


def test_curves_are_a_png_too_with_a_panel_for_each_that_was_measured() -> None:
    bare = [replace(e, effective_rank={}) for e in HISTORY]
    scored = [replace(e, held_out=0.5) for e in HISTORY]
    widths = []
    for history in (bare, HISTORY, scored):
        drawn = training_png(history)
        assert drawn == training_png(history)
        with Image.open(io.BytesIO(drawn)) as image:
            image.load()
            widths.append(image.width)
            assert (image.format, image.height) == ("PNG", 555)
            assert len(image.getcolors(1 << 20) or []) > 10
    assert widths == [840, 1680, 2520]


def test_rank_curves_have_a_line_per_type_and_skip_epochs_without_ranks() -> None:
    svg = rank_curves(HISTORY)
    assert {"drug", "gene"} <= set(texts(svg))
    assert drawn_lines(svg) == 2


@pytest.mark.parametrize("measure", ["mean_cosine", "duplicate_rate"])
def test_likeness_and_twins_have_a_line_per_type(measure: str) -> None:
    history = [replace(epoch, **{measure: {"drug": -0.1 * epoch.number, "gene": 0.5}}) for epoch in HISTORY]
    svg = type_curves(history, measure)
    assert {"drug", "gene"} <= set(texts(svg))
    assert drawn_lines(svg) == 2


def test_more_types_than_colours_are_all_named() -> None:
    ranks = {f"type {i}": 10.0 + i for i in range(20)}
    svg = rank_curves([replace(epoch, effective_rank=ranks) for epoch in HISTORY])
    assert set(ranks) <= set(texts(svg))


def test_without_any_rank_the_axes_stay_empty() -> None:
    assert drawn_lines(rank_curves([replace(epoch, effective_rank={}) for epoch in HISTORY])) == 0


def test_names_with_mathematics_or_markup_are_drawn_as_they_are() -> None:
    names = ["5 $ a day & <more>", "$x$"]
    assert set(names) <= set(texts(rank_curves([replace(HISTORY[1], effective_rank=dict.fromkeys(names, 3.0))])))


def test_a_method_name_is_drawn_as_it_is(data: ReportData) -> None:
    assert "$a$ <b>" in texts(ranking_beside_prior({"$a$ <b>": data.metrics["ranker"]}))


def test_every_method_stands_beside_the_prior(data: ReportData) -> None:
    found = texts(ranking_beside_prior(data.metrics))
    assert [text for text in found if text in data.metrics] == list(data.metrics)
    assert sum(text.startswith(("MRR", "AUPRC")) for text in found) == 3


def test_reliability_tells_the_pairs_in_each_bin() -> None:
    found = texts(reliability([Bin(0.05, 0.0, 0.0, 0.1, 12_345, 0), Bin(0.95, 1.0, 0.6, 1.0, 7, 7)]))
    assert {"12,345", "7", "perfect", "ranker"} <= set(found)


@pytest.mark.parametrize("draw", [loss_curves, rank_curves])
def test_the_same_history_gives_the_same_bytes_and_leaves_settings_alone(draw: object) -> None:
    assert callable(draw)
    before = dict(matplotlib.rcParams)
    assert draw(HISTORY) == draw(HISTORY)
    assert dict(matplotlib.rcParams) == before


def test_threads_may_draw_at_the_same_time() -> None:
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(loss_curves(HISTORY))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [loss_curves(HISTORY)] * 4
