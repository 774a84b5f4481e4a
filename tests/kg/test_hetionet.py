from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import polars as pl
import pytest

from rxweave.errors import InputError
from rxweave.graph.build import build_graph
from rxweave.kg.sources import load_kg
from rxweave.kg.tables import EDGE_COLUMNS, NODE_COLUMNS, KnowledgeGraph

SLICE = Path(__file__).parents[1] / "data" / "hetionet"
GOSERELIN, DESMOPRESSIN = "Compound|Hetionet|DB00014", "Compound|Hetionet|DB00035"
PDE6G, SOCS3 = "Gene|Hetionet|5148", "Gene|Hetionet|9021"


@pytest.fixture(scope="module")
def kg() -> KnowledgeGraph:
    return load_kg(SLICE)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(SLICE / "nodes.tsv", tmp_path)
    shutil.copy(SLICE / "edges.tsv", tmp_path)
    return tmp_path


def append(path: Path, *lines: str) -> None:
    with path.open("a") as stream:
        stream.writelines(f"{line}\n" for line in lines)


def test_every_row_is_accounted_for(kg: KnowledgeGraph) -> None:
    report = kg.report
    assert (report.rows_read, report.facts, kg.edges.height) == (11, 9, 9)
    assert (report.exact_duplicates, report.swapped_duplicates, report.rejected_rows) == (1, 1, 0)
    assert report.self_loops == 1
    assert (report.nodes, report.isolated_nodes) == (9, 2)
    assert report.empty_names == 1
    assert report.renamed_examples == ("Gene::9021: 'SOCS3', 'SOCS-3'",)
    assert report.notes == ("1 rows of the node table repeat an id.",)
    assert [Path(file.path).name for file in report.files] == ["nodes.tsv", "edges.tsv"]


def test_direction_is_in_the_metaedge(kg: KnowledgeGraph) -> None:
    facts = set(kg.edges.select(EDGE_COLUMNS).rows())
    assert {fact for fact in facts if fact[1] in {"Gr>G", "CrC", "GiG"}} == {
        (SOCS3, "Gr>G", PDE6G),
        (PDE6G, "Gr>G", SOCS3),
        (GOSERELIN, "CrC", DESMOPRESSIN),
        (PDE6G, "GiG", PDE6G),
    }
    assert (GOSERELIN, "CtD", "Disease|Hetionet|DOID:10283") in facts
    assert {relation.name for relation in kg.relations if relation.symmetric} == {"CrC", "GiG"}


def test_ids_stay_as_written_and_keys_have_type_source_and_id(kg: KnowledgeGraph) -> None:
    assert tuple(kg.nodes.columns) == NODE_COLUMNS
    names = {row["node_id"]: (row["node_key"], row["node_name"]) for row in kg.nodes.iter_rows(named=True)}
    assert names["Compound::DB00014"] == (GOSERELIN, "Goserelin")
    assert names["Compound::DB00091"] == ("Compound|Hetionet|DB00091", "DB00091")
    assert names["Gene::9021"] == (SOCS3, "SOCS3")
    assert names["Side Effect::C0000727"][1] == 'Acute, so-called "surgical" abdomen'


def test_metaedges_are_spelt_out_for_display(kg: KnowledgeGraph) -> None:
    shown = dict(kg.edges.select("relation", "display_relation").iter_rows())
    assert shown["CtD"] == "treats"
    assert shown["Gr>G"] == "regulates"


def test_roles(kg: KnowledgeGraph) -> None:
    assert (kg.roles.drug, kg.roles.disease, kg.roles.gene) == ("Compound", "Disease", "Gene")
    assert (kg.roles.treats, kg.roles.contraindicated) == (("CtD",), ())


