from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from pair_graphs import (
    BINDS,
    EASED_BY,
    HARMS,
    LINKED,
    TREATS,
    graph_of,
    planted_graph,
    random_graph,
    vectors_of,
    without_pair,
)

from rxweave.config import FeatureSettings
from rxweave.embed.store import Embeddings
from rxweave.embed.treatment_scores import WEIGHTS_KEY
from rxweave.errors import ConfigError, InputError
from rxweave.graph.build import Graph
from rxweave.graph.pairs import fact_pairs
from rxweave.rank.features import (
    DECODER,
    PairFeatures,
    aligned_vectors,
    decoder_feature,
    pair_features,
)
from rxweave.rank.paths import NO_PATHS, PathScale, fit_scale

ALL = FeatureSettings()


def scale_of(graph: Graph) -> PathScale:
    return fit_scale(graph, max_length=3, damping=0.5, max_paths=200, num_diseases=512, rng=np.random.default_rng(0))


def features_of(graph: Graph, settings: FeatureSettings = ALL, *, scale: PathScale | None = None) -> PairFeatures:
    return pair_features(graph, vectors_of(graph), scale or scale_of(graph), settings, seed=0)


def all_pairs(graph: Graph) -> np.ndarray:
    num_diseases = graph.num_of("disease")
    return np.stack(np.divmod(np.arange(graph.num_of("drug") * num_diseases), num_diseases), axis=1)


def busy_graph(seed: int) -> Graph:
    """A random graph in which every node has facts other than with drugs or diseases."""
    graph = random_graph(seed, drugs=6, diseases=5, genes=5, density=0.4)
    facts = {
        rel: (found - np.array([[graph.rows_of(rel.source_type).start], [graph.rows_of(rel.target_type).start]])).T
        for rel, found in zip(graph.relations, graph.facts, strict=True)
    }
    listed = {rel: {(int(s), int(t)) for s, t in found} for rel, found in facts.items()}
    listed[BINDS] |= {(drug, 0) for drug in range(6)}
    listed[LINKED] |= {(disease, 0) for disease in range(5)}
    return graph_of({"drug": 6, "disease": 5, "gene": 5}, {rel: sorted(found) for rel, found in listed.items()})


@pytest.mark.parametrize("seed", range(2))
def test_a_pairs_own_facts_never_shape_its_training_features(seed: int) -> None:
    graph = busy_graph(seed)
    scale = scale_of(graph)
    joined = np.unique(np.concatenate([fact_pairs(graph, r) for r in graph.drug_disease_relations()]), axis=0)
    assert len(joined) > 5
    features = features_of(graph, scale=scale)
    for pair in joined:
        bare = features_of(without_pair(graph, *pair.tolist()), scale=scale)
        np.testing.assert_array_equal(
            features.training_rows(pair[None]), bare.training_rows(pair[None]), err_msg=str(pair)
        )


def test_a_pairs_own_facts_do_shape_its_scoring_features() -> None:
    """The test above could not fail if drug–disease facts reached no feature at all."""
    graph = busy_graph(0)
    scale = scale_of(graph)
    features = features_of(graph, scale=scale)
    changed = 0
    for pair in graph.pairs(("treats",)):
        bare = features_of(without_pair(graph, *pair.tolist()), scale=scale)
        changed += not np.array_equal(features.scoring_rows(pair[None]), bare.scoring_rows(pair[None]), equal_nan=True)
    assert changed == len(graph.pairs(("treats",)))


def test_a_pair_does_not_see_its_own_fact_under_another_key() -> None:
    facts = {
        TREATS: [(0, 0), (1, 0), (2, 1)],
        BINDS: [(d, d % 2) for d in range(4)],
        LINKED: [(0, 0), (1, 1)],
    }
    sizes = {"drug": 4, "disease": 2, "gene": 2}
    twins = {("drug", 0): "Aspirin", ("drug", 1): "Aspirin"}
    graph = graph_of(sizes, facts, names=twins)
    alone = graph_of(sizes, facts | {TREATS: [(2, 1)]}, names=twins)
    scale = scale_of(graph)
    pair = np.array([[0, 0]])
    np.testing.assert_array_equal(
        features_of(graph, scale=scale).training_rows(pair),
        features_of(alone, scale=scale).training_rows(pair),
    )


@pytest.mark.parametrize("seed", range(2))
def test_training_rows_are_scoring_rows_of_the_graph_without_the_fold(seed: int) -> None:
    graph = busy_graph(seed)
    scale = scale_of(graph)
    features = features_of(graph, scale=scale)
    pairs = all_pairs(graph)
    fold = features.folds.of(pairs)
    rows = features.training_rows(pairs)
    for k in np.unique(fold):
        keep = {r: features.folds.of(fact_pairs(graph, r)) != k for r in graph.drug_disease_relations()}
        expected = features_of(graph.keep_facts(keep), scale=scale).scoring_rows(pairs[fold == k])
        np.testing.assert_array_equal(rows[fold == k], expected)


