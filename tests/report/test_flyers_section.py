from __future__ import annotations

from dataclasses import replace

import pytest
from report_data import DISEASES, Element, number, read_html

from rxweave.rank.flyers import FEW, LIST, concentrations
from rxweave.report.page import NOT_ADVICE, ReportData, render_page


def test_places_and_entropy_stand_beside_those_of_the_recorded_treatments(data: ReportData, page: Element) -> None:
    assert data.predictions is not None
    sizes = data.graph.num_of("drug"), data.graph.num_of("disease")
    expected = concentrations(data.predictions, *sizes)
    section = page.find("section", id="flyers")
    rows = section.find("table", id="concentration").rows()
    for row, each in zip(rows, expected, strict=True):
        entropy, recorded = (number(text) for text in row[4].text.split(" recorded "))
        assert (entropy, recorded) == (
            pytest.approx(each.entropy, abs=6e-3), pytest.approx(each.known_entropy, abs=6e-3),
        )  # fmt: skip
        assert row[2].text == str(each.places)
    names = [row[0].text for row in section.find_all("table", class_="flyers")[0].rows()]
    assert len(names) == min(FEW, expected[0].distinct)
    assert rows[0][0].text == f"{LIST} best new drugs of each disease"


@pytest.mark.usefixtures("blank_figures")
def test_a_few_that_take_most_places_are_warned_of(
    data: ReportData, page: Element, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert page.find("section", id="flyers").find_all("p", class_="banner") == []
    assert data.predictions is not None
    found = concentrations(data.predictions, data.graph.num_of("drug"), DISEASES)
    skewed = replace(found[0], few_share=0.81, known_few_share=0.2, candidates=500)
    monkeypatch.setattr("rxweave.report.page.concentrations", lambda *_: (skewed, *found[1:]))
    (warning,) = read_html(render_page(data)).find("section", id="flyers").find_all("p", class_="banner")
    assert f"{FEW} drugs take 81 % of the places" in warning.text
    assert "have 20 % of those" in warning.text


def test_every_table_of_leads_says_that_they_are_no_medical_advice(page: Element) -> None:
    tables = [
        page.find("table", id="top"),
        *page.find_all("table", class_="leads"),
        *page.find_all("table", class_="flyers"),
    ]
    assert len(tables) > 10
    assert all(NOT_ADVICE in table.find("caption").text for table in tables)
    assert NOT_ADVICE in page.find("header").text
