from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxweave.errors import InputError
from rxweave.kg.fold import MIRRORED
from rxweave.kg.sources import load_kg
from rxweave.kg.tables import EDGE_COLUMNS, KnowledgeGraph, Relation
from rxweave.kg.triples import guess_roles
from rxweave.kg.types import RoleChoice

SLICE = Path(__file__).parents[1] / "data" / "triples" / "drkg.tsv"
TREATS = "DRUGBANK::treats::Compound:Disease"
MIRROR = "bioarx::HumGenHumGen:Gene:Gene"


@pytest.fixture(scope="module")
def kg() -> KnowledgeGraph:
    return load_kg(SLICE)


def write(folder: Path, *lines: str, name: str = "own.tsv") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_every_row_is_accounted_for(kg: KnowledgeGraph) -> None:
    report = kg.report
    assert (report.rows_read, report.facts, kg.edges.height) == (12, 8, 8)
    assert (report.exact_duplicates, report.swapped_duplicates, report.rejected_rows) == (1, 3, 0)
    assert (report.self_loops, report.nodes, report.isolated_nodes) == (1, 6, 0)
    assert report.empty_names == 6  # triples have no names at all
    assert kg.name == "drkg"


def test_each_fact_is_there_once(kg: KnowledgeGraph) -> None:
    gene = "Gene|triples|{}".format
    assert set(kg.edges.select(EDGE_COLUMNS).rows()) == {
        ("Compound|triples|DB00014", TREATS, "Disease|triples|DOID:10283"),
        ("Compound|triples|DB00014", "DRUGBANK::contraindication::Compound:Disease", "Disease|triples|5148"),
        (gene(1), MIRROR, gene(2)),
        (gene(1), MIRROR, gene(5148)),
        (gene(1), MIRROR, gene(1)),
        (gene(2), "Hetionet::Gr>G::Gene:Gene", gene(1)),
        (gene(2), "Hetionet::Gr>G::Gene:Gene", gene(5148)),
        (gene(5148), "GNBR::J::Gene:Disease", "Disease|triples|5148"),
    }


def test_a_relation_written_both_ways_is_symmetric_and_one_written_one_way_directed(
    kg: KnowledgeGraph,
) -> None:
    assert Relation("Gene", MIRROR, "Gene", symmetric=True) in kg.relations
    assert Relation("Gene", "Hetionet::Gr>G::Gene:Gene", "Gene", symmetric=False) in kg.relations
    assert Relation("Gene", "GNBR::J::Gene:Disease", "Disease") in kg.relations
    assert any("Read as symmetric" in note and MIRROR in note for note in kg.report.notes)
    assert any("read as directed" in note and "Gr>G" in note for note in kg.report.notes)


@pytest.mark.parametrize(("num_single", "is_symmetric"), [(1, True), (2, True), (3, False)])
def test_the_share_of_mirrored_facts_decides(tmp_path: Path, num_single: int, is_symmetric: bool) -> None:
    # 20 pairs both ways are 40 facts: 40 of 41 and 40 of 42 reach 95 %, 40 of 43 does not.
    both = [f"G::{a}\tr\tG::{b}" for i in range(20) for a, b in ((i, i + 100), (i + 100, i))]
    once = [f"G::{i}\tr\tG::{i + 1}" for i in range(200, 200 + 2 * num_single, 2)]
    kg = load_kg(write(tmp_path, *both, *once, "G::1\tr\tG::1"))
    assert kg.relations[0].symmetric is is_symmetric
    assert kg.report.facts == (20 if is_symmetric else 40) + num_single + 1
    assert (40 / (40 + num_single) >= MIRRORED) is is_symmetric


def test_within_a_type_the_rule_is_kept_per_type(tmp_path: Path) -> None:
    lines = ["A::1\tr\tA::2", "A::2\tr\tA::1", "B::1\tr\tB::2"]
    assert load_kg(write(tmp_path, *lines)).relations == (
        Relation("A", "r", "A", symmetric=True),
        Relation("B", "r", "B", symmetric=False),
    )


