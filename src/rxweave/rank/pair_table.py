"""Where a method puts each test pair: a small table that every metric over seeds, and every comparison, is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.filtered_ranks import count_negatives_anywhere, ranks_and_precisions, values_at
from rxweave.graph.pairs import pair_keys
from rxweave.graph.split import Split
from rxweave.rank.bootstrap import Estimate, average_precision, estimate, ratio, resample
from rxweave.rank.compare import Found, PairedDifference, paired_difference, precision_flips

Side = Literal["drug", "disease"]
"""Whose rank it is: the drug's among all drugs of its disease, or the disease's among all diseases of its drug."""
KEYS = ("drug_key", "disease_key")
COLUMNS = (
    *KEYS, "score", "drug_rank", "drug_precision", "disease_rank", "disease_precision", "above", "level", "negatives",
)  # fmt: skip
"""What `pair_table` gives."""
MACRO = "precision"
"""The metric that is averaged within each query before it is averaged over queries."""


def pair_table(scores: Float[np.ndarray, "drugs diseases"], split: Split, graph: Graph) -> pl.DataFrame:
    """Give a row for each test pair, in the order of the split.

    Columns: `drug_key, disease_key, score`; `drug_rank` and `disease_rank`, the filtered expected ranks on either
    side (`filtered_ranks.expected_ranks`); `drug_precision`, the precision at the pair among the drugs of its disease,
    and `disease_precision`, that among the diseases of its drug; `above` and `level`, how many negatives of the whole
    matrix score above the pair and the same; `negatives`, how many there are.
    """
    above, level = count_negatives_anywhere(scores, split.test, split.known)
    drug_rank, drug_precision = ranks_and_precisions(scores.T, split.test[:, ::-1], split.known[:, ::-1])
    disease_rank, disease_precision = ranks_and_precisions(scores, split.test, split.known)
    return pair_keys(graph, split.test).with_columns(
        pl.Series("score", values_at(scores, split.test).astype(np.float64)),
        pl.Series("drug_rank", drug_rank),
        pl.Series("drug_precision", drug_precision),
        pl.Series("disease_rank", disease_rank),
        pl.Series("disease_precision", disease_precision),
        pl.Series("above", above),
        pl.Series("level", level),
        pl.lit(scores.size - len(np.unique(split.known, axis=0))).alias("negatives"),
    )


def per_pair(table: pl.DataFrame, side: Side, metric: str) -> Float[np.ndarray, " pairs"]:
    """Give a metric of each pair: `mrr` (1 / rank), `at_10` and the like (within the top 10), or `precision`.

    `precision` is what average precision is the mean of: within each query, then over queries, which are the diseases
    on the drug side.
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

    Intervals draw diseases again, each with its pairs of all seeds, on both sides: pairs of one disease are the least
    independent of each other, whichever end is ranked, and those of several seeds are much the same. `precision` is
    averaged within each query first, and draws these: drugs on the disease side. `auprc` is the mean over seeds. The
    intervals tell how much hangs on the choice of diseases, not on that of training sets.
    """
    rng = np.random.default_rng(seed)
    units = dict.fromkeys(("disease_key", *(_unit(side, metric) for side, metric in metrics.values())))
    weights = {unit: resample(_numbered(tables, unit), num_bootstraps, rng) for unit in units}
    found = {}
    for name, (side, metric) in metrics.items():
        value = np.concatenate([per_pair(table, side, metric) for table in tables])
        draws, which = weights[_unit(side, metric)]
        total, size = np.bincount(which, value), np.bincount(which)
        found[name] = ratio(draws, total / size, np.ones(len(size))) if metric == MACRO else ratio(draws, total, size)
    draws, which = weights["disease_key"]
    beaten = np.concatenate([_beaten(table) for table in tables])
    found["auroc"] = ratio(draws, np.bincount(which, beaten), np.bincount(which))
    found["auprc"] = estimate(_pooled_precision(tables, draws, which))
    return found


def _pooled_precision(
    tables: Sequence[pl.DataFrame], draws: Float[np.ndarray, "draws queries"], which: Int[np.ndarray, " pairs"]
) -> Float[np.ndarray, " draws"]:
    """The mean over seeds of average precision over all negatives, for each draw of queries."""
    parts = np.split(which, np.cumsum([len(table) for table in tables])[:-1])
    precision = [
        average_precision(draws[:, part], table["score"].to_numpy(), _unbeaten(table))
        for table, part in zip(tables, parts, strict=True)
    ]
    return np.asarray(np.nanmean(precision, axis=0))


def compare_tables(
    ours: Sequence[pl.DataFrame], theirs: Sequence[pl.DataFrame], side: Side, metric: str, *, seed: int
) -> PairedDifference:
    """Compare two methods on the same test pairs, their tables given seed by seed; draws and signs are of diseases.

    `precision` on the disease side, a mean over drugs, has those of drugs. Raises InputError when the tables of a seed
    are not of the same pairs in the same order.
    """
    _check_same(ours, theirs)
    mine, other = (np.concatenate([per_pair(table, side, metric) for table in each]) for each in (ours, theirs))
    query = _numbered(ours, _unit(side, metric))
    if metric == MACRO:  # each query counts once, however many pairs it has
        mine, other = (np.bincount(query, each) / np.bincount(query) for each in (mine, other))
        query = np.arange(len(mine))
    return paired_difference(mine, other, query, seed=seed)


def compare_precision(
    ours: Sequence[pl.DataFrame], theirs: Sequence[pl.DataFrame], *, seed: int, num_bootstraps: int = 1000
) -> PairedDifference:
    """Compare the same by pooled average precision, its mean over seeds; draws and swaps are of diseases.

    Raises as `compare_tables` does.
    """
    _check_same(ours, theirs)
    draws, which = resample(_numbered(ours, "disease_key"), num_bootstraps, np.random.default_rng(seed))
    mine, other = (_pooled_precision(tables, draws, which) for tables in (ours, theirs))
    diseases = np.split(which, np.cumsum([len(table) for table in ours])[:-1])
    p_value = precision_flips(
        [_found(table) for table in ours], [_found(table) for table in theirs], diseases, seed=seed
    )
    return PairedDifference(estimate(mine - other), p_value, num_pairs=len(which), num_queries=draws.shape[1])


def _check_same(ours: Sequence[pl.DataFrame], theirs: Sequence[pl.DataFrame]) -> None:
    for place, (one, two) in enumerate(zip(ours, theirs, strict=True)):
        if not one.select(KEYS).equals(two.select(KEYS)):
            raise InputError(
                f"The tables at place {place} are of other test pairs ({len(one)} and {len(two)}), so they cannot be "
                "compared pair by pair. Score both methods on the same split."
            )


def _unit(side: Side, metric: str) -> str:
    """What is drawn again: diseases, but for a mean over drugs."""
    return "drug_key" if metric == MACRO and side == "disease" else "disease_key"


def _numbered(tables: Sequence[pl.DataFrame], column: str) -> Int[np.ndarray, " pairs"]:
    """The queries of all pairs, one number for each key."""
    keys = np.concatenate([table[column].to_numpy() for table in tables])
    numbers: Int[np.ndarray, " pairs"] = np.unique(keys.astype(str), return_inverse=True)[1]
    return numbers


def _unbeaten(table: pl.DataFrame) -> Int[np.ndarray, " pairs"]:
    """How many negatives score at least as much as each test pair."""
    found: Int[np.ndarray, " pairs"] = (table["above"] + table["level"]).to_numpy()
    return found


def _found(table: pl.DataFrame) -> Found:
    return Found(table["score"].to_numpy(), _unbeaten(table))


def _beaten(table: pl.DataFrame) -> Float[np.ndarray, " pairs"]:
    return np.asarray((1 - (table["above"] + table["level"] / 2) / table["negatives"]).to_numpy())
