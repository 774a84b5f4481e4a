from __future__ import annotations

import numpy as np
import pytest
from pair_graphs import BINDS, TREATS, graph_of, random_graph, without_pair

from rxweave.config import FeatureSettings
from rxweave.graph.pairs import fact_pairs
from rxweave.graph.split import Unit
from rxweave.rank.features import pair_features
from rxweave.rank.folds import fold_facts, pair_folds
from rxweave.rank.paths import NO_PATHS, PathScale, metapaths


def all_pairs(num_drugs: int, num_diseases: int) -> np.ndarray:
    return np.stack(np.divmod(np.arange(num_drugs * num_diseases), num_diseases), axis=1)


def test_folds_are_about_equal_in_size_and_do_not_follow_drugs_or_diseases() -> None:
    graph = graph_of({"drug": 200, "disease": 50, "gene": 1}, {TREATS: [(0, 0)]})
    fold = pair_folds(graph, num_folds=5, seed=0).of(all_pairs(200, 50)).reshape(200, 50)
    # 2,000 expected in each; the standard deviation of a fair draw is 40.
    assert np.abs(np.bincount(fold.ravel()) - 2000).max() < 200
    for row in (*fold, *fold.T):
        assert np.bincount(row, minlength=5).min() >= 1


def test_the_fold_of_a_pair_depends_on_the_pair_and_the_seed_only() -> None:
    graph = random_graph(0)
    pairs = all_pairs(5, 4)
    folds = pair_folds(graph, num_folds=5, seed=3)
    shuffled = np.random.default_rng(0).permutation(len(pairs))
    np.testing.assert_array_equal(folds.of(pairs)[shuffled], folds.of(pairs[shuffled]))
    np.testing.assert_array_equal(folds.of(pairs), pair_folds(without_pair(graph, 0, 0), num_folds=5, seed=3).of(pairs))
    assert not np.array_equal(folds.of(pairs), pair_folds(graph, num_folds=5, seed=4).of(pairs))


def test_nodes_with_one_name_share_their_folds() -> None:
    names = {("drug", 7): "Aspirin", ("drug", 3): "aspirin "}
    graph = graph_of({"drug": 9, "disease": 40, "gene": 1}, {BINDS: [(0, 0)]}, names=names)
    fold = pair_folds(graph, num_folds=5, seed=0).of(all_pairs(9, 40)).reshape(9, 40)
    np.testing.assert_array_equal(fold[7], fold[3])
    assert not np.array_equal(fold[7], fold[4])


@pytest.mark.parametrize(("unit", "end"), [("drug", 0), ("disease", 1)])
def test_folds_of_a_drug_or_a_disease_hold_all_its_pairs(unit: Unit, end: int) -> None:
    names = {("drug", 7): "Aspirin", ("drug", 3): "aspirin "}
    graph = graph_of({"drug": 60, "disease": 60, "gene": 1}, {TREATS: [(0, 0)]}, names=names)
    pairs = all_pairs(60, 60)
    fold = pair_folds(graph, num_folds=5, seed=0, unit=unit).of(pairs)
    of_node = [set(fold[pairs[:, end] == node].tolist()) for node in range(60)]
    assert all(len(folds) == 1 for folds in of_node)
    assert set.union(*of_node) == set(range(5))
    if unit == "drug":
        assert of_node[7] == of_node[3]


def test_with_folds_of_diseases_a_row_sees_no_treatment_of_its_disease() -> None:
    """Paths from the drug to the disease by what else treats it are all that could."""
    facts = random_graph(1, drugs=8, diseases=7, density=0.6)
    names = [path.name for path in metapaths(facts, 3)]
    scale = PathScale(tuple(names), np.ones(len(names), np.float32), 0)
    settings = FeatureSettings(groups=("paths",), folds_by="disease")
    features = pair_features(facts, None, scale, settings, seed=0)
    pairs = facts.pairs(("treats",))
    column = features.names.index("paths: drug –treats→ disease ←treats– drug –treats→ disease")
    assert not features.training_rows(pairs)[:, column].any()
    assert features.scoring_rows(pairs)[:, column].any()


@pytest.mark.parametrize(("unit", "other"), [("disease", "drug"), ("drug", "disease")])
def test_an_end_that_rows_leave_out_whole_is_not_known_by_its_degrees(unit: Unit, other: str) -> None:
    """They would say which one it is, and so how often it was an answer in training."""
    graph = random_graph(1, drugs=8, diseases=7, density=0.6)
    settings = FeatureSettings(groups=("degrees",), folds_by=unit)
    features = pair_features(graph, None, NO_PATHS, settings, seed=0)
    assert features.names
    pairs = all_pairs(8, 7)
    rows = features.scoring_rows(pairs)
    assert rows.shape == (56, len(features.names))
    matrix = rows.reshape(8, 7, -1)
    joined = features.by_fold[None].joined["treats"].toarray()
    if other == "drug":
        column = features.names.index("degree: other diseases of the drug, treats")
        np.testing.assert_array_equal(matrix[:, :, column], joined.sum(axis=1)[:, None] - joined)
        assert features.training_rows(graph.pairs(("treats",)))[:, column].any()
        assert not any("of the disease" in name or name.startswith("degree: disease") for name in features.names)
    else:
        column = features.names.index("degree: other drugs of the disease, treats")
        np.testing.assert_array_equal(matrix[:, :, column], joined.sum(axis=0) - joined)
        assert not any("of the drug" in name or name.startswith("degree: drug") for name in features.names)
    np.testing.assert_array_equal(features.block(np.arange(7)), matrix)


@pytest.mark.parametrize("seed", range(4))
def test_a_fold_leaves_out_its_own_drug_disease_facts_of_every_relation_and_no_other(seed: int) -> None:
    graph = random_graph(seed, drugs=8, diseases=7)
    folds = pair_folds(graph, num_folds=3, seed=0)
    for fold in range(3):
        facts = fold_facts(graph, folds, fold, damping=0.5)
        for name, matrix in facts.joined.items():
            relation = next(r for r, rel in enumerate(graph.relations) if rel.name == name)
            pairs = fact_pairs(graph, relation)
            expected = np.zeros(matrix.shape)
            stay = pairs[folds.of(pairs) != fold]
            expected[stay[:, 0], stay[:, 1]] = 1
            np.testing.assert_array_equal(matrix.toarray(), expected)
        for step, matrix in facts.steps.items():
            left = {(s, t) for s, t in zip(*matrix.nonzero(), strict=True)}
            pairs = fact_pairs(graph, step.relation)
            stay = pairs[folds.of(pairs) != fold]
            from_drug = step.source_type == "drug"
            assert left == {(c, d) if from_drug else (d, c) for c, d in stay.tolist()}


def test_no_fold_leaves_nothing_out() -> None:
    graph = random_graph(0)
    facts = fold_facts(graph, pair_folds(graph, num_folds=3, seed=0), None, damping=0.5)
    treated = np.argwhere(facts.known.toarray())
    np.testing.assert_array_equal(treated, graph.pairs(("treats",)))
    assert set(facts.joined) == {"treats", "harms", "eased by"}
