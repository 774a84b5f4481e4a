from __future__ import annotations

import bz2
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxweave.errors import InputError
from rxweave.kg.sources import load_kg
from rxweave.kg.tables import EDGE_COLUMNS, KnowledgeGraph, Relation, Roles

SLICE = Path(__file__).parents[1] / "data" / "kgx"


@pytest.fixture(scope="module")
def kg() -> KnowledgeGraph:
    return load_kg(SLICE)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SLICE, tmp_path / "kgx"))


def append(path: Path, *lines: str) -> None:
    path.write_text(path.read_text() + "".join(f"{line}\n" for line in lines))


def test_every_row_is_accounted_for(kg: KnowledgeGraph) -> None:
    report = kg.report
    assert (report.rows_read, report.facts, report.rejected_rows) == (9, 7, 0)
    # The same statement of two sources; one interaction written from either end.
    assert (report.exact_duplicates, report.swapped_duplicates) == (1, 1)
    assert (report.nodes, report.isolated_nodes, report.empty_names) == (8, 1, 1)
    assert kg.name == "small"


def test_each_fact_is_there_once_and_without_prefixes(kg: KnowledgeGraph) -> None:
    assert set(kg.edges.select(EDGE_COLUMNS).rows()) == {
        ("Drug|CHEBI|6801", "treats", "Disease|MONDO|0005148"),
        ("Drug|CHEBI|6801", "studied_to_treat", "Disease|MONDO|0005147"),
        ("Drug|CHEBI|15365", "contraindicated_in", "Disease|MONDO|0005147"),
        ("Gene|NCBIGene|2690", "interacts_with", "Gene|NCBIGene|5148"),
        ("Gene|NCBIGene|2690", "regulates", "Gene|HGNC|4263"),
        ("Gene|NCBIGene|2690", "regulates", "Gene|NCBIGene|5148"),
        ("Gene|NCBIGene|2690", "gene_associated_with_condition", "Disease|MONDO|0005148"),
    }


def test_the_type_is_the_first_category_that_says_something(kg: KnowledgeGraph) -> None:
    types = dict(kg.nodes.select("node_id", "node_type").iter_rows())
    assert types["CHEBI:6801"] == types["CHEBI:15365"] == "Drug"
    assert types["UBERON:0001264"] == "AnatomicalEntity"


def test_direction_is_in_the_meaning_of_the_predicate(kg: KnowledgeGraph) -> None:
    assert Relation("Gene", "interacts_with", "Gene", symmetric=True) in kg.relations
    assert Relation("Gene", "regulates", "Gene", symmetric=False) in kg.relations


def test_treats_is_the_treatment_and_studied_to_treat_is_not(kg: KnowledgeGraph) -> None:
    assert kg.roles == Roles("Drug", "Disease", "Gene", ("treats",), ("contraindicated_in",))
    chosen = load_kg(SLICE, treats=["studied_to_treat"])
    assert chosen.roles.treats == ("studied_to_treat",)


def test_the_edge_file_itself_and_packed_files_are_the_same_source(kg: KnowledgeGraph, copy: Path) -> None:
    assert load_kg(copy / "small_edges.tsv").edges.equals(kg.edges)
    for name in ("small_nodes.tsv", "small_edges.tsv"):
        (copy / f"{name}.bz2").write_bytes(bz2.compress((copy / name).read_bytes()))
        (copy / name).unlink()
    packed = load_kg(copy)
    assert packed.edges.equals(kg.edges)
    assert packed.nodes.equals(kg.nodes)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("e\tCHEBI:6801\tbiolink:treats\tMONDO:9\tq", "object 'MONDO:9' is not in the node file"),
        ("e\tMONDO:9\tbiolink:treats\tMONDO:0005148\tq", "subject 'MONDO:9' is not in the node file"),
        ("e\tCHEBI:6801\t\tMONDO:0005148\tq", "the predicate is empty"),
        ("e\tCHEBI:6801", "2 fields, expected 5"),
    ],
)
def test_a_malformed_edge_is_named_or_skipped_and_counted(copy: Path, line: str, reason: str) -> None:
    append(copy / "small_edges.tsv", line)
    with pytest.raises(InputError, match=rf"line 11: {reason}"):
        load_kg(copy)
    report = load_kg(copy, on_error="skip").report
    assert (report.rows_read, report.facts, report.rejected_rows) == (10, 7, 1)
    assert reason in report.rejected_examples[0].reason


def test_a_node_without_category_is_malformed_and_its_edges_go_with_it(copy: Path) -> None:
    append(copy / "small_nodes.tsv", "MONDO:9\t\tnameless\tx")
    append(copy / "small_edges.tsv", "e\tCHEBI:6801\tbiolink:treats\tMONDO:9\tq")
    with pytest.raises(InputError, match=r"line 10: id 'MONDO:9' and category ''; expected both"):
        load_kg(copy)
    kg = load_kg(copy, on_error="skip")
    assert (kg.report.rows_read, kg.report.facts, kg.report.rejected_rows) == (10, 7, 1)
    assert any("1 rows of the node file were left out" in note for note in kg.report.notes)


def test_a_node_written_twice_is_one_and_its_names_are_said(copy: Path) -> None:
    append(copy / "small_nodes.tsv", "MONDO:0005148\tbiolink:Disease\tT2D\tx", "own\tbiolink:Gene\tmine\tx")
    kg = load_kg(copy)
    assert kg.report.renamed_examples == ("MONDO:0005148: 'type 2 diabetes mellitus', 'T2D'",)
    assert any("1 rows of the node file repeat an id" in note for note in kg.report.notes)
    assert "Gene|KGX|own" in kg.nodes["node_key"]


def test_edges_without_their_nodes_are_refused(copy: Path) -> None:
    (copy / "small_nodes.tsv").unlink()
    with pytest.raises(InputError, match="beside it lies no node file with the columns id, category"):
        load_kg(copy)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["r", "interacts_with", "treats"]), st.integers(0, 5)), min_size=1
    )
)
def test_rows_are_facts_duplicates_and_rejected_ones_always(
    tmp_path_factory: pytest.TempPathFactory, edges: list[tuple[int, str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("kgx")
    kinds = ["Gene", "Gene", "Drug", "Disease", "Disease"]  # and a sixth id that no node has
    nodes = "".join(f"X:{i}\tbiolink:{kind}\n" for i, kind in enumerate(kinds))
    (folder / "nodes.tsv").write_text("id\tcategory\n" + nodes)
    rows = "".join(f"X:{source}\tbiolink:{name}\tX:{target}\n" for source, name, target in edges)
    (folder / "edges.tsv").write_text("subject\tpredicate\tobject\n" + rows)
    sound = [edge for edge in edges if 5 not in (edge[0], edge[2])]
    if not sound:
        with pytest.raises(InputError, match="none of its"):
            load_kg(folder, on_error="skip")
        return
    kg = load_kg(folder, on_error="skip")
    assert kg.report.rejected_rows == len(edges) - len(sound)
    assert kg.report.rows_read == len(edges)
    written = {(f"X:{source}", name, f"X:{target}") for source, name, target in sound}
    ids = dict(kg.nodes.select("node_key", "node_id").iter_rows())
    facts = {(ids[source], name, ids[target]) for source, name, target in kg.edges.select(EDGE_COLUMNS).iter_rows()}
    swapped = {(target, name, source) for source, name, target in facts}
    assert facts <= written | {(target, name, source) for source, name, target in written}
    assert written <= facts | swapped
