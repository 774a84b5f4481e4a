from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from report_data import DISEASES, DRUGS, Element, predictions_of, read_html

from rxweave.graph.build import Graph
from rxweave.graph.filtered_ranks import expected_ranks
from rxweave.graph.split import PARTS, random_split, training_graph
from rxweave.rank.shared_genes import common_neighbours
from rxweave.report.page import ReportData, render_page
from rxweave.report.per_disease import NAMED, NUM_DRUGS, per_disease


def id_in(cell: Element) -> str:
    return cell.find_all("small", class_="id")[0].text


def pairs_in(page: Element) -> tuple[list[tuple[str, str]], dict[str, list[str]]]:
    """(drug id, disease id) of the overall table, and drug ids by disease id of the parts on one disease each."""
    top = [(id_in(row[1]), id_in(row[2])) for row in page.find("table", id="top").rows()]
    by_disease = {
        id_in(part.find("summary")): [id_in(row[0]) for row in part.find("table", class_="leads").rows()]
        for part in page.find_all("details", class_="disease")
    }
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
        assert drugs == [drug for drug, d in new if d == disease][:NUM_DRUGS]


def ids_of(data: ReportData, pairs: np.ndarray) -> list[tuple[str, str]]:
    """The numbers in the ids of the pairs' ends (nodes are sorted by key, so row 2 is not drug 2)."""
    ids = data.graph.nodes["node_id"]
    drugs, diseases = ids[data.graph.rows_of("drug")], ids[data.graph.rows_of("disease")]
    return [(drugs[int(d)][1:], diseases[int(s)][1:]) for d, s in pairs]


def test_diseases_with_most_recorded_treatments_come_first_then_those_with_most_test_pairs(data: ReportData) -> None:
    assert data.predictions is not None
    known, tested = ([disease for _, disease in ids_of(data, p)] for p in (data.split.known, data.split.test))
    found = per_disease(data.predictions, data.graph, data.training, data.split, most_known=4, most_tested=DISEASES)
    recorded = [known.count(each.id[1:]) for each in found]
    held_out = [tested.count(each.id[1:]) for each in found]
    assert [each.num_known for each in found] == recorded
    assert [each.counts["test"] for each in found] == held_out
    assert recorded[:4] == sorted(recorded, reverse=True)[:4]
    assert held_out[4:] == sorted(held_out[4:], reverse=True)
    assert len({each.id for each in found}) == DISEASES
    assert recorded[4] < recorded[3] or held_out != sorted(held_out, reverse=True)


def test_known_treatments_stand_where_the_filtered_rank_puts_them(data: ReportData) -> None:
    assert data.predictions is not None
    scores = np.empty((DRUGS, DISEASES))
    row_of = [{key: i for i, key in enumerate(data.graph.nodes["node_key"][data.graph.rows_of(t)])}
              for t in ("drug", "disease")]  # fmt: skip
    for row in data.predictions.iter_rows(named=True):
        scores[row_of[0][row["drug_key"]], row_of[1][row["disease_key"]]] = -row["rank"]
    expected = {}
    for part in PARTS:
        pairs = getattr(data.split, part)
        ranks = expected_ranks(scores.T, pairs[:, ::-1], data.split.known[:, ::-1])
        expected |= {
            (drug, disease, part): rank for (drug, disease), rank in zip(ids_of(data, pairs), ranks, strict=True)
        }
    found = {
        (place.drug_id[1:], each.id[1:], place.part): place.place
        for each in per_disease(data.predictions, data.graph, data.training, data.split)
        for place in each.places
    }
    assert found == expected


def test_a_disease_tells_what_its_leads_rest_on(data: ReportData, page: Element) -> None:
    assert data.predictions is not None
    ids = dict(data.graph.nodes.select("node_key", "node_id").rows())
    genes: dict[str, set[str]] = {}
    for relation, facts in zip(data.training.relations, data.training.facts, strict=True):
        if relation.name == "target":
            for drug, gene in facts.T:
                keys = data.graph.nodes["node_key"]
                genes.setdefault(ids[keys[int(drug)]], set()).add(keys[int(gene)])
    first = per_disease(data.predictions, data.graph, data.training, data.split)[0]
    assert first.num_genes == 0  # this graph joins no disease to a gene
    assert all(lead["num_shared"] == 0 for lead in first.leads)
    trained = [drug for drug, disease in ids_of(data, data.split.train) if disease == first.id[1:]]
    assert first.counts["train"] == len(trained)
    told = page.find_all("details", class_="disease")[0].find("p", class_="rests").text
    assert told.startswith(f"Rests on {len(trained)} treatments in training (")
    assert "0 genes" in told
    for lead in first.leads:
        assert lead["drug_treats"] == sum(drug == lead["drug_id"][1:] for drug, _ in ids_of(data, data.split.train))


def test_shared_genes_are_named_the_rarest_first(small_graph: Graph) -> None:
    split = random_split(small_graph, seed=0)
    training = training_graph(small_graph, split)
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(small_graph.num_of("drug"), small_graph.num_of("disease"))).astype(np.float32)
    found = per_disease(predictions_of(scores, small_graph, split), small_graph, training, split)
    common = common_neighbours(training)
    names = small_graph.nodes["node_name"].to_list()
    rows = {key: row for row, key in enumerate(small_graph.nodes["node_key"])}
    first = [small_graph.rows_of(t).start for t in ("drug", "disease")]
    shared = [lead for each in found for lead in each.leads if lead["num_shared"]]
    assert shared
    for each in found:
        for lead in each.leads:
            ends = rows[lead["drug_key"]] - first[0], rows[lead["disease_key"]] - first[1]
            assert lead["num_shared"] == common[ends]
            degrees = [training.degrees[names.index(name)] for name in lead["shared"]]
            assert degrees == sorted(degrees)
            assert len(lead["shared"]) == min(NAMED, lead["num_shared"])


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
    assert refused.find_all("table", class_="leads") == refused.find_all("table", id="top") == []
    assert refused.find_all("div", id="search") == refused.find_all("script", id="every-disease") == []
    assert page.find_all("div", id="refused") == []


@pytest.mark.usefixtures("blank_figures")
def test_a_graph_in_which_all_is_known_has_no_new_predictions(data: ReportData) -> None:
    assert data.predictions is not None
    run = replace(data, predictions=data.predictions.with_columns(known=pl.lit(value=True)))
    page = read_html(render_page(run))
    assert "Every pair of this graph is on record" in page.find("table", id="top").text
