from __future__ import annotations

import math
from dataclasses import replace

import pytest
from report_data import Element, made_up_run, number, read_html

from rxweave.report.page import ReportData, render_page
from rxweave.validate.gates import ADVICE, GATES, Gate
from rxweave.validate.verdict import Finding, Verdict
from rxweave.validate.words import found_in, measure_name, problems_of, threshold_name


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize(
    ("level", "symbol", "run"),
    [
        ("warning", "!", {"beats_prior": False}),
        ("collapsed", "✕", {"collapsed": True}),
    ],
)
def test_the_banner_tells_the_level_in_word_and_symbol_with_every_problem_and_what_to_change(
    level: str, symbol: str, run: dict[str, bool]
) -> None:
    data = made_up_run(**run)
    assert data.verdict.level == level
    section = read_html(render_page(data)).find("section", id="verdict")
    banner = section.find_all("div", class_="banner")[0]
    assert f"Embeddings: {level}" in banner.text
    assert banner.find("span", class_="mark").text == symbol
    assert level in banner.attributes["class"]
    told = section.find("table", id="problems").text
    assert data.verdict.problems
    for finding in data.verdict.problems:
        value = f"{finding.value:z.3f}".replace("-", "−")
        assert (value if finding.node_type == "all" else f"{finding.node_type} {value}") in told
        for text in (*finding.likely_causes, *finding.what_to_change):
            assert text in told
    for note in data.verdict.notes:
        assert note in banner.text


@pytest.mark.usefixtures("blank_figures")
def test_a_good_verdict_has_no_problems_and_says_what_was_tested(data: ReportData) -> None:
    passed = tuple(f for f in data.verdict.findings if f.level == "good")
    good = replace(data.verdict, level="good", findings=passed)
    section = read_html(render_page(replace(data, verdict=good))).find("section", id="verdict")
    assert section.find_all("table", id="problems") == []
    banner = section.find("div", class_="banner")
    assert "Embeddings: good" in banner.text
    assert f"{len(passed)} of {len(passed)} checks passed, held-out ranking on both sides" in banner.text
    probed = replace(data, verdict=replace(good, usefulness_tested=False))
    banner = read_html(render_page(probed)).find("section", id="verdict").find("div", class_="banner")
    assert "Whether they foretell treatments that they were not trained on was not tested." in banner.text
    unranked = tuple(f for f in passed if f.threshold.source != "degree prior")
    untested = replace(data, verdict=replace(good, findings=unranked, usefulness_tested=False))
    banner = read_html(render_page(untested)).find("section", id="verdict").find("div", class_="banner")
    assert "Whether they are useful was not tested." in banner.text
    assert "held-out ranking on both sides" not in banner.text


def test_every_type_is_shown_with_its_level_and_the_random_control(data: ReportData, page: Element) -> None:
    *rows, _ = page.find("table", id="types").rows()
    assert [row[0].text for row in rows] == [t.node_type for t in data.collapse.types]
    for measured, row in zip(data.collapse.types, rows, strict=True):
        assert data.verdict.types.get(measured.node_type, "not judged") in row[1].text
        for cell, value, control in (
            (row[3], measured.cosines.mean, measured.random_cosines.mean),
            (row[4], measured.cosines.centred_mean, measured.random_cosines.centred_mean),
            (row[7], measured.spread.rank_ratio, measured.random_spread.rank_ratio),
        ):
            shown, by_chance = cell.text.split(" random ")
            for text, expected in ((shown, value), (by_chance, control)):
                if math.isnan(expected):
                    assert text == "–"
                else:
                    assert number(text) == pytest.approx(expected, abs=5e-4)
        assert row[5].text == f"{measured.spread.components_90} random {measured.random_spread.components_90}"


def test_findings_of_one_measure_stand_together_by_level_and_threshold() -> None:
    gate = GATES["mean_cosine", "other types"]
    findings = (
        Finding("gene", "mean_cosine", 0.97, None, gate, "collapsed", ("cause",), ("change",)),
        Finding("place", "mean_cosine", 0.96, None, gate, "collapsed", ("cause",), ("change",)),
        Finding("drug", "mean_cosine", 0.85, None, gate, "warning", ("cause",), ("change",)),
        Finding("all", "MRR of drugs given a disease", 0.1, None, gate, "warning", ("other",), ("more",)),
        Finding("disease", "mean_cosine", 0.1, None, gate, "good", (), ()),
    )
    verdict = Verdict("collapsed", {}, {}, findings, usefulness_tested=True, notes=())
    cosine, ranking = problems_of(verdict)
    assert [[f.node_type for f in group] for group in cosine.groups] == [["gene", "place"], ["drug"]]
    assert (cosine.likely_causes, cosine.what_to_change) == (("cause",), ("change",))
    assert ranking.measure == "MRR of drugs given a disease"
    assert [found_in(f) for f in findings] == ["gene", "place", "drug", "", "disease"]


def test_a_ranking_threshold_names_the_degree_prior() -> None:
    prior = Gate(0.25, None, higher_is_better=True, source="degree prior")
    finding = Finding("all", "MRR of drugs given a disease", 0.1, None, prior, "warning", (), ())
    assert threshold_name(finding) == "good above the degree prior, 0.250"


@pytest.mark.parametrize("measure", sorted(ADVICE))
def test_every_measure_of_the_verdict_has_plain_words(measure: str) -> None:
    assert "_" not in measure_name(measure)
