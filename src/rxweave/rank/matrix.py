"""Every drug against every disease: the score matrix, and the table of predictions made from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int
from scipy.stats import rankdata

from rxweave.artifacts import atomic_path
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs, pair_codes
from rxweave.rank.confidence import confidence
from rxweave.rank.features import PairFeatures
from rxweave.rank.model import Ranker
from rxweave.rank.ranker import Progress

CSV_ROWS = 2_000_000
"""Longest table that is written to CSV whole; of a longer one the top drugs per disease are."""

CSV_TOP_DRUGS = 100


@dataclass(frozen=True, eq=False)
class PairScores:
    """The ranker's scores of every drug–disease pair (see `Ranker.score`)."""

    treats: Float32[np.ndarray, "drugs diseases"]
    """Log-odds of treatment: the order of the pairs."""
    not_treat: Float32[np.ndarray, "drugs diseases"] | None
    """Log-odds of not_treat against unknown; None for a ranker without that class."""
    whole: Bool[np.ndarray, "drugs diseases"] | None = None
    """The pairs that the whole ranker was asked about (`whole_matrix`); None: all."""


def score_pairs(
    ranker: Ranker,
    features: PairFeatures,
    *,
    block_size: int | None = None,
    progress: Progress | None = None,
) -> PairScores:
    """Score every drug with every disease, a block of diseases at a time (`block_size`: diseases in a block).

    A pair's score does not depend on the block it is in. Memory: the result, and the features of one block.
    """
    shape = (features.num_drugs, features.num_diseases)
    treats = np.empty(shape, np.float32)
    not_treat = np.empty(shape, np.float32) if len(ranker.classes) == 3 else None
    size = min(block_size or features.block_size, features.num_diseases)
    buffer = np.empty(features.num_drugs * size * len(features.names), np.float32)
    for start in range(0, features.num_diseases, size):
        if progress:
            progress("scoring pairs", start / features.num_diseases)
        diseases = np.arange(start, min(start + size, features.num_diseases))
        block = features.block(diseases, buffer=buffer)
        drug, disease = np.repeat(np.arange(shape[0]), len(diseases)), np.tile(diseases, shape[0])
        scores = ranker.score(block.reshape(-1, block.shape[2]), np.stack([drug, disease], axis=1))
        treats[:, diseases] = scores[:, 0].reshape(shape[0], -1)
        if not_treat is not None:
            not_treat[:, diseases] = scores[:, 1].reshape(shape[0], -1)
    return PairScores(treats, not_treat)


def predictions_table(
    ranker: Ranker,
    scores: PairScores,
    graph: Graph,
    known: Pairs,
    *,
    top_drugs: int | None = None,
    top_diseases: int | None = None,
    percentiles: Percentiles | None = None,
) -> pl.DataFrame:
    """Give a row for every drug–disease pair, the likeliest treatment first.

    Columns: `rank` (1 = highest score over all pairs; ties keep the order of drugs, then diseases),
    `drug_name`, `disease_name`, `prob_treats`, `confidence` (HIGH ≥ 0.7, MEDIUM ≥ 0.4, LOW),
    `prob_not_treat` (null without contraindications), `prob_unknown`, `drug_id`, `disease_id`, `drug_key`,
    `disease_key`, `known` (the pair is one of `known`; the ranker may have learned from it, and then its
    score is no prediction), `percentile_for_disease` and `percentile_for_drug`: how many in a hundred of the
    other drugs for the disease (diseases for the drug) score lower, ties counting half. `top_drugs` keeps
    only that many best drugs per disease, or `top_diseases` of each drug; ranks and percentiles still refer to all
    pairs, except that of pairs with one score those kept come first. Raises InputError for scores of another graph.
    """
    num_drugs, num_diseases = scores.treats.shape
    expected = (graph.num_of(graph.roles.drug), graph.num_of(graph.roles.disease))
    if (num_drugs, num_diseases) != expected:
        raise InputError(
            f"The scores are of {num_drugs} drugs × {num_diseases} diseases, but {graph.name} has "
            f"{expected[0]} × {expected[1]}; score the pairs of this graph."
        )
    if top_drugs is None and top_diseases is None:
        order = np.argsort(-scores.treats.ravel(), kind="stable")
        rank = np.arange(1, len(order) + 1)
    else:
        order, rank = _best(scores.treats, top_drugs, top_diseases)
    drug, disease = np.divmod(order, num_diseases)
    columns = [scores.treats] if scores.not_treat is None else [scores.treats, scores.not_treat]
    of_pairs = np.stack([each[drug, disease] for each in columns], axis=1)
    shares = percentiles or Percentiles.of(scores.treats)
    return pair_rows(ranker, graph, np.stack([drug, disease], axis=1), of_pairs, known, rank).with_columns(
        percentile_for_disease=pl.Series(shares.for_disease[drug, disease]),
        percentile_for_drug=pl.Series(shares.for_drug[drug, disease]),
    )


