from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl
import pytest
from report_data import DISEASES, DRUGS, GENES, Element, number, read_html

from rxweave.kg.tables import Truth
from rxweave.rank.metrics import Estimate
from rxweave.report.metrics import share_of_oracle
from rxweave.report.page import ReportData, render_page, write_report


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


def test_it_says_what_the_intervals_draw(data: ReportData, html: str) -> None:
    """As `rxweave.rank.metrics` draws: diseases for either side, drugs for means over drugs alone."""
    draws = f"{data.metrics['ranker'].num_bootstraps:,}"
    said = " ".join(html.split())
    assert f"from {draws} bootstrap draws of diseases, on both sides, each with all its held-out treatments" in said
    assert "those of means over drugs, from draws of drugs" in said


@pytest.mark.usefixtures("blank_figures")
def test_a_synthetic_graph_tells_its_oracle_and_the_share_reached(data: ReportData, page: Element) -> None:
    assert page.find_all("p", id="oracle") == []
    truth = Truth(0.9, pl.DataFrame())
    run = replace(data, kg=replace(data.kg, truth=truth))
    told = read_html(render_page(run)).find("p", id="oracle").text
    assert "0.9000" in told
    reached = (data.metrics["degree prior"].auroc.value - 0.5) / 0.4
    assert f"the degree prior goes {100 * reached:z.0f} %".replace("-", "−") in told


@pytest.mark.usefixtures("blank_figures")
def test_without_the_degree_prior_nothing_is_held_against_it(data: ReportData) -> None:
    run = replace(data, metrics={"ranker": data.metrics["ranker"]})
    table = read_html(render_page(run)).find("table", id="headline")
    assert table.find_all("small", class_="interval")
    assert table.find_all("small", class_="gain") == []


@pytest.mark.usefixtures("blank_figures")
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
        "unit": "pair",
        "kept_relations": [],
        "notes": list(data.split.notes),
    }
    assert found["oracle_auroc"] is None
    assert found["seed"] == 7
    assert found["verdict"]["level"] == data.verdict.level
    assert found["verdict"]["types"] == data.verdict.types
    measures = [(p["node_type"], p["measure"], p["level"]) for p in found["verdict"]["problems"]]
    assert measures == [(f.node_type, f.measure, f.level) for f in data.verdict.problems]
    assert found["graph"]["nodes"] == {"disease": DISEASES, "drug": DRUGS, "gene": GENES, "place": 1}
    assert found["embeddings"]["drug"]["mean_cosine"] == data.collapse.types[1].cosines.mean


@pytest.mark.usefixtures("blank_figures")
def test_what_is_undefined_is_null_in_metrics_json_and_a_dash_on_the_page(
    data: ReportData, page: Element, tmp_path: Path
) -> None:
    assert data.collapse.types[3].num_sampled == 0
    write_report(data, tmp_path / "report.html", tmp_path / "metrics.json")
    found = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert found["embeddings"]["place"]["mean_cosine"] is None
    assert page.find("table", id="types").rows()[3][3].text.startswith("–")


@pytest.mark.usefixtures("blank_figures")
def test_the_oracle_of_a_synthetic_graph_is_in_metrics_json(data: ReportData, tmp_path: Path) -> None:
    run = replace(data, kg=replace(data.kg, truth=Truth(0.9, pl.DataFrame())))
    write_report(run, tmp_path / "report.html", tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["oracle_auroc"] == 0.9


@pytest.mark.parametrize(
    ("auroc", "oracle", "share"), [(0.9, 0.9, 1.0), (0.7, 0.9, 0.5), (0.5, 0.9, 0.0), (0.4, 0.9, -0.25)]
)
def test_the_share_of_the_oracle_runs_from_chance_to_the_oracle(auroc: float, oracle: float, share: float) -> None:
    assert share_of_oracle(auroc, oracle) == pytest.approx(share)


def test_an_oracle_no_better_than_chance_leaves_no_share() -> None:
    assert math.isnan(share_of_oracle(0.7, 0.5))
