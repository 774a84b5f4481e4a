"""A matrix too large for every model: shortlists, blocks that outlive a kill, and the files of every pair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pair_graphs import HARMS, embeddings_of, planted_graph, split_at
from scipy.stats import rankdata

from rxweave.config import FeatureSettings, RankSettings
from rxweave.graph.build import Graph
from rxweave.graph.split import Split
from rxweave.kg.tables import KnowledgeGraph
from rxweave.matrix_slice import slice_of_matrix
from rxweave.rank import whole_matrix
from rxweave.rank.features import PairFeatures
from rxweave.rank.matrix import PairScores, Percentiles, predictions_table, score_pairs
from rxweave.rank.matrix_files import write_scores
from rxweave.rank.ranker import Ranker, fit_ranker
from rxweave.rank.whole_matrix import score_all, score_whole_matrix

SETTINGS = RankSettings(
    num_draws=2, num_trees=20, max_depth=3, min_child_weight=1.0, negatives_per_positive=5, threads=1
)
Fitted = tuple[Ranker, PairFeatures, Graph, Split]


def fitted(settings: RankSettings = SETTINGS, *, with_harms: bool = True) -> Fitted:
    graph = planted_graph(drugs=24, diseases=17, groups=3)
    if not with_harms:
        harms = graph.relations.index(HARMS)
        graph = graph.keep_facts({harms: np.zeros(graph.facts[harms].shape[1], bool)})
    split, training = split_at(graph, num_valid=12, num_test=10)
    embeddings = embeddings_of(training, split)
    ranker = fit_ranker(training, split, embeddings, settings, seed=0)
    return ranker, ranker.features(training, embeddings), training, split


@pytest.fixture(scope="module")
def three() -> Fitted:
    return fitted()


@pytest.fixture(scope="module")
def two() -> Fitted:
    return fitted(with_harms=False)


@pytest.mark.parametrize("fixture", ["three", "two"])
def test_with_everyone_on_the_shortlist_the_scores_are_the_whole_rankers(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    ranker, features, _, _ = request.getfixturevalue(fixture)
    found = score_whole_matrix(ranker, features, tmp_path, shortlist=24, block_size=4)
    expected = score_pairs(ranker, features)
    np.testing.assert_array_equal(found.treats, expected.treats)
    assert (found.not_treat is None) == (expected.not_treat is None)
    if found.not_treat is not None and expected.not_treat is not None:
        np.testing.assert_array_equal(found.not_treat, expected.not_treat)
    assert found.whole is not None
    assert found.whole.all()


@pytest.mark.parametrize("fixture", ["three", "two"])
def test_the_best_of_the_first_pass_get_the_whole_rankers_score_and_the_others_keep_theirs(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    ranker, features, _, _ = request.getfixturevalue(fixture)
    found = score_whole_matrix(ranker, features, tmp_path, shortlist=5, block_size=4)
    expected = score_pairs(ranker, features).treats
    assert found.whole is not None
    assert (found.whole.sum(axis=0) == 5).all()
    np.testing.assert_array_equal(found.treats[found.whole], expected[found.whole])
    pairs = np.stack(np.divmod(np.arange(expected.size), 17), axis=1)
    rows = features.scoring_rows(pairs)
    by_model = [ranker.log_odds(model.margins(rows))[0] for model in ranker.linear]
    told = np.isin(pairs[:, 0] * 17 + pairs[:, 1], ranker.drawn[0])
    assert told.any()
    # A model is not asked about a pair that it was told is unknown.
    linear = np.where(told, by_model[1], by_model[0])
    assert ranker.bilinear is not None
    members = {"linear": linear, "bilinear": ranker.bilinear.scores(pairs)}
    first = ranker.blend.without("trees")(members).reshape(expected.shape)
    np.testing.assert_allclose(found.treats[~found.whole], first[~found.whole], rtol=1e-4, atol=1e-4)
    for disease in range(17):
        on, off = found.whole[:, disease], ~found.whole[:, disease]
        assert first[on, disease].min() >= first[off, disease].max() - 1e-4
    # On one scale: over all pairs neither pass is a head above the other.
    assert abs(np.median(first) - np.median(expected)) < 2 * expected.std()


def test_a_run_that_was_killed_goes_on_with_the_blocks_it_had_and_ends_the_same(
    three: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker, features, _, _ = three
    whole = score_whole_matrix(ranker, features, tmp_path / "one", shortlist=5, block_size=4)
    scored: list[int] = []
    score = whole_matrix._score_block

    def killed_at_the_third(*given: object) -> object:
        scored.append(1)
        if len(scored) == 3:
            raise KeyboardInterrupt
        return score(*given)

    monkeypatch.setattr(whole_matrix, "_score_block", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        score_whole_matrix(ranker, features, tmp_path / "two", shortlist=5, block_size=4)
    assert len(list((tmp_path / "two").rglob("*.npy"))) == 2
    scored.clear()
    monkeypatch.setattr(whole_matrix, "_score_block", lambda *given: (scored.append(1), score(*given))[1])
    again = score_whole_matrix(ranker, features, tmp_path / "two", shortlist=5, block_size=4)
    assert len(scored) == 3, "five blocks, two of them done before"
    np.testing.assert_array_equal(again.treats, whole.treats)
    np.testing.assert_array_equal(again.not_treat, whole.not_treat)
    np.testing.assert_array_equal(again.whole, whole.whole)


def test_blocks_of_another_ranker_or_shortlist_are_not_taken(three: Fitted, tmp_path: Path) -> None:
    ranker, features, _, _ = three
    score_whole_matrix(ranker, features, tmp_path, shortlist=5, block_size=4)
    longer = score_whole_matrix(ranker, features, tmp_path, shortlist=6, block_size=4)
    assert longer.whole is not None
    assert (longer.whole.sum(axis=0) == 6).all()
    other = replace(ranker, linear=tuple(replace(m, intercept=m.intercept + 1) for m in ranker.linear))
    moved = score_whole_matrix(other, features, tmp_path, shortlist=5, block_size=4)
    assert moved.whole is not None
    assert not np.array_equal(moved.treats, longer.treats)
    assert len(list(tmp_path.iterdir())) == 3


def test_blocks_of_other_features_are_not_taken(three: Fitted, tmp_path: Path) -> None:
    """Likeness by embeddings is in no table of facts: the same ranker with other vectors must not meet old blocks."""
    ranker, features, _, _ = three
    score_whole_matrix(ranker, features, tmp_path, shortlist=5, block_size=4)
    like = features.drug_similarities[0]
    moved = (replace(like, cosine=like.cosine * np.float32(0.5)), *features.drug_similarities[1:])
    score_whole_matrix(ranker, replace(features, drug_similarities=moved), tmp_path, shortlist=5, block_size=4)
    assert len(list(tmp_path.iterdir())) == 2


def test_blocks_of_another_decoder_are_not_taken(tmp_path: Path) -> None:
    ranker, features, _, _ = fitted(SETTINGS.but(features=FeatureSettings(groups=("degrees", "decoder"))))
    found = score_whole_matrix(ranker, features, tmp_path, shortlist=5, block_size=4)
    np.testing.assert_array_equal(found.treats[found.whole], score_pairs(ranker, features).treats[found.whole])
    score_whole_matrix(ranker, replace(features, decoder=features.decoder * 2), tmp_path, shortlist=5, block_size=4)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_ranker_of_trees_alone_has_no_first_pass(tmp_path: Path) -> None:
    ranker, features, _, _ = fitted(SETTINGS.but(linear_weight=0.0, bilinear_weight=0.0))
    with pytest.raises(ValueError, match="no first pass"):
        score_whole_matrix(ranker, features, tmp_path)
    found = score_all(ranker, features, tmp_path, most=1)
    assert found.whole is None
    assert not list(tmp_path.iterdir())


def test_one_member_is_enough_for_a_first_pass(tmp_path: Path) -> None:
    for change in ({"linear_weight": 0.0}, {"bilinear_weight": 0.0}):
        ranker, features, _, _ = fitted(SETTINGS.but(**change))
        found = score_all(ranker, features, tmp_path, most=1)
        assert found.whole is not None
        assert np.isfinite(found.treats).all()


def test_percentiles_are_those_of_scipys_ranks() -> None:
    values = np.random.default_rng(0).integers(0, 9, (30, 700)).astype(np.float32)
    found = Percentiles.of(values)
    np.testing.assert_allclose(found.for_disease, 100 * (rankdata(values, axis=0) - 1) / 29, rtol=1e-6)
    np.testing.assert_allclose(found.for_drug, 100 * (rankdata(values, axis=1) - 1) / 699, rtol=1e-6)


def test_the_tables_of_a_large_matrix_hold_what_leads_and_the_folder_every_pair(three: Fitted, tmp_path: Path) -> None:
    ranker, features, graph, split = three
    scores = score_whole_matrix(ranker, features, tmp_path / "parts", shortlist=5, block_size=4)
    table, note = write_scores(ranker, scores, graph, split.known, tmp_path, most=100)
    everything = predictions_table(ranker, scores, graph, split.known)
    assert "all 408 pairs, of which the whole ranker scored 20.8%" in note
    # 24 drugs are fewer than the 100 that are kept of each disease.
    assert table.sort("rank").equals(everything)
    assert pl.read_parquet(tmp_path / "predictions.parquet").equals(table)
    assert len(pl.read_parquet(tmp_path / "predictions_by_drug.parquet")) == 408
    kg = KnowledgeGraph.__new__(KnowledgeGraph)
    object.__setattr__(kg, "nodes", graph.nodes)
    disease, drug = everything["disease_key"][0], everything["drug_key"][0]
    for given in ({"disease": disease}, {"drug": drug}):
        ((end, key),) = given.items()
        found = slice_of_matrix(tmp_path / "matrix", kg, **given)
        expected = everything.filter(pl.col(f"{end}_key") == key)
        same = [name for name in everything.columns if name not in ("rank", "prob_unknown")]
        assert found.select(same).equals(expected.select(same))
        np.testing.assert_allclose(found["prob_unknown"], expected["prob_unknown"], atol=1e-6)
        assert found["whole"].sum() > 0
    assert slice_of_matrix(tmp_path / "matrix", kg, disease="nobody").is_empty()
    assert slice_of_matrix(tmp_path / "matrix", kg, drug="nobody").is_empty()


def test_the_best_diseases_of_each_drug_are_kept_with_their_place_among_all(three: Fitted) -> None:
    ranker, features, graph, split = three
    scores = score_pairs(ranker, features)
    everything = predictions_table(ranker, scores, graph, split.known)
    kept = predictions_table(ranker, scores, graph, split.known, top_diseases=3)
    expected = everything.filter(pl.int_range(pl.len()).over("drug_key") < 3)
    assert kept.equals(expected)
    values = PairScores(np.round(scores.treats), scores.not_treat)
    tied = predictions_table(ranker, values, graph, split.known, top_drugs=2)
    assert tied["rank"].is_sorted()
    assert tied["rank"].n_unique() == len(tied)
