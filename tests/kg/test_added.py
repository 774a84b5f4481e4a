"""Tables of new nodes: what is read, in which direction, and every refusal with its file and line."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from rxweave.errors import InputError
from rxweave.kg.added import read_addition
from rxweave.kg.demo import demo_kg
from rxweave.kg.tables import EDGE_COLUMNS, KnowledgeGraph

HEADER = "source\trelation\ttarget\tnode_id\tnode_type\tnode_name"


@pytest.fixture(scope="module")
def kg() -> KnowledgeGraph:
    return demo_kg(num_nodes=300, num_edges=2500, seed=1)


@pytest.fixture(scope="module")
def gene(kg: KnowledgeGraph) -> dict[str, str]:
    return kg.nodes.filter(node_type="gene/protein").row(3, named=True)


@pytest.fixture(scope="module")
def to_gene(kg: KnowledgeGraph) -> str:
    """The relation between diseases and genes."""
    return next(rel.name for rel in kg.relations if {rel.source_type, rel.target_type} == {"disease", "gene/protein"})


def table(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "new.tsv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def refusal(path: Path, kg: KnowledgeGraph) -> str:
    with pytest.raises(InputError) as refused:
        read_addition(path, kg)
    return str(refused.value)


def row(*values: str) -> str:
    return "\t".join(values)


def test_ends_are_found_by_name_id_and_key_and_written_either_way_round(
    tmp_path: Path, kg: KnowledgeGraph, gene: dict[str, str], to_gene: str
) -> None:
    relation = next(rel for rel in kg.relations if rel.name == to_gene)
    spellings = (gene["node_name"], gene["node_id"], gene["node_key"], gene["node_name"].upper())
    path = table(tmp_path, *(row("N1", to_gene, end, "N1", "disease", "new fever") for end in spellings))
    found = read_addition(path, kg)
    ends = ("disease|added|N1", gene["node_key"])
    expected = ends if relation.source_type == "disease" else ends[::-1]
    assert found.kg.edges.tail(1).select(EDGE_COLUMNS).row(0) == (expected[0], to_gene, expected[1])
    assert found.num_facts == 1
    assert found.notes == ("3 rows of new.tsv repeat a fact of an earlier one.",)
    assert found.kg.edges.height == kg.edges.height + 1
    assert found.kg.nodes.height == kg.nodes.height + 1
    swapped = table(tmp_path, row(gene["node_name"], to_gene, "new fever", "N1", "disease", "new fever"))
    assert read_addition(swapped, kg).kg.edges.equals(found.kg.edges)


def test_csv_and_parquet_say_the_same_and_later_rows_need_not_repeat_the_node(
    tmp_path: Path, kg: KnowledgeGraph, to_gene: str
) -> None:
    genes = kg.nodes.filter(node_type="gene/protein")["node_id"].to_list()[:3]
    rows = [row("N1", to_gene, genes[0], "N1", "disease", "new fever")]
    rows += [row("N1", to_gene, gene, "", "", "") for gene in genes[1:]]
    as_text = table(tmp_path, *rows)
    frame = pl.read_csv(as_text, separator="\t", infer_schema=False)
    frame.write_parquet(tmp_path / "new.parquet")
    frame.write_csv(tmp_path / "new.csv")
    read = [read_addition(path, kg) for path in (as_text, tmp_path / "new.csv", tmp_path / "new.parquet")]
    assert read[0].num_facts == 3
    assert all(each.kg.edges.equals(read[0].kg.edges) and each.nodes.equals(read[0].nodes) for each in read)


def test_two_new_nodes_may_be_joined_to_each_other(tmp_path: Path, kg: KnowledgeGraph, to_gene: str) -> None:
    some = kg.nodes.filter(node_type="disease")["node_id"][0]
    path = table(
        tmp_path,
        row("N1", to_gene, "G1", "N1", "disease", "new fever"),
        row("G1", to_gene, some, "G1", "gene/protein", ""),
        row("N1", to_gene, kg.nodes.filter(node_type="gene/protein")["node_id"][0], "", "", ""),
    )
    found = read_addition(path, kg)
    assert found.nodes["node_key"].to_list() == ["disease|added|N1", "gene/protein|added|G1"]
    assert found.nodes["node_name"].to_list() == ["new fever", "G1"]
    assert found.num_facts == 3


def test_every_mistake_is_named_with_its_line(
    tmp_path: Path, kg: KnowledgeGraph, gene: dict[str, str], to_gene: str
) -> None:
    disease = kg.nodes.filter(node_type="disease").row(0, named=True)
    good = row("N1", to_gene, gene["node_id"], "N1", "disease", "new fever")
    cases = [
        (row("N1", to_gene, "", "N1", "", ""), "target is empty"),
        (row("N1", to_gene + "x", gene["node_id"], "", "", ""), f"Closest: '{to_gene}'"),
        (row("N1", to_gene, gene["node_name"] + "x", "", "", ""), f"Closest: '{gene['node_name']}'"),
        (row("N1", "indication", gene["node_key"], "", "", ""), f"Drug '{gene['node_key']}' is not in"),
        (row("N1", "protein_protein", gene["node_id"], "", "", ""), "does not join"),
        (row(disease["node_id"], to_gene, gene["node_id"], "", "", ""), "are both in"),
        (row("N2", to_gene, gene["node_id"], "", "", ""), "is not in|neither"),
        (row("N1", to_gene, gene["node_id"], "N1", "drug", ""), "but 'disease' in"),
        (row("N2", to_gene, gene["node_id"], "N2", "diseas", ""), "Closest: 'disease'"),
        (row("N2", to_gene, gene["node_id"], "", "disease", ""), "node_id is empty"),
        (row("N1", to_gene, gene["node_id"], "N3", "disease", ""), "neither its source 'N1' nor its target"),
        (row("N2", to_gene, gene["node_id"], "N2", "disease", disease["node_name"].upper()), "already, as"),
        (row("N2", to_gene, gene["node_id"], "N2", "disease", "New Fever"), "are both called 'new fever'"),
    ]
    for wrong, message in cases:
        told = refusal(table(tmp_path, good, wrong), kg)
        assert "new.tsv, line 3" in told or "line 2" in told, told
        assert any(part in told for part in message.split("|")), f"{message!r} is not in {told!r}"


def test_a_gene_that_means_several_is_listed(tmp_path: Path, kg: KnowledgeGraph, to_gene: str) -> None:
    genes = kg.nodes["node_type"] == "gene/protein"
    twins = kg.nodes.with_columns(
        node_name=pl.when(genes & (pl.int_range(pl.len()).over("node_type") < 2))
        .then(pl.lit("ABC1"))
        .otherwise("node_name")
    )
    ambiguous = KnowledgeGraph(kg.name, twins, kg.edges, kg.relations, kg.roles, kg.report)
    told = refusal(table(tmp_path, row("N1", to_gene, "ABC1", "N1", "disease", "")), ambiguous)
    assert "line 2: 'ABC1' means 2 gene/proteins: gene/protein|" in told


def test_a_new_node_with_no_fact_to_the_graph_is_refused(tmp_path: Path, kg: KnowledgeGraph, to_gene: str) -> None:
    path = table(
        tmp_path,
        row("N1", to_gene, "G1", "N1", "disease", ""),
        row("G1", to_gene, "N1", "G1", "gene/protein", ""),
    )
    assert "no fact joins the new node 'N1' to a node of the graph" in refusal(path, kg)


def test_a_table_without_the_columns_or_new_nodes_is_refused(tmp_path: Path, kg: KnowledgeGraph, to_gene: str) -> None:
    assert "lacks the columns node_id, node_type" in refusal(
        table(tmp_path, row("a", "b", "c"), header=row("source", "relation", "target")), kg
    )
    assert "describes no new node" in refusal(table(tmp_path, row("a", to_gene, "c", "", "", "")), kg)


def test_a_row_of_too_few_fields_is_refused_without_offering_to_skip_it(
    tmp_path: Path, kg: KnowledgeGraph, gene: dict[str, str], to_gene: str
) -> None:
    good = row("N1", to_gene, gene["node_id"], "N1", "disease", "new fever")
    told = refusal(table(tmp_path, good, row("N1", to_gene)), kg)
    assert "line 3: 2 fields, expected 6" in told
    assert "skip" not in told
