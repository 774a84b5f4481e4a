"""The predictions of a finished run for one disease or one drug, without loading any model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from rxweave.errors import InputError
from rxweave.kg.names import find_node
from rxweave.kg.store import read_kg
from rxweave.kg.tables import KnowledgeGraph
from rxweave.matrix_slice import INDEX, slice_of_matrix

Order = Literal["score", "specific"]
PREDICTIONS = "07_model_output/predictions.parquet"
MATRIX = "07_model_output/matrix"
BEST_OF_DRUGS = "07_model_output/predictions_by_drug.parquet"


def leads_for(
    run: Path,
    *,
    disease: str | None = None,
    drug: str | None = None,
    new_only: bool = False,
    order: Order = "score",
    top: int | None = None,
) -> pl.DataFrame:
    """Give a run's predictions for one disease, or for one drug, best first: `place` and the columns of predictions.

    `disease` or `drug`, exactly one, is a name, synonym, id or key. `order` "score" is the ranker's. "specific" asks
    how far the pair stands out among the pairs of the *other* end: drugs of a disease by `percentile_for_drug`, the
    share of all diseases that score lower with that drug (diseases of a drug by `percentile_for_disease`), ties by
    score. A drug that scores high with everything (a frequent flyer) then falls behind one that scores high with
    this disease alone. `place` counts all pairs of the node in that order, 1 the best, known ones too; `new_only`
    leaves out pairs that are known treatments, and `top` keeps the first. Of a graph with more pairs than one table
    holds, the pairs come from `matrix/`, and `rank` among all pairs is null there.

    Raises InputError for a folder without predictions, a name that means no drug or disease (with the closest) or
    several (with all of them), and for none or both of the two.
    """
    if (disease is None) == (drug is None):
        raise InputError("Ask for the drugs of one disease (disease=…) or for the diseases of one drug (drug=…).")
    file = run / PREDICTIONS
    if not file.is_file():
        collapsed = (run / "08_reporting" / "metrics.json").is_file()
        raise InputError(
            f"{run} holds no predictions ({PREDICTIONS} is missing)."
            + (" Its embeddings collapsed, so nothing was ranked: see its report." if collapsed else "")
            + ("" if collapsed else " Give the output folder of a finished rxweave run.")
        )
    kg = _graph_of(run)
    end, other = ("disease", "drug") if disease is not None else ("drug", "disease")
    role = kg.roles.disease if disease is not None else kg.roles.drug
    node = find_node(kg, str(disease if disease is not None else drug), node_type=role)
    if drug is not None and top is not None and order == "score" and (run / BEST_OF_DRUGS).is_file():
        # The first of a large matrix are in a table of their own; a drug's pairs lie in all of the matrix's files.
        best = pl.scan_parquet(run / BEST_OF_DRUGS).filter(pl.col("drug_key") == node.node_key).sort("rank").collect()
        best = best.with_row_index("place", offset=1)
        best = best.filter(~pl.col("known")) if new_only else best
        if len(best) >= top:
            return best.head(top)
    if (run / MATRIX / INDEX).is_file():
        rows = slice_of_matrix(run / MATRIX, kg, **{end: node.node_key})
    else:
        rows = pl.scan_parquet(file).filter(pl.col(f"{end}_key") == node.node_key).sort("rank").collect()
    if rows.is_empty():
        raise InputError(
            f"{node} is in the graph, but not in {file}: the run ranked a part of the graph without it. "
            "Rank the whole graph: leave out limit_nodes."
        )
    if order == "specific":
        rows = rows.sort(f"percentile_for_{other}", descending=True, maintain_order=True)
    rows = rows.with_row_index("place", offset=1)
    if new_only:
        rows = rows.filter(~pl.col("known"))
    return rows if top is None else rows.head(top)


def _graph_of(run: Path) -> KnowledgeGraph:
    """The graph that the run was of; a folder may hold tables of others, built before."""
    folders = sorted(path.parent for path in (run / "02_graph").glob("*/split.parquet"))
    if len(folders) != 1:
        raise InputError(
            f"{run / '02_graph'} holds {len(folders)} graphs with a split; expected one. Give the output folder of a "
            "finished rxweave run."
        )
    return read_kg(folders[0])


def best_new(predictions: pl.LazyFrame, *, drugs_per_disease: int) -> pl.DataFrame:
    """Give the pairs that are no known treatments and among the best of their disease, the likeliest first.

    `predictions` are those of `rank.matrix.predictions_table`; `place` is added before its columns, counting the new
    drugs of a disease from 1 to `drugs_per_disease`.
    """
    return (
        predictions.filter(~pl.col("known"))
        .select(pl.col("rank").rank("ordinal").over("disease_key").alias("place"), pl.all())
        .filter(pl.col("place") <= drugs_per_disease)
        .sort("rank")
        .collect()
    )
