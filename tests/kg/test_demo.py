from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from rxweave.errors import ConfigError
from rxweave.graph.build import build_graph
from rxweave.kg.demo import demo_kg
from rxweave.kg.tables import EDGE_COLUMNS, NODE_COLUMNS, KnowledgeGraph

CLINICAL = ("indication", "contraindication", "off-label use")


@pytest.fixture(scope="module")
def kg() -> KnowledgeGraph:
    return demo_kg()


def test_the_same_seed_gives_the_same_graph(kg: KnowledgeGraph) -> None:
    again = demo_kg()
    assert_frame_equal(kg.nodes, again.nodes)
    assert_frame_equal(kg.edges, again.edges)
    assert kg.truth is not None
    assert again.truth is not None
    assert_frame_equal(kg.truth.scores, again.truth.scores, check_exact=True)
    assert kg.report == again.report


def test_another_seed_gives_another_graph(kg: KnowledgeGraph) -> None:
    other = demo_kg(seed=1)
    assert_frame_equal(kg.nodes, other.nodes)
    shared = kg.edges.join(other.edges, on=list(EDGE_COLUMNS), how="semi")
    assert len(shared) < len(kg.edges) / 2


@pytest.mark.parametrize(("num_nodes", "num_edges"), [(300, 2500), (3000, 60_000), (9000, 150_000)])
def test_counts_are_those_asked_for_and_so_says_the_report(num_nodes: int, num_edges: int) -> None:
    kg = demo_kg(num_nodes=num_nodes, num_edges=num_edges, seed=3)
    assert kg.nodes.shape == (num_nodes, len(NODE_COLUMNS))
    assert len(kg.edges) == num_edges
    assert kg.report.source == "demo"
    assert kg.report.files == ()
    assert (kg.report.rows_read, kg.report.facts, kg.report.nodes) == (num_edges, num_edges, num_nodes)
    ends = set(kg.edges["source_key"]) | set(kg.edges["target_key"])
    assert kg.report.isolated_nodes == num_nodes - len(ends)
    asked = 0.022 * num_edges
    assert abs(len(_pairs(kg, "indication")) - asked) < 4 * np.sqrt(asked)


def test_tables_have_the_contracted_columns_all_text_and_keys_unique(kg: KnowledgeGraph) -> None:
    assert tuple(kg.nodes.columns) == NODE_COLUMNS
    assert tuple(kg.edges.columns) == (*EDGE_COLUMNS, "display_relation")
    for table in (kg.nodes, kg.edges):
        assert set(table.schema.dtypes()) == {pl.String}
        assert sum(table.null_count().row(0)) == 0
    assert kg.nodes["node_key"].is_unique().all()
    spelt = kg.nodes.select(pl.concat_str("node_type", "node_source", "node_id", separator="|"))
    assert kg.nodes["node_key"].to_list() == spelt.to_series().to_list()


def test_an_id_alone_does_not_name_a_node(kg: KnowledgeGraph) -> None:
    assert set(kg.nodes.filter(node_id="7")["node_type"]) == set(kg.nodes["node_type"])


def test_every_name_says_that_the_node_is_synthetic(kg: KnowledgeGraph) -> None:
    assert kg.nodes["node_name"].str.contains(r"^synthetic (drug|disease|gene|pathway|phenotype) \d{4}$").all()
    assert kg.nodes["node_name"].is_unique().all()
    assert set(kg.nodes["node_source"]) == {"Synthetic"}
    assert any("Synthetic" in note and "seed 0" in note for note in kg.report.notes)


def test_each_fact_stands_once_and_joins_two_nodes_of_the_right_types(kg: KnowledgeGraph) -> None:
    assert kg.edges.select(EDGE_COLUMNS).is_unique().all()
    assert (kg.edges["source_key"] != kg.edges["target_key"]).all()
    types = dict(kg.nodes.select("node_key", "node_type").iter_rows())
    found = {
        (types[source], relation, types[target])
        for source, relation, target in kg.edges.select(EDGE_COLUMNS).iter_rows()
    }
    assert found == {(r.source_type, r.name, r.target_type) for r in kg.relations}