def pair_rows(
    ranker: Ranker,
    graph: Graph,
    pairs: Pairs,
    scores: Float32[np.ndarray, "pairs scores"],
    known: Pairs,
    rank: Int[np.ndarray, " pairs"],
) -> pl.DataFrame:
    """Give the columns of `predictions_table` but the percentiles, for these pairs in their order."""
    probabilities = ranker.probabilities(scores).astype(np.float32)
    nodes = graph.nodes.select("node_name", "node_id", "node_key")
    drugs = nodes[graph.rows_of(graph.roles.drug)][pairs[:, 0]]
    diseases = nodes[graph.rows_of(graph.roles.disease)][pairs[:, 1]]
    num_diseases = graph.num_of(graph.roles.disease)
    return pl.DataFrame({"rank": rank.astype(np.uint32)}).with_columns(
        drug_name=drugs["node_name"],
        disease_name=diseases["node_name"],
        prob_treats=pl.Series(probabilities[:, 0]),
        confidence=confidence(pl.lit(pl.Series(probabilities[:, 0]))),
        prob_not_treat=pl.Series(probabilities[:, 1]) if len(ranker.classes) == 3 else pl.lit(None, pl.Float32),
        prob_unknown=pl.Series(probabilities[:, -1]),
        drug_id=drugs["node_id"],
        disease_id=diseases["node_id"],
        drug_key=drugs["node_key"],
        disease_key=diseases["node_key"],
        known=pl.Series(np.isin(pair_codes(pairs, num_diseases), pair_codes(known, num_diseases))),
    )


def _best(
    treats: Float32[np.ndarray, "drugs diseases"], top_drugs: int | None, top_diseases: int | None
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " kept"]]:
    """Give the pairs that lead their disease's or their drug's list, best first, and their places among all pairs."""
    num_drugs, num_diseases = treats.shape
    kept = []
    for start in range(0, num_diseases if top_drugs else 0, _AT_A_TIME):
        part = treats[:, start : start + _AT_A_TIME]
        drug = np.argsort(-part, axis=0, kind="stable")[:top_drugs]
        kept.append((drug * num_diseases + start + np.arange(part.shape[1])).ravel())
    for start in range(0, num_drugs if top_diseases else 0, _AT_A_TIME):
        part = treats[start : start + _AT_A_TIME]
        disease = np.argsort(-part, axis=1, kind="stable")[:, :top_diseases]
        kept.append(((start + np.arange(len(part)))[:, None] * num_diseases + disease).ravel())
    codes = np.unique(np.concatenate(kept))
    found = treats.ravel()[codes]
    order = np.argsort(-found, kind="stable")
    found = found[order]
    ascending = np.sort(treats, axis=None)
    higher = len(ascending) - np.searchsorted(ascending, found, side="right")
    first_of_equals = np.searchsorted(-found, -found, side="left")
    return codes[order], higher + 1 + np.arange(len(found)) - first_of_equals


@dataclass(frozen=True, eq=False)
class Percentiles:
    """How many in a hundred of the others score lower than each pair; ties count half."""

    for_disease: Float32[np.ndarray, "drugs diseases"]
    """Among the drugs for the disease."""
    for_drug: Float32[np.ndarray, "drugs diseases"]
    """Among the diseases for the drug."""

    @staticmethod
    def of(treats: Float32[np.ndarray, "drugs diseases"]) -> Percentiles:
        """Work them out for a whole matrix; memory: the result, and `_AT_A_TIME` lists at once."""
        found = Percentiles(np.empty_like(treats), np.empty_like(treats))
        for axis, out in ((0, found.for_disease), (1, found.for_drug)):
            others = max(1, treats.shape[axis] - 1)
            lists, places = (treats.T, out.T) if axis == 0 else (treats, out)
            for start in range(0, len(lists), _AT_A_TIME):
                part = np.ascontiguousarray(lists[start : start + _AT_A_TIME])
                places[start : start + _AT_A_TIME] = 100 * (rankdata(part, axis=1) - 1) / others
        return found


_AT_A_TIME = 256
"""Lists sorted at once."""


@dataclass(frozen=True)
class WrittenPredictions:
    """What was written where, and whether the CSV is the whole table."""

    parquet: Path
    rows: int
    csv: Path
    csv_rows: int
    note: str


def write_predictions(table: pl.DataFrame, parquet: Path, csv: Path) -> WrittenPredictions:
    """Write the predictions: all rows to Parquet; to CSV too if there are at most CSV_ROWS, else the
    CSV_TOP_DRUGS best drugs of each disease. Each file appears only when it is complete.
    """
    with atomic_path(parquet) as temporary:
        table.write_parquet(temporary)
    short, note = table, f"{csv.name} holds all {len(table):,} pairs."
    if len(table) > CSV_ROWS:
        best = pl.col("rank").rank("ordinal").over("disease_key") <= CSV_TOP_DRUGS
        short = table.filter(best)
        note = (
            f"{csv.name} holds the {CSV_TOP_DRUGS} best drugs of each disease, {len(short):,} of "
            f"{len(table):,} pairs; all are in {parquet.name}."
        )
    with atomic_path(csv) as temporary:
        short.write_csv(temporary)
    return WrittenPredictions(parquet, len(table), csv, len(short), note)
