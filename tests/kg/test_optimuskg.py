"""OptimusKG's two tables, made by hand after their published description."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxweave.errors import InputError, RxweaveError
from rxweave.graph.build import build_graph
from rxweave.kg.names import find_node
from rxweave.kg.sources import load_kg
from rxweave.kg.tables import Relation

NODES = [
    (
        "ENSG1",
        "GEN",
        {"symbol": "TP53", "name": "tumor protein p53", "symbol_synonyms": [{"label": "P53", "source": "x"}]},
    ),
    ("ENSG2", "GEN", {"symbol": "GHR", "name": None}),
    ("MONDO_0005148", "DIS", {"name": "type 2 diabetes", "synonyms": ["NIDDM", None], "definition": 'a "quoted" one'}),
    ("CHEMBL1431", "DRG", {"name": "Metformin", "synonyms": [{"label": "Glucophage"}]}),
    ("CHEMBL25", "DRG", {"name": "Aspirin"}),
    ("X:1", "NEW", None),
]
EDGES = [
    ("CHEMBL1431", "MONDO_0005148", "DRG-DIS", "INDICATION", True),
    ("MONDO_0005148", "CHEMBL1431", "DRG-DIS", "INDICATION", True),
    ("CHEMBL25", "MONDO_0005148", "DRG-DIS", "CONTRAINDICATION", True),
    ("ENSG2", "ENSG1", "GEN-GEN", "INTERACTS_WITH", True),
    ("ENSG1", "ENSG2", "GEN-GEN", "INTERACTS_WITH", True),
    ("CHEMBL25", "CHEMBL1431", "DRG-DRG", "PARENT", False),
    ("CHEMBL1431", "CHEMBL25", "DRG-DRG", "PARENT", False),
    ("CHEMBL25", "CHEMBL1431", "DRG-DRG", "SYNERGISTIC_INTERACTION", True),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    nodes = [(id_, label, None if told is None else json.dumps(told)) for id_, label, told in NODES]
    write(tmp_path, nodes, EDGES)
    return tmp_path


def write(folder: Path, nodes: list[tuple[str, str, str | None]], edges: list[tuple[str, str, str, str, bool]]) -> None:
    pl.DataFrame(nodes, schema=["id", "label", "properties"], orient="row").write_parquet(folder / "nodes.parquet")
    pl.DataFrame(edges, schema=["from", "to", "label", "relation", "undirected"], orient="row").write_parquet(
        folder / "edges.parquet"
    )


@pytest.mark.parametrize("name", ["", "edges.parquet"])
def test_each_fact_is_there_once_in_its_direction(folder: Path, name: str) -> None:
    kg = load_kg(folder / name)
    assert kg.name == "optimuskg"
    assert set(kg.edges.rows()) == {
        ("Drug|OptimusKG|CHEMBL1431", "INDICATION", "Disease|OptimusKG|MONDO_0005148"),
        ("Drug|OptimusKG|CHEMBL25", "CONTRAINDICATION", "Disease|OptimusKG|MONDO_0005148"),
        ("Gene|OptimusKG|ENSG1", "INTERACTS_WITH", "Gene|OptimusKG|ENSG2"),
        ("Drug|OptimusKG|CHEMBL25", "PARENT", "Drug|OptimusKG|CHEMBL1431"),
        ("Drug|OptimusKG|CHEMBL1431", "PARENT", "Drug|OptimusKG|CHEMBL25"),
        ("Drug|OptimusKG|CHEMBL1431", "SYNERGISTIC_INTERACTION", "Drug|OptimusKG|CHEMBL25"),
    }
    assert (kg.report.rows_read, kg.report.facts, kg.report.swapped_duplicates) == (8, 6, 2)
    assert Relation("Drug", "PARENT", "Drug") in kg.relations
    assert Relation("Drug", "SYNERGISTIC_INTERACTION", "Drug", symmetric=True) in kg.relations
    assert len(build_graph(kg).pairs(kg.roles.treats)) == 1


def test_nodes_are_called_by_symbol_or_name_and_the_rest_are_synonyms(folder: Path) -> None:
    kg = load_kg(folder)
    names = dict(kg.nodes.select("node_id", "node_name").iter_rows())
    assert (names["ENSG1"], names["MONDO_0005148"], names["X:1"]) == ("TP53", "type 2 diabetes", "X:1")
    assert (kg.report.empty_names, kg.report.isolated_nodes) == (1, 1)
    assert kg.nodes.filter(node_id="X:1")["node_type"].to_list() == ["NEW"]
    for text, id_ in (("p53", "ENSG1"), ("tumor protein p53", "ENSG1"), ("niddm", "MONDO_0005148")):
        assert find_node(kg, text).node_id == id_


@pytest.mark.parametrize(
    ("nodes", "edges", "reason"),
    [
        ([], [("ENSG1", "ENSG9", "GEN-GEN", "R", True)], "edges.parquet, line 9: to 'ENSG9' is not in the node file"),
        ([], [("ENSG1", "ENSG2", "GEN-GEN", "", True)], "edges.parquet, line 9: the relation is empty"),
        ([("ENSG1", "GEN", "{}")], [], "nodes.parquet, line 7: id 'ENSG1' stands above already"),
        ([("Y", "", "{}")], [], "nodes.parquet, line 7: label is empty"),
    ],
)
def test_a_malformed_row_is_named_or_skipped_and_counted(
    folder: Path, nodes: list[tuple[str, str, str]], edges: list[tuple[str, str, str, str, bool]], reason: str
) -> None:
    write(folder, [*((id_, label, json.dumps(told or {})) for id_, label, told in NODES), *nodes], EDGES + edges)
    with pytest.raises(InputError, match=reason):
        load_kg(folder)
    report = load_kg(folder, on_error="skip").report
    assert (report.facts, report.rejected_rows) == (6, len(edges))


def test_properties_that_are_not_json_give_no_name(folder: Path) -> None:
    write(folder, [(id_, label, "[1" if id_ == "ENSG1" else "3") for id_, label, _ in NODES], EDGES)
    assert load_kg(folder).report.empty_names == 6


def test_the_edges_alone_are_told_what_they_lack(folder: Path) -> None:
    (folder / "nodes.parquet").unlink()
    with pytest.raises(InputError, match=r"beside it lies no nodes.parquet with the columns id, label, properties"):
        load_kg(folder / "edges.parquet")


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_rows_in_are_facts_duplicates_and_rejected_rows(tmp_path: Path, data: st.DataObject) -> None:
    ends = st.sampled_from([*(id_ for id_, _, _ in NODES), "", "é", "x" * 300])
    relation = st.sampled_from(["INDICATION", "PARENT", "INTERACTS_WITH", ""])
    edges = data.draw(st.lists(st.tuples(ends, ends, st.just("?"), relation, st.booleans()), min_size=1, max_size=30))
    odd = st.tuples(st.sampled_from(["ENSG1", "", "new"]), st.sampled_from(["GEN", "", "|"]), st.text(max_size=5))
    nodes = [(id_, label, json.dumps(told)) for id_, label, told in NODES] + data.draw(st.lists(odd, max_size=3))
    write(tmp_path, nodes, edges)
    try:
        kg = load_kg(tmp_path, on_error="skip")
    except RxweaveError:
        return
    assert kg.report.rows_read == len(edges)
    assert kg.report.facts == kg.edges.height == build_graph(kg).num_facts