def test_every_column_has_one_name_and_names_differ() -> None:
    features = features_of(random_graph(0))
    assert len(set(features.names)) == len(features.names)
    assert features.block(np.array([1, 0])).shape == (5, 2, len(features.names))


@pytest.mark.parametrize(
    ("groups", "prefixes"),
    [
        (("degrees",), {"degree"}),
        (("paths",), {"paths"}),
        (("neighbours",), {"neighbours"}),
        (("embeddings", "degrees"), {"embedding", "degree"}),
        (("neighbours", "degrees", "paths"), {"neighbours", "degree", "paths"}),
    ],
)
def test_groups_switch_their_own_columns_only(groups: tuple[str, ...], prefixes: set[str]) -> None:
    graph = random_graph(1)
    features = features_of(graph, FeatureSettings(groups=groups))
    assert {name.split(":")[0] for name in features.names} == prefixes
    everything = features_of(graph, FeatureSettings(groups=("neighbours", "degrees", "paths", "embeddings")))
    columns = [everything.names.index(name) for name in features.names]
    pairs = all_pairs(graph)
    np.testing.assert_array_equal(features.training_rows(pairs), everything.training_rows(pairs)[:, columns])


def test_degree_columns_are_counted_by_hand() -> None:
    graph = graph_of(
        {"drug": 3, "disease": 2, "gene": 4},
        {
            TREATS: [(0, 0), (0, 1), (1, 0)],
            HARMS: [(2, 0)],
            EASED_BY: [(1, 2)],
            BINDS: [(0, 0), (0, 1), (0, 2), (2, 3)],
            LINKED: [(0, 0), (1, 1), (1, 2)],
        },
    )
    features = features_of(graph, FeatureSettings(groups=("degrees",)))
    named = {name: features.block(np.arange(2))[:, :, i] for i, name in enumerate(features.names)}
    log = np.log1p(np.arange(4))
    expected = {
        "degree: drug –binds→ gene": [[log[3], log[3]], [0, 0], [log[1], log[1]]],
        "degree: disease –linked→ gene": [[log[1], log[2]]] * 3,
        "degree: other diseases of the drug, treats": [[1, 1], [0, 1], [0, 0]],
        "degree: other drugs of the disease, treats": [[1, 0], [1, 1], [2, 1]],
        "degree: other diseases of the drug, harms": [[0, 0], [0, 0], [0, 1]],
        "degree: other drugs of the disease, harms": [[1, 0], [1, 0], [0, 0]],
        "degree: other diseases of the drug, eased by": [[0, 0], [0, 0], [1, 0]],
        "degree: other drugs of the disease, eased by": [[0, 1], [0, 1], [0, 0]],
    }
    assert set(named) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(named[name], values, rtol=1e-6, err_msg=name)


def test_features_do_not_depend_on_the_block() -> None:
    graph = random_graph(0, drugs=20, diseases=9, genes=15)
    features = features_of(graph)
    pairs = np.random.default_rng(0).permutation(all_pairs(graph))[:100]
    for rows in (features.training_rows, features.scoring_rows):
        np.testing.assert_array_equal(rows(pairs), rows(pairs, block_size=1))
        np.testing.assert_array_equal(rows(pairs), rows(pairs, block_size=7))
    block = features.block(np.arange(graph.num_of("disease")))
    np.testing.assert_array_equal(block[pairs[:, 0], pairs[:, 1]], features.scoring_rows(pairs))


def test_a_node_without_facts_has_no_neighbour_features() -> None:
    graph = planted_graph()
    drug, disease = graph.num_of("drug") - 1, graph.num_of("disease") - 1
    assert graph.degrees[[graph.rows_of("drug").stop - 1, graph.rows_of("disease").stop - 1]].tolist() == [
        0,
        0,
    ]
    features = features_of(graph, FeatureSettings(groups=("neighbours",)))
    block = features.block(np.arange(graph.num_of("disease")))
    assert np.isnan(block[drug, :, :3]).all()
    assert np.isnan(block[:, disease, 3:]).all()
    assert np.isfinite(block[:drug, :disease]).any()


