from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from report_data import DISEASES, DRUGS, GENES, Element, number, read_html

from rxweave.report.counts import node_counts
from rxweave.report.page import ReportData, render_page


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


def test_nodes_that_training_lost_all_facts_of_are_counted(data: ReportData) -> None:
    none_left = {r: np.zeros(fact.shape[1], bool) for r, fact in enumerate(data.training.facts)}
    counts = node_counts(data.graph, data.training.keep_facts(none_left))
    assert [row.isolated_in_training for row in counts] == [DISEASES, DRUGS, GENES, 1]
    assert [row.isolated for row in counts] == [
        0,
        0,
        int((data.graph.degrees[data.graph.rows_of("gene")] == 0).sum()),
        1,
    ]


def test_removed_facts_are_counted_by_reason(data: ReportData, page: Element) -> None:
    rows = [[cell.text for cell in row] for row in page.find("table", id="removed").rows()]
    assert sum(int(row[3]) for row in rows) == len(data.split.removed)
    held_out = [row for row in rows if row[:3] == ["test", "indication", "held-out treatment"]]
    assert [int(row[3]) for row in held_out] == [len(data.split.test)]
    sizes = [row[1].text for row in page.find("table", id="split").rows()]
    assert sizes == [str(len(part)) for part in (data.split.train, data.split.valid, data.split.test)]


@pytest.mark.usefixtures("blank_figures")
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
    assert f"{report.facts} facts + 1 exact duplicates + 2 swapped duplicates + 3 rejected" in section.text


def test_settings_versions_and_stage_times_are_shown(page: Element) -> None:
    told = page.find("section", id="made")
    cells = {row[0].text: [cell.text for cell in row[1:]] for table in told.find_all("table") for row in table.rows()}
    assert cells["load.kg"] == ["folder & more"]
    assert cells["embed.dropout"] == ["0.3"]
    assert cells["embed.device"] == ["not set"]
    assert cells["seed"] == ["7"]
    assert cells["embed"] == ["12.5", "1.25"]
