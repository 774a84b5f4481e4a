from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from report_data import Element, number, read_html

from rxweave.report.page import ReportData, render_page, write_report


def test_the_numbers_of_reliability_are_shown_with_their_bins(data: ReportData, page: Element) -> None:
    measured = data.reliability
    assert measured is not None
    section = page.find("section", id="reliability")
    values = [number(row[1].text) for row in section.find("table", id="calibration").rows()]
    expected = [measured.ece, measured.ece_equal_width, measured.ece_likely, measured.brier]
    assert values == pytest.approx(expected, abs=6e-4)
    rows = [
        [number(cell.text) for cell in row if "–" not in cell.text] for row in section.find("table", id="bins").rows()
    ]
    for row, each in zip(rows, measured.curve, strict=True):
        assert row == pytest.approx([each.predicted, each.observed, each.treatments, each.pairs], abs=6e-4)
    assert f"{measured.num_treatments} held-out test treatments" in section.text
    assert f"fitted on {measured.calibrated_on} validation treatments" in section.text
    assert len(section.find_all("img")) == 1


@pytest.mark.usefixtures("blank_figures")
def test_scores_that_were_not_calibrated_are_said_not_to_be(data: ReportData) -> None:
    assert data.reliability is not None
    run = replace(data, reliability=replace(data.reliability, calibrated_on=0))
    told = read_html(render_page(run)).find("section", id="reliability").text
    assert "The scores are not calibrated" in told
    assert "fitted on" not in told


def test_a_run_without_a_ranking_says_that_nothing_was_measured(refused: Element) -> None:
    section = refused.find("section", id="reliability")
    assert "nothing was ranked" in section.text
    assert section.find_all("table") == []


@pytest.mark.usefixtures("blank_figures")
def test_reliability_is_in_metrics_json(data: ReportData, tmp_path: Path) -> None:
    write_report(data, tmp_path / "report.html", tmp_path / "metrics.json")
    found = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["reliability"]
    assert data.reliability is not None
    assert found == json.loads(json.dumps(asdict(data.reliability)))
