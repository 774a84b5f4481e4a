from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from rxweave.config import EmbedSettings
from rxweave.embed.attention import build_index
from rxweave.embed.train import train
from rxweave.errors import ConfigError
from rxweave.graph.build import Graph, build_graph
from rxweave.graph.primekg_shape import node_counts, primekg_shaped, relation_shapes
from rxweave.kg.primekg import RELATIONS
from rxweave.kg.tables import KnowledgeGraph, LoadReport


@pytest.fixture(scope="module")
def full() -> Graph:
    return primekg_shaped(seed=0)


def active_nodes(graph: Graph) -> list[tuple[int, int]]:
    """Distinct nodes on each side of each relation; of a symmetric one, on its only side, twice."""
    found = []
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        sides = (np.concatenate([source, target]),) * 2 if relation.symmetric else (source, target)
        found.append((len(np.unique(sides[0])), len(np.unique(sides[1]))))
    return found


def relation_degrees(graph: Graph, relation: str, node_type: str) -> np.ndarray:
    r = [each.name for each in graph.relations].index(relation)
    rows = graph.rows_of(node_type)
    return np.bincount(graph.facts[r].ravel(), minlength=graph.num_nodes)[rows]


def test_full_size_has_the_published_counts(full: Graph) -> None:
    assert full.num_nodes == 129_375
    assert len(full.node_types) == 10
    assert full.num_of("gene/protein") == 27_671
    assert len(full.relations) == 30
    facts = {relation.name: fact.shape[1] for relation, fact in zip(full.relations, full.facts, strict=True)}
    assert facts["anatomy_protein_present"] == 1_518_203
    assert facts["drug_drug"] == 1_336_314
    assert facts["indication"] == 9_388
    assert full.num_facts == 4_050_249
    # Without self-loops every fact is two directed edges.
    assert all((source != target).all() for source, target in full.facts)
    assert 2 * full.num_facts == 8_100_498


def test_relations_join_the_types_that_the_real_file_joins(full: Graph) -> None:
    assert {relation.name: (relation.source_type, relation.target_type) for relation in full.relations} == RELATIONS


def test_pairs_isolated_nodes_and_hubs_are_as_many_as_guessed(full: Graph) -> None:
    rows = sum(
        sources if relation.symmetric else sources + targets
        for relation, (sources, targets) in zip(full.relations, active_nodes(full), strict=True)
    )
    assert 260_000 < rows < 300_000  # (directed relation, receiving node) pairs
    degree = np.sort(full.degrees)
    assert 0.005 < (degree == 0).mean() < 0.05
    assert degree[-1] > 1000 * np.median(degree)
    assert degree[-full.num_nodes // 100 :].sum() > 0.25 * degree.sum()


def test_a_popular_gene_is_popular_in_every_relation_but_not_equally(full: Graph) -> None:
    names = ("protein_protein", "disease_protein", "bioprocess_protein", "drug_protein")
    degrees = np.array([relation_degrees(full, name, "gene/protein") for name in names])
    correlation = spearmanr(degrees, axis=1).statistic[np.triu_indices(len(names), 1)]
    assert correlation.min() > 0.2
    assert correlation.max() < 0.95


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(1e-5, 0.02), seed=st.integers(0, 1000))
def test_every_fact_is_distinct_in_its_types_and_every_active_node_has_one(scale: float, seed: int) -> None:
    graph = primekg_shaped(scale, seed=seed)
    shapes = relation_shapes(scale)
    for shape, fact in zip(shapes, graph.facts, strict=True):
        source, target = fact
        assert fact.shape == (2, shape.num_facts)
        assert shape.num_facts >= 1
        for ends, node_type in ((source, shape.relation.source_type), (target, shape.relation.target_type)):
            rows = graph.rows_of(node_type)
            assert rows.start <= ends.min() <= ends.max() < rows.stop
        key = source * graph.num_nodes + target
        assert (np.diff(key) > 0).all()  # sorted as build_graph sorts, and so distinct
        if shape.relation.symmetric:
            assert (source < target).all()  # no self-loop, no fact in both directions
    assert active_nodes(graph) == [(shape.active_sources, shape.active_targets) for shape in shapes]


def test_small_graphs_are_numbered_and_sorted_as_if_they_had_been_loaded() -> None:
    graph = primekg_shaped(0.002, seed=1)
    keys = graph.nodes["node_key"].to_numpy()
    edges = pl.concat(
        pl.DataFrame({"source_key": keys[source], "relation": relation.name, "target_key": keys[target]})
        for relation, (source, target) in zip(graph.relations, graph.facts, strict=True)
    )
    report = LoadReport("made up", (), len(edges), len(edges), 0, 0, 0, 0, graph.num_nodes, 0, 0, 0)
    shuffled = KnowledgeGraph(
        graph.name,
        graph.nodes.sample(fraction=1.0, shuffle=True, seed=0),
        edges.sample(fraction=1.0, shuffle=True, seed=0),
        graph.relations,
        graph.roles,
        report,
    )
    loaded = build_graph(shuffled)
    assert loaded.node_types == graph.node_types
    assert loaded.type_offsets.tolist() == graph.type_offsets.tolist()
    assert loaded.nodes.equals(graph.nodes)
    for mine, other in zip(graph.facts, loaded.facts, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_names_say_that_they_are_made_up() -> None:
    nodes = primekg_shaped(0.001, seed=0).nodes
    assert nodes["node_name"].str.starts_with("synthetic ").all()
    assert nodes["node_source"].unique().to_list() == ["synthetic"]
    assert nodes["node_key"].is_unique().all()


def test_the_index_has_fifty_directed_relations_and_two_edges_per_fact() -> None:
    graph = primekg_shaped(0.01, seed=0)
    index = build_index(graph)
    assert index.num_relations == 50
    assert index.num_edges == 2 * graph.num_facts


def test_the_same_seed_gives_the_same_graph_and_another_one_another() -> None:
    one, again, other = (primekg_shaped(0.005, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one.facts, again.facts, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one.facts, other.facts, strict=True))


@pytest.mark.parametrize("scale", [0.125, 0.25, 2.0])
def test_nodes_and_facts_grow_in_proportion_to_the_scale(scale: float) -> None:
    assert sum(node_counts(scale).values()) == pytest.approx(129_375 * scale, rel=1e-4)
    assert sum(shape.num_facts for shape in relation_shapes(scale)) == pytest.approx(4_050_249 * scale, rel=1e-4)


def test_crowded_relations_stop_at_half_of_all_pairs() -> None:
    drug_drug = next(shape for shape in relation_shapes(0.01) if shape.relation.name == "drug_drug")
    drugs = node_counts(0.01)["drug"]
    assert drug_drug.num_facts <= drugs * (drugs - 1) // 4
    assert drug_drug.num_facts < 1_336_314 * 0.01


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_no_size_is_refused(scale: float) -> None:
    with pytest.raises(ConfigError, match="expected a number above 0"):
        primekg_shaped(scale, seed=0)


def test_training_runs_on_it() -> None:
    graph = primekg_shaped(0.002, seed=0)
    named = [graph.relations[r].name for r in graph.drug_disease_relations()]
    assert sorted(named) == ["contraindication", "indication", "off-label use"]
    assert len(graph.pairs(graph.roles.treats)) > 0
    settings = EmbedSettings(
        embedding_dim=16, hidden_dim=16, num_heads=2, feature_dim=16, num_epochs=1, features="learned", device="cpu"
    )
    trained = train(graph, settings, seed=0)
    assert trained.vectors.shape == (graph.num_nodes, 16)
    assert np.isfinite(trained.history[0].treatment)