def test_embedding_columns_are_products_or_the_vectors_themselves() -> None:
    graph = planted_graph()
    vectors = vectors_of(graph)
    drug, disease = vectors[graph.rows_of("drug")], vectors[graph.rows_of("disease")]
    pairs = np.array([[0, 0], [3, 5], [12, 20]])
    product = features_of(graph, FeatureSettings(groups=("embeddings",)))
    np.testing.assert_array_equal(product.scoring_rows(pairs), drug[pairs[:, 0]] * disease[pairs[:, 1]])
    both = features_of(graph, FeatureSettings(groups=("embeddings",), embedding_form="concat"))
    expected = np.concatenate([drug[pairs[:, 0]], disease[pairs[:, 1]]], axis=1)
    np.testing.assert_array_equal(both.scoring_rows(pairs), expected)
    assert np.isnan(both.scoring_rows(np.array([[39, 0]]))[0, :6]).all()


def test_embeddings_that_are_needed_and_absent_are_refused() -> None:
    graph = random_graph(0)
    with pytest.raises(ConfigError, match="need embeddings and none were given"):
        pair_features(graph, None, scale_of(graph), FeatureSettings(groups=("neighbours", "paths")), seed=0)
    without = pair_features(graph, None, NO_PATHS, FeatureSettings(groups=("degrees",)), seed=0)
    assert all(name.startswith("degree") for name in without.names)


def test_the_decoders_score_is_a_column_of_its_own() -> None:
    graph = planted_graph()
    vectors = vectors_of(graph)
    weights = np.arange(1.0, 7.0)
    told = {str(rel): weights.tolist() for rel in graph.relations if rel.name == "treats"}
    embeddings = Embeddings(graph.nodes, vectors, {WEIGHTS_KEY: json.dumps(told)})
    settings = FeatureSettings(groups=("degrees", "decoder"))
    decoder = decoder_feature(embeddings, vectors, graph, settings)
    features = pair_features(graph, vectors, NO_PATHS, settings, seed=0, decoder=decoder)
    pairs = np.array([[0, 0], [3, 5], [12, 20]])
    drug, disease = vectors[graph.rows_of("drug")][pairs[:, 0]], vectors[graph.rows_of("disease")][pairs[:, 1]]
    column = features.names.index(DECODER)
    for rows in (features.scoring_rows(pairs), features.training_rows(pairs, block_size=1)):
        np.testing.assert_allclose(rows[:, column], (drug * weights * disease).sum(1), rtol=1e-5)
    without = pair_features(graph, vectors, NO_PATHS, FeatureSettings(groups=("degrees",)), seed=0)
    np.testing.assert_array_equal(np.delete(features.scoring_rows(pairs), column, axis=1), without.scoring_rows(pairs))
    last = np.array([[graph.num_of("drug") - 1, 0], [0, graph.num_of("disease") - 1]])  # without facts
    assert np.isnan(features.scoring_rows(last)[:, column]).all()
    with pytest.raises(ConfigError, match="needs the decoder's scores"):
        pair_features(graph, vectors, NO_PATHS, settings, seed=0)


def test_vectors_are_found_by_key_whatever_their_order() -> None:
    graph = random_graph(0)
    vectors = vectors_of(graph)
    order = np.random.default_rng(0).permutation(graph.num_nodes)
    shuffled = Embeddings(graph.nodes[order], vectors[order], {})
    np.testing.assert_array_equal(aligned_vectors(shuffled, graph), vectors)


def test_genes_may_lack_a_vector_but_drugs_and_diseases_may_not() -> None:
    graph = random_graph(0)
    vectors = vectors_of(graph)

    def only(kept: np.ndarray) -> Embeddings:
        return Embeddings(graph.nodes.filter(pl.Series(kept)), vectors[kept], {})

    genes = (graph.nodes["node_type"] == "gene").to_numpy()
    np.testing.assert_array_equal(aligned_vectors(only(~genes), graph), np.where(genes[:, None], 0, vectors))
    first_drug = np.arange(graph.num_nodes) == graph.rows_of("drug").start
    with pytest.raises(InputError, match=r"1 drugs and diseases of test have no embedding, first 'drug\|Test\|0000'"):
        aligned_vectors(only(~first_drug), graph)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"groups": ("path",)}, "Feature group 'path' is not known.*Closest: 'paths'"),
        ({"groups": ()}, r"groups is \(\); .*at least 1 item"),
        ({"num_folds": 1}, "num_folds is 1; it must be greater than or equal to 2"),
        ({"max_path_length": 1}, "max_path_length is 1"),
        ({"max_paths": 0}, "max_paths is 0"),
        ({"scale_diseases": 0}, "scale_diseases is 0"),
        ({"damping": 1.5}, "damping is 1.5"),
        ({"embedding_form": "sum"}, "embedding_form is 'sum'"),
    ],
)
def test_impossible_settings_are_refused(bad: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FeatureSettings(**bad)
