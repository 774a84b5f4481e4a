from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from report_data import DISEASES, DRUGS, GENES, NASTY, Element, made_up_run, read_html

from rxweave.kg.tables import Truth
from rxweave.rank.metrics import Estimate
from rxweave.report.page import NOT_ADVICE, ReportData, render_page, write_report

SECTIONS = ["verdict", "ranking", "predictions", "training", "geometry", "graph", "load", "made"]
REFERRING = {"src", "href", "xlink:href", "action", "srcset", "data", "poster", "background", "formaction"}


@pytest.fixture(scope="module")
def data() -> ReportData:
    return made_up_run()


@pytest.fixture(scope="module")
def html(data: ReportData) -> str:
    return render_page(data)


@pytest.fixture(scope="module")
def page(html: str) -> Element:
    return read_html(html)


@pytest.fixture(scope="module")
def refused() -> Element:
    return read_html(render_page(made_up_run(collapsed=True)))


@pytest.fixture
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of one more page: drawing takes most of the time, and `html` and `page` have the pictures."""
    monkeypatch.setattr("rxweave.report.page._pictures", lambda data: {})


without_pictures = pytest.mark.usefixtures("_no_pictures")


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


def pairs_in(page: Element) -> tuple[list[tuple[str, str]], dict[str, list[str]]]:
    """(drug id, disease id) of the overall table, and drug ids by disease id of the other."""

    def id_in(cell: Element) -> str:
        return cell.find("small", class_="id").text

    top = [(id_in(row[1]), id_in(row[2])) for row in page.find("table", id="top").rows()]
    by_disease = {}
    for body in page.find("table", id="leads").find_all("tbody"):
        heading, *rows = body.find_all("tr")
        by_disease[id_in(heading)] = [id_in(row.find_all("td")[0]) for row in rows]
    return top, by_disease


def number(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


# --- the file -------------------------------------------------------------------------------------------


def test_the_page_refers_to_nothing_outside_itself(html: str, page: Element) -> None:
    assert outside_references(html) == []
    assert not any("src" in script.attributes for script in page.find_all("script"))
    assert "default-src 'none'" in page.find("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    svgs = pictures_in(page)
    assert len(svgs) == 6
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
    (script,) = page.find_all("script")
    assert "alert(1)" not in script.text
    assert NASTY in page.find("table", id="leads").text
    assert NASTY in page.find("table", id="top").text
    assert "HGT <decoder>" in page.find("table", id="headline").text
    assert "disease –off-label <use>→ drug" in page.find("table", id="facts").text
    assert "relation <b>unknown</b>" in page.find("table", id="rejected").text
    assert "2.6 <nightly>" in page.find("section", id="made").text


@without_pictures
def test_a_nasty_graph_name_is_text_in_the_title_too() -> None:
    page = read_html(render_page(made_up_run(name=NASTY)))
    assert page.find("h1").text == NASTY
    assert page.find("title").text.startswith(NASTY)


def test_templates_and_style_are_part_of_the_package() -> None:
    there = {part.name for part in files("rxweave.report").iterdir()}
    assert {"template.html.j2", "macros.html.j2", "style.css", "filter.js"} <= there


def test_the_same_run_gives_the_same_page(data: ReportData, html: str) -> None:
    assert render_page(data) == html


def test_the_page_of_a_small_run_is_small(html: str) -> None:
    assert len(html.encode()) < 1_000_000


def test_both_files_are_written_and_the_page_is_utf_8(data: ReportData, html: str, tmp_path: Path) -> None:
    write_report(data, tmp_path / "new" / "report.html", tmp_path / "new" / "metrics.json")
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") == html
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["metrics.json", "report.html"]


@without_pictures
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


# --- for everyone who reads it ---------------------------------------------------------------------------


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
    assert {th.attributes["scope"] for th in headers} == {"col", "colgroup", "row", "rowgroup"}
    assert page.find("label").attributes["for"] == page.find("input").attributes["id"]


def test_predictions_can_be_read_without_scripts(page: Element) -> None:
    assert "hidden" in page.find("p", id="filter").attributes
    assert not any("hidden" in row.attributes for row in page.find("table", id="leads").find_all("tr"))


def test_it_says_twice_that_predictions_are_no_medical_advice(page: Element, refused: Element) -> None:
    for each in (page, refused):
        assert NOT_ADVICE in each.find("section", id="predictions").text
        assert NOT_ADVICE in each.find("footer").text


# --- verdict ---------------------------------------------------------------------------------------------


@without_pictures
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
        assert f"{finding.node_type}: {finding.value:z.3f}".replace("-", "−") in told
        for text in (*finding.likely_causes, *finding.what_to_change):
            assert text in told
    for note in data.verdict.notes:
        assert note in banner.text


@without_pictures
def test_a_good_verdict_has_no_problems_and_says_what_was_tested(data: ReportData) -> None:
    passed = tuple(f for f in data.verdict.findings if f.level == "good")
    good = replace(data.verdict, level="good", findings=passed)
    section = read_html(render_page(replace(data, verdict=good))).find("section", id="verdict")
    assert section.find_all("table", id="problems") == []
    banner = section.find("div", class_="banner")
    assert "Embeddings: good" in banner.text
    assert f"{len(passed)} of {len(passed)} checks passed, held-out ranking on both sides" in banner.text
    untested = replace(data, verdict=replace(good, usefulness_tested=False))
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


# --- ranking quality --------------------------------------------------------------------------------------


def test_every_method_shows_both_sides_with_its_intervals_beside_the_prior(data: ReportData, page: Element) -> None:
    table = page.find("table", id="headline")
    rows = {row[0].text: row[1:] for row in table.rows()}
    assert list(rows) == list(data.metrics)
    titles = [th.text for th in table.find_all("thead")[0].find_all("tr")[1].find_all("th")]
    assert titles == ["MRR", "Hits@1", "Hits@10", "MRR", "Hits@10", "Recall@50", "AUPRC", "AUROC"]

    def expected(method: str) -> list[Estimate]:
        m = data.metrics[method]
        by_drug, by_disease = m.diseases_given_drug, m.drugs_given_disease
        return [
            *(by_drug.mrr, by_drug.hits_at_1, by_drug.hits_at_10),
            *(by_disease.mrr, by_disease.hits_at_10, by_disease.recall_at_50),
            *(m.auprc, m.auroc),
        ]

    for method, cells in rows.items():
        for cell, estimate, prior in zip(cells, expected(method), expected("degree prior"), strict=True):
            assert cell.find("span", class_="value").text == f"{estimate.value:.3f}"
            interval = cell.find("small", class_="interval").text
            assert interval == f"{estimate.low:.3f}–{estimate.high:.3f}"
            gains = cell.find_all("small", class_="gain")
            if method == "degree prior":
                assert gains == []
                continue
            mark, gain = gains[0].text.split()
            assert number(gain) == pytest.approx(estimate.value - prior.value, abs=6e-4)
            above, below = estimate.low > prior.value, estimate.high < prior.value
            assert mark == ("▲" if above else "▼" if below else "≈")


def test_every_metric_is_there(data: ReportData, page: Element) -> None:
    rows = page.find("table", id="every-metric").rows()
    per_side = [
        name for name, value in vars(data.metrics["ranker"].drugs_given_disease).items() if hasattr(value, "low")
    ]
    assert [row[1].text for row in rows] == [*per_side, *per_side, "auprc", "auroc"]
    shown = number(rows[1][2].find("span", class_="value").text)
    assert shown == pytest.approx(data.metrics["ranker"].diseases_given_drug.mean_rank.value, abs=5e-4)


@without_pictures
def test_a_synthetic_graph_tells_its_oracle_and_the_share_reached(data: ReportData, page: Element) -> None:
    assert page.find_all("p", id="oracle") == []
    truth = Truth(0.9, pl.DataFrame())
    run = replace(data, kg=replace(data.kg, truth=truth))
    told = read_html(render_page(run)).find("p", id="oracle").text
    assert "0.9000" in told
    reached = (data.metrics["degree prior"].auroc.value - 0.5) / 0.4
    assert f"the degree prior goes {100 * reached:z.0f} %".replace("-", "−") in told


@without_pictures
def test_without_the_degree_prior_nothing_is_held_against_it(data: ReportData) -> None:
    run = replace(data, metrics={"ranker": data.metrics["ranker"]})
    table = read_html(render_page(run)).find("table", id="headline")
    assert table.find_all("small", class_="interval")
    assert table.find_all("small", class_="gain") == []


def test_a_run_without_metrics_or_history_says_so(data: ReportData) -> None:
    page = read_html(render_page(replace(data, metrics={}, history=())))
    assert "Nothing was ranked" in page.find("section", id="ranking").text
    assert "no training history" in page.find("section", id="training").text
    assert len(page.find_all("img")) == 3


def test_calibration_is_drawn_when_given(data: ReportData, page: Element) -> None:
    assert not any("Reliability" in alt for alt in pictures_in(page))
    with_bins = replace(data, calibration=[(0.1, 0.2, 1234), (0.9, 0.7, 56)])
    (svg,) = (s for alt, s in pictures_in(read_html(render_page(with_bins))).items() if "Reliability" in alt)
    assert "1,234" in svg


# --- predictions -------------------------------------------------------------------------------------------


def test_new_predictions_are_the_likeliest_pairs_that_are_not_known(data: ReportData, page: Element) -> None:
    assert data.predictions is not None
    known = {(f"D{drug}", f"D{disease}") for drug, disease in ids_of(data, data.split.known)}
    order = [(row["drug_id"], row["disease_id"]) for row in data.predictions.sort("rank").to_dicts()]
    new = [pair for pair in order if pair not in known]
    top, by_disease = pairs_in(page)
    assert known & set(order)
    assert top == new[:10]
    assert len(by_disease) == DISEASES
    for disease, drugs in by_disease.items():
        assert drugs == [drug for drug, d in new if d == disease][:5]


def ids_of(data: ReportData, pairs: np.ndarray) -> list[tuple[str, str]]:
    """The numbers in the ids of the pairs' ends (nodes are sorted by key, so row 2 is not drug 2)."""
    ids = data.graph.nodes["node_id"]
    drugs, diseases = ids[data.graph.rows_of("drug")], ids[data.graph.rows_of("disease")]
    return [(drugs[int(d)][1:], diseases[int(s)][1:]) for d, s in pairs]


