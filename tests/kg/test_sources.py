from __future__ import annotations

import gzip
from pathlib import Path

import jaxtyping
import pytest

from rxweave.errors import ConfigError, InputError
from rxweave.graph.build import build_graph
from rxweave.kg.sources import READERS, load_kg

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("primekg", "primekg"),
        ("primekg/kg.csv", "primekg"),
        ("hetionet", "hetionet"),
        ("hetionet/edges.tsv", "hetionet"),
        ("triples", "drkg"),
        ("triples/drkg.tsv", "drkg"),
    ],
)
def test_the_format_is_known_by_content(source: str, name: str) -> None:
    assert load_kg(DATA / source).name == name
    assert load_kg(str(DATA / source)).name == name


@pytest.mark.parametrize("name", ["kg.csv", "edges.tsv", "nodes.tsv", "readme.txt"])
def test_a_file_s_name_decides_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes((DATA / "triples" / "drkg.tsv").read_bytes())
    assert load_kg(tmp_path).report.facts == 8


def test_format_forces_a_reader() -> None:
    kg = load_kg(DATA / "hetionet" / "edges.tsv", format="triples")
    assert kg.name == "edges"
    assert kg.nodes["node_source"].unique().to_list() == ["triples"]


def test_every_reader_says_what_it_holds() -> None:
    assert list(READERS) == [
        "primekg",
        "primekg_pair",
        "hetionet",
        "hetionet_json",
        "kgx",
        "optimuskg",
        "tables",
        "parquet",
        "triples",
    ]
    assert all(reader.holds for reader in READERS.values())


def test_the_demo_graph_comes_by_name_with_a_size_and_a_seed() -> None:
    kg = load_kg("demo:300", seed=5)
    assert kg.nodes.height == 300
    assert kg.edges.equals(load_kg("demo:300", seed=5).edges)
    assert not kg.edges.equals(load_kg("demo:300", seed=6).edges)
    assert build_graph(kg).num_nodes == 300


@pytest.mark.parametrize("source", ["demo:", "demo:many", "demo:-5", "demo:1.5"])
def test_a_demo_size_is_a_whole_number(source: str) -> None:
    with pytest.raises(ConfigError, match="does not say how many nodes"):
        load_kg(source)


def test_a_missing_path_says_what_is_near_and_what_to_do() -> None:
    with pytest.raises(InputError, match=r"does not exist.*holds hetionet, kgx, primekg, triples.*Closest: 'primekg'"):
        load_kg(DATA / "primkg")


def test_a_folder_without_a_graph_says_what_it_holds_and_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("one line of prose\n")
    (tmp_path / "kg.csv.gz").write_bytes(gzip.compress((DATA / "primekg" / "kg.csv").read_bytes())[:100])
    with pytest.raises(InputError) as caught:
        load_kg(tmp_path)
    message = str(caught.value)
    assert "holds no graph. It holds kg.csv.gz, notes.txt." in message
    assert "kg.csv.gz is cut short" in message
    assert "triples: a file of three columns" in message


def test_a_file_that_is_no_graph_shows_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("drug,score\naspirin,1\n")
    with pytest.raises(InputError, match=r"list.csv is not a graph: its first line has drug, score. Expected primekg"):
        load_kg(path)


def test_a_nearly_right_header_is_told_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "kg.csv"
    path.write_text((DATA / "primekg" / "kg.csv").read_text().replace("x_type", "x_typ", 1))
    with pytest.raises(InputError, match=r"lacks the column x_type; its first line has .*Closest: 'x_typ'"):
        load_kg(path)
    with pytest.raises(InputError, match="lacks the column x_type"):
        load_kg(path, format="primekg")


def test_a_forced_format_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="lacks the columns source, metaedge, target"):
        load_kg(DATA / "primekg" / "kg.csv", format="hetionet")
    with pytest.raises(InputError, match=r"primekg is not hetionet: expected a folder with nodes.tsv"):
        load_kg(DATA / "primekg", format="hetionet")
    with pytest.raises(InputError, match="line 1: 12 fields, expected 3"):
        load_kg(DATA / "primekg" / "kg.csv", format="triples")


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"format is 'prime'.*Closest: 'primekg'"):
        load_kg(DATA / "primekg", format="prime")


