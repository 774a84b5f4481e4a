"""Frequent flyers: the few drugs (or diseases) that fill most of the lists of new predictions.

A drug that scores high with everything is at the top of every list, and says nothing of any disease. How many drugs
share the places is told by the entropy of drugs among them, beside that of the recorded treatments, which are not even
either (Every Cure's MATRIX pipeline, 2026, calls these Drug- and Disease-Entropy@n).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Int

from rxweave.graph.pairs import ENDS, End
from rxweave.rank.full_matrix import evenness

LIST = 10
"""Length of the list of each disease (drug)."""
POOL = 1000
"""Length of the one list over all pairs."""
FEW = 10
"""Nodes whose share of the places is told."""
MOST = 0.5
"""Share of the places from which FEW nodes take most of them …"""
TIMES = 1.5
"""… if that is so many times what the same number of nodes take of the recorded treatments."""


@dataclass(frozen=True)
class Flyer:
    """A node, how many places it takes, and how many recorded treatments it has."""

    name: str
    id: str
    places: int
    known: int


@dataclass(frozen=True)
class Concentration:
    """How the places of some lists are shared out among the drugs (or the diseases)."""

    end: End
    per_node: bool
    """The lists are those of each node of the other end; else one list over all pairs."""
    length: int
    """Of a list."""
    places: int
    candidates: int
    distinct: int
    """Nodes with a place."""
    entropy: float
    """Of the nodes among the places (`full_matrix.evenness`): 0 for one node in all, 1 for places shared evenly."""
    known_entropy: float
    """That of the recorded treatments."""
    few_share: float
    """Share of the places that the FEW most frequent nodes take, 0 to 1."""
    known_few_share: float
    """Share of the recorded treatments that the FEW nodes with most of them have."""
    flyers: tuple[Flyer, ...]
    """The most frequent nodes, first the most frequent."""

    @property
    def few_take_most(self) -> bool:
        """Whether this deserves a warning; never of so few nodes that FEW are half of them."""
        apart = self.few_share >= max(MOST, TIMES * self.known_few_share)
        return self.candidates >= 2 * FEW and apart


def concentrations(predictions: pl.DataFrame, num_drugs: int, num_diseases: int) -> tuple[Concentration, ...]:
    """Give the concentration of drugs and of diseases in the lists of new predictions, empty without any.

    The lists are the LIST best new drugs of each disease, the LIST best new diseases of each drug (left out where
    `predictions` holds only some drugs of each disease), and the POOL best new pairs of all. `predictions` has the
    columns of `matrix.predictions_table`.
    """
    columns = ["rank", *(f"{end}_{what}" for end in ENDS for what in ("key", "name", "id"))]
    known = predictions.lazy().filter("known").select(columns).collect()
    whole = len(predictions) == num_drugs * num_diseases
    size = {"drug": num_drugs, "disease": num_diseases}
    found = []
    pool = predictions.lazy().filter(~pl.col("known")).select(columns).bottom_k(POOL, by="rank").collect()
    for end, other in (ENDS, ENDS[::-1]):
        if end == "disease" and not whole:
            continue
        lists = best_of_each(predictions, other, LIST).select(columns)
        found.append(_concentration(lists, known, end, size[end], LIST, per_node=True))
    found += [_concentration(pool, known, end, size[end], POOL, per_node=False) for end in ENDS]
    return tuple(each for each in found if each.places)


def best_of_each(predictions: pl.DataFrame, end: End, length: int) -> pl.DataFrame:
    """Give the rows of the `length` best new pairs of each disease (drug), the likeliest first.

    A table may have twenty million rows: they are chosen by two of its columns alone.
    """
    best = (
        predictions.lazy()
        .filter(~pl.col("known"))
        .group_by(f"{end}_key")
        .agg(pl.col("rank").bottom_k(length))
        .select(pl.col("rank").explode())
    )
    return predictions.lazy().join(best, on="rank", how="semi").sort("rank").collect()


def _concentration(
    lists: pl.DataFrame, known: pl.DataFrame, end: End, candidates: int, length: int, *, per_node: bool
) -> Concentration:
    key = f"{end}_key"
    treatments = known.group_by(key).agg(known=pl.len().cast(pl.Int64))
    counted = (
        lists.group_by(key)
        .agg(places=pl.len().cast(pl.Int64), name=pl.col(f"{end}_name").first(), id=pl.col(f"{end}_id").first())
        .join(treatments, on=key, how="left")
        .sort("places", key, descending=[True, False])
    )
    flyers = tuple(
        Flyer(row["name"], row["id"], row["places"], row["known"] or 0)
        for row in counted.head(FEW).iter_rows(named=True)
    )
    entropy, share = _shared(counted["places"].to_numpy(), candidates)
    known_entropy, known_share = _shared(treatments["known"].to_numpy(), candidates)
    return Concentration(
        end, per_node, length, len(lists), candidates, len(counted), entropy, known_entropy, share, known_share, flyers
    )


def _shared(counts: Int[np.ndarray, " nodes"], candidates: int) -> tuple[float, float]:
    """Give the evenness over all candidates, and the share of the FEW with most; NaN without anything to share."""
    total = int(counts.sum())
    if not total:
        return float("nan"), float("nan")
    all_counts = np.zeros(max(candidates, len(counts)), np.int64)
    all_counts[: len(counts)] = counts
    return evenness(all_counts, total), float(np.sort(counts)[::-1][:FEW].sum() / total)