def test_diseases_with_most_test_pairs_come_first(data: ReportData, page: Element) -> None:
    _, by_disease = pairs_in(page)
    tested = [disease for _, disease in ids_of(data, data.split.test)]
    counts = [tested.count(disease[1:]) for disease in by_disease]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_a_recorded_contraindication_is_pointed_out(data: ReportData, page: Element) -> None:
    facts = data.kg.edges
    ids = dict(data.graph.nodes.select("node_key", "node_id").rows())
    record = {
        name: {(ids[s], ids[t]) for s, _, t in facts.filter(pl.col("relation") == name).rows()}
        for name in ("contraindication", "off-label <use>")
    }
    marked = set()
    for row in page.find("table", id="top").rows():
        pair = (row[1].find("small", class_="id").text, row[2].find("small", class_="id").text)
        expected = (["✕ contraindication"] if pair in record["contraindication"] else []) + (
            ["off-label <use>"] if pair[::-1] in record["off-label <use>"] else []
        )
        assert row[-1].text == (" ".join(expected) or "–")
        marked |= set(expected)
    assert marked


def test_numbers_of_a_prediction_are_shown(data: ReportData, page: Element) -> None:
    assert data.predictions is not None
    first = data.predictions.filter(~pl.col("known")).sort("rank").row(0, named=True)
    cells = [cell.text for cell in page.find("table", id="top").rows()[0]]
    assert cells[0] == str(first["rank"])
    assert first["drug_name"] in cells[1]
    assert first["disease_name"] in cells[2]
    assert cells[3:7] == [
        f"{first['prob_treats']:.3f}",
        first["confidence"],
        f"{first['percentile_for_disease']:.1f}",
        f"{first['percentile_for_drug']:.1f}",
    ]


