from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pair_graphs import HARMS, embeddings_of, planted_graph, split_at

from rxweave.config import RankSettings
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.split import Split
from rxweave.rank import matrix
from rxweave.rank.features import PairFeatures
from rxweave.rank.matrix import (
    PairScores,
    predictions_table,
    score_pairs,
    write_predictions,
)
from rxweave.rank.ranker import Ranker, fit_ranker

SETTINGS = RankSettings(num_trees=20, max_depth=3, min_child_weight=1.0, negatives_per_positive=5, threads=1)
COLUMNS = [
    "rank",
    "drug_name",
    "disease_name",
    "prob_treats",
    "confidence",
    "prob_not_treat",
    "prob_unknown",
    "drug_id",
    "disease_id",
    "drug_key",
    "disease_key",
    "known",
    "percentile_for_disease",
    "percentile_for_drug",
]
Scored = tuple[Ranker, PairFeatures, PairScores, Graph, Split]


def scored(*, with_harms: bool) -> Scored:
    graph = planted_graph(drugs=24, diseases=17, groups=3)
    if not with_harms:
        harms = graph.relations.index(HARMS)
        graph = graph.keep_facts({harms: np.zeros(graph.facts[harms].shape[1], bool)})
    split, training = split_at(graph, num_valid=12, num_test=10)
    embeddings = embeddings_of(training, split)
    ranker = fit_ranker(training, split, embeddings, SETTINGS, seed=0)
    features = ranker.features(training, embeddings)
    return ranker, features, score_pairs(ranker, features), training, split


@pytest.fixture(scope="module")
def three() -> Scored:
    return scored(with_harms=True)


@pytest.fixture(scope="module")
def two() -> Scored:
    return scored(with_harms=False)


@pytest.fixture(scope="module")
def table(three: Scored) -> pl.DataFrame:
    ranker, _, scores, graph, split = three
    return predictions_table(ranker, scores, graph, split.known)


def test_the_matrix_holds_the_score_of_every_pair(three: Scored) -> None:
    ranker, features, scores, _, _ = three
    pairs = np.array([[0, 0], [3, 16], [23, 5], [11, 9]])
    expected = ranker.score(features.scoring_rows(pairs), pairs)
    assert scores.not_treat is not None
    np.testing.assert_array_equal(scores.treats[pairs[:, 0], pairs[:, 1]], expected[:, 0])
    np.testing.assert_array_equal(scores.not_treat[pairs[:, 0], pairs[:, 1]], expected[:, 1])


@pytest.mark.parametrize("block_size", [1, 5, 17, 100])
def test_scores_do_not_depend_on_the_block_size(two: Scored, block_size: int) -> None:
    ranker, features, scores, _, _ = two
    np.testing.assert_array_equal(score_pairs(ranker, features, block_size=block_size).treats, scores.treats)
    assert scores.not_treat is None


def test_progress_rises(two: Scored) -> None:
    ranker, features, _, _, _ = two
    seen: list[float] = []
    score_pairs(ranker, features, block_size=5, progress=lambda _what, share: seen.append(share))
    assert seen == [0, 5 / 17, 10 / 17, 15 / 17]


def test_every_pair_has_one_row_ordered_by_its_score(three: Scored, table: pl.DataFrame) -> None:
    scores, graph = three[2].treats, three[3]
    assert table.columns == COLUMNS
    assert table["rank"].to_list() == list(range(1, scores.size + 1))
    assert table.select("drug_key", "disease_key").n_unique() == scores.size
    drug = {key: i for i, key in enumerate(graph.nodes["node_key"][graph.rows_of("drug")])}
    disease = {key: i for i, key in enumerate(graph.nodes["node_key"][graph.rows_of("disease")])}
    in_order = [scores[drug[c], disease[d]] for c, d in table.select("drug_key", "disease_key").iter_rows()]
    assert (np.diff(in_order) <= 0).all()
    assert (np.diff(table["prob_treats"].to_numpy()) <= 0).all()
    total = table["prob_treats"] + table["prob_not_treat"] + table["prob_unknown"]
    np.testing.assert_allclose(total.to_numpy(), 1, rtol=1e-5)


def test_names_ids_and_known_pairs_are_those_of_the_graph(three: Scored, table: pl.DataFrame) -> None:
    _, _, _, graph, split = three
    joined = table.join(graph.nodes.select("node_key", "node_name", "node_id"), left_on="drug_key", right_on="node_key")
    assert joined["drug_name"].equals(joined["node_name"])
    assert joined["drug_id"].equals(joined["node_id"])
    keys = graph.nodes["node_key"]
    known = {
        (keys[graph.rows_of("drug").start + int(c)], keys[graph.rows_of("disease").start + int(d)])
        for c, d in split.known
    }
    said = table.filter("known").select("drug_key", "disease_key")
    assert set(said.iter_rows()) == known


