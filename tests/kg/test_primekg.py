from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from rxweave.errors import InputError
from rxweave.graph.build import build_graph
from rxweave.kg import primekg
from rxweave.kg.sources import load_kg
from rxweave.kg.tables import EDGE_COLUMNS, NODE_COLUMNS, KnowledgeGraph, Relation

SLICE = Path(__file__).parents[1] / "data" / "primekg"
METFORMIN, INSULIN = "drug|DrugBank|DB00331", "drug|DrugBank|DB00030"
DIABETES, KIDNEYS = "disease|MONDO|5148", "disease|MONDO_grouped|13924_12592_14672"
PDE6G, P53 = "gene/protein|NCBI|5148", "gene/protein|NCBI|7"


@pytest.fixture(scope="module")
def kg() -> KnowledgeGraph:
    return load_kg(SLICE)


def rows_of_slice() -> list[list[str]]:
    with (SLICE / "kg.csv").open(newline="") as stream:
        return list(csv.reader(stream))


def write_kg(folder: Path, rows: list[list[str]]) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    path = folder / "kg.csv"
    path.write_text(text.getvalue())
    return path


def facts(kg: KnowledgeGraph) -> set[tuple[str, ...]]:
    return set(kg.edges.select(EDGE_COLUMNS).rows())


def test_every_row_is_accounted_for(kg: KnowledgeGraph) -> None:
    report = kg.report
    assert report.rows_read == 24
    assert report.facts == kg.edges.height == 11
    assert report.exact_duplicates == 5  # 4 more rows of one drug_protein fact, 1 of the self-loop
    assert report.swapped_duplicates == 8
    assert report.rejected_rows == 0
    assert report.self_loops == 1
    assert (report.nodes, report.isolated_nodes) == (8, 0)
    assert report.source == str(SLICE / "kg.csv")
    assert [file.path for file in report.files] == [str(SLICE / "kg.csv")]


def test_each_fact_is_there_once_in_its_documented_direction(kg: KnowledgeGraph) -> None:
    assert facts(kg) == {
        (METFORMIN, "indication", DIABETES),
        (INSULIN, "indication", DIABETES),
        (METFORMIN, "contraindication", KIDNEYS),
        (METFORMIN, "off-label use", "disease|MONDO|8487"),
        (METFORMIN, "drug_protein", PDE6G),
        (DIABETES, "disease_protein", PDE6G),
        (PDE6G, "protein_protein", P53),
        (P53, "protein_protein", P53),
        (DIABETES, "disease_phenotype_positive", "effect/phenotype|HPO|5148"),
        (INSULIN, "drug_drug", METFORMIN),
        (DIABETES, "biomarker", P53),
    }


def test_one_number_in_three_types_is_three_nodes(kg: KnowledgeGraph) -> None:
    nodes = kg.nodes.filter(pl.col("node_id") == "5148").sort("node_type")
    assert nodes["node_type"].to_list() == ["disease", "effect/phenotype", "gene/protein"]
    assert nodes["node_name"].to_list() == ["type 2 diabetes mellitus", "5148", "PDE6G"]
    assert kg.nodes["node_key"].is_unique().all()
    assert tuple(kg.nodes.columns) == NODE_COLUMNS
    assert set(kg.nodes.dtypes) == set(kg.edges.dtypes) == {pl.String}


def test_a_grouped_disease_stays_one_node(kg: KnowledgeGraph) -> None:
    (node,) = kg.nodes.filter(pl.col("node_id") == "13924_12592_14672").rows(named=True)
    assert node["node_key"] == KIDNEYS
    assert node["node_name"] == "renal failure, chronic"


def test_names_keep_quotes_and_commas(kg: KnowledgeGraph) -> None:
    names = dict(kg.nodes.select("node_key", "node_name").iter_rows())
    assert names[P53] == 'so-called "p53", human'
    assert names[INSULIN] == "Insulin, human"


def test_an_empty_name_is_counted_and_replaced_and_a_second_name_is_counted(kg: KnowledgeGraph) -> None:
    assert kg.report.empty_names == 1
    assert kg.report.renamed_ids == 1
    assert kg.report.renamed_examples == (f"{DIABETES}: 'type 2 diabetes mellitus', 'diabetes type II'",)


def test_several_display_relations_of_a_fact_are_joined_and_counted(kg: KnowledgeGraph) -> None:
    shown = dict(kg.edges.select("relation", "display_relation").iter_rows())
    assert shown["drug_protein"] == "enzyme|target"
    assert shown["protein_protein"] == "ppi"
    assert any("would make 12 facts" in note for note in kg.report.notes)


def test_relations_within_a_type_are_symmetric_and_only_those(kg: KnowledgeGraph) -> None:
    assert [relation for relation in kg.relations if relation.symmetric] == [
        Relation("drug", "drug_drug", "drug", symmetric=True),
        Relation("gene/protein", "protein_protein", "gene/protein", symmetric=True),
    ]
    assert len(kg.relations) == 9


def test_roles(kg: KnowledgeGraph) -> None:
    assert (kg.roles.drug, kg.roles.disease, kg.roles.gene) == ("drug", "disease", "gene/protein")
    assert (kg.roles.treats, kg.roles.contraindicated) == (("indication",), ("contraindication",))


