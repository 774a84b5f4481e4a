"""Nodes found by what people call them."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from rxweave.errors import InputError
from rxweave.kg.names import closest_names, find_node, search
from rxweave.kg.sources import load_kg
from rxweave.kg.tables import KnowledgeGraph, LoadReport, Relation, Roles

DATA = Path(__file__).parents[1] / "data"

NODES = [
    ("disease", "MONDO", "4979", "asthma"),
    ("disease", "MONDO", "5", "allergic asthma"),
    ("disease", "MONDO", "6", "asthmatic bronchitis"),
    ("disease", "MONDO", "7", "anasthmatic state"),
    ("phenotype", "HPO", "4979", "Asthma"),
    ("drug", "DrugBank", "DB1", "Salbutamol"),
    ("drug", "DrugBank", "DB2", "Aspirin (C++)"),
    ("drug", "DrugBank", "DB3", "Zinc"),
    ("drug", "DrugBank", "DB4", "Zinc"),
]


@pytest.fixture(scope="module")
def kg() -> KnowledgeGraph:
    columns = ("node_type", "node_source", "node_id", "node_name")
    nodes = pl.DataFrame(NODES, schema=dict.fromkeys(columns, pl.String), orient="row").select(
        pl.concat_str("node_type", "node_source", "node_id", separator="|").alias("node_key"),
        "node_id", "node_name", "node_type", "node_source",
    )  # fmt: skip
    edges = pl.DataFrame(schema=dict.fromkeys(("source_key", "relation", "target_key"), pl.String))
    synonyms = pl.DataFrame(
        {
            "node_key": ["drug|DrugBank|DB1", "drug|DrugBank|DB1", "drug|DrugBank|DB2", "drug|DrugBank|DB3"],
            "synonym": ["albuterol", "asthma relief", "acetylsalicylic acid", "albuterol"],
        }
    )
    report = LoadReport("x", (), 0, 0, 0, 0, 0, 0, nodes.height, nodes.height, 0, 0)
    relations = (Relation("drug", "treats", "disease"),)
    roles = Roles("drug", "disease", None, ("treats",))
    return KnowledgeGraph("small", nodes, edges, relations, roles, report, synonyms=synonyms)


def test_the_surest_match_comes_first_and_each_node_once(kg: KnowledgeGraph) -> None:
    found = search(kg, "Asthma")
    assert list(zip(found["node_name"], found["match"], strict=True)) == [
        ("asthma", "name"),
        ("Asthma", "name"),
        ("Salbutamol", "begins so"),
        ("asthmatic bronchitis", "begins so"),
        ("allergic asthma", "word begins so"),
        ("anasthmatic state", "contains"),
    ]
    assert found.filter(node_name="Salbutamol")["matched"].to_list() == ["asthma relief"]


def test_a_type_and_a_limit_narrow_the_search(kg: KnowledgeGraph) -> None:
    assert search(kg, "asthm", node_type="phenotype")["node_id"].to_list() == ["4979"]
    assert search(kg, "asthm", limit=2).height == 2
    with pytest.raises(InputError, match=r"Node type 'diseases' is not in small.*Closest: 'disease'"):
        search(kg, "asthm", node_type="diseases")


def test_letters_that_mean_something_to_patterns_are_letters(kg: KnowledgeGraph) -> None:
    assert search(kg, "(c++)")["node_id"].to_list() == ["DB2"]
    assert search(kg, "a.*a").height == 0
    assert search(kg, "\\").height == 0


def test_ids_are_found_bare_with_their_source_and_as_keys(kg: KnowledgeGraph) -> None:
    for text in ("db1", "DrugBank:DB1", "drug|DrugBank|DB1"):
        assert search(kg, text)["match"].to_list()[0] == "id"
        assert find_node(kg, text).node_name == "Salbutamol"


def test_one_node_by_name_synonym_or_case(kg: KnowledgeGraph) -> None:
    assert find_node(kg, "asthma").node_key == "disease|MONDO|4979"
    assert find_node(kg, "Asthma").node_key == "phenotype|HPO|4979"
    assert find_node(kg, " acetylsalicylic ACID ").node_id == "DB2"
    assert find_node(kg, "ASTHMA", node_type="disease").node_id == "4979"
    assert str(find_node(kg, "DB1")) == "'Salbutamol' (drug, DrugBank:DB1)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Zinc", r"'Zinc' means 2 nodes: drug\|DrugBank\|DB3 \(Zinc\); drug\|DrugBank\|DB4 \(Zinc\). Give the key"),
        ("ASTHMA", r"'ASTHMA' means 2 nodes: disease\|MONDO\|4979 \(asthma\); phenotype"),
        ("4979", "'4979' means 2 nodes"),
        ("albuterol", r"'albuterol' means 2 nodes: drug\|DrugBank\|DB1"),
        ("asthmaa", r"Node 'asthmaa' is not in small .*: 9\). Closest: 'asthma' \(disease, MONDO:4979\)"),
        ("salbutmaol", r"Closest: 'Salbutamol' \(drug, DrugBank:DB1\)"),
        ("xyzzy", r"Node 'xyzzy' is not in small \(nodes of that kind: 9\). `rxweave search`"),
        ("  ", "the text is empty"),
    ],
)
def test_what_means_no_node_or_several_is_refused(kg: KnowledgeGraph, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_node(kg, text)


def test_a_miss_within_a_type_offers_only_that_type(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match=r"Drug 'asthma' is not in small \(nodes of that kind: 4\)"):
        find_node(kg, "asthma", node_type="drug")
    assert [node.node_type for node in closest_names(kg, "asthmae", node_type="phenotype")] == ["phenotype"]


@pytest.fixture(scope="module")
def kgx(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeGraph:
    """The slice of KGX with a column of synonyms, as Biolink names it."""
    folder = tmp_path_factory.mktemp("kgx")
    shutil.copy(DATA / "kgx" / "small_edges.tsv", folder)
    synonyms = {
        "CHEBI:6801": "dimethylbiguanide|Glucophage",
        "MONDO:0005148": "NIDDM|type 2 diabetes mellitus|",
        "HGNC:4263": "GHR1",
    }
    header, *lines = (DATA / "kgx" / "small_nodes.tsv").read_text().splitlines()
    lines = [f"{line}\t{synonyms.get(line.split()[0], '')}" for line in lines]
    (folder / "small_nodes.tsv").write_text("\n".join([f"{header}\tsynonym", *lines]))
    return load_kg(folder)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("niddm", "Disease|MONDO|0005148"),
        ("Glucophage", "Drug|CHEBI|6801"),
        ("GHR1", "Gene|HGNC|4263"),  # a node without a name
    ],
)
def test_kgx_brings_synonyms(kgx: KnowledgeGraph, text: str, key: str) -> None:
    assert find_node(kgx, text).node_key == key


def test_a_name_is_not_its_own_synonym(kgx: KnowledgeGraph) -> None:
    assert kgx.synonyms is not None
    assert sorted(kgx.synonyms["synonym"]) == ["GHR1", "Glucophage", "NIDDM", "dimethylbiguanide"]
    assert load_kg(DATA / "kgx").synonyms is None


def test_the_second_of_two_names_in_primekg_is_a_synonym() -> None:
    assert find_node(load_kg(DATA / "primekg"), "diabetes type II").node_key == "disease|MONDO|5148"
