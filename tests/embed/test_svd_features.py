"""Spectral features: what they are, that they are an identity, and that they see nothing they should not."""

from __future__ import annotations

import numpy as np

from rxweave.embed.features import FEATURE_RMS, balanced_adjacency, svd_features
from rxweave.embed.similarity import gene_sharing
from rxweave.graph.build import Graph


def test_adjacency_is_symmetric_and_normalised(small_graph: Graph) -> None:
    adjacency = balanced_adjacency(small_graph)
    assert abs(adjacency - adjacency.T).max() < 1e-6
    largest = np.linalg.eigvalsh(adjacency.toarray().astype(np.float64)).max()
    assert abs(largest - 1) < 1e-4  # D^-1/2 A D^-1/2 has spectral radius 1


def test_features_are_distinct_rows_of_one_length(small_graph: Graph) -> None:
    features = svd_features(small_graph, 64, seed=0)
    assert features.shape == (small_graph.num_nodes, 64)
    length = np.linalg.norm(features, axis=1)
    linked = small_graph.degrees > 0
    np.testing.assert_allclose(length[linked], FEATURE_RMS * 8, rtol=1e-5)
    assert len(np.unique(features[linked].round(4), axis=0)) > 0.99 * linked.sum()


def test_a_node_without_facts_gets_zeros(small_graph: Graph) -> None:
    node = small_graph.rows_of("drug").start
    keep = {r: (fact != node).all(0) for r, fact in enumerate(small_graph.facts)}
    features = svd_features(small_graph.keep_facts(keep), 32, seed=0)
    assert not features[node].any()
    assert features[node + 1].any()


def test_same_seed_same_features(small_graph: Graph) -> None:
    np.testing.assert_array_equal(svd_features(small_graph, 16, seed=4), svd_features(small_graph, 16, seed=4))


def test_columns_beyond_the_graphs_rank_are_zero(small_graph: Graph) -> None:
    features = svd_features(small_graph, small_graph.num_nodes + 50, seed=0)
    assert features.shape[1] == small_graph.num_nodes + 50
    assert not features[:, small_graph.num_nodes :].any()


def test_gene_sharing_matches_sets(small_graph: Graph) -> None:
    genes: dict[int, set[int]] = {}
    rows = small_graph.rows_of("disease")
    for rel, (source, target) in zip(small_graph.relations, small_graph.facts, strict=True):
        ends = (rel.source_type, rel.target_type)
        if set(ends) == {"disease", "gene/protein"}:
            disease, gene = (source, target) if ends[0] == "disease" else (target, source)
            for d, g in zip(disease.tolist(), gene.tolist(), strict=True):
                genes.setdefault(d - rows.start, set()).add(g)
    matrix = gene_sharing(small_graph, "disease", threshold=0.1).toarray()
    assert matrix.any()
    for a in range(len(matrix)):
        for b in range(len(matrix)):
            mine, other = genes.get(a, set()), genes.get(b, set())
            union = mine | other
            alike = a != b and bool(union) and len(mine & other) / len(union) > 0.1
            assert matrix[a, b] == alike


def test_genes_share_no_genes(small_graph: Graph) -> None:
    assert gene_sharing(small_graph, "gene/protein", threshold=0.1).nnz == 0
