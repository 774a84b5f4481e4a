"""Predictions for nodes that a run did not know, in the columns of the run's own."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.stats import rankdata

from rxweave.embed.store import Embeddings
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs
from rxweave.rank.matrix import pair_rows
from rxweave.rank.model import Ranker


def predictions_of_new(
    ranker: Ranker, training: Graph, embeddings: Embeddings, new: Int[np.ndarray, " new"], own: pl.LazyFrame
) -> pl.DataFrame:
    """Give a row for every pair of a new drug or disease, the likeliest treatment first.

    `ranker` is one for `training` (`rank.extend`), which holds the new nodes at rows `new`; `embeddings` are of all its
    nodes; `own` is the run's own predictions. The columns are those of `matrix.predictions_table`. `rank` counts the
    pairs of this table. A new disease's percentile among all drugs counts every drug; a pair's percentile among all
    diseases of a known drug counts the diseases of the run, and is null where the run has not kept all of its pairs
    (likewise for a new drug).
    """
    roles = training.roles
    first_drug, first_disease = training.rows_of(roles.drug).start, training.rows_of(roles.disease).start
    num_drugs, num_diseases = training.num_of(roles.drug), training.num_of(roles.disease)
    new_drug, new_disease = np.zeros(num_drugs, bool), np.zeros(num_diseases, bool)
    new_drug[[row - first_drug for row in new if 0 <= row - first_drug < num_drugs]] = True
    new_disease[[row - first_disease for row in new if 0 <= row - first_disease < num_diseases]] = True
    pairs = np.argwhere(new_drug[:, None] | new_disease)
    features = ranker.features(training, embeddings)
    scores = ranker.score(features.scoring_rows(pairs), pairs)
    order = np.argsort(-scores[:, 0], kind="stable")
    pairs, scores = pairs[order], scores[order]
    table = pair_rows(ranker, training, pairs, scores, training.pairs(roles.treats), np.arange(1, len(pairs) + 1))
    theirs = own.select("drug_key", "disease_key", "prob_treats").collect()
    whole = theirs.height == int((~new_drug).sum()) * int((~new_disease).sum())
    return table.with_columns(
        percentile_for_disease=_percentiles(table, theirs, pairs, scores[:, 0], "disease", new_disease, whole=whole),
        percentile_for_drug=_percentiles(table, theirs, pairs, scores[:, 0], "drug", new_drug, whole=whole),
    )


def _percentiles(
    table: pl.DataFrame,
    theirs: pl.DataFrame,
    pairs: Pairs,
    scores: Float[np.ndarray, " pairs"],
    end: str,
    is_new: np.ndarray,
    *,
    whole: bool,
) -> pl.Series:
    """Give how many in a hundred of the other pairs of each row's drug (or disease, `end`) score lower."""
    number = pairs[:, 0 if end == "drug" else 1]
    percentile = np.full(len(pairs), np.nan, np.float32)
    of_key = theirs.partition_by(f"{end}_key", as_dict=True) if whole else {}
    for node in np.unique(number):
        rows = np.flatnonzero(number == node)
        if is_new[node]:
            percentile[rows] = 100 * (rankdata(scores[rows]) - 1) / max(1, len(rows) - 1)
        elif whole:
            others = np.sort(of_key[table[f"{end}_key"][int(rows[0])],]["prob_treats"].to_numpy())
            asked = table["prob_treats"].to_numpy()[rows]
            lower, upper = (np.searchsorted(others, asked, side=side) for side in ("left", "right"))
            percentile[rows] = 100 * (lower + upper) / (2 * len(others))
    return pl.Series(percentile).fill_nan(None)