def test_an_unknown_way_with_errors_is_refused_and_not_taken_for_skipping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Users run without the suite's type checks, so the guard has to stand without them.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ConfigError, match="on_error is 'ignore'; expected 'stop' or 'skip'"):
        load_kg(DATA / "primekg", on_error="ignore")


def test_node_types_are_kept_with_the_facts_between_them() -> None:
    kg = load_kg(DATA / "primekg", include_node_types=["drug", "disease"])
    assert set(kg.nodes["node_type"]) == {"drug", "disease"}
    assert kg.nodes.height == 5
    assert sorted(relation.name for relation in kg.relations) == [
        "contraindication",
        "drug_drug",
        "indication",
        "off-label use",
    ]
    assert kg.edges.height == 5
    assert kg.roles.gene is None
    assert any("left out 3 of 8 nodes and 6 of 11 facts" in note for note in kg.report.notes)
    assert build_graph(kg).num_facts == 5


def test_an_unknown_node_type_is_refused_with_the_closest() -> None:
    with pytest.raises(InputError, match=r"'diseases' is not in primekg \(it has disease, drug.*Closest: 'disease'"):
        load_kg(DATA / "primekg", include_node_types=["drug", "diseases"])
    with pytest.raises(ConfigError, match="include_node_types is empty"):
        load_kg(DATA / "primekg", include_node_types=[])


def test_a_graph_without_drugs_loads_and_says_that_it_cannot_be_ranked() -> None:
    kg = load_kg(DATA / "primekg", include_node_types=["disease", "gene/protein"])
    assert kg.roles.drug == "drug"
    assert any("no nodes of type 'drug'" in note and "not ranked" in note for note in kg.report.notes)


def test_absent_treatments_are_said() -> None:
    kg = load_kg(DATA / "triples", treats=["GNBR::J::Gene:Disease"], drug_type="Gene")
    assert kg.roles.treats == ("GNBR::J::Gene:Disease",)
    assert not any("counts as treatment" in note for note in kg.report.notes)


def test_roles_can_be_chosen_for_every_format() -> None:
    kg = load_kg(DATA / "primekg", treats=["indication", "off-label use"], gene_type="effect/phenotype")
    assert kg.roles.treats == ("indication", "off-label use")
    assert kg.roles.contraindicated == ("contraindication",)
    assert kg.roles.gene == "effect/phenotype"
    assert load_kg(DATA / "hetionet", treats="CpD", contraindicated=["CtD"]).roles.contraindicated == ("CtD",)
    assert load_kg("demo:300", treats=["off-label use"]).roles.treats == ("off-label use",)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"drug_type": "Drug"}, r"drug_type is 'Drug'.*not a node type of primekg.*Closest: 'drug'"),
        ({"disease_type": "x"}, "disease_type is 'x'"),
        ({"gene_type": "gene"}, r"Closest: 'gene/protein'"),
        ({"treats": ["indicatoin"]}, r"'indicatoin', which primekg does not have.*Closest: 'indication'"),
        ({"treats": ["drug_protein"]}, r"joins other types \(drug –drug_protein→ gene/protein\)"),
        ({"contraindicated": ["indication"]}, "indication is in both treats and contraindicated"),
        ({"treats": []}, "treats is empty"),
    ],
)
def test_a_role_that_names_nothing_is_refused(choice: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_kg(DATA / "primekg", **choice)


def test_a_treatment_relation_without_facts_is_said(tmp_path: Path) -> None:
    lines = (DATA / "primekg" / "kg.csv").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("indication")]
    (tmp_path / "kg.csv").write_text("\n".join(kept))
    assert "No fact of indication is there, though it counts as treatment." in load_kg(tmp_path).report.notes
