"""How well a score matrix ranks held-out treatments: filtered, over all candidates, ties fair, intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from rxweave.errors import ConfigError, InputError
from rxweave.graph.filtered_ranks import (
    count_negatives_anywhere,
    distinct_pairs,
    pieces,
    ranks_and_precisions,
    values_at,
)
from rxweave.graph.pairs import Pairs, pair_codes
from rxweave.rank.bootstrap import Estimate as Estimate
from rxweave.rank.bootstrap import average_precision, estimate, ratio, resample

HITS_AT = (1, 3, 10)
RECALL_AT = (50, 100)


@dataclass(frozen=True)
class SideMetrics:
    """Ranking of candidates for queries: drugs for a disease, or diseases for a drug.

    Ranks are filtered expected ranks (`ranks.expected_ranks`); as in PyKEEN, a pair is within the top k when
    its expected rank is ≤ k. Fields without `macro` are means over test pairs, so queries with many of them
    weigh more; `macro` fields are means over the queries that have a test pair, all weighing the same.
    """

    mrr: Estimate
    """Mean of 1 / rank."""
    mean_rank: Estimate
    hits_at_1: Estimate
    """Share of test pairs within the top 1; so for the other k."""
    hits_at_3: Estimate
    hits_at_10: Estimate
    recall_at_50: Estimate
    """Share of test pairs within the top 50; so for 100. The field says hits for small k."""
    recall_at_100: Estimate
    macro_mrr: Estimate
    """Mean over queries of the mean of 1 / rank over their test pairs."""
    macro_recall_at_1: Estimate
    """Mean over queries of the share of their test pairs within the top 1; so for the other k."""
    macro_recall_at_3: Estimate
    macro_recall_at_10: Estimate
    macro_recall_at_50: Estimate
    macro_recall_at_100: Estimate
    macro_auprc: Estimate
    """Mean over queries of the average precision of their test pairs among all their candidates not known."""
    num_pairs: int
    num_queries: int
    num_candidates: int


@dataclass(frozen=True)
class RankingMetrics:
    """Both sides of the question and all pairs in one pool; `dataclasses.asdict` makes it plain for JSON."""

    drugs_given_disease: SideMetrics
    """The drug side: where the drug stands among all drugs for its disease."""
    diseases_given_drug: SideMetrics
    """The disease side: where the disease stands among all diseases for its drug."""
    auroc: Estimate
    """Probability that a test pair scores above a negative; ties count half."""
    auprc: Estimate
    """Average precision of the test pairs among all negatives; chance gives `prevalence`."""
    prevalence: float
    """Test pairs / (test pairs + negatives)."""
    num_test_pairs: int
    num_negatives: int
    num_bootstraps: int
    seed: int


def evaluate_ranking(
    scores: Float[np.ndarray, "drugs diseases"],
    test: Pairs,
    known: Pairs,
    *,
    seed: int,
    num_bootstraps: int = 1000,
) -> RankingMetrics:
    """Give the ranking metrics of a score matrix, higher meaning likelier, on the (drug, disease) test pairs.

    `known` are the pairs of every part of the split (`Split.known`): none of them counts as a negative, and
    all others of the matrix do. Ties count as their expected rank, so a constant matrix gains nothing. The
    intervals draw diseases again, each with all its test pairs, on both sides and in the pool: pairs of one disease
    are the least independent of each other, whichever end is ranked. `macro` means of the disease side are over drugs,
    and so are their draws. The negatives stay as they are. A single disease has an interval of no width.

    Scores may be infinite, not NaN. The matrix is read in pieces, so a memory-mapped one will do. Raises
    InputError for NaN scores, pairs outside the matrix, no or repeated test pairs, or no negatives;
    ConfigError for `num_bootstraps` below 1.
    """
    if num_bootstraps < 1:
        raise ConfigError(f"num_bootstraps is {num_bootstraps}; it must be 1 or more (1000 is usual).")
    _check_scores(scores)
    _check_pairs(scores, test, known)
    known = distinct_pairs(np.concatenate([known, test]), scores.shape[1])
    num_negatives = scores.size - len(known)
    if not num_negatives:
        raise InputError(
            f"All {scores.size} pairs of the score matrix are known, so there is nothing to rank the test "
            "pairs against. Pass only the treatment pairs as known."
        )
    rng = np.random.default_rng(seed)
    auroc, auprc = _pooled(scores, test, known, num_bootstraps, rng)
    return RankingMetrics(
        drugs_given_disease=_side(scores.T, test[:, ::-1], known[:, ::-1], test[:, 1], num_bootstraps, rng),
        diseases_given_drug=_side(scores, test, known, test[:, 1], num_bootstraps, rng),
        auroc=auroc,
        auprc=auprc,
        prevalence=len(test) / (len(test) + num_negatives),
        num_test_pairs=len(test),
        num_negatives=num_negatives,
        num_bootstraps=num_bootstraps,
        seed=seed,
    )


def _check_scores(scores: Float[np.ndarray, "drugs diseases"]) -> None:
    num_nan = sum(int(np.isnan(piece).sum()) for piece in pieces(scores))
    if num_nan:
        raise InputError(
            f"{num_nan} of the {scores.size} scores are NaN, and NaN has no rank. Find where they arise "
            "(often a drug or disease without an embedding), and score those pairs or leave them out."
        )


def _check_pairs(scores: Float[np.ndarray, "drugs diseases"], test: Pairs, known: Pairs) -> None:
    if not len(test):
        raise InputError("There are no test pairs to rank. Make a split with a test part.")
    for name, pairs in (("test", test), ("known", known)):
        outside = ((pairs < 0) | (pairs >= scores.shape)).any(axis=1)
        if outside.any():
            raise InputError(
                f"{int(outside.sum())} {name} pairs lie outside the score matrix of {scores.shape[0]} drugs "
                f"× {scores.shape[1]} diseases, first {pairs[outside][0].tolist()}. The matrix and the split "
                "must number drugs and diseases alike."
            )
    repeats = len(test) - len(np.unique(pair_codes(test, scores.shape[1])))
    if repeats:
        raise InputError(f"{repeats} test pairs are there more than once. Pass each test pair once.")


def _side(
    scores: Float[np.ndarray, "queries candidates"],
    test: Pairs,
    known: Pairs,
    disease: Int[np.ndarray, " pairs"],
    num_bootstraps: int,
    rng: np.random.Generator,
) -> SideMetrics:
    rank, precision = ranks_and_precisions(scores, test, known)
    within = {k: (rank <= k).astype(float) for k in (*HITS_AT, *RECALL_AT)}
    micro = {"mrr": 1 / rank, "mean_rank": rank}
    micro |= {f"{'hits' if k in HITS_AT else 'recall'}_at_{k}": hit for k, hit in within.items()}
    macro = {"macro_mrr": 1 / rank, "macro_auprc": precision}
    macro |= {f"macro_recall_at_{k}": hit for k, hit in within.items()}

    weights, which = resample(disease, num_bootstraps, rng)
    estimates = {name: ratio(weights, np.bincount(which, value), np.bincount(which)) for name, value in micro.items()}
    weights, which = resample(test[:, 0], num_bootstraps, rng)
    size = np.bincount(which)
    one_each = np.ones(len(size))
    estimates |= {name: ratio(weights, np.bincount(which, value) / size, one_each) for name, value in macro.items()}
    return SideMetrics(**estimates, num_pairs=len(test), num_queries=len(size), num_candidates=scores.shape[1])


def _pooled(
    scores: Float[np.ndarray, "drugs diseases"],
    test: Pairs,
    known: Pairs,
    num_bootstraps: int,
    rng: np.random.Generator,
) -> tuple[Estimate, Estimate]:
    """Give AUROC and AUPRC of the test pairs against all negatives, the intervals over diseases."""
    above, level = count_negatives_anywhere(scores, test, known)
    weights, which = resample(test[:, 1], num_bootstraps, rng)
    beaten = 1 - (above + level / 2) / (scores.size - len(known))
    auroc = ratio(weights, np.bincount(which, beaten), np.bincount(which))

    value = values_at(scores, test)
    return auroc, estimate(average_precision(weights[:, which], value, above + level))