def test_refused_ranking_stands_in_a_box_and_shows_no_predictions(refused: Element, page: Element) -> None:
    box = refused.find("div", id="refused")
    assert "ranking was refused" in box.text
    assert "embeddings have collapsed" in box.text
    assert refused.find_all("table", id="leads") == refused.find_all("table", id="top") == []
    assert page.find_all("div", id="refused") == []


@without_pictures
def test_a_graph_in_which_all_is_known_has_no_new_predictions(data: ReportData) -> None:
    assert data.predictions is not None
    run = replace(data, predictions=data.predictions.with_columns(known=pl.lit(value=True)))
    page = read_html(render_page(run))
    assert "Every pair of this graph is on record" in page.find("table", id="top").text


# --- graph, load report, how it was made --------------------------------------------------------------------


def test_graph_counts_are_those_of_the_graph(data: ReportData, page: Element) -> None:
    *rows, _ = [[cell.text for cell in row] for row in page.find("table", id="nodes").rows()]
    assert [(row[0], row[1]) for row in rows] == [
        ("disease", str(DISEASES)),
        ("drug", str(DRUGS)),
        ("gene", str(GENES)),
        ("place", "1"),
    ]
    assert rows[3][2:] == ["1", "1", "0", "0"]
    *rows, last = [[cell.text for cell in row] for row in page.find("table", id="facts").rows()]
    shown = {row[0]: row[1:] for row in rows}
    for relation, fact, kept in zip(data.graph.relations, data.graph.facts, data.training.facts, strict=True):
        direction = "symmetric" if relation.symmetric else "directed"
        assert shown[str(relation)][:3] == [direction, str(fact.shape[1]), str(kept.shape[1])]
    assert shown["drug –indication→ disease"][3] == "treatment"
    assert shown["drug –contraindication→ disease"][3] == "contraindication"
    assert last[2:4] == [str(data.graph.num_facts), str(data.training.num_facts)]


