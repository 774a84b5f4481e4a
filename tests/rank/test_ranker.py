from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb
from pair_graphs import HARMS, TREATS, embeddings_of, graph_of, planted_graph, split_at
from sklearn.metrics import roc_auc_score

from rxweave.config import FeatureSettings, RankSettings
from rxweave.embed.store import Embeddings
from rxweave.errors import ConfigError, InputError, LeakError
from rxweave.graph.build import Graph
from rxweave.graph.split import Split
from rxweave.rank.ranker import Ranker, fit_ranker

SMALL = RankSettings(num_draws=3, num_trees=30, max_depth=3, min_child_weight=1.0, negatives_per_positive=3, threads=1)
Fitted = tuple[Ranker, Graph, Split, Embeddings]


def fitted_on(graph: Graph, settings: RankSettings = SMALL, *, seed: int = 0) -> Fitted:
    split, training = split_at(graph, num_valid=12, num_test=20)
    embeddings = embeddings_of(training, split)
    return fit_ranker(training, split, embeddings, settings, seed=seed), training, split, embeddings


@pytest.fixture(scope="module")
def three_classes() -> Fitted:
    return fitted_on(planted_graph())


@pytest.fixture(scope="module")
def two_classes() -> Fitted:
    graph = planted_graph()
    bare = {r: np.zeros(fact.shape[1], bool) for r, fact in enumerate(graph.facts) if graph.relations[r] == HARMS}
    return fitted_on(graph.keep_facts(bare))


def all_pairs(graph: Graph) -> np.ndarray:
    num_diseases = graph.num_of("disease")
    return np.stack(np.divmod(np.arange(graph.num_of("drug") * num_diseases), num_diseases), axis=1)


def scores_of(fitted: Fitted) -> np.ndarray:
    ranker, training, _, embeddings = fitted
    pairs = all_pairs(training)
    return ranker.score(ranker.features(training, embeddings).scoring_rows(pairs), pairs)


def as_matrix(values: np.ndarray, graph: Graph) -> np.ndarray:
    return values.reshape(graph.num_of("drug"), graph.num_of("disease"))


