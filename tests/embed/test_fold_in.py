"""New nodes: folded in beside the decomposition, embedded as the encoder would, and nobody else moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from rxweave.config import EmbedSettings
from rxweave.embed.attention import build_index
from rxweave.embed.features import balanced_adjacency, folded_in, singular_vectors, svd_features
from rxweave.embed.fold_in import embed_new, features_with_new, new_rows
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.graph.build import Graph, build_graph
from rxweave.graph.extend import pairs_within, rows_within, split_within
from rxweave.graph.split import random_split
from rxweave.kg.demo import demo_kg
from rxweave.kg.tables import KnowledgeGraph

KG = demo_kg(num_nodes=300, num_edges=2500, seed=2)
GRAPH = build_graph(KG)


def with_clones(kg: KnowledgeGraph, keys: list[str], *, relations: tuple[str, ...] | None = None) -> KnowledgeGraph:
    """The graph and a copy of each of these nodes, with the same facts."""
    again = {key: f"{key} again" for key in keys}
    nodes = kg.nodes.filter(pl.col("node_key").is_in(keys)).with_columns(
        node_key=pl.col("node_key").replace(again), node_name=pl.col("node_name") + " again"
    )
    edges = kg.edges.filter(pl.col("source_key").is_in(keys) != pl.col("target_key").is_in(keys)).with_columns(
        pl.col("source_key", "target_key").replace(again)
    )
    if relations is not None:
        edges = edges.filter(pl.col("relation").is_in(relations))
    return replace(kg, nodes=pl.concat([kg.nodes, nodes]), edges=pl.concat([kg.edges, edges]))


def clones(node_type: str, count: int) -> tuple[Graph, np.ndarray]:
    """The graph with copies of the first nodes of a type that have no fact among each other, and those nodes' rows."""
    rows = GRAPH.rows_of(node_type)
    some = np.arange(rows.start, rows.stop)[GRAPH.degrees[rows] > 3][:count]
    larger = build_graph(with_clones(KG, GRAPH.nodes["node_key"].gather(some).to_list()))
    return larger, some


