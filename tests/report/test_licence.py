from __future__ import annotations

from dataclasses import replace

import pytest
from report_data import Element, made_up_kg, read_html

from rxweave.kg.catalogue import source_named, source_names
from rxweave.kg.tables import InputFile
from rxweave.report.licence import licence_of
from rxweave.report.page import ReportData, render_page


def asked(kg: str) -> dict[str, object]:
    return {"settings": {"load": {"kg": kg}}}


@pytest.mark.parametrize("name", source_names())
def test_a_graph_asked_for_by_name_has_the_terms_of_the_catalogue(name: str) -> None:
    found = licence_of(made_up_kg(), asked(name))
    assert (found.known, found.source) == ("catalogue", source_named(name))


def test_a_file_is_known_by_its_checksum() -> None:
    kg = made_up_kg()
    published = next(file for file in source_named("hetionet").files if file.sha256)
    report = replace(kg.report, files=(InputFile("edges.gz", 1, str(published.sha256)),))
    found = licence_of(replace(kg, report=report), asked("some/folder"))
    assert (found.known, found.source) == ("catalogue", source_named("hetionet"))


def test_a_name_alone_is_no_proof_and_others_are_unknown() -> None:
    named = licence_of(replace(made_up_kg(), name="PrimeKG"), asked("my/PrimeKG"))
    assert (named.known, named.source) == ("by name", source_named("primekg"))
    assert licence_of(made_up_kg(), asked("my/graph")).known == "unknown"
    assert licence_of(made_up_kg(), {}).known == "unknown"
    assert licence_of(made_up_kg(), asked("demo:600")).known == "made up"


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize(
    ("kg", "told"),
    [
        ("hetionet", "CC0 for its own content"),
        ("demo", "its drugs and diseases do not exist"),
        ("mine", "is not known to rxweave"),
    ],
)
def test_the_report_tells_the_terms_or_that_it_does_not_know_them(data: ReportData, kg: str, told: str) -> None:
    section = read_html(render_page(replace(data, manifest=asked(kg)))).find("section", id="limits")
    assert told in section.text


@pytest.mark.usefixtures("blank_figures")
def test_the_terms_of_a_name_that_proves_nothing_are_told_as_such(data: ReportData) -> None:
    run = replace(data, kg=replace(data.kg, name="hetionet"), manifest=asked("folder/hetionet"))
    section = read_html(render_page(run)).find("section", id="limits")
    assert "By its name" in section.text
    assert "CC0 for its own content" in section.text


def test_what_the_numbers_do_not_show_is_told(page: Element, refused: Element) -> None:
    for each in (page, refused):
        section = each.find("section", id="limits")
        assert len(section.find_all("li")) >= 6
        assert "Predictions are research leads, not medical advice." in section.text
