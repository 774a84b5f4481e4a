from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from embeddings_made import gaussian, on_nodes_of

from rxweave.embed.features import svd_features
from rxweave.embed.store import Embeddings
from rxweave.errors import ConfigError, InputError
from rxweave.graph.build import Graph
from rxweave.validate.on_graph import GraphReport, active_rows, measure_on_graph, rows_on_graph, vectors_on_graph
from rxweave.validate.structure import structural_duplicate_rate


@pytest.fixture(scope="module")
def spectral(small_graph: Graph) -> Embeddings:
    return on_nodes_of(small_graph, svd_features(small_graph, 32, seed=0))


@pytest.fixture(scope="module")
def report(small_graph: Graph, spectral: Embeddings) -> GraphReport:
    return measure_on_graph(spectral, small_graph)


def test_spectral_features_know_the_facts_and_random_vectors_do_not(small_graph: Graph, report: GraphReport) -> None:
    random = measure_on_graph(on_nodes_of(small_graph, gaussian(small_graph.num_nodes, 32)), small_graph)
    assert report.link_auroc > 0.65
    assert random.link_auroc == pytest.approx(0.5, abs=0.05)
    assert random.cosine_auroc == pytest.approx(0.5, abs=0.05)
    assert report.dirichlet_share < 0.95
    assert random.dirichlet_share == pytest.approx(1, abs=0.03)
    assert report.degree_prior_auroc == pytest.approx(0.5, abs=0.1)
    low, high = report.link_interval
    assert low <= report.link_auroc <= high


def test_every_type_and_relation_is_told(small_graph: Graph, report: GraphReport) -> None:
    assert tuple(found.node_type for found in report.types) == small_graph.node_types
    assert [found.relation for found in report.relations] == [str(relation) for relation in small_graph.relations]
    twins = structural_duplicate_rate(small_graph)
    assert {found.node_type: found.structural_duplicate_rate for found in report.types} == twins
    assert report.of_type("drug") is report.types[small_graph.node_types.index("drug")]
    assert report.of_type("ghost") is None
    assert report.untrained_link_auroc is None


def test_the_same_seed_gives_the_same_report(small_graph: Graph, spectral: Embeddings, report: GraphReport) -> None:
    again = measure_on_graph(spectral, small_graph)
    assert repr(again) == repr(report)
    assert repr(measure_on_graph(spectral, small_graph, seed=1)) != repr(report)


def test_the_control_is_measured_as_the_embeddings_are(
    small_graph: Graph, spectral: Embeddings, report: GraphReport
) -> None:
    itself = measure_on_graph(spectral, small_graph, untrained=spectral.vectors)
    assert itself.untrained_link_auroc == itself.link_auroc == report.link_auroc


def test_vectors_in_another_order_are_found_by_key(small_graph: Graph, spectral: Embeddings) -> None:
    order = np.random.default_rng(1).permutation(spectral.num_nodes)
    shuffled = Embeddings(spectral.nodes[order], spectral.vectors[order], {})
    vectors, present = vectors_on_graph(shuffled, small_graph)
    assert present.all()
    assert (vectors == spectral.vectors).all()


def test_a_csv_that_tells_type_and_id_only_is_matched_by_them(small_graph: Graph, spectral: Embeddings) -> None:
    nodes = spectral.nodes.with_columns(node_key=pl.format("{}|{}", "node_type", "node_id"))
    told = Embeddings(nodes.drop("node_source"), spectral.vectors, {})
    assert (rows_on_graph(told, small_graph) == np.arange(small_graph.num_nodes)).all()


def test_nodes_without_a_vector_are_left_out_with_their_facts(
    small_graph: Graph, spectral: Embeddings, report: GraphReport
) -> None:
    kept = spectral.nodes["node_type"] != "pathway"
    some = Embeddings(spectral.nodes.filter(kept), spectral.vectors[kept.to_numpy()], {})
    found = measure_on_graph(some, small_graph)
    number = {each.relation: each.num_facts for each in found.relations}
    for before in report.relations:
        assert number[before.relation] == (0 if "pathway" in before.relation.split(" –")[0] else before.num_facts)
    assert np.isnan(next(each for each in found.types if each.node_type == "pathway").uniformity)


def test_only_nodes_with_facts_are_active(small_graph: Graph, spectral: Embeddings) -> None:
    bare = small_graph.keep_facts(
        {r: np.zeros(fact.shape[1], bool) for r, fact in enumerate(small_graph.facts) if r != 3}
    )
    assert (active_rows(spectral, bare) == (bare.degrees > 0)).all()
    nothing = small_graph.keep_facts({r: np.zeros(fact.shape[1], bool) for r, fact in enumerate(small_graph.facts)})
    with pytest.raises(ConfigError, match="No embedded node has a fact"):
        active_rows(spectral, nothing)


def test_embeddings_of_another_graph_are_refused(small_graph: Graph) -> None:
    nodes = pl.DataFrame({name: ["a", "b"] for name in ("node_key", "node_id", "node_name", "node_type")})
    with pytest.raises(InputError, match="None of the 2 embedded nodes is in demo"):
        measure_on_graph(Embeddings(nodes, np.ones((2, 3), np.float32), {}), small_graph)
