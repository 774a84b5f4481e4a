from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from report_data import DISEASES, Element, read_html

from rxweave.report.page import ReportData, render_page


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


@pytest.mark.usefixtures("blank_figures")
def test_a_graph_in_which_all_is_known_has_no_new_predictions(data: ReportData) -> None:
    assert data.predictions is not None
    run = replace(data, predictions=data.predictions.with_columns(known=pl.lit(value=True)))
    page = read_html(render_page(run))
    assert "Every pair of this graph is on record" in page.find("table", id="top").text