def test_packed_tables_and_sif_names_and_the_edge_list_itself_are_the_same_source(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    (tmp_path / "hetionet-v1.0-nodes.tsv").write_bytes((SLICE / "nodes.tsv").read_bytes())
    edges = tmp_path / "hetionet-v1.0-edges.sif.gz"
    edges.write_bytes(gzip.compress((SLICE / "edges.tsv").read_bytes()))
    for source in (tmp_path, edges):
        again = load_kg(source)
        assert again.name == "hetionet"
        assert again.nodes.equals(kg.nodes)
        assert again.edges.equals(kg.edges)


def test_an_edge_list_without_a_header_loses_no_row(kg: KnowledgeGraph, copy: Path) -> None:
    edges = copy / "edges.tsv"
    edges.write_text(edges.read_text().partition("\n")[2])
    again = load_kg(edges)
    assert again.report.rows_read == 11
    assert again.edges.equals(kg.edges)
    append(edges, "Gene::1\tGiG\tGene::9021")
    with pytest.raises(InputError, match="line 12: source 'Gene::1' is not in the node table"):
        load_kg(copy)


BAD_EDGES = {
    "source 'Compound::DB1' is not in the node table": "Compound::DB1\tCtD\tDisease::DOID:9744",
    "target 'Disease::DOID:1' is not in the node table": "Compound::DB00014\tCtD\tDisease::DOID:1",
    "CtD joins Disease to Compound here; expected Compound to Disease": ("Disease::DOID:9744\tCtD\tCompound::DB00014"),
    "CtD joins Compound to Gene here; expected Compound to Disease": "Compound::DB00014\tCtD\tGene::5148",
    "the metaedge is empty": "Compound::DB00014\t\tDisease::DOID:9744",
    "2 fields, expected 3 (source, metaedge, target)": "Compound::DB00014\tCtD",
}


@pytest.mark.parametrize(("reason", "line"), BAD_EDGES.items())
def test_a_malformed_edge_is_named_or_skipped_and_counted(copy: Path, reason: str, line: str) -> None:
    append(copy / "edges.tsv", line, "Compound::DB00035\tCbG\tGene::5148")
    with pytest.raises(InputError) as caught:
        load_kg(copy)
    assert f"edges.tsv, line 13: {reason}" in str(caught.value)
    report = load_kg(copy, on_error="skip").report
    assert (report.rows_read, report.facts, report.rejected_rows) == (13, 10, 1)
    assert [(row.line, row.reason) for row in report.rejected_examples] == [(13, reason)]


def test_an_unknown_metaedge_has_the_kinds_of_its_first_row_and_is_said(copy: Path) -> None:
    append(copy / "edges.tsv", "Gene::5148\tGxS\tSymptom::D005148", "Symptom::D005148\tGxS\tGene::5148")
    with pytest.raises(InputError, match="line 14: GxS joins Symptom to Gene here; expected Gene to Symptom"):
        load_kg(copy)
    notes = load_kg(copy, on_error="skip").report.notes
    assert "Metaedges that Hetionet v1.0 does not have: Gene –GxS→ Symptom." in notes


def test_a_node_whose_id_and_kind_disagree_is_malformed(copy: Path) -> None:
    append(copy / "nodes.tsv", "Gene::1\tA1BG\tProtein", "\tnameless\tGene", "Gene::\tno id\tGene")
    with pytest.raises(InputError, match=r"nodes.tsv, line 12: id 'Gene::1' and kind 'Protein' do not agree"):
        load_kg(copy)
    report = load_kg(copy, on_error="skip").report
    assert (report.nodes, report.rejected_rows) == (9, 0)
    assert [row.line for row in report.rejected_examples] == [12, 13, 14]
    assert "3 rows of the node table were left out." in report.notes


def test_an_edge_list_without_its_nodes_is_refused(copy: Path) -> None:
    (copy / "nodes.tsv").unlink()
    with pytest.raises(InputError, match=r"no node table with the columns id, name, kind"):
        load_kg(copy)


def test_two_edge_lists_are_ambiguous_unless_one_is_named_edges(copy: Path) -> None:
    shutil.copy(copy / "edges.tsv", copy / "approximate-edges.tsv")
    assert load_kg(copy).report.files[1].path == str(copy / "edges.tsv")
    (copy / "edges.tsv").rename(copy / "verified-edges.tsv")
    with pytest.raises(InputError, match="more than one Hetionet edge list"):
        load_kg(copy)
    assert load_kg(copy / "verified-edges.tsv").report.facts == 9


def test_the_real_hetionet_is_read_whole(hetionet: Path) -> None:
    kg = load_kg(hetionet)
    report = kg.report
    assert (report.nodes, report.facts, report.rows_read) == (47_031, 1_865_257, 1_865_257)
    assert (report.exact_duplicates, report.swapped_duplicates, report.rejected_rows) == (0, 0, 0)
    assert len(kg.relations) == 24
    assert kg.nodes["node_type"].n_unique() == 11
    assert kg.edges.filter(pl.col("relation") == "CtD").height == 755
    graph = build_graph(kg)
    assert (graph.num_nodes, graph.num_facts) == (47_031, 1_865_257)
    assert len(graph.pairs(kg.roles.treats)) == 755