def test_a_header_is_known_by_its_ends_and_said(tmp_path: Path) -> None:
    path = write(tmp_path, "h,r,t", 'Drug::1,treats,"Disease::a, b"', name="own.csv")
    kg = load_kg(path)
    assert kg.report.rows_read == 1
    assert kg.nodes["node_name"].to_list() == ["a, b", "1"]
    assert "The first line was read as a header: h, r, t." in kg.report.notes


def test_an_id_may_hold_the_mark_again(tmp_path: Path) -> None:
    kg = load_kg(write(tmp_path, "Drug::a::b\ttreats\tDisease::1"))
    assert kg.nodes.filter(node_type="Drug").row(0) == (
        "Drug|triples|a::b",
        "Drug::a::b",
        "a::b",
        "Drug",
        "triples",
    )


BAD_LINES = {
    "head 'aspirin' has no type and id; expected Type::id": "aspirin\ttreats\tDisease::1",
    "tail '::1' has no type and id; expected Type::id": "Drug::1\ttreats\t::1",
    "tail 'Disease::' has no type and id; expected Type::id": "Drug::1\ttreats\tDisease::",
    "the relation is empty": "Drug::1\t\tDisease::1",
    "4 fields, expected 3 (head, relation, tail)": "Drug::1\ttreats\tDisease::1\t0.9",
}


@pytest.mark.parametrize(("reason", "line"), BAD_LINES.items())
def test_a_malformed_row_is_named_or_skipped_and_counted(tmp_path: Path, reason: str, line: str) -> None:
    path = write(tmp_path, "Drug::1\ttreats\tDisease::1", "Drug::2\ttreats\tDisease::1", line)
    with pytest.raises(InputError) as caught:
        load_kg(path)
    assert f"own.tsv, line 3: {reason}" in str(caught.value)
    report = load_kg(path, on_error="skip").report
    assert (report.rows_read, report.facts, report.rejected_rows, report.nodes) == (3, 2, 1, 3)
    assert report.rejected_examples[0].line == 3