def test_a_relation_primekg_does_not_have_is_said(kg: KnowledgeGraph) -> None:
    assert "Relations that PrimeKG does not have: disease –biomarker→ gene/protein." in kg.report.notes


def test_the_tables_make_a_graph(kg: KnowledgeGraph) -> None:
    graph = build_graph(kg)
    assert (graph.num_nodes, graph.num_facts) == (8, 11)
    assert len(graph.pairs(("indication",))) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: gzip.compress(data),
        lambda data: data.removesuffix(b"\n"),
        lambda data: data.replace(b"\n", b"\n\n"),
    ],
    ids=["byte order mark", "CRLF", "gzip", "no last line end", "blank lines"],
)
def test_how_the_file_is_written_does_not_matter(
    kg: KnowledgeGraph, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "anything.txt"
    path.write_bytes(change((SLICE / "kg.csv").read_bytes()))
    again = load_kg(path)
    assert again.nodes.equals(kg.nodes)
    assert again.edges.equals(kg.edges)
    assert again.relations == kg.relations


def test_the_order_of_rows_changes_no_fact(kg: KnowledgeGraph, tmp_path: Path) -> None:
    header, *rows = rows_of_slice()
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        again = load_kg(write_kg(tmp_path, [header, *rows]))
        assert facts(again) == facts(kg)
        assert set(again.nodes["node_key"]) == set(kg.nodes["node_key"])
        assert again.report.swapped_duplicates == 8
        assert again.report.exact_duplicates == 5


def test_the_first_name_in_the_file_is_kept(tmp_path: Path) -> None:
    header, *rows = rows_of_slice()
    again = load_kg(write_kg(tmp_path, [header, *reversed(rows)]))
    names = dict(again.nodes.select("node_key", "node_name").iter_rows())
    assert names[DIABETES] == "type 2 diabetes mellitus"  # the biomarker row, now first, has it
    assert load_kg(write_kg(tmp_path, [header, *rows[20:]])).nodes.filter(node_key=DIABETES)["node_name"].to_list() == [
        "diabetes type II"
    ]


def test_a_doubled_file_has_the_same_facts_and_as_many_more_exact_duplicates(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    header, *rows = rows_of_slice()
    again = load_kg(write_kg(tmp_path, [header, *rows, *rows]))
    assert again.edges.equals(kg.edges)
    assert again.report.exact_duplicates == kg.report.exact_duplicates + 24


def test_the_file_s_own_numbers_are_compared_with_the_keys(kg: KnowledgeGraph, tmp_path: Path) -> None:
    assert not [note for note in kg.report.notes if "x_index" in note]
    header, *rows = rows_of_slice()
    rows[0][2] = "7"  # PDE6G under the number of the phenotype
    notes = load_kg(write_kg(tmp_path, [header, *rows])).report.notes
    assert any("1 nodes stand under more than one number" in note and PDE6G in note for note in notes)
    assert any("1 numbers" in note and "for example 7." in note for note in notes)


@pytest.mark.parametrize("missing", [(2, 7), (2,), (7,)])
def test_the_numbers_may_be_missing(kg: KnowledgeGraph, tmp_path: Path, missing: tuple[int, ...]) -> None:
    rows = [[cell for i, cell in enumerate(row) if i not in missing] for row in rows_of_slice()]
    assert load_kg(write_kg(tmp_path, rows)).edges.equals(kg.edges)


def test_a_row_without_an_id_is_malformed(tmp_path: Path) -> None:
    rows = rows_of_slice()
    rows[4][3] = rows[9][9] = ""
    path = write_kg(tmp_path, rows)
    with pytest.raises(InputError, match=r"kg.csv, line 5: x_id is empty.*2 rows are like it"):
        load_kg(path)
    report = load_kg(path, on_error="skip").report
    assert (report.rows_read, report.rejected_rows) == (24, 2)
    assert [row.line for row in report.rejected_examples] == [5, 10]


def test_a_bar_in_a_type_cannot_merge_two_nodes(tmp_path: Path) -> None:
    rows = rows_of_slice()
    rows[1][3:7] = ["5", "a", "n", "b|c"]
    rows[1][8:12] = ["5", "a|b", "n", "c"]
    with pytest.raises(InputError, match=r"key 'a\|b\|c\|5' stands for two nodes"):
        load_kg(write_kg(tmp_path, rows))


def test_kg_csv_is_preferred_to_its_forerunners_and_others_are_ambiguous(tmp_path: Path) -> None:
    for name in ("kg.csv", "kg_raw.csv"):
        (tmp_path / name).write_bytes((SLICE / "kg.csv").read_bytes())
    assert primekg.find(tmp_path) == (tmp_path / "kg.csv",)
    (tmp_path / "kg.csv").rename(tmp_path / "kg_giant.csv")
    with pytest.raises(InputError, match=r"more than one PrimeKG file: kg_giant.csv, kg_raw.csv. Name the file"):
        primekg.find(tmp_path)


def test_the_relation_table_is_primekg_s() -> None:
    assert len(primekg.RELATIONS) == 30
    types = {node_type for ends in primekg.RELATIONS.values() for node_type in ends}
    assert len(types) == 10
    assert sum(source == target for source, target in primekg.RELATIONS.values()) == 10
