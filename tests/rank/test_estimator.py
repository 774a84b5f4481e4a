"""The ranker under scikit-learn's own tools."""

from __future__ import annotations

import numpy as np
import pytest
from pair_graphs import TREATS, embeddings_of, planted_graph, split_at
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score

from rxweave.config import FeatureSettings, RankSettings
from rxweave.errors import InputError, LeakError
from rxweave.graph.pairs import fact_pairs
from rxweave.rank.estimator import PairRanker

SETTINGS = RankSettings(
    num_draws=1,
    num_trees=20,
    max_depth=3,
    min_child_weight=1.0,
    negatives_per_positive=3,
    threads=1,
    features=FeatureSettings(groups=("degrees", "paths"), num_folds=2),
)
GRAPH = planted_graph()
TREATED = fact_pairs(GRAPH, GRAPH.relations.index(TREATS))


def pairs_and_labels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    others = np.stack([rng.integers(0, 40, 300), rng.integers(0, 30, 300)], axis=1)
    known = {tuple(pair) for pair in TREATED.tolist()}
    others = np.array([pair for pair in others.tolist() if tuple(pair) not in known])
    drugs, diseases = (GRAPH.nodes["node_key"][GRAPH.rows_of(role)].to_numpy() for role in ("drug", "disease"))
    pairs = np.concatenate([TREATED, others])
    return np.stack([drugs[pairs[:, 0]], diseases[pairs[:, 1]]], axis=1), np.repeat([1, 0], [len(TREATED), len(others)])


def test_cross_validation_and_grid_search_of_scikit_learn_run_and_rank_above_chance() -> None:
    keys, label = pairs_and_labels()
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    scores = cross_val_score(PairRanker(GRAPH, settings=SETTINGS), keys, label, cv=folds, scoring="roc_auc")
    assert scores.min() > 0.8
    grid = {"settings": [SETTINGS, SETTINGS.but(num_trees=5)]}
    search = GridSearchCV(PairRanker(GRAPH), grid, cv=folds, scoring="average_precision").fit(keys, label)
    assert search.best_params_["settings"] in grid["settings"]
    assert search.predict_proba(keys).shape == (len(keys), 2)


def test_what_is_not_fitted_on_has_left_the_graph() -> None:
    keys, label = pairs_and_labels()
    ranker = PairRanker(GRAPH, settings=SETTINGS).fit(keys[20:], label[20:])
    left = {tuple(pair) for pair in fact_pairs(ranker.training_, GRAPH.relations.index(TREATS)).tolist()}
    assert not left & {tuple(pair) for pair in TREATED[:20].tolist()}
    assert {tuple(pair) for pair in TREATED[20:].tolist()} <= left | {tuple(pair) for pair in TREATED[:20].tolist()}
    assert clone(ranker).get_params()["settings"] is not None
    order = np.argsort(ranker.decision_function(keys))
    assert (np.diff(ranker.predict_proba(keys)[order, 1]) >= 0).all()
    assert set(ranker.predict(keys)) <= {0, 1}


def test_embeddings_that_saw_a_held_out_pair_are_refused() -> None:
    keys, label = pairs_and_labels()
    split, training = split_at(GRAPH, num_valid=12, num_test=20)
    with pytest.raises(LeakError):
        PairRanker(GRAPH, embeddings_of(training, split), SETTINGS).fit(keys[20:], label[20:])


def test_wrong_rows_and_labels_are_named() -> None:
    keys, label = pairs_and_labels()
    ranker = PairRanker(GRAPH, settings=SETTINGS)
    with pytest.raises(InputError, match="expected rows of two node keys"):
        ranker.fit(keys[:, :1], label)
    with pytest.raises(InputError, match="expected one each, 0 or 1"):
        ranker.fit(keys, label + 1)
    with pytest.raises(InputError, match="are no treatments of"):
        ranker.fit(keys, np.ones_like(label))
    with pytest.raises(InputError, match="row 0: 'nobody' is no drug"):
        ranker.fit(np.array([["nobody", keys[0, 1]]]), np.array([1]))
