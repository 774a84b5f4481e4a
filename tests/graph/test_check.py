"""The graph check: hand-made graphs with one thing wrong each, and real ones with nothing wrong."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from rxweave.graph.build import build_graph
from rxweave.graph.check import Finding, GraphCheck, check_graph
from rxweave.kg.demo import demo_kg
from rxweave.kg.published import PRIMEKG_ROWS, PUBLISHED
from rxweave.kg.sources import load_kg
from rxweave.kg.tables import KnowledgeGraph

DATA = Path(__file__).parents[1] / "data"


def check(kg: KnowledgeGraph) -> GraphCheck:
    return check_graph(kg, build_graph(kg))


def finding(found: GraphCheck, subject: str) -> Finding:
    (one,) = [each for each in found.findings if each.subject == subject]
    return one


def triples(tmp_path: Path, facts: list[tuple[str, str, str]]) -> KnowledgeGraph:
    path = tmp_path / "graph.tsv"
    path.write_text("".join("\t".join(fact) + "\n" for fact in facts))
    return load_kg(path)


def star(hub: str, leaves: int) -> list[tuple[str, str, str]]:
    return [(hub, "targets", f"Gene::{i}") for i in range(leaves)]


def test_the_demo_graph_has_nothing_wrong() -> None:
    found = check(demo_kg(num_nodes=1000, num_edges=15_000))
    assert found.level == "good", [str(each) for each in found.findings if each.level != "good"]
    assert found.types["nodes"].sum() == 1000
    assert found.relations["facts"].sum() == 15_000
    assert found.relations["published"].null_count() == found.relations.height


def test_two_components_are_a_warning_with_their_sizes(tmp_path: Path) -> None:
    found = check(triples(tmp_path, [*star("Drug::a", 9), *[("Drug::b", "treats", f"Disease::{i}") for i in range(4)]]))
    assert finding(found, "components").found == "2, the largest with 10 nodes, 66.67% of those with facts"
    assert finding(found, "components").level == "warning"
    one = check(triples(tmp_path, [*star("Drug::a", 9), ("Drug::a", "interacts", "Drug::b")]))
    assert finding(one, "components").level == "good"


def test_nodes_without_facts_are_counted_by_type_and_are_no_component() -> None:
    kg = load_kg(DATA / "kgx")
    found = check(kg)
    assert kg.report.isolated_nodes == 1
    assert finding(found, "nodes without facts").found == "1 of 8 (AnatomicalEntity 1)"
    assert finding(found, "nodes without facts").level == "warning"
    assert finding(found, "components").found.startswith("1, the largest with 7")


def test_hubs_and_gini_by_hand(tmp_path: Path) -> None:
    found = check(triples(tmp_path, [*star("Drug::a", 200)]))
    # One hub of 200 ends beside 200 leaves of 1: its share of the ends is a half, and so is what a leaf lacks.
    assert "highest 200; the 1% busiest nodes have 50% of" in finding(found, "degrees").found
    assert "(Gini 0.50)" in finding(found, "degrees").found
    ring = [(f"Gene::{i}", "next", f"Gene::{(i + 1) % 50}") for i in range(50)]
    assert "(Gini 0.00)" in finding(check(triples(tmp_path, ring)), "degrees").found


def test_a_graph_without_drugs_is_a_problem(tmp_path: Path) -> None:
    found = check(triples(tmp_path, [("Disease::x", "involves", "Gene::1")]))
    assert found.level == "problem"
    assert finding(found, "roles").found == "no nodes of the type for drug (drug)"


def test_no_treatment_is_a_problem_and_few_are_a_warning(tmp_path: Path) -> None:
    facts = [*star("Drug::a", 3), ("Disease::x", "involves", "Gene::1")]
    assert finding(check(triples(tmp_path, facts)), "known treatments").level == "problem"
    few = check(triples(tmp_path, [*facts, ("Drug::a", "treats", "Disease::x")]))
    assert finding(few, "known treatments").level == "warning"
    assert finding(few, "known treatments").found == "1 pairs (treats), of 1 of 1 drugs and 1 of 1 diseases"


def test_what_is_linked_by_treatments_alone_is_counted(tmp_path: Path) -> None:
    facts = [*star("Drug::a", 3), ("Drug::a", "treats", "Disease::x"), ("Drug::b", "treats", "Disease::y")]
    facts += [("Disease::x", "involves", "Gene::1")]
    found = check(triples(tmp_path, facts))
    assert finding(found, "drugs linked by drug–disease facts alone").found == "1 of 2 (Drug)"
    assert finding(found, "diseases linked by drug–disease facts alone").found == "1 of 2 (Disease)"


def test_drugs_without_targets_and_diseases_without_genes(tmp_path: Path) -> None:
    drugs = [("Drug::a", "targets", "Gene::1"), *[(f"Drug::{i}", "interacts", "Drug::a") for i in range(9)]]
    found = check(triples(tmp_path, [*drugs, ("Drug::a", "treats", "Disease::x"), ("Gene::1", "in", "Disease::x")]))
    assert finding(found, "drugs without targets").found == "9 of 10 (90%)"
    assert finding(found, "drugs without targets").level == "warning"
    assert finding(found, "diseases without genes").found == "0 of 1 (0%)"  # the relation runs from gene to disease
    assert finding(found, "diseases without genes").level == "good"


def test_namesakes_within_a_type_are_named() -> None:
    kg = load_kg(DATA / "kgx")
    assert finding(check(kg), "namesakes within a type").level == "good"
    renamed = kg.nodes.with_columns(
        node_name=pl.col("node_name").replace("type 1 diabetes mellitus", "type 2 diabetes mellitus")
    )
    doubled = check(KnowledgeGraph(kg.name, renamed, kg.edges, kg.relations, kg.roles, kg.report))
    assert "'type 2 diabetes mellitus' for 2 of type Disease" in finding(doubled, "namesakes within a type").found


def test_a_slice_differs_from_the_published_counts() -> None:
    found = check(load_kg(DATA / "primekg"))
    counts = finding(found, "counts against the published ones")
    assert counts.level == "warning"
    assert "anatomy 0 of 14,035" in counts.found
    drug_protein = found.relations.filter(relation="drug_protein")
    assert drug_protein.row(0) == ("drug_protein", 2, 25653)  # one fact under two display relations, as PrimeKG counts
    assert found.relations.filter(relation="biomarker")["published"].to_list() == [None]


def test_the_published_counts_add_up() -> None:
    sums = {name: (sum(each.nodes.values()), sum(each.facts.values())) for name, each in PUBLISHED.items()}
    assert sums == {
        "primekg": (129_375, 4_050_249),
        "hetionet": (47_031, 2_250_197),
        "drkg": (97_238, 0),
        "optimuskg": (190_531, 0),
    }
    assert sum(PRIMEKG_ROWS.values()) == 8_100_498


def test_findings_read_as_sentences() -> None:
    shown = [str(each) for each in check(load_kg(DATA / "kgx")).findings]
    assert shown[0].startswith(("problem: ", "warning: "))
    assert not any("  " in line or ".." in line for line in shown)


@pytest.mark.slow
def test_the_real_hetionet_has_its_nodes_and_lacks_what_its_readme_says(hetionet: Path) -> None:
    found = check(load_kg(hetionet))
    assert found.types.filter(pl.col("nodes") != pl.col("published")).height == 0
    off = found.relations.filter((pl.col("facts") - pl.col("published")).abs() > 0.01 * pl.col("published"))
    assert set(off["relation"]) == {"AeG", "CdG", "CuG", "GcG", "GpBP", "GpCC", "GpMF", "Gr>G"}