def test_removed_facts_are_counted_by_reason(data: ReportData, page: Element) -> None:
    rows = [[cell.text for cell in row] for row in page.find("table", id="removed").rows()]
    assert sum(int(row[3]) for row in rows) == len(data.split.removed)
    held_out = [row for row in rows if row[:3] == ["test", "indication", "held-out treatment"]]
    assert [int(row[3]) for row in held_out] == [len(data.split.test)]
    sizes = [row[1].text for row in page.find("table", id="split").rows()]
    assert sizes == [str(len(part)) for part in (data.split.train, data.split.valid, data.split.test)]


@without_pictures
def test_a_sampled_graph_is_said_to_be_one(data: ReportData, page: Element) -> None:
    report = replace(data.kg.report, nodes=5000)
    told = read_html(render_page(replace(data, kg=replace(data.kg, report=report)))).find("section", id="graph")
    assert f"{data.graph.num_nodes} of the 5,000 nodes" in told.text
    assert "nodes that were loaded" not in page.find("section", id="graph").text


def test_the_load_report_is_told_in_full(data: ReportData, page: Element) -> None:
    report, section = data.kg.report, page.find("section", id="load")
    counts = {row[0].text: number(row[1].text) for row in page.find("table", id="load-counts").rows()}
    assert counts == {
        "Rows read": report.rows_read,
        "Facts": report.facts,
        "Exact duplicates": 1,
        "Swapped duplicates": 2,
        "Rejected rows": 3,
        "Self-loops": 0,
        "Nodes": report.nodes,
        "Isolated nodes": 1,
        "Empty names": 4,
        "Renamed ids": 5,
    }
    for told in ("folder/edges & more.tsv", "123.5 MB", "ab" * 32, "1,234", *report.renamed_examples, *report.notes):
        assert told in section.text


def test_settings_versions_and_stage_times_are_shown(page: Element) -> None:
    told = page.find("section", id="made")
    cells = {row[0].text: [cell.text for cell in row[1:]] for table in told.find_all("table") for row in table.rows()}
    assert cells["load.kg"] == ["folder & more"]
    assert cells["embed.dropout"] == ["0.3"]
    assert cells["embed.device"] == ["not set"]
    assert cells["seed"] == ["7"]
    assert cells["embed"] == ["12.5", "1.25"]


# --- metrics.json --------------------------------------------------------------------------------------------


@without_pictures
def test_metrics_json_gives_back_every_number(data: ReportData, tmp_path: Path) -> None:
    write_report(data, tmp_path / "report.html", tmp_path / "metrics.json")
    found = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert found["methods"] == {method: asdict(m) for method, m in data.metrics.items()}
    assert list(found["methods"]) == list(data.metrics)
    assert found["split"] == {
        "train": len(data.split.train),
        "valid": len(data.split.valid),
        "test": len(data.split.test),
        "removed_facts": len(data.split.removed),
    }
    assert found["oracle_auroc"] is None
    assert found["seed"] == 7
    assert found["verdict"]["level"] == data.verdict.level
    assert found["verdict"]["types"] == data.verdict.types
    measures = [(p["node_type"], p["measure"], p["level"]) for p in found["verdict"]["problems"]]
    assert measures == [(f.node_type, f.measure, f.level) for f in data.verdict.problems]
    assert found["graph"]["nodes"] == {"disease": DISEASES, "drug": DRUGS, "gene": GENES, "place": 1}
    assert found["embeddings"]["drug"]["mean_cosine"] == data.collapse.types[1].cosines.mean


@without_pictures
def test_what_is_undefined_is_null_in_metrics_json_and_a_dash_on_the_page(
    data: ReportData, page: Element, tmp_path: Path
) -> None:
    assert data.collapse.types[3].num_sampled == 0
    write_report(data, tmp_path / "report.html", tmp_path / "metrics.json")
    found = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert found["embeddings"]["place"]["mean_cosine"] is None
    assert page.find("table", id="types").rows()[3][3].text.startswith("–")


@without_pictures
def test_the_oracle_of_a_synthetic_graph_is_in_metrics_json(data: ReportData, tmp_path: Path) -> None:
    run = replace(data, kg=replace(data.kg, truth=Truth(0.9, pl.DataFrame())))
    write_report(run, tmp_path / "report.html", tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["oracle_auroc"] == 0.9