def encoder(**sizes: int) -> HGT:
    shape = HGTShape(
        tuple(GRAPH.type_offsets.tolist()),
        build_index(GRAPH).num_relations,
        feature_dim=16,
        hidden_dim=sizes.get("hidden", 16),
        embedding_dim=24,
        num_layers=sizes.get("layers", 2),
        num_heads=4,
    )
    return HGT(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sizes", [{"layers": 1}, {"layers": 2}, {"layers": 3, "hidden": 32}])
@pytest.mark.parametrize("node_type", ["disease", "gene/protein"])
def test_a_copy_of_a_node_with_its_features_gets_its_embedding(node_type: str, sizes: dict[str, int]) -> None:
    """What it receives is what the original receives in a pass over the training graph, exactly but for rounding."""
    larger, originals = clones(node_type, 5)
    among = {
        frozenset(fact) for facts in GRAPH.facts for fact in facts.T.tolist() if set(fact) <= set(originals.tolist())
    }
    alone = [row for row in range(5) if not any(int(originals[row]) in fact for fact in among)]
    assert len(alone) >= 2
    features = torch.randn(GRAPH.num_nodes, 16, generator=torch.Generator().manual_seed(1))
    old, new = rows_within(GRAPH, larger), new_rows(GRAPH, larger)
    wide = torch.zeros(larger.num_nodes, 16)
    wide[torch.from_numpy(old)] = features
    wide[torch.from_numpy(new)] = features[torch.from_numpy(originals)]
    hgt = encoder(**sizes)
    with torch.no_grad():
        expected = hgt(features, build_index(GRAPH))[torch.from_numpy(originals)]
    got = embed_new(hgt, wide, GRAPH, larger)
    torch.testing.assert_close(got[alone], expected[alone], atol=1e-5, rtol=1e-5)


def test_known_nodes_keep_their_features_exactly_whatever_is_added() -> None:
    settings = EmbedSettings(feature_dim=16, hidden_dim=16, embedding_dim=24)
    larger, _ = clones("disease", 4)
    found = features_with_new(GRAPH, larger, settings, seed=5, learnt=None).numpy()
    assert np.array_equal(found[rows_within(GRAPH, larger)], svd_features(GRAPH, 16, seed=5))
    lengths = np.linalg.norm(found[new_rows(GRAPH, larger)], axis=1)
    np.testing.assert_allclose(lengths, 0.3 * np.sqrt(16), rtol=1e-5)


def test_folding_a_known_row_in_gives_back_its_own_place() -> None:
    """Against the decomposition itself: a·V·S^(-1/2) is U·sqrt(S), where the spectrum is exact."""
    dim = 12
    found = singular_vectors(GRAPH, dim, seed=0)
    rows = balanced_adjacency(GRAPH)
    again, own = folded_in(found, rows, dim), svd_features(GRAPH, dim, seed=0)
    linked = GRAPH.degrees > 0
    cosine = (again * own).sum(1) / (0.09 * dim)
    assert np.median(cosine[linked]) > 0.99
    assert not again[~linked].any()


def test_features_of_a_copy_lie_near_those_of_the_original() -> None:
    settings = EmbedSettings(feature_dim=32, hidden_dim=32, embedding_dim=32)
    larger, originals = clones("disease", 5)
    found = features_with_new(GRAPH, larger, settings, seed=0, learnt=None).numpy()
    new, old = found[new_rows(GRAPH, larger)], found[rows_within(GRAPH, larger)]
    unit = old / np.maximum(np.linalg.norm(old, axis=1, keepdims=True), 1e-9)
    nearest = np.argmax(new @ unit.T, axis=1)
    assert (nearest == originals).sum() >= 4


def test_learnt_features_of_a_new_node_are_the_mean_of_its_neighbours() -> None:
    settings = EmbedSettings(feature_dim=8, hidden_dim=8, embedding_dim=8, features="learned")
    larger, _ = clones("disease", 1)
    learnt = torch.randn(GRAPH.num_nodes, 8, generator=torch.Generator().manual_seed(0))
    found = features_with_new(GRAPH, larger, settings, seed=0, learnt=learnt).numpy()
    old, (new,) = rows_within(GRAPH, larger), new_rows(GRAPH, larger)
    assert np.array_equal(found[old], learnt.numpy())
    weights = balanced_adjacency(larger)[new].toarray().ravel()[old]
    mean = weights @ learnt.numpy()
    cosine = found[new] @ mean / np.linalg.norm(found[new]) / np.linalg.norm(mean)
    assert cosine == pytest.approx(1, abs=1e-5)
    diseases = learnt.numpy()[GRAPH.rows_of("disease")]
    assert np.linalg.norm(found[new]) == pytest.approx(np.linalg.norm(diseases, axis=1).mean(), rel=1e-5)


def test_constant_features_stay_constant() -> None:
    settings = EmbedSettings(feature_dim=8, hidden_dim=8, embedding_dim=8, features="constant")
    assert features_with_new(GRAPH, clones("drug", 2)[0], settings, seed=0, learnt=None).unique().numel() == 1


def test_pairs_and_splits_name_the_same_nodes_in_a_larger_graph() -> None:
    larger, _ = clones("disease", 6)
    split = random_split(GRAPH, seed=0)
    moved = split_within(split, GRAPH, larger)
    for part in ("train", "valid", "test"):
        for end, node_type in enumerate(("drug", "disease")):
            before = GRAPH.nodes["node_key"][GRAPH.rows_of(node_type)].gather(getattr(split, part)[:, end])
            after = larger.nodes["node_key"][larger.rows_of(node_type)].gather(getattr(moved, part)[:, end])
            assert before.equals(after)
    assert pairs_within(np.empty((0, 2), np.int64), GRAPH, larger).shape == (0, 2)