def test_confidence_follows_the_probability_of_treatment(table: pl.DataFrame) -> None:
    for probability, confidence in table.select("prob_treats", "confidence").iter_rows():
        assert confidence == ("HIGH" if probability >= 0.7 else "MEDIUM" if probability >= 0.4 else "LOW")
    assert set(table["confidence"]) == {"HIGH", "MEDIUM", "LOW"}


def test_without_contraindications_prob_not_treat_is_null(two: Scored) -> None:
    ranker, _, scores, graph, split = two
    table = predictions_table(ranker, scores, graph, split.known)
    assert table.columns == COLUMNS
    assert table["prob_not_treat"].dtype == pl.Float32
    assert table["prob_not_treat"].null_count() == len(table)
    np.testing.assert_allclose((table["prob_treats"] + table["prob_unknown"]).to_numpy(), 1, rtol=1e-5)


def test_percentiles_count_the_others_that_score_lower(two: Scored) -> None:
    ranker, _, _, graph, _ = two
    shape = (graph.num_of("drug"), graph.num_of("disease"))
    values = np.random.default_rng(0).integers(0, 6, shape).astype(np.float32)
    table = predictions_table(ranker, PairScores(values, None), graph, np.empty((0, 2), np.int64))
    keys = graph.nodes["node_key"].to_list()
    for drug, disease in [(0, 0), (5, 3), (23, 16)]:
        row = table.row(
            by_predicate=(pl.col("drug_key") == keys[graph.rows_of("drug").start + drug])
            & (pl.col("disease_key") == keys[graph.rows_of("disease").start + disease]),
            named=True,
        )
        own = values[drug, disease]
        for name, others in (
            ("percentile_for_disease", np.delete(values[:, disease], drug)),
            ("percentile_for_drug", np.delete(values[drug], disease)),
        ):
            share = 100 * np.mean((others < own) + 0.5 * (others == own))
            assert row[name] == pytest.approx(share, rel=1e-5)


def test_ties_keep_the_order_of_drugs_then_diseases(two: Scored) -> None:
    ranker, _, scores, graph, _ = two
    flat = PairScores(np.zeros_like(scores.treats), None)
    table = predictions_table(ranker, flat, graph, np.empty((0, 2), np.int64))
    assert table.select("drug_key", "disease_key").equals(table.select("drug_key", "disease_key").sort(pl.all()))


def test_top_drugs_keeps_the_first_rows_of_each_disease(three: Scored, table: pl.DataFrame) -> None:
    ranker, _, scores, graph, split = three
    top = predictions_table(ranker, scores, graph, split.known, top_drugs=4)
    expected = table.filter(pl.int_range(pl.len()).over("disease_key") < 4)
    assert top.equals(expected)
    assert len(top) == 4 * graph.num_of("disease")


def test_scores_of_another_graph_are_refused(two: Scored) -> None:
    ranker, _, scores, graph, _ = two
    fewer = PairScores(scores.treats[:-1], None)
    with pytest.raises(InputError, match="scores are of 23 drugs × 17 diseases, but test has 24 × 17"):
        predictions_table(ranker, fewer, graph, np.empty((0, 2), np.int64))


def test_both_files_hold_the_whole_table(table: pl.DataFrame, tmp_path: Path) -> None:
    written = write_predictions(table, tmp_path / "out" / "p.parquet", tmp_path / "out" / "p.csv")
    assert pl.read_parquet(written.parquet).equals(table)
    text = pl.read_csv(written.csv, schema_overrides={"drug_id": pl.String, "disease_id": pl.String})
    assert text.columns == COLUMNS
    assert text["drug_key"].equals(table["drug_key"])
    np.testing.assert_allclose(text["prob_treats"].to_numpy(), table["prob_treats"].to_numpy(), rtol=1e-6)
    assert (written.rows, written.csv_rows) == (len(table), len(table))
    assert written.note == f"p.csv holds all {len(table)} pairs."


def test_the_csv_of_a_long_table_holds_the_best_drugs_of_each_disease_and_says_so(
    table: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "CSV_ROWS", len(table) - 1)
    monkeypatch.setattr(matrix, "CSV_TOP_DRUGS", 3)
    written = write_predictions(table, tmp_path / "p.parquet", tmp_path / "p.csv")
    text = pl.read_csv(written.csv)
    assert len(text) == written.csv_rows == 3 * table["disease_key"].n_unique()
    first = table.group_by("disease_key", maintain_order=True).head(3).sort("rank")
    assert text["rank"].to_list() == first["rank"].to_list()
    assert len(pl.read_parquet(written.parquet)) == len(table)
    assert written.note == "p.csv holds the 3 best drugs of each disease, 51 of 408 pairs; all are in p.parquet."
