from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest
from report_data import NASTY, Element, made_up_run, read_html

from rxweave.report.page import ReportData, render_page, write_report

SECTIONS = [
    "verdict",
    "ranking",
    "reliability",
    "ablation",
    "predictions",
    "flyers",
    "clusters",
    "training",
    "geometry",
    "graph",
    "load",
    "limits",
    "made",
]
REFERRING = {"src", "href", "xlink:href", "action", "srcset", "data", "poster", "background", "formaction"}


def outside_references(html: str) -> list[str]:
    """Everything in a page or an SVG that would make a browser fetch something."""
    found = []
    for name, value in re.findall(r"""([\w:-]+)\s*=\s*["']([^"']*)["']""", html):
        if name in REFERRING and not value.startswith(("#", "data:")):
            found.append(f"{name}={value}")
    found += re.findall(r"url\(\s*['\"]?(?!#|data:)[^)]*\)", html)
    found += re.findall(r"@import[^;]*;|<(?:iframe|object|embed|base)\b", html)
    return found


def pictures_in(page: Element) -> dict[str, str]:
    """The SVG text of every figure, by its alternative text."""
    start = "data:image/svg+xml;base64,"
    found = {}
    for image in page.find_all("img"):
        assert image.attributes["src"].startswith(start)
        svg = base64.b64decode(image.attributes["src"].removeprefix(start)).decode()
        found[image.attributes["alt"]] = svg
    return found


def test_the_page_refers_to_nothing_outside_itself(html: str, page: Element) -> None:
    assert outside_references(html) == []
    assert not any("src" in script.attributes for script in page.find_all("script"))
    policy = page.find("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"].split("; ")
    assert policy[:2] == ["default-src 'none'", "img-src data:"]
    assert set(policy[2:]) == {"style-src 'unsafe-inline'", "script-src 'unsafe-inline'"}
    svgs = pictures_in(page)
    assert len(svgs) == 9
    assert [outside_references(svg) for svg in svgs.values()] == [[]] * len(svgs)


@pytest.mark.parametrize(
    "planted",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="style.css">',
        "<style>@import 'x.css';</style>",
        "<style>b { background: url(//example/x.png) }</style>",
        "<iframe></iframe>",
    ],
)
def test_the_search_for_outside_references_finds_them(html: str, planted: str) -> None:
    assert outside_references(html + planted)


def test_names_from_the_data_are_text_not_markup(html: str, page: Element) -> None:
    assert "<script>alert" not in html
    searched, script = page.find_all("script")
    assert "alert(1)" not in script.text
    assert any(NASTY in name for name, _ in json.loads(searched.text)["drugs"])
    assert NASTY in page.find_all("table", class_="leads")[0].text
    assert NASTY in page.find_all("table", class_="flyers")[0].text
    assert NASTY in page.find("table", id="top").text
    assert "HGT <decoder>" in page.find("table", id="headline").text
    assert "disease –off-label <use>→ drug" in page.find("table", id="facts").text
    assert "relation <b>unknown</b>" in page.find("table", id="rejected").text
    assert "exact duplicate edges.tsv 77 a <i>row</i>" in page.find("table", id="folded").text
    assert "2.6 <nightly>" in page.find("section", id="made").text


@pytest.mark.usefixtures("blank_figures")
def test_a_nasty_graph_name_is_text_in_the_title_too() -> None:
    page = read_html(render_page(made_up_run(name=NASTY)))
    assert page.find("h1").text == NASTY
    assert page.find("title").text.startswith(NASTY)


def test_templates_and_style_are_part_of_the_package() -> None:
    there = {part.name for part in files("rxweave.report").iterdir()}
    assert {"template.html.j2", "macros.html.j2", "style.css", "search.js"} <= there


def test_the_same_run_gives_the_same_page(data: ReportData, html: str) -> None:
    assert render_page(data) == html


def test_the_page_of_a_small_run_is_small(html: str) -> None:
    assert len(html.encode()) < 1_000_000