def test_facts_between_nodes_of_one_type_are_written_smaller_key_first(kg: KnowledgeGraph) -> None:
    within = [r for r in kg.relations if r.source_type == r.target_type]
    assert {r.name for r in within} == {"protein_protein", "drug_drug", "disease_disease"}
    assert all(r.symmetric == (r in within) for r in kg.relations)
    facts = kg.edges.filter(pl.col("relation").is_in([r.name for r in within]))
    assert all(source < target for source, target in facts.select("source_key", "target_key").iter_rows())


def test_roles_name_relations_of_the_graph(kg: KnowledgeGraph) -> None:
    ends = {(r.source_type, r.name, r.target_type) for r in kg.relations}
    for name in (*kg.roles.treats, *kg.roles.contraindicated):
        assert (kg.roles.drug, name, kg.roles.disease) in ends
    assert kg.roles.gene in set(kg.nodes["node_type"])


def test_every_drug_has_a_target_and_every_disease_a_gene_at_the_sparsest_setting() -> None:
    kg = demo_kg(num_nodes=1000, num_edges=4000)
    for relation, node_type in (("drug_protein", "drug"), ("disease_protein", "disease")):
        linked = set(kg.edges.filter(relation=relation)["source_key"])
        assert linked == set(kg.nodes.filter(node_type=node_type)["node_key"])