def test_an_untyped_first_row_is_an_error_and_not_a_header(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1: head 'aspirin' has no type"):
        load_kg(write(tmp_path, "aspirin\ttreats\tDisease::1", "Drug::2\ttreats\tDisease::1"))


def test_a_bar_in_a_type_cannot_merge_two_nodes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stands for two nodes"):
        load_kg(write(tmp_path, "A|triples|x::y\tr\tA::x|triples|y"))


def test_roles_of_drkg(kg: KnowledgeGraph) -> None:
    assert (kg.roles.drug, kg.roles.disease, kg.roles.gene) == ("Compound", "Disease", "Gene")
    assert kg.roles.treats == (TREATS,)
    assert kg.roles.contraindicated == ("DRUGBANK::contraindication::Compound:Disease",)


def test_roles_are_guessed_from_names_in_any_case() -> None:
    sizes = {
        "Small Molecule": 5,
        "DRUG": 2,
        "Drug Class": 9,
        "Rare Disease": 3,
        "Disorder group": 8,
        "Protein": 1,
    }
    relations = [
        Relation("DRUG", "May_Treat", "Rare Disease"),
        Relation("Rare Disease", "INDICATION of", "DRUG"),
        Relation("DRUG", "Contraindication", "Rare Disease"),
        Relation("DRUG", "palliates", "Rare Disease"),
        Relation("DRUG", "treats", "Protein"),
    ]
    roles, notes = guess_roles(sizes, relations, RoleChoice())
    assert (roles.drug, roles.disease, roles.gene) == ("DRUG", "Rare Disease", "Protein")
    assert roles.treats == ("INDICATION of", "May_Treat")
    assert roles.contraindicated == ("Contraindication",)
    assert any("palliates" in note for note in notes)


def test_a_chosen_drug_type_changes_which_relations_can_be_treatments() -> None:
    relations = [Relation("Drug", "treats", "Disease"), Relation("Herb", "treats well", "Disease")]
    sizes = {"Drug": 1, "Herb": 1, "Disease": 1}
    assert guess_roles(sizes, relations, RoleChoice())[0].treats == ("treats",)
    assert guess_roles(sizes, relations, RoleChoice(drug="Herb"))[0].treats == ("treats well",)


def test_roles_that_cannot_be_guessed_are_said(tmp_path: Path) -> None:
    kg = load_kg(write(tmp_path, "A::1\tr\tB::1"))
    assert (kg.roles.treats, kg.roles.contraindicated, kg.roles.gene) == ((), (), None)
    notes = " ".join(kg.report.notes)
    assert "No node type looks like a drug: name one with drug_type (A, B)." in notes
    assert "No relation looks like a treatment" in notes


ENDS = st.builds("{}::{}".format, st.sampled_from("AB"), st.integers(0, 3))
ROWS = st.one_of(
    st.tuples(ENDS, st.sampled_from(["r", "s"]), ENDS),
    st.sampled_from([("A::1", "r"), ("A::1", "r", "B::1", "x"), ("A", "r", "B::1"), ("A::1", "", "B::1")]),
)


@settings(max_examples=120, deadline=None)
@given(rows=st.lists(ROWS, max_size=25))
def test_rows_are_facts_or_duplicates_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]
) -> None:
    rows = [("A::0", "r", "B::0"), *rows]
    kg = load_kg(write(tmp_path_factory.getbasetemp(), *map("\t".join, rows)), on_error="skip")
    report = kg.report
    good = [row for row in rows if len(row) == 3 and row[1] and "::" in row[0]]

    assert report.rows_read == len(rows)
    assert report.rejected_rows == len(rows) - len(good)
    assert report.rows_read == (
        report.facts + report.exact_duplicates + report.swapped_duplicates + report.rejected_rows
    )
    # The same count by hand: the ways in which each pair of ends is written under each relation.
    symmetric = {(rel.name, rel.source_type) for rel in kg.relations if rel.symmetric}
    written: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for head, relation, tail in good:
        folds = head[0] != tail[0] or (relation, head[0]) in symmetric
        ends = sorted((head, tail)) if folds else (head, tail)
        written[relation, *ends].add((head, tail))
    assert report.facts == kg.edges.height == len(written)
    assert report.swapped_duplicates == sum(len(ways) - 1 for ways in written.values())
    assert report.self_loops == sum(len({head, tail}) == 1 for _, head, tail in written)
    assert set(kg.nodes["node_id"]) == {end for row in good for end in (row[0], row[2])}
    types = dict(kg.nodes.select("node_key", "node_type").iter_rows())
    declared = {(rel.source_type, rel.name, rel.target_type): rel.symmetric for rel in kg.relations}
    for source, relation, target in kg.edges.rows():
        is_symmetric = declared[types[source], relation, types[target]]
        assert source <= target or not is_symmetric


def test_drkg_s_curated_treatments_count_and_hetionet_s_relations_have_no_direction(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "Compound::1\tHetionet::CtD::Compound:Disease\tDisease::1",
        "Compound::2\tDRUGBANK::treats::Compound:Disease\tDisease::1",
        "Compound::2\tGNBR::T::Compound:Disease\tDisease::2",
        "Gene::1\tHetionet::GiG::Gene:Gene\tGene::2",
        "Gene::1\tGNBR::B::Gene:Gene\tGene::2",
    )
    kg = load_kg(path)
    assert set(kg.roles.treats) == {"Hetionet::CtD::Compound:Disease", "DRUGBANK::treats::Compound:Disease"}
    assert any("GNBR::T::Compound:Disease is not counted" in note for note in kg.report.notes)
    assert [relation.name for relation in kg.relations if relation.symmetric] == ["Hetionet::GiG::Gene:Gene"]
    chosen = load_kg(path, treats=["GNBR::T::Compound:Disease"])
    assert chosen.roles.treats == ("GNBR::T::Compound:Disease",)
    assert not any("is not counted" in note for note in chosen.report.notes)
