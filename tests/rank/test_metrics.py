from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, roc_auc_score

from rxweave.errors import ConfigError, InputError
from rxweave.graph import filtered_ranks as ranks
from rxweave.graph.filtered_ranks import expected_ranks
from rxweave.rank.metrics import RankingMetrics, SideMetrics, evaluate_ranking

NONE = np.empty((0, 2), np.int64)


def pairs(*of: tuple[int, int]) -> np.ndarray:
    return np.array(of, np.int64).reshape(-1, 2)


def problem(
    seed: int,
    *,
    num_drugs: int = 30,
    num_diseases: int = 20,
    levels: int | None = None,
    dtype: type = np.float32,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, test pairs and all known pairs (train pairs among them), drawn at random.

    With `levels`, scores take that many values only, so most of them tie.
    """
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(num_drugs, num_diseases))
    if levels is not None:
        scores = rng.integers(levels, size=scores.shape)
    codes = rng.choice(num_drugs * num_diseases, size=60, replace=False)
    known = np.stack(np.divmod(codes, num_diseases), axis=1)
    return scores.astype(dtype), known[:25], rng.permutation(known)


def side_values(side: SideMetrics) -> dict[str, float]:
    return {name: part["value"] for name, part in asdict(side).items() if isinstance(part, dict)}


def values(metrics: RankingMetrics) -> dict[str, float]:
    found = {f"drug side {name}": value for name, value in side_values(metrics.drugs_given_disease).items()}
    found |= {f"disease side {name}": value for name, value in side_values(metrics.diseases_given_drug).items()}
    return found | {"auroc": metrics.auroc.value, "auprc": metrics.auprc.value}


# Ranks, by hand.


def test_ranks_of_a_worked_example() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.6, 0.5]])
    # Candidate 0 is known, so it stands in nobody's way; candidate 2 is a test pair itself, and known too.
    np.testing.assert_array_equal(expected_ranks(scores, pairs((0, 2), (0, 4)), pairs((0, 0))), [2, 3])


def test_a_tie_takes_the_mean_of_its_best_and_worst_place() -> None:
    scores = np.array([[3.0, 2.0, 2.0, 2.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    # In row 0 candidate 1 may be second, third or fourth; in row 1 candidate 0 first to fifth.
    np.testing.assert_array_equal(expected_ranks(scores, pairs((0, 1), (1, 0)), NONE), [3, 3])
    np.testing.assert_array_equal(expected_ranks(scores, pairs((0, 1)), pairs((0, 2))), [2.5])


def test_tied_positives_of_one_query_do_not_stand_in_each_others_way() -> None:
    scores = np.array([[1.0, 1.0, 1.0, 0.0]])
    np.testing.assert_array_equal(expected_ranks(scores, pairs((0, 0), (0, 1)), NONE), [1.5, 1.5])


def test_infinite_scores_rank_at_the_ends() -> None:
    scores = np.array([[np.inf, 5.0, -np.inf]])
    found = [expected_ranks(scores, pairs((0, candidate)), NONE)[0] for candidate in range(3)]
    assert found == [1, 2, 3]


def test_metrics_of_a_worked_example() -> None:
    # Rows are drugs, columns diseases. Test pairs: (0, 0), (1, 0), (2, 2); (0, 1) is known from training.
    scores = np.array([[0.9, 1.0, 0.1], [0.2, 0.6, 0.4], [0.5, 0.3, 0.4]])
    metrics = evaluate_ranking(scores, pairs((0, 0), (1, 0), (2, 2)), pairs((0, 1)), seed=0, num_bootstraps=10)
    # Disease side: drug 0 has only disease 2 left to beat: rank 1. Drug 1: .6 and .4 are above .2: rank 3.
    # Drug 2: .5 is above .4: rank 2.
    disease_side = side_values(metrics.diseases_given_drug)
    assert disease_side["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
    assert disease_side["mean_rank"] == 2
    assert disease_side["hits_at_1"] == pytest.approx(1 / 3)
    assert disease_side["hits_at_3"] == 1
    # Drug side: disease 0 has drug 2 (.5) as only negative: ranks 1 and 2. Disease 2 has .1 and .4, and .4
    # of drug 1 ties with .4 of drug 2: rank 1.5, which is not within the top 1.
    drug_side = side_values(metrics.drugs_given_disease)
    assert drug_side["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 1.5) / 3)
    assert drug_side["macro_mrr"] == pytest.approx(((1 + 1 / 2) / 2 + 1 / 1.5) / 2)
    assert drug_side["hits_at_1"] == pytest.approx(1 / 3)
    assert drug_side["macro_recall_at_1"] == pytest.approx((1 / 2 + 0) / 2)
    # Disease 0: positives .9 (precision 1) and .2 (2 of 3); disease 2: .4 with one negative level: 1 of 2.
    assert drug_side["macro_auprc"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert (metrics.drugs_given_disease.num_pairs, metrics.drugs_given_disease.num_queries) == (3, 2)
    assert metrics.drugs_given_disease.num_candidates == 3
    assert (metrics.num_test_pairs, metrics.num_negatives, metrics.prevalence) == (3, 5, 3 / 8)
    # Pool: negatives .1 .6 .4 .5 .3; .9 beats 5, .2 beats 1, .4 beats 2 and ties with one.
    assert metrics.auroc.value == pytest.approx((5 + 1 + 2.5) / 15)


def test_a_constant_matrix_gets_the_middle_of_all_candidates_and_chance_precision() -> None:
    metrics = evaluate_ranking(np.zeros((101, 11), np.float32), pairs((3, 4), (50, 7)), NONE, seed=0, num_bootstraps=10)
    drug_side, disease_side = (
        side_values(metrics.drugs_given_disease),
        side_values(metrics.diseases_given_drug),
    )
    assert drug_side["mean_rank"] == 51
    assert drug_side["mrr"] == pytest.approx(1 / 51)
    assert drug_side["recall_at_50"] == 0
    assert drug_side["recall_at_100"] == 1
    assert disease_side["mean_rank"] == 6
    assert disease_side["hits_at_3"] == 0
    assert disease_side["hits_at_10"] == 1
    assert metrics.auroc.value == 0.5
    assert metrics.auprc.value == pytest.approx(metrics.prevalence)
    assert drug_side["macro_auprc"] == pytest.approx(1 / 101)


def test_the_bars_are_means_over_test_pairs() -> None:
    scores, test, known = problem(3, num_drugs=150, num_diseases=40)
    metrics = evaluate_ranking(scores, test, known, seed=0, num_bootstraps=10)
    ranks_of_diseases, ranks_of_drugs = [], []
    is_known = np.zeros(scores.shape, bool)
    is_known[known[:, 0], known[:, 1]] = True
    for drug, disease in test.tolist():
        own = scores[drug, disease]
        ranks_of_diseases.append(1 + int((scores[drug][~is_known[drug]] > own).sum()))
        ranks_of_drugs.append(1 + int((scores[:, disease][~is_known[:, disease]] > own).sum()))
    assert metrics.diseases_given_drug.hits_at_10.value == np.mean(np.array(ranks_of_diseases) <= 10)
    assert metrics.drugs_given_disease.recall_at_50.value == np.mean(np.array(ranks_of_drugs) <= 50)
    assert metrics.drugs_given_disease.mean_rank.value == pytest.approx(np.mean(ranks_of_drugs))


# Against scikit-learn and PyKEEN.


@pytest.mark.parametrize("levels", [None, 2, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_pooled_and_per_query_precision_agree_with_scikit_learn(seed: int, levels: int | None) -> None:
    scores, test, known = problem(seed, levels=levels)
    metrics = evaluate_ranking(scores, test, known, seed=0, num_bootstraps=10)
    label = np.zeros(scores.shape, np.int64)
    label[known[:, 0], known[:, 1]] = -1
    label[test[:, 0], test[:, 1]] = 1
    used = label >= 0
    assert metrics.auroc.value == pytest.approx(roc_auc_score(label[used], scores[used]))
    assert metrics.auprc.value == pytest.approx(average_precision_score(label[used], scores[used]))
    for side, table, truth in (
        (metrics.drugs_given_disease, scores.T, label.T),
        (metrics.diseases_given_drug, scores, label),
    ):
        expected = [
            average_precision_score(row_label[row_label >= 0], row[row_label >= 0])
            for row, row_label in zip(table, truth, strict=True)
            if (row_label == 1).any()
        ]
        assert side.macro_auprc.value == pytest.approx(np.mean(expected))
        assert side.num_queries == len(expected)


@pytest.mark.parametrize("levels", [None, 2, 5])
def test_ranks_and_hits_agree_with_the_realistic_rank_of_pykeen(levels: int | None) -> None:
    with warnings.catch_warnings():
        # Importing PyKEEN raises deprecation warnings of its own and of its dependencies.
        warnings.simplefilter("ignore")
        import torch
        from pykeen.evaluation import RankBasedEvaluator
        from pykeen.evaluation.evaluator import create_sparse_positive_filter_, filter_scores_

        scores, test, known = problem(7, num_drugs=120, num_diseases=25, levels=levels)
        metrics = evaluate_ranking(scores, test, known, seed=0, num_bootstraps=10)
        for side, table, positives, others in (
            (metrics.diseases_given_drug, scores, test, known),
            (metrics.drugs_given_disease, scores.T, test[:, ::-1], known[:, ::-1]),
        ):
            triples, filters = (
                torch.from_numpy(np.insert(of, 1, 0, axis=1).astype(np.int64)) for of in (positives, others)
            )
            rows = torch.from_numpy(table[positives[:, 0]].copy())
            true = rows.gather(1, triples[:, 2:])
            positive_filter, _ = create_sparse_positive_filter_(triples, filters, None, filter_col=2)
            rows = filter_scores_(rows, positive_filter)
            rows.scatter_(1, triples[:, 2:], true)
            evaluator = RankBasedEvaluator()
            evaluator.process_scores_(triples, "tail", rows, true)
            theirs = evaluator.finalize()
            np.testing.assert_allclose(
                side.mrr.value, theirs.get_metric("tail.realistic.inverse_harmonic_mean_rank"), rtol=1e-6
            )
            np.testing.assert_allclose(
                side.mean_rank.value, theirs.get_metric("tail.realistic.arithmetic_mean_rank"), rtol=1e-6
            )
            for k, ours in ((1, side.hits_at_1), (3, side.hits_at_3), (10, side.hits_at_10)):
                assert ours.value == pytest.approx(theirs.get_metric(f"tail.realistic.hits_at_{k}"))


# Properties.


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), levels=st.sampled_from([None, 3]))
def test_renaming_drugs_and_diseases_leaves_every_metric_as_it_is(seed: int, levels: int | None) -> None:
    scores, test, known = problem(seed, levels=levels)
    rng = np.random.default_rng(seed)
    new_drug, new_disease = rng.permutation(scores.shape[0]), rng.permutation(scores.shape[1])
    renamed = np.empty_like(scores)
    renamed[np.ix_(new_drug, new_disease)] = scores

    def rename(of: np.ndarray) -> np.ndarray:
        return rng.permutation(np.stack([new_drug[of[:, 0]], new_disease[of[:, 1]]], axis=1))

    before = values(evaluate_ranking(scores, test, known, seed=0, num_bootstraps=2))
    after = values(evaluate_ranking(renamed, rename(test), rename(known), seed=0, num_bootstraps=2))
    assert after == pytest.approx(before, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    scores=hnp.arrays(np.float64, (6, 5), elements=st.integers(-50, 50).map(float)),
    codes=st.lists(st.integers(0, 29), min_size=2, max_size=12, unique=True),
)
def test_a_monotone_transform_of_the_scores_leaves_every_metric_as_it_is(scores: np.ndarray, codes: list[int]) -> None:
    known = np.stack(np.divmod(np.array(codes), 5), axis=1)
    test = known[::2]
    before = evaluate_ranking(scores, test, known, seed=0, num_bootstraps=20)
    after = evaluate_ranking(np.exp(scores / 10), test, known, seed=0, num_bootstraps=20)
    assert after == before


@settings(max_examples=30, deadline=None)
@given(
    scores=hnp.arrays(np.float32, (4, 6), elements=st.sampled_from([-1.0, 0.0, -0.0, 2.0])),
    codes=st.lists(st.integers(0, 23), min_size=1, max_size=10, unique=True),
    num_test=st.integers(1, 10),
)
def test_ranks_are_the_mean_of_optimistic_and_pessimistic_ones(
    scores: np.ndarray, codes: list[int], num_test: int
) -> None:
    known = np.stack(np.divmod(np.array(codes), 6), axis=1)
    test = known[:num_test]
    expected = []
    for query, candidate in test.tolist():
        own = scores[query, candidate]
        out = {other for row, other in known.tolist() if row == query}
        rest = [scores[query, other] for other in range(6) if other not in out]
        optimistic = 1 + sum(score > own for score in rest)
        pessimistic = 1 + sum(score >= own for score in rest)
        expected.append((optimistic + pessimistic) / 2)
    np.testing.assert_array_equal(expected_ranks(scores, test, known), expected)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_the_size_of_the_pieces_does_not_matter(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, test, known = problem(5, levels=4)
    whole = evaluate_ranking(scores, test, known, seed=0, num_bootstraps=5)
    monkeypatch.setattr(ranks, "CHUNK", chunk)
    assert evaluate_ranking(scores, test, known, seed=0, num_bootstraps=5) == whole


def test_the_layout_of_the_matrix_does_not_matter(tmp_path: Path) -> None:
    scores, test, known = problem(5)
    expected = evaluate_ranking(scores, test, known, seed=0, num_bootstraps=5)
    np.save(tmp_path / "scores.npy", scores)
    mapped = np.load(tmp_path / "scores.npy", mmap_mode="r")
    for same in (np.asfortranarray(scores), scores[::-1][::-1], scores.astype(np.float64), mapped):
        assert evaluate_ranking(same, test, known, seed=0, num_bootstraps=5) == expected


def test_test_pairs_are_known_whether_or_not_known_lists_them_and_repeats_in_known_do_no_harm() -> None:
    scores, test, known = problem(6)
    listed = {tuple(pair) for pair in test.tolist()}
    train = np.array([pair for pair in known.tolist() if tuple(pair) not in listed])
    expected = evaluate_ranking(scores, test, known, seed=0, num_bootstraps=5)
    assert evaluate_ranking(scores, test, train, seed=0, num_bootstraps=5) == expected
    assert evaluate_ranking(scores, test, np.concatenate([known, known]), seed=0, num_bootstraps=5) == expected


# Intervals.


def test_one_seed_gives_one_interval_and_another_seed_another() -> None:
    scores, test, known = problem(8)
    one, same, other = (evaluate_ranking(scores, test, known, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert values(one) == values(other)
    assert one.auroc != other.auroc


def test_intervals_have_the_width_that_the_spread_over_queries_gives() -> None:
    rng = np.random.default_rng(0)
    num_drugs, num_diseases = 60, 400
    scores = rng.normal(size=(num_drugs, num_diseases))
    test = np.stack([rng.integers(num_drugs, size=num_diseases), np.arange(num_diseases)], axis=1)
    metrics = evaluate_ranking(scores, test, NONE, seed=0, num_bootstraps=4000)
    # One test pair per disease: the mean of 400 independent values, whose interval theory knows.
    reciprocal = 1 / expected_ranks(scores.T, test[:, ::-1], NONE)
    half_width = 1.96 * reciprocal.std() / np.sqrt(num_diseases)
    mrr = metrics.drugs_given_disease.mrr
    assert mrr.high - mrr.low == pytest.approx(2 * half_width, rel=0.1)
    assert mrr.low < mrr.value < mrr.high


def test_the_interval_of_pooled_precision_covers_what_new_diseases_would_give() -> None:
    rng = np.random.default_rng(1)
    num_drugs, num_diseases = 20, 60
    intervals = []
    for _ in range(60):
        scores = rng.normal(size=(num_drugs, num_diseases))
        test = np.stack([rng.integers(num_drugs, size=num_diseases), np.arange(num_diseases)], axis=1)
        scores[test[:, 0], test[:, 1]] += rng.exponential(1.5, size=num_diseases)
        intervals.append(evaluate_ranking(scores, test, NONE, seed=0, num_bootstraps=200).auprc)
    truth = np.mean([interval.value for interval in intervals])
    covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    # 95 % is asked for. A little less is expected, for percentiles of skewed values and for negatives that
    # stay; intervals half as wide as they should be would cover 67 %.
    assert covered > 0.85


def test_a_single_query_has_an_interval_of_no_width() -> None:
    scores, _, _ = problem(9)
    metrics = evaluate_ranking(scores, pairs((0, 0), (1, 0)), NONE, seed=0, num_bootstraps=20)
    # Both pairs are of one disease, which is drawn again on the other side too; a mean over drugs draws drugs.
    for mrr in (metrics.drugs_given_disease.mrr, metrics.diseases_given_drug.mrr):
        assert mrr.low == mrr.value == mrr.high
    assert metrics.diseases_given_drug.macro_mrr.low < metrics.diseases_given_drug.macro_mrr.high


def test_the_metrics_are_plain_json() -> None:
    scores, test, known = problem(10)
    metrics = asdict(evaluate_ranking(scores, test, known, seed=0, num_bootstraps=5))
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert set(metrics["drugs_given_disease"]["recall_at_50"]) == {"value", "low", "high"}


# Refusals.


def test_nan_scores_are_refused_with_their_number() -> None:
    scores, test, known = problem(11)
    scores[2, 3] = scores[4, 5] = np.nan
    with pytest.raises(InputError, match="2 of the 600 scores are NaN"):
        evaluate_ranking(scores, test, known, seed=0)


@pytest.mark.parametrize("pair", [(30, 0), (0, 20), (-1, 0)])
def test_pairs_outside_the_matrix_are_refused(pair: tuple[int, int]) -> None:
    scores, test, known = problem(12)
    with pytest.raises(InputError, match=r"1 test pairs lie outside the score matrix of 30 drugs × 20 diseases"):
        evaluate_ranking(scores, np.concatenate([test, pairs(pair)]), known, seed=0)
    with pytest.raises(InputError, match=r"1 known pairs lie outside"):
        evaluate_ranking(scores, test, np.concatenate([known, pairs(pair)]), seed=0)


def test_no_test_pairs_are_refused() -> None:
    scores, _, known = problem(13)
    with pytest.raises(InputError, match="no test pairs"):
        evaluate_ranking(scores, NONE, known, seed=0)


def test_repeated_test_pairs_are_refused() -> None:
    scores, test, known = problem(14)
    with pytest.raises(InputError, match="2 test pairs are there more than once"):
        evaluate_ranking(scores, np.concatenate([test, test[:2]]), known, seed=0)


def test_a_matrix_without_negatives_is_refused() -> None:
    with pytest.raises(InputError, match="All 2 pairs of the score matrix are known"):
        evaluate_ranking(np.zeros((1, 2)), pairs((0, 0)), pairs((0, 1)), seed=0)


def test_no_bootstraps_are_refused() -> None:
    scores, test, known = problem(15)
    with pytest.raises(ConfigError, match="num_bootstraps is 0"):
        evaluate_ranking(scores, test, known, seed=0, num_bootstraps=0)