def test_degrees_are_heavy_tailed(kg: KnowledgeGraph) -> None:
    graph = build_graph(kg)
    genes = np.sort(graph.degrees[graph.rows_of("gene/protein")])[::-1]
    assert genes[: len(genes) // 100].sum() > 0.05 * genes.sum()
    assert genes[0] > 10 * np.median(genes)


def test_some_drugs_and_diseases_have_no_treatment_and_some_have_many(kg: KnowledgeGraph) -> None:
    known = _known(kg)
    for axis, least in ((0, 0.2), (1, 0.05)):
        degree = known.sum(axis=axis)
        assert least < (degree == 0).mean() < 0.6
        assert degree.max() > 4 * degree.mean()


def test_no_pair_is_in_two_of_the_drug_disease_relations(kg: KnowledgeGraph) -> None:
    pairs = [set(_pairs(kg, relation).iter_rows()) for relation in CLINICAL]
    assert all(pairs)
    assert sum(map(len, pairs)) == len(set().union(*pairs))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_stated_oracle_is_the_rank_sum_of_the_true_probabilities(seed: int) -> None:
    kg = demo_kg(seed=seed)
    assert kg.truth is not None
    oracle = _rank_sum_auroc(_probability(kg).ravel(), _known(kg).ravel())
    assert kg.truth.oracle_auroc == pytest.approx(oracle, abs=1e-12)
    assert 0.95 <= oracle <= 0.98
    assert any(f"{oracle:.4f}" in note for note in kg.report.notes)


def test_probabilities_cover_every_pair_once(kg: KnowledgeGraph) -> None:
    assert kg.truth is not None
    scores = kg.truth.scores
    drugs, diseases = (set(kg.nodes.filter(node_type=kind)["node_key"]) for kind in ("drug", "disease"))
    assert len(scores) == len(drugs) * len(diseases)
    assert scores.select("drug_key", "disease_key").is_unique().all()
    assert set(scores["drug_key"]) == drugs
    assert set(scores["disease_key"]) == diseases
    assert scores["probability"].is_between(0, 1, closed="none").all()


def test_probabilities_are_calibrated_overall_and_by_band(kg: KnowledgeGraph) -> None:
    probability, known = _probability(kg).ravel(), _known(kg).ravel()
    order = np.argsort(probability)
    for band in (order, *np.array_split(order, 3), order[-2000:-500], order[-500:]):
        expected = probability[band].sum()
        spread = np.sqrt((probability[band] * (1 - probability[band])).sum())
        assert abs(known[band].sum() - expected) < 4 * spread


def test_the_degree_prior_is_better_than_chance_and_far_below_the_oracle(kg: KnowledgeGraph) -> None:
    known = _known(kg)
    train = known & (np.random.default_rng(0).random(known.shape) < 0.7)
    prior = np.outer(train.sum(axis=1), train.sum(axis=0))[~train]
    auroc = _rank_sum_auroc(prior, known[~train])
    assert kg.truth is not None
    assert 0.6 < auroc < 0.82
    assert auroc < kg.truth.oracle_auroc - 0.15


def test_shared_genes_tell_treatments_from_other_pairs_better_than_the_degree_prior(
    kg: KnowledgeGraph,
) -> None:
    graph = build_graph(kg)
    drug, disease, gene = (graph.rows_of(kind) for kind in ("drug", "disease", "gene/protein"))
    touches = {}
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        touches[relation.name] = np.zeros((graph.num_nodes, gene.stop - gene.start))
        if relation.target_type == "gene/protein":
            touches[relation.name][source, target - gene.start] = 1.0
    rarity = 1 / np.sqrt(1 + touches["disease_protein"].sum(axis=0) + touches["drug_protein"].sum(axis=0))
    interacts = touches["protein_protein"][gene]
    near = (touches["drug_protein"][drug] * rarity) @ (interacts + interacts.T + np.eye(len(interacts)))
    paths = near @ (touches["disease_protein"][disease] * rarity).T
    assert _rank_sum_auroc(paths.ravel(), _known(kg).ravel()) > 0.85


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_nodes": 199}, ("199", "at least 200", "default")),
        ({"num_nodes": 3000, "num_edges": 11_999}, ("11999", "12000", "4 per node", "fewer nodes")),
        ({"num_nodes": 200, "num_edges": 60_000}, ("60000", "200 nodes", "drug_drug", "more nodes")),
        ({"seed": -1}, ("-1", "from 0 up")),
    ],
)
def test_impossible_settings_are_refused_with_the_numbers(settings: dict[str, int], words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        demo_kg(**settings)
    assert all(word in str(caught.value) for word in words)


def test_the_fullest_graph_that_the_error_allows_can_be_placed() -> None:
    with pytest.raises(ConfigError) as caught:
        demo_kg(num_nodes=400, num_edges=10**6)
    room = int(str(caught.value).split("have room for ")[1].split(":")[0])
    assert len(demo_kg(num_nodes=400, num_edges=room).edges) == room
    with pytest.raises(ConfigError):
        demo_kg(num_nodes=400, num_edges=room + 1)


def _pairs(kg: KnowledgeGraph, relation: str) -> pl.DataFrame:
    return kg.edges.filter(relation=relation).select(drug_key="source_key", disease_key="target_key")


def _known(kg: KnowledgeGraph) -> np.ndarray:
    """Indications as a drugs × diseases table in the graph's numbering."""
    graph = build_graph(kg)
    known = np.zeros((graph.num_of("drug"), graph.num_of("disease")), bool)
    drug, disease = graph.pairs(kg.roles.treats).T
    known[drug, disease] = True
    return known


def _probability(kg: KnowledgeGraph) -> np.ndarray:
    """The true probabilities in the same layout: keys in sorted order, as build_graph numbers them."""
    assert kg.truth is not None
    scores = kg.truth.scores.sort("drug_key", "disease_key")["probability"].to_numpy()
    return scores.reshape(kg.nodes.filter(node_type="drug").height, -1)


def _rank_sum_auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive outscores a negative, ties counting half (Mann and Whitney 1947)."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(count)
    mean_rank = (last_rank - (count - 1) / 2)[place]
    positives, negatives = int(positive.sum()), int((~positive).sum())
    return float((mean_rank[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def test_the_truth_names_the_mechanisms_of_every_node_and_the_graph_does_not() -> None:
    kg = demo_kg(num_nodes=400, num_edges=4000, seed=1)
    assert kg.truth is not None
    mechanisms = kg.truth.mechanisms
    assert mechanisms is not None
    assert set(mechanisms["node_key"]) <= set(kg.nodes["node_key"])
    parts = mechanisms.group_by("node_key").agg(pl.col("part").sum(), pl.len())
    np.testing.assert_allclose(parts["part"], 1.0)
    assert set(parts["len"]) == {1, 2, 3}
    background = set(kg.nodes["node_key"]) - set(parts["node_key"])
    assert 0 < len(background) < 0.4 * 400
    assert set(kg.nodes.filter(pl.col("node_key").is_in(list(background)))["node_type"]) == {"gene/protein"}
    assert not {"mechanism", "part"} & {*kg.nodes.columns, *kg.edges.columns}
