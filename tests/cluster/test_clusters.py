"""Clusters of a type: planted groups come back named after what they share, and lone nodes stay out."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from planted import GROUPS, LONELY, PER_GROUP, planted
from polars.testing import assert_frame_equal
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from rxweave import Clusters, ClusterSettings, Embeddings, cluster_nodes
from rxweave.cluster.layout import lay_out, principal_plane
from rxweave.errors import ConfigError, InputError

SETTINGS = ClusterSettings(pairs=4, resolutions=(0.5, 1.0, 2.0))


@pytest.fixture(scope="module")
def found() -> Clusters:
    graph, embeddings, _ = planted()
    return cluster_nodes(embeddings, graph, "drug", settings=SETTINGS)


def test_planted_groups_come_back(found: Clusters) -> None:
    group = planted()[2]
    grouped = found.nodes["cluster"].is_not_null().to_numpy()
    assert adjusted_rand_score(group[grouped], found.nodes["cluster"].drop_nulls()) == pytest.approx(1)
    assert found.clusters["size"].to_list() == [PER_GROUP] * GROUPS
    assert found.clusters["word"].to_list() == ["stable"] * GROUPS
    assert found.cautions == ()


def test_nodes_without_facts_are_flagged_and_never_clustered(found: Clusters) -> None:
    lone = found.nodes.filter(pl.col("state") == "no facts")
    assert len(lone) == LONELY
    assert lone.select("cluster", "x", "y").null_count().row(0) == (LONELY,) * 3
    assert found.num_clustered == GROUPS * PER_GROUP


def test_nodes_without_vectors_are_flagged() -> None:
    graph, embeddings, _ = planted()
    first, second = graph.rows_of("Drug").start, graph.rows_of("Drug").start + 1
    vectors = embeddings.vectors.copy()
    vectors[first] = 0
    kept = np.arange(len(vectors)) != second
    thinner = Embeddings(embeddings.nodes.filter(pl.Series(kept)), vectors[kept], {})
    states = cluster_nodes(thinner, graph, "Drug", settings=SETTINGS).nodes["state"]
    assert states[:3].to_list() == ["no vector", "no vector", "clustered"]


def test_clusters_are_named_after_what_they_share(found: Clusters) -> None:
    group = planted()[2]
    for cluster, name, medoid in found.clusters.select("cluster", "name", "medoid_name").iter_rows():
        members = np.flatnonzero((found.nodes["cluster"] == cluster).fill_null(value=False).to_numpy())
        number = group[members[0]]
        assert f"Gene 00{number}" in name.split(", ")
        assert medoid in found.nodes["node_name"][members].to_list()


def test_the_medoid_has_the_highest_mean_cosine_with_the_others(found: Clusters) -> None:
    graph, embeddings, _ = planted()
    vectors = embeddings.vectors[graph.rows_of("Drug")]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for cluster, medoid, mean_cosine in found.clusters.select("cluster", "medoid_key", "mean_cosine").iter_rows():
        members = np.flatnonzero((found.nodes["cluster"] == cluster).fill_null(value=False).to_numpy())
        cosine = unit[members] @ unit[members].T
        assert found.nodes["node_key"][members][int(cosine.sum(axis=1).argmax())] == medoid
        assert mean_cosine == pytest.approx(cosine[~np.eye(len(members), dtype=bool)].mean(), abs=1e-5)


def test_the_order_of_rows_does_not_matter(found: Clusters, rng: np.random.Generator) -> None:
    graph, embeddings, _ = planted()
    order = rng.permutation(embeddings.num_nodes)
    mixed = Embeddings(embeddings.nodes[order], embeddings.vectors[order], {})
    assert_frame_equal(cluster_nodes(mixed, graph, "Drug", settings=SETTINGS).nodes, found.nodes)


def test_without_a_graph_all_nodes_are_compared_and_nothing_is_enriched() -> None:
    _, embeddings, _ = planted()
    found = cluster_nodes(embeddings, None, "Drug", settings=SETTINGS)
    assert found.num_clustered + (found.nodes["state"] == "in no cluster").sum() == GROUPS * PER_GROUP + LONELY
    assert found.enrichment.is_empty()
    assert found.clusters["name"].str.starts_with("around ").all()


def test_vectors_without_groups_come_with_a_caution() -> None:
    graph, embeddings, _ = planted()
    noise = np.random.default_rng(5).normal(size=embeddings.vectors.shape).astype(np.float32)
    classes = pl.DataFrame({"node_key": embeddings.nodes["node_key"], "class": ["a", "b"] * 77 + ["a"]})
    found = cluster_nodes(Embeddings(embeddings.nodes, noise, {}), graph, "Drug", settings=SETTINGS, classes=classes)
    told = " ".join(found.cautions)
    assert "not as groups that exist" in told
    assert "do not match the classes" in told


def test_small_groups_are_no_clusters() -> None:
    graph, embeddings, _ = planted()
    found = cluster_nodes(embeddings, graph, "Drug", settings=SETTINGS.but(smallest=200, resolution=1.0))
    assert found.clusters.is_empty()
    assert (found.nodes["state"] == "in no cluster").sum() == GROUPS * PER_GROUP
    assert "Clusters found: 0" in found.cautions[0]


@pytest.mark.parametrize(("given", "closest"), [("durg", "drug"), ("Pathwya", "Pathway")])
def test_unknown_types_name_the_closest(given: str, closest: str) -> None:
    graph, embeddings, _ = planted()
    with pytest.raises(InputError, match=closest):
        cluster_nodes(embeddings, graph, given)


def test_too_few_nodes_are_refused() -> None:
    graph, embeddings, _ = planted()
    with pytest.raises(InputError, match="4 of 4 nodes of type 'Pathway'"):
        cluster_nodes(embeddings, graph, "Pathway")


def test_the_plane_is_that_of_scikit_learn(rng: np.random.Generator) -> None:
    vectors = (rng.normal(size=(80, 6)) * [5, 3, 2, 1, 1, 1]).astype(np.float32)
    np.testing.assert_allclose(np.abs(principal_plane(vectors)), np.abs(PCA(2).fit_transform(vectors)), atol=1e-4)
    assert principal_plane(vectors[:, :1]).shape == (80, 2)


def test_a_map_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rxweave.cluster.layout.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"rxweave\[map\]"):
        lay_out(np.eye(3, dtype=np.float32), "umap", seed=0)
