"""The likeliest new drugs of every disease, small enough to lie in the page and be searched without a network."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from rxweave.artifacts import script_json
from rxweave.rank.flyers import best_of_each

MOST_BYTES = 8_000_000
"""Longest text of the data; a page may have 15 MB in all."""
LENGTHS = (10, 5, 3)
"""New drugs of each disease: the most that fit."""


@dataclass(frozen=True)
class SearchData:
    """What the search box of the page reads."""

    json: str
    """`drugs`: [name, id]; `diseases`: [name, id, recorded treatments, leads], where leads are four numbers a drug: its
    place in `drugs`, probability × 1000, percentile among drugs × 10, percentile among diseases × 10."""
    length: int
    """Drugs of each disease."""
    diseases: int
    left_out: int
    """Diseases without a place: those whose best new drug is least likely."""


def search_data(predictions: pl.DataFrame, *, most_bytes: int = MOST_BYTES) -> SearchData | None:
    """Give the search data of the table of predictions, within `most_bytes`; None when there are no new pairs."""
    columns = ("drug_key", "drug_name", "drug_id", "disease_key", "disease_name", "disease_id")
    numbers = ("prob_treats", "percentile_for_disease", "percentile_for_drug")
    known = predictions.lazy().group_by("disease_key").agg(recorded=pl.col("known").sum())
    best = (
        best_of_each(predictions, "disease", LENGTHS[0])
        .select(*columns, *numbers)
        .join(known.collect(), on="disease_key", how="left", maintain_order="left")
    )
    if best.is_empty():
        return None
    for length in LENGTHS:
        text = _written(best.group_by("disease_key", maintain_order=True).head(length))
        if len(text.encode()) <= most_bytes:
            return SearchData(text, length, best["disease_key"].n_unique(), 0)
    keys = best["disease_key"].unique(maintain_order=True)  # the best first
    kept = len(keys)
    while len(text.encode()) > most_bytes and kept > 1:
        kept = max(1, int(kept * 0.98 * most_bytes / len(text.encode())))
        some = best.filter(pl.col("disease_key").is_in(keys.head(kept).implode()))
        text = _written(some.group_by("disease_key", maintain_order=True).head(length))
    return SearchData(text, length, kept, len(keys) - kept)


def _written(best: pl.DataFrame) -> str:
    drugs = best.select("drug_key", "drug_name", "drug_id").unique("drug_key", maintain_order=True)
    number = {key: place for place, key in enumerate(drugs["drug_key"])}
    diseases = []
    for rows in best.partition_by("disease_key", maintain_order=True):
        leads: list[int] = []
        for key, probability, among_drugs, among_diseases in rows.select(
            "drug_key", "prob_treats", "percentile_for_disease", "percentile_for_drug"
        ).iter_rows():
            leads += [number[key], round(1000 * probability), round(10 * among_drugs), round(10 * among_diseases)]
        diseases.append([rows["disease_name"][0], rows["disease_id"][0], rows["recorded"][0], leads])
    diseases.sort(key=lambda each: str(each[0]).lower())
    return script_json({"drugs": drugs.select("drug_name", "drug_id").rows(), "diseases": diseases})
