"""A made-up kg.csv with PrimeKG's traps loads to exactly the facts that it was made of."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from rxweave.graph.build import Graph
from rxweave.graph.primekg_file import facts_by_key, primekg_nodes, write_primekg
from rxweave.graph.primekg_shape import primekg_shaped
from rxweave.kg.sources import load_kg
from rxweave.kg.tables import EDGE_COLUMNS


@pytest.fixture(scope="module")
def graph() -> Graph:
    return primekg_shaped(0.003, seed=1)


@pytest.fixture(scope="module")
def path(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("primekg") / "kg.csv"
    write_primekg(graph, path, seed=0)
    return path


def test_the_file_has_primekg_s_traps(graph: Graph, path: Path) -> None:
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header[:4] == ["relation", "display_relation", "x_index", "x_id"]
    assert len(rows) == 2 * graph.num_facts + 1
    assert sorted(Counter(map(tuple, rows)).values())[-2:] == [1, 2]  # one row stands twice in full
    types_of = {(row[3], row[4]) for row in rows}
    assert {kind for number, kind in types_of if number == "7"} > {"disease", "gene/protein", "anatomy"}
    assert any("_" in number for number, kind in types_of if kind == "disease")
    assert any("," in row[5] and '"' in row[5] for row in rows)


def test_it_loads_to_exactly_the_facts_it_was_made_of(graph: Graph, path: Path) -> None:
    kg = load_kg(path)
    expected = facts_by_key(graph, primekg_nodes(graph)).sort(EDGE_COLUMNS)
    assert kg.edges.select(EDGE_COLUMNS).sort(EDGE_COLUMNS).equals(expected)
    report = kg.report
    assert report.rows_read == 2 * graph.num_facts + 1
    assert (report.facts, report.swapped_duplicates, report.exact_duplicates) == (graph.num_facts, graph.num_facts, 1)
    assert (report.rejected_rows, report.renamed_ids, report.empty_names) == (0, 0, 0)
    assert not [note for note in report.notes if "x_index" in note]
    assert kg.nodes.height == int((graph.degrees > 0).sum())


def test_another_seed_writes_the_same_facts_in_another_order(graph: Graph, path: Path, tmp_path: Path) -> None:
    write_primekg(graph, tmp_path / "kg.csv", seed=5)
    assert (tmp_path / "kg.csv").read_bytes() != path.read_bytes()
    again = load_kg(tmp_path / "kg.csv").edges.select(EDGE_COLUMNS).sort(EDGE_COLUMNS)
    assert again.equals(load_kg(path).edges.select(EDGE_COLUMNS).sort(EDGE_COLUMNS))