@pytest.mark.parametrize("fixture", ["three_classes", "two_classes"])
def test_held_out_treatments_of_a_planted_graph_rank_far_above_the_degree_prior(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    fitted: Fitted = request.getfixturevalue(fixture)
    _, training, split, _ = fitted
    score = as_matrix(scores_of(fitted)[:, 0], training)
    known = np.zeros(score.shape, int)
    known[split.known[:, 0], split.known[:, 1]] = 1
    train = np.zeros_like(known)
    train[split.train[:, 0], split.train[:, 1]] = 1
    prior = train.sum(axis=1, keepdims=True) * train.sum(axis=0, keepdims=True)
    test = np.zeros_like(known)
    test[split.test[:, 0], split.test[:, 1]] = 1
    asked = (known == 0) | (test == 1)
    by_score, by_degree = (roc_auc_score(test[asked], values[asked]) for values in (score, prior))
    assert by_score > 0.9
    assert by_score > by_degree + 0.2


def test_contraindicated_pairs_are_told_from_treatments_and_from_unknown_ones(three_classes: Fitted) -> None:
    ranker, training, _, _ = three_classes
    assert ranker.classes == ("treats", "not_treat", "unknown")
    treats, harms, _ = (as_matrix(p, training) for p in ranker.probabilities(scores_of(three_classes)).T)
    group = np.arange(40)[:-1, None] % 5, np.arange(30)[None, :-1] % 5
    same, following = group[0] == group[1], (group[0] + 1) % 5 == group[1]
    treats, harms = treats[:-1, :-1], harms[:-1, :-1]
    assert np.median(treats[same]) > 3 * np.median(treats[following])
    assert np.median(harms[following]) > 3 * np.median(harms[same])
    assert np.median(harms[following]) > 3 * np.median(harms[~same & ~following])


@pytest.mark.parametrize(("fixture", "num_classes"), [("three_classes", 3), ("two_classes", 2)])
def test_probabilities_sum_to_one_and_keep_the_order_of_the_scores(
    fixture: str, num_classes: int, request: pytest.FixtureRequest
) -> None:
    fitted: Fitted = request.getfixturevalue(fixture)
    scores = scores_of(fitted)
    probabilities = fitted[0].probabilities(scores)
    assert probabilities.shape == (len(scores), num_classes)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert (np.diff(probabilities[np.argsort(scores[:, 0]), 0]) >= 0).all()
    assert fitted[0].calibration.num_treatments == 12


def test_the_same_seed_gives_the_same_scores_and_another_seed_others(two_classes: Fitted) -> None:
    _, training, split, embeddings = two_classes
    again, other = (fit_ranker(training, split, embeddings, SMALL, seed=seed) for seed in (0, 1))
    pairs = all_pairs(training)
    rows = again.features(training, embeddings).scoring_rows(pairs)
    np.testing.assert_array_equal(again.score(rows, pairs), scores_of(two_classes))
    assert not np.array_equal(other.score(rows, pairs), again.score(rows, pairs))


@pytest.mark.parametrize("fixture", ["three_classes", "two_classes"])
def test_a_saved_ranker_scores_exactly_as_before(fixture: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    fitted: Fitted = request.getfixturevalue(fixture)
    ranker, training, split, embeddings = fitted
    ranker.save(tmp_path)
    loaded = Ranker.load(tmp_path)
    np.testing.assert_array_equal(scores_of((loaded, training, split, embeddings)), scores_of(fitted))
    assert loaded.settings == ranker.settings
    assert loaded.calibration == ranker.calibration
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".npy", ".ubj", ".safetensors"}


def test_incomplete_or_foreign_folders_are_refused(two_classes: Fitted, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no ranker"):
        Ranker.load(tmp_path)
    two_classes[0].save(tmp_path)
    described = json.loads((tmp_path / "ranker.json").read_text())
    (tmp_path / "ranker.json").write_text(json.dumps(described | {"saved_as": "something else"}))
    with pytest.raises(InputError, match="says 'something else' where 'rxweave ranker 3' was expected"):
        Ranker.load(tmp_path)
    (tmp_path / "ranker.json").write_text(json.dumps({k: v for k, v in described.items() if k != "scale"}))
    with pytest.raises(InputError, match="does not hold a complete ranker: 'scale'"):
        Ranker.load(tmp_path)
    (tmp_path / "ranker.json").write_text("{")
    with pytest.raises(InputError, match="does not hold a complete ranker"):
        Ranker.load(tmp_path)
    (tmp_path / "ranker.json").write_text(json.dumps(described))
    (tmp_path / "model_1.ubj").unlink()
    with pytest.raises(InputError, match="does not hold a complete ranker"):
        Ranker.load(tmp_path)


def test_a_save_that_is_cut_short_leaves_no_ranker(
    two_classes: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_classes[0].save(tmp_path)

    def fail(*_args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(xgb.Booster, "save_model", fail)
    with pytest.raises(OSError, match="disk full"):
        two_classes[0].save(tmp_path)
    with pytest.raises(InputError, match="holds no ranker"):
        Ranker.load(tmp_path)


def test_a_model_is_not_asked_about_pairs_it_was_told_are_unknown(two_classes: Fitted) -> None:
    ranker, training, _, embeddings = two_classes
    pairs = all_pairs(training)
    rows = ranker.features(training, embeddings).scoring_rows(pairs)
    margins = np.stack([booster.predict(xgb.DMatrix(rows), output_margin=True) for booster in ranker.boosters])
    codes = pairs[:, 0] * training.num_of("disease") + pairs[:, 1]
    expected = np.empty(len(pairs))
    told_by = []
    for i, code in enumerate(codes):
        told = [m for m in range(3) if code in ranker.drawn[m]]
        told_by.append(len(told))
        expected[i] = np.mean([margins[m, i] for m in range(3) if m not in told])
    assert set(told_by) == {0, 1}
    expected -= np.log(ranker.class_weights[0])
    np.testing.assert_allclose(ranker.member_scores(rows, pairs)[0]["trees"], expected, rtol=1e-5, atol=1e-6)


def test_a_single_model_is_asked_about_every_pair() -> None:
    graph = planted_graph(drugs=20, diseases=16)
    split, training = split_at(graph, num_valid=0, num_test=5)
    settings = SMALL.but(num_draws=1, features=FeatureSettings(groups=("degrees",)))
    ranker = fit_ranker(training, split, None, settings, seed=0)
    pairs = all_pairs(training)
    assert np.isfinite(ranker.score(ranker.features(training, None).scoring_rows(pairs), pairs)).all()


def test_drawn_pairs_are_neither_treatments_nor_contraindications(three_classes: Fitted) -> None:
    ranker, training, split, _ = three_classes
    assert ranker.drawn.shape == (3, 3 * len(split.train))
    assert len(np.unique(ranker.drawn)) == ranker.drawn.size
    labelled = np.concatenate([training.pairs(("treats",)), training.pairs(("harms",))])
    assert not np.isin(labelled @ [training.num_of("disease"), 1], ranker.drawn).any()


def test_validation_treatments_serve_for_probabilities_only(two_classes: Fitted) -> None:
    ranker, training, split, embeddings = two_classes
    merged = Split(split.train, split.valid[:0], np.concatenate([split.test, split.valid]), split.removed)
    uncalibrated = fit_ranker(training, merged, embeddings, SMALL, seed=0)
    assert uncalibrated.calibration.num_treatments == 0
    assert uncalibrated.calibration != ranker.calibration
    np.testing.assert_array_equal(scores_of((uncalibrated, training, split, embeddings)), scores_of(two_classes))


def test_a_graph_that_still_holds_held_out_treatments_is_refused() -> None:
    graph = planted_graph()
    split, training = split_at(graph, num_valid=5, num_test=5)
    with pytest.raises(LeakError, match="join a held-out pair"):
        fit_ranker(graph, split, embeddings_of(training, split), SMALL, seed=0)


def test_embeddings_of_another_split_are_refused() -> None:
    graph = planted_graph()
    split, training = split_at(graph, num_valid=5, num_test=5)
    other, _ = split_at(graph, num_valid=5, num_test=5, seed=1)
    with pytest.raises(LeakError, match="were trained on split"):
        fit_ranker(training, split, embeddings_of(training, other), SMALL, seed=0)
    unsaid = replace(embeddings_of(training, split), metadata={})
    with pytest.raises(LeakError, match="no 'split' in their metadata"):
        fit_ranker(training, split, unsaid, SMALL, seed=0)


def test_another_graph_is_refused_for_scoring(two_classes: Fitted) -> None:
    ranker, _, split, _ = two_classes
    other = planted_graph(drugs=39)
    with pytest.raises(InputError, match="drugs and diseases of test are not those"):
        ranker.features(other, embeddings_of(other, split))


def test_a_graph_that_gained_a_relation_is_refused_for_scoring(two_classes: Fitted) -> None:
    ranker, training, _, embeddings = two_classes
    relations = tuple(replace(r, name="cures") if r == TREATS else r for r in training.relations)
    renamed = replace(training, relations=relations)
    with pytest.raises(InputError, match=r"has no metapath|gives \d+ features"):
        ranker.features(renamed, embeddings)


def test_a_graph_without_treatments_or_without_room_for_negatives_is_refused() -> None:
    degrees = SMALL.but(features=FeatureSettings(groups=("degrees",)))
    empty = graph_of({"drug": 3, "disease": 3, "gene": 1}, {TREATS: [], HARMS: [(0, 1)]})
    split, training = split_at(empty, num_valid=0, num_test=0)
    with pytest.raises(InputError, match="has no treatment left to learn from"):
        fit_ranker(training, split, None, degrees, seed=0)
    full = graph_of({"drug": 2, "disease": 2, "gene": 1}, {TREATS: [(0, 0), (1, 1)], HARMS: [(0, 1)]})
    split, training = split_at(full, num_valid=0, num_test=0)
    with pytest.raises(InputError, match="has 1 pairs without a treatment or contraindication"):
        fit_ranker(training, split, None, degrees, seed=0)


def test_progress_names_each_stage_and_rises() -> None:
    graph = planted_graph(drugs=20, diseases=16)
    split, training = split_at(graph, num_valid=5, num_test=5)
    seen: list[tuple[str, float]] = []
    settings = SMALL.but(num_trees=2, features=FeatureSettings(groups=("degrees",)))
    fit_ranker(training, split, None, settings, seed=0, progress=lambda what, share: seen.append((what, share)))
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
    assert [what for what, _ in seen][:3] == ["counting paths", "computing features", "fitting model 1 of 3"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_draws", 0),
        ("negatives_per_positive", 0),
        ("num_trees", 0),
        ("max_depth", 0),
        ("max_bin", 1),
        ("subsample", 1.2),
        ("learning_rate", 0.0),
        ("treatment_weight", 0.0),
    ],
)
def test_impossible_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {value}; it must be"):
        RankSettings(**{name: value})


@pytest.mark.parametrize("fixture", ["three_classes", "two_classes"])
def test_the_score_blends_the_members_and_each_can_be_left_out(fixture: str, request: pytest.FixtureRequest) -> None:
    ranker, training, split, embeddings = request.getfixturevalue(fixture)
    pairs = all_pairs(training)
    rows = ranker.features(training, embeddings).scoring_rows(pairs)
    members, _ = ranker.member_scores(rows, pairs)
    assert set(members) == {"trees", "linear", "bilinear"}
    np.testing.assert_allclose(ranker.score(rows, pairs)[:, 0], ranker.blend(members), rtol=1e-5)
    for values in members.values():
        assert np.corrcoef(values, members["trees"])[0, 1] > 0.3
    settings = SMALL.but(linear_weight=0.0, bilinear_weight=0.0)
    alone = fit_ranker(training, split, embeddings, settings, seed=0)
    only, _ = alone.member_scores(rows, pairs)
    assert set(only) == {"trees"}
    np.testing.assert_array_equal(only["trees"], members["trees"])
    np.testing.assert_array_equal(alone.score(rows, pairs)[:, 0], members["trees"].astype(np.float32))


def test_the_bilinear_member_refuses_embeddings_of_another_split() -> None:
    graph = planted_graph()
    split, training = split_at(graph, num_valid=12, num_test=20)
    foreign = replace(embeddings_of(training, split), metadata={"split": "another"})
    with pytest.raises(LeakError):
        fit_ranker(training, split, foreign, SMALL, seed=0)
    fit_ranker(training, split, foreign, SMALL.but(bilinear_inputs=("profiles",)), seed=0)
