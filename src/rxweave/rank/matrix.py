"""Every drug against every disease: the score matrix, and the table of predictions made from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32
from scipy.stats import rankdata

from rxweave.artifacts import atomic_path
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs, pair_codes
from rxweave.rank.features import PairFeatures
from rxweave.rank.model import Ranker
from rxweave.rank.ranker import Progress

HIGH, MEDIUM = 0.7, 0.4
"""Probabilities of treatment from which a prediction's confidence is HIGH, or MEDIUM."""

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
) -> pl.DataFrame:
    """Give a row for every drug–disease pair, the likeliest treatment first.

    Columns: `rank` (1 = highest score over all pairs; ties keep the order of drugs, then diseases),
    `drug_name`, `disease_name`, `prob_treats`, `confidence` (HIGH ≥ 0.7, MEDIUM ≥ 0.4, LOW),
    `prob_not_treat` (null without contraindications), `prob_unknown`, `drug_id`, `disease_id`, `drug_key`,
    `disease_key`, `known` (the pair is one of `known`; the ranker may have learned from it, and then its
    score is no prediction), `percentile_for_disease` and `percentile_for_drug`: how many in a hundred of the
    other drugs for the disease (diseases for the drug) score lower, ties counting half. `top_drugs` keeps
    only that many best drugs per disease; ranks and percentiles still refer to all pairs. Raises InputError
    for scores of another graph.
    """
    num_drugs, num_diseases = scores.treats.shape
    expected = (graph.num_of(graph.roles.drug), graph.num_of(graph.roles.disease))
    if (num_drugs, num_diseases) != expected:
        raise InputError(
            f"The scores are of {num_drugs} drugs × {num_diseases} diseases, but {graph.name} has "
            f"{expected[0]} × {expected[1]}; score the pairs of this graph."
        )
    order = np.argsort(-scores.treats.ravel(), kind="stable")
    rank = np.arange(1, len(order) + 1)
    if top_drugs is not None:
        # The same order of ties as above, so the rows kept are those that come first.
        place = np.argsort(np.argsort(-scores.treats, axis=0, kind="stable"), axis=0)
        kept = place.ravel()[order] < top_drugs
        order, rank = order[kept], rank[kept]
    drug, disease = np.divmod(order, num_diseases)

    columns = [scores.treats] if scores.not_treat is None else [scores.treats, scores.not_treat]
    probabilities = ranker.probabilities(np.stack([each.ravel()[order] for each in columns], axis=1))
    treats = pl.Series(probabilities[:, 0], dtype=pl.Float32)
    not_treat = (
        pl.lit(None, pl.Float32) if scores.not_treat is None else pl.Series(probabilities[:, 1], dtype=pl.Float32)
    )

    nodes = graph.nodes.select("node_name", "node_id", "node_key")
    drugs = nodes[graph.rows_of(graph.roles.drug)][drug]
    diseases = nodes[graph.rows_of(graph.roles.disease)][disease]
    recorded = np.isin(order, pair_codes(known, num_diseases))
    return pl.DataFrame({"rank": rank.astype(np.uint32)}).with_columns(
        drug_name=drugs["node_name"],
        disease_name=diseases["node_name"],
        prob_treats=treats,
        confidence=pl.when(treats >= HIGH)
        .then(pl.lit("HIGH"))
        .when(treats >= MEDIUM)
        .then(pl.lit("MEDIUM"))
        .otherwise(pl.lit("LOW")),
        prob_not_treat=not_treat,
        prob_unknown=pl.Series(probabilities[:, -1], dtype=pl.Float32),
        drug_id=drugs["node_id"],
        disease_id=diseases["node_id"],
        drug_key=drugs["node_key"],
        disease_key=diseases["node_key"],
        known=pl.Series(recorded),
        percentile_for_disease=pl.Series(_percentile(scores.treats, axis=0).ravel()[order]),
        percentile_for_drug=pl.Series(_percentile(scores.treats, axis=1).ravel()[order]),
    )


def _percentile(scores: Float32[np.ndarray, "drugs diseases"], *, axis: int) -> Float32[np.ndarray, "drugs diseases"]:
    """Give the share, in per cent, of the others along the axis that score lower; ties count half."""
    others = max(1, scores.shape[axis] - 1)
    return np.asarray(100 * (rankdata(scores, axis=axis) - 1) / others, np.float32)


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