def test_all_files_are_written_and_the_page_is_utf_8(data: ReportData, html: str, tmp_path: Path) -> None:
    write_report(data, tmp_path / "new" / "report.html", tmp_path / "new" / "metrics.json")
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") == html
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["metrics.json", "report.html", "training.png"]


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("broken", ["page", "metrics"])
def test_a_failure_leaves_no_file_and_touches_no_older_one(data: ReportData, tmp_path: Path, broken: str) -> None:
    assert data.predictions is not None
    bad = replace(data, manifest={"seed": object()})
    if broken == "page":
        bad = replace(data, predictions=data.predictions.drop("rank"))
    with pytest.raises((TypeError, pl.exceptions.ColumnNotFoundError)):
        write_report(bad, tmp_path / "report.html", tmp_path / "metrics.json")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "report.html").write_text("older")
    with pytest.raises((TypeError, pl.exceptions.ColumnNotFoundError)):
        write_report(bad, tmp_path / "report.html", tmp_path / "metrics.json")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "older"


@pytest.mark.usefixtures("blank_figures")
def test_a_picture_in_the_way_leaves_the_older_page_and_numbers(data: ReportData, tmp_path: Path) -> None:
    (tmp_path / "training.png").mkdir()
    for name in ("report.html", "metrics.json"):
        (tmp_path / name).write_text("older")
    with pytest.raises(OSError, match=r"training\.png"):
        write_report(data, tmp_path / "report.html", tmp_path / "metrics.json")
    assert {p.name for p in tmp_path.iterdir()} == {"report.html", "metrics.json", "training.png"}
    assert (tmp_path / "report.html").read_text() == (tmp_path / "metrics.json").read_text() == "older"


@pytest.mark.usefixtures("blank_figures")
def test_without_a_history_no_older_curves_stay(data: ReportData, tmp_path: Path) -> None:
    (tmp_path / "training.png").write_text("of another training")
    write_report(replace(data, history=()), tmp_path / "report.html", tmp_path / "metrics.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.json", "report.html"]


def test_sections_stand_in_order_and_every_link_leads_somewhere(page: Element) -> None:
    assert [section.attributes["id"] for section in page.find_all("section")] == SECTIONS
    links = [a.attributes["href"] for a in page.find("nav").find_all("a")]
    assert links == [f"#{name}" for name in SECTIONS]
    ids = [e.attributes["id"] for e in page.find_all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    assert {a.attributes["href"][1:] for a in page.find_all("a")} <= set(ids)


def test_language_alternative_texts_and_header_scopes_are_given(page: Element) -> None:
    assert page.find("html").attributes["lang"] == "en"
    assert all(len(image.attributes["alt"]) > 20 for image in page.find_all("img"))
    headers = page.find_all("th")
    assert headers
    assert {th.attributes["scope"] for th in headers} == {"col", "colgroup", "row"}
    assert page.find("label").attributes["for"] == page.find("input").attributes["id"]


def test_predictions_can_be_read_without_scripts(page: Element) -> None:
    assert "hidden" in page.find("div", id="search").attributes
    assert "needs JavaScript" in page.find("noscript").text
    tables = page.find_all("table", class_="leads")
    assert tables
    assert not any("hidden" in row.attributes for table in tables for row in table.find_all("tr"))


def test_it_says_twice_that_predictions_are_no_medical_advice(page: Element, refused: Element) -> None:
    not_advice = "Predictions are research leads, not medical advice."
    for each in (page, refused):
        assert not_advice in each.find("section", id="predictions").text
        assert not_advice in each.find("footer").text


@pytest.mark.usefixtures("blank_figures")
def test_a_run_without_metrics_or_history_says_so(data: ReportData) -> None:
    page = read_html(render_page(replace(data, metrics={}, history=(), reliability=None)))
    assert "Nothing was ranked" in page.find("section", id="ranking").text
    assert "no training history" in page.find("section", id="training").text
    assert len(page.find_all("img")) == 3
