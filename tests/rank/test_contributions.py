"""What each feature adds to a score: parts that sum to it, equal to those of Shapley values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st
from pair_graphs import HARMS, embeddings_of, planted_graph, split_at
from scipy.integrate import quad
from scipy.special import softmax

from rxweave.config import FeatureSettings, RankSettings
from rxweave.graph.build import Graph
from rxweave.rank.contributions import (
    BILINEAR,
    GROUPS,
    contributions,
    group_of,
    of_linear,
    of_trees,
    treats_against_rest,
)
from rxweave.rank.features import PairFeatures
from rxweave.rank.ranker import Ranker, fit_ranker

SMALL = RankSettings(num_trees=20, max_depth=3, min_child_weight=1.0, negatives_per_positive=3, threads=1)
ALL_GROUPS = FeatureSettings(groups=("neighbours", "degrees", "paths", "profiles", "embeddings", "decoder"))


def without_harm(graph: Graph) -> Graph:
    return graph.keep_facts(
        {r: np.zeros(fact.shape[1], bool) for r, fact in enumerate(graph.facts) if graph.relations[r] == HARMS}
    )


@pytest.fixture(scope="module", params=[(2, 1), (2, 3), (3, 1), (3, 3)], ids=str)
def fitted(request: pytest.FixtureRequest) -> tuple[Ranker, PairFeatures]:
    num_classes, num_draws = request.param
    graph = planted_graph() if num_classes == 3 else without_harm(planted_graph())
    split, training = split_at(graph, num_valid=12, num_test=20)
    embeddings = embeddings_of(training, split)
    settings = SMALL.but(num_draws=num_draws, features=ALL_GROUPS)
    ranker = fit_ranker(training, split, embeddings, settings, seed=0)
    assert len(ranker.classes) == num_classes
    return ranker, ranker.features(training, embeddings)


def test_parts_sum_to_the_score_of_every_pair_drawn_or_not(fitted: tuple[Ranker, PairFeatures]) -> None:
    ranker, features = fitted
    pairs = np.stack(np.divmod(np.arange(features.num_drugs * features.num_diseases), features.num_diseases), axis=1)
    rows = features.scoring_rows(pairs)
    found = contributions(ranker, rows, pairs)
    np.testing.assert_allclose(found.scores, ranker.score(rows, pairs)[:, 0], atol=1e-4)
    np.testing.assert_allclose(found.base + sum(found.by_group().values()), found.scores, atol=1e-9)
    assert set(found.by_group()) == set(GROUPS) - {"other", "drug", "disease"}
    assert np.ptp(found.parts, axis=0).max() > 0.1


@pytest.mark.parametrize("absent", [("linear",), ("bilinear",), ("linear", "bilinear")], ids=str)
def test_they_sum_to_the_score_of_a_ranker_of_fewer_kinds_of_member(absent: tuple[str, ...]) -> None:
    split, training = split_at(planted_graph(), num_valid=12, num_test=20)
    embeddings = embeddings_of(training, split)
    settings = SMALL.but(num_draws=2, **{f"{kind}_weight": 0.0 for kind in absent})
    ranker = fit_ranker(training, split, embeddings, settings, seed=0)
    rows = ranker.features(training, embeddings).scoring_rows(split.test)
    found = contributions(ranker, rows, split.test)
    np.testing.assert_allclose(found.scores, ranker.score(rows, split.test)[:, 0], atol=1e-4)
    assert (BILINEAR in found.names) == ("bilinear" not in absent)


def test_each_kind_of_member_is_apportioned_by_itself(fitted: tuple[Ranker, PairFeatures]) -> None:
    ranker, features = fitted
    pairs = np.stack(np.divmod(np.arange(60), features.num_diseases), axis=1)
    rows, shift = features.scoring_rows(pairs), np.log(ranker.class_weights)
    if len(ranker.boosters) == 1:
        scores, _ = ranker.member_scores(rows, pairs)
        np.testing.assert_allclose(of_trees(ranker.boosters[0], rows, shift).sum(axis=1), scores["trees"], atol=1e-4)
        np.testing.assert_allclose(of_linear(ranker.linear[0], rows, shift).sum(axis=1), scores["linear"], atol=1e-4)
    mean = ranker.linear[0].mean[None].copy()
    np.testing.assert_allclose(of_linear(ranker.linear[0], mean, shift)[:, :-1], 0, atol=1e-6)


def test_a_member_that_drew_the_pair_has_no_part_in_it(fitted: tuple[Ranker, PairFeatures]) -> None:
    ranker, features = fitted
    pair = np.array([divmod(int(ranker.drawn[-1, 0]), ranker.num_diseases)])
    rows = features.scoring_rows(pair)
    shift = np.log(ranker.class_weights)
    asked = slice(None, -1 if len(ranker.boosters) > 1 else 1)  # a single member is asked about all pairs
    trees = np.mean([of_trees(booster, rows, shift) for booster in ranker.boosters[asked]], axis=0)
    linear = np.mean([of_linear(model, rows, shift) for model in ranker.linear[asked]], axis=0)
    expected = ranker.blend.share("trees") * trees + ranker.blend.share("linear") * linear
    np.testing.assert_allclose(contributions(ranker, rows, pair).parts[:, :-1], expected[:, :-1], atol=1e-12)


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.0, 1e-7, 0.1, 3.0, 40.0]))
def test_three_classes_are_joined_by_the_integral_along_the_straight_line(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(1, 3, 5)) * [*[scale] * 4, 2.0]
    found = treats_against_rest(parts)[0]
    base, rise = parts[0, :, -1], parts[0, :, :-1]

    def gradient(at: float, which: int) -> float:
        return float(softmax((base + at * rise.sum(axis=1))[1:])[which])

    mean = [quad(gradient, 0, 1, args=(which,), epsabs=1e-11, limit=200)[0] for which in (0, 1)]
    np.testing.assert_allclose(found[:-1], rise[0] - mean[0] * rise[1] - mean[1] * rise[2], atol=1e-7)
    last = parts[0].sum(axis=1)
    assert found.sum() == pytest.approx(last[0] - np.logaddexp(last[1], last[2]), abs=1e-9)


def test_parts_of_trees_are_the_shapley_values_of_a_model_that_is_linear() -> None:
    """Stumps on independent features add up, so each feature's part is its own stumps' value less their mean."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 3)).astype(np.float32)
    label = (rows @ [2.0, -1.0, 0.0] + rng.normal(size=400) > 0).astype(int)
    booster = xgb.train(
        {"max_depth": 1, "objective": "binary:logistic", "nthread": 1}, xgb.DMatrix(rows, label), num_boost_round=40
    )
    shift = np.array([np.log(2.5), 0.0])
    found = of_trees(booster, rows, shift)
    margin = booster.predict(xgb.DMatrix(rows), output_margin=True)
    np.testing.assert_allclose(found.sum(axis=1), margin - shift[0], atol=1e-4)
    # Changing one feature alone changes the margin by exactly the change of that feature's part.
    changed = rows.copy()
    changed[:, 0] = rows[::-1, 0]
    moved = booster.predict(xgb.DMatrix(changed), output_margin=True) - margin
    np.testing.assert_allclose(of_trees(booster, changed, shift)[:, 0] - found[:, 0], moved, atol=1e-4)
    assert abs(found[:, 1]).mean() > 3 * abs(found[:, 2]).mean()


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("embedding: drug × disease 3", "interaction"),
        ("embedding: drug 3", "drug"),
        ("embedding: disease 3", "disease"),
        ("neighbours: drug to the drugs of the disease, max", "neighbours"),
        ("decoder: treatment", "decoder"),
        ("profiles: disease to the diseases of the drug by all relations, max", "profiles"),
        ("paths: drug –binds→ gene ←linked– disease", "paths"),
        ("degree: drug –binds→ gene", "degrees"),
        ("something new", "other"),
    ],
)
def test_features_are_told_by_group(name: str, group: str) -> None:
    assert group_of(name) == group
