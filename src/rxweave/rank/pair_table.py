"""Where a method puts each test pair: a small table that every metric over seeds, and every comparison, is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.filtered_ranks import count_negatives_anywhere, expected_ranks, ranks_and_precisions, values_at
from rxweave.graph.pairs import pair_keys
from rxweave.graph.split import Split
from rxweave.rank.bootstrap import Estimate, average_precision, estimate, ratio, resample
from rxweave.rank.compare import PairedDifference, paired_difference

Side = Literal["drug", "disease"]
"""Whose rank it is: the drug's among all drugs of its disease, or the disease's among all diseases of its drug."""
KEYS = ("drug_key", "disease_key")
COLUMNS = (*KEYS, "score", "drug_rank", "drug_precision", "disease_rank", "above", "level", "negatives")
"""What `pair_table` gives."""
MACRO = "precision"
"""The metric that is averaged within each query before it is averaged over queries."""


def pair_table(scores: Float[np.ndarray, "drugs diseases"], split: Split, graph: Graph) -> pl.DataFrame:
    """Give a row for each test pair, in the order of the split.

    Columns: `drug_key, disease_key, score`; `drug_rank` and `disease_rank`, the filtered expected ranks on either
    side (`filtered_ranks.expected_ranks`); `drug_precision`, the precision at the pair among the drugs of its disease;
    `above` and `level`, how many negatives of the whole matrix score above the pair and the same; `negatives`, how many
    there are.
    """
    above, level = count_negatives_anywhere(scores, split.test, split.known)
    drug_rank, drug_precision = ranks_and_precisions(scores.T, split.test[:, ::-1], split.known[:, ::-1])
    return pair_keys(graph, split.test).with_columns(
        pl.Series("score", values_at(scores, split.test).astype(np.float64)),
        pl.Series("drug_rank", drug_rank),
        pl.Series("drug_precision", drug_precision),
        pl.Series("disease_rank", expected_ranks(scores, split.test, split.known)),
        pl.Series("above", above),
        pl.Series("level", level),
        pl.lit(scores.size - len(np.unique(split.known, axis=0))).alias("negatives"),
    )


def per_pair(table: pl.DataFrame, side: Side, metric: str) -> Float[np.ndarray, " pairs"]:
    """Give a metric of each pair: `mrr` (1 / rank), `at_10` and the like (within the top 10), or `precision`.

    `precision`, on the drug side, is what average precision is the mean of: within each disease, then over diseases.
    """
    if metric == MACRO:
        return table[f"{side}_precision"].to_numpy()
    rank = table[f"{side}_rank"].to_numpy()
    if metric == "mrr":
        return np.asarray(1 / rank)
    return (rank <= int(metric.removeprefix("at_"))).astype(np.float64)


def over_seeds(
    tables: Sequence[pl.DataFrame],
    *,
    seed: int,
    num_bootstraps: int = 1000,
    metrics: Mapping[str, tuple[Side, str]],
) -> dict[str, Estimate]:
    """Give the mean over all test pairs of all seeds of each named metric, and of `auroc` and `auprc`.

    Intervals draw queries again, with their pairs of all seeds: drugs for the disease side, diseases for the others.
    A query counts once however often it comes up, since its pairs under several seeds are much the same. `precision`
    is averaged within each query first. `auprc` is the mean over seeds. The intervals tell how much hangs on the choice
    of queries, not on that of training sets.
    """
    rng = np.random.default_rng(seed)
    sides: tuple[Side, ...] = ("drug", "disease")
    weights = {side: resample(_numbered(tables, f"{_other(side)}_key"), num_bootstraps, rng) for side in sides}
    found = {}
    for name, (side, metric) in metrics.items():
        value = np.concatenate([per_pair(table, side, metric) for table in tables])
        draws, which = weights[side]
        total, size = np.bincount(which, value), np.bincount(which)
        found[name] = ratio(draws, total / size, np.ones(len(size))) if metric == MACRO else ratio(draws, total, size)
    draws, which = weights["drug"]
    beaten = np.concatenate([_beaten(table) for table in tables])
    found["auroc"] = ratio(draws, np.bincount(which, beaten), np.bincount(which))
    parts = np.split(which, np.cumsum([len(table) for table in tables])[:-1])
    precision = [
        average_precision(draws[:, part], table["score"].to_numpy(), (table["above"] + table["level"]).to_numpy())
        for table, part in zip(tables, parts, strict=True)
    ]
    found["auprc"] = estimate(np.nanmean(precision, axis=0))
    return found


def compare_tables(
    ours: Sequence[pl.DataFrame], theirs: Sequence[pl.DataFrame], side: Side, metric: str, *, seed: int
) -> PairedDifference:
    """Compare two methods on the same test pairs, their tables given seed by seed.

    Raises InputError when the tables of a seed are not of the same pairs in the same order.
    """
    for place, (one, two) in enumerate(zip(ours, theirs, strict=True)):
        if not one.select(KEYS).equals(two.select(KEYS)):
            raise InputError(
                f"The tables at place {place} are of other test pairs ({len(one)} and {len(two)}), so they cannot be "
                "compared pair by pair. Score both methods on the same split."
            )
    mine, other = (np.concatenate([per_pair(table, side, metric) for table in each]) for each in (ours, theirs))
    query = _numbered(ours, f"{_other(side)}_key")
    if metric == MACRO:  # each query counts once, however many pairs it has
        mine, other = (np.bincount(query, each) / np.bincount(query) for each in (mine, other))
        query = np.arange(len(mine))
    return paired_difference(mine, other, query, seed=seed)


def _other(side: Side) -> Side:
    return "disease" if side == "drug" else "drug"


def _numbered(tables: Sequence[pl.DataFrame], column: str) -> Int[np.ndarray, " pairs"]:
    """The queries of all pairs, one number for each key."""
    keys = np.concatenate([table[column].to_numpy() for table in tables])
    numbers: Int[np.ndarray, " pairs"] = np.unique(keys.astype(str), return_inverse=True)[1]
    return numbers


def _beaten(table: pl.DataFrame) -> Float[np.ndarray, " pairs"]:
    return np.asarray((1 - (table["above"] + table["level"] / 2) / table["negatives"]).to_numpy())
