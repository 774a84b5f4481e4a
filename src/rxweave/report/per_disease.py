"""Some diseases one by one: their likeliest new drugs, where their known treatments stand, and what that rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from rxweave.graph.build import Graph
from rxweave.graph.pairs import pair_keys
from rxweave.graph.split import PARTS, Split
from rxweave.rank.shared_genes import touched_genes
from rxweave.report.leads import PAIR, SHOWN, with_record

MOST_KNOWN, MOST_TESTED = 12, 12
"""Diseases with most recorded treatments, and further ones with most held-out treatments, that have a part each."""
NUM_DRUGS = 10
"""New drugs shown of each."""
NUM_PLACES = 15
"""Known treatments whose places are shown of each: held-out ones first."""
NAMED = 4
"""Names given where there may be many."""


@dataclass(frozen=True)
class Place:
    """Where a recorded treatment of a disease stands."""

    drug_name: str
    drug_id: str
    part: str
    """Of the split: train, valid or test."""
    place: int | None
    """From 1, among all drugs but the disease's other recorded ones; None for one beyond the predictions kept."""
    prob_treats: float | None


@dataclass(frozen=True)
class DiseaseLeads:
    """A disease and what was predicted for it."""

    name: str
    id: str
    counts: dict[str, int]
    """Recorded treatments by part of the split."""
    leads: list[dict[str, Any]]
    """Rows of `leads.top_new`, best first, and of each `shared` (genes in common, the rarest named), `num_shared`, and
    `drug_treats`, the treatments of the drug in training."""
    places: list[Place]
    trained_with: list[str]
    """Names of treatments in training, the first NAMED by name."""
    num_genes: int
    """Genes that the disease has a fact with."""
    num_facts: int
    """Its facts in training."""

    @property
    def num_known(self) -> int:
        return sum(self.counts.values())


def per_disease(
    predictions: pl.DataFrame,
    graph: Graph,
    training: Graph,
    split: Split,
    *,
    most_known: int = MOST_KNOWN,
    most_tested: int = MOST_TESTED,
) -> list[DiseaseLeads]:
    """Give the diseases with most recorded treatments, then further ones with most held-out (test) treatments.

    `predictions` has the columns of `matrix.predictions_table`; diseases without a new drug in it are left out.
    """
    parts = pl.concat(pair_keys(graph, getattr(split, part)).with_columns(part=pl.lit(part)) for part in PARTS)
    chosen = _chosen(predictions, parts, most_known, most_tested)
    rows = (
        predictions.lazy()
        .filter(pl.col("disease_key").is_in(chosen))
        .select(*SHOWN, "known")
        .collect()
        .join(parts, on=PAIR, how="left", maintain_order="left")
        .sort("rank")
    )
    genes = _Genes.of(training)
    by_disease = rows.partition_by("disease_key", as_dict=True)
    of_parts = parts.filter(pl.col("disease_key").is_in(chosen)).partition_by("disease_key", as_dict=True)
    treats = dict(parts.filter(part="train").group_by("drug_key").len().iter_rows())
    return [
        _leads_of(key, by_disease[key,], of_parts.get((key,), parts.clear()), graph, training, genes, treats)
        for key in chosen
    ]


def _chosen(predictions: pl.DataFrame, parts: pl.DataFrame, most_known: int, most_tested: int) -> list[str]:
    """Keys of diseases, in order."""
    counts = (
        predictions.lazy().filter(~pl.col("known")).group_by("disease_key").agg(best=pl.col("rank").min())
        .collect()
        .join(parts.group_by("disease_key").agg(known=pl.len(), test=(pl.col("part") == "test").sum()),
              on="disease_key", how="left")
        .with_columns(pl.col("known", "test").fill_null(0))
        .sort("known", "test", "best", descending=[True, True, False])
    )  # fmt: skip
    first = counts.head(most_known)
    others = counts.slice(most_known).sort("test", "known", "best", descending=[True, True, False])
    return first["disease_key"].to_list() + others.head(most_tested)["disease_key"].to_list()


def _leads_of(
    key: str,
    rows: pl.DataFrame,
    known: pl.DataFrame,
    graph: Graph,
    training: Graph,
    genes: _Genes,
    treats: dict[str, int],
) -> DiseaseLeads:
    new = rows.filter(~pl.col("known"))
    leads = with_record(new.head(NUM_DRUGS).select(SHOWN), graph).to_dicts()
    for lead in leads:
        lead["shared"], lead["num_shared"] = genes.shared(lead["drug_key"], key)
        lead["drug_treats"] = treats.get(lead["drug_key"], 0)
    found = {row["drug_key"]: row for row in rows.filter("known").iter_rows(named=True)}
    names = dict(
        graph.nodes.filter(pl.col("node_key").is_in(known["drug_key"].implode()))
        .select("node_key", pl.struct("node_name", "node_id"))
        .iter_rows()
    )
    places = []
    for part in reversed(PARTS):
        of_part = []
        for drug in known.filter(part=part)["drug_key"]:
            row = found.get(drug)
            place = None if row is None else int((new["rank"] < row["rank"]).sum()) + 1
            about = names[drug]
            probability = None if row is None else float(row["prob_treats"])
            of_part.append(Place(about["node_name"], about["node_id"], part, place, probability))
        places += sorted(of_part, key=lambda each: (each.place is None, each.place or 0, each.drug_name))
    node = graph.nodes["node_key"].index_of(key)
    return DiseaseLeads(
        name=str(rows["disease_name"][0]),
        id=str(rows["disease_id"][0]),
        counts={part: int((known["part"] == part).sum()) for part in PARTS},
        leads=leads,
        places=places,
        trained_with=sorted(each.drug_name for each in places if each.part == "train")[:NAMED],
        num_genes=genes.number(key),
        num_facts=int(training.degrees[node]) if node is not None else 0,
    )


@dataclass(frozen=True, eq=False)
class _Genes:
    """Which genes drugs and diseases have facts with, in the training graph."""

    names: pl.Series
    degrees: np.ndarray
    touched: tuple[sp.csr_array, sp.csr_array]
    """Of drugs, and of diseases."""
    rows: tuple[dict[str, int], dict[str, int]]

    @classmethod
    def of(cls, training: Graph) -> _Genes:
        roles = training.roles
        ends = (roles.drug, roles.disease)
        keys = [training.nodes["node_key"][training.rows_of(end)] for end in ends]
        rows = tuple({key: row for row, key in enumerate(each)} for each in keys)
        if roles.gene is None or roles.gene not in training.node_types:
            empty = tuple(sp.csr_array((len(each), 0)) for each in keys)
            return cls(pl.Series([], dtype=pl.String), np.empty(0), (empty[0], empty[1]), (rows[0], rows[1]))
        touched = [touched_genes(training, end, roles.gene) for end in ends]
        here = training.rows_of(roles.gene)
        return cls(
            training.nodes["node_name"][here], training.degrees[here], (touched[0], touched[1]), (rows[0], rows[1])
        )

    def number(self, disease: str) -> int:
        return len(self._of(1, disease))

    def shared(self, drug: str, disease: str) -> tuple[list[str], int]:
        """The names of the rarest genes that both have a fact with, at most NAMED, and how many there are."""
        both = np.intersect1d(self._of(0, drug), self._of(1, disease))
        rarest = both[np.argsort(self.degrees[both], kind="stable")][:NAMED]
        return [str(self.names[int(gene)]) for gene in rarest], len(both)

    def _of(self, end: int, key: str) -> np.ndarray:
        touched, row = self.touched[end], self.rows[end][key]
        return np.asarray(touched.indices[touched.indptr[row] : touched.indptr[row + 1]])
