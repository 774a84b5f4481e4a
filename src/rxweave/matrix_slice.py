"""One disease's or one drug's pairs out of the files that hold every pair of a large matrix."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from rxweave.kg.tables import KnowledgeGraph
from rxweave.rank.confidence import confidence

INDEX = "index.parquet"


def slice_of_matrix(
    folder: Path, kg: KnowledgeGraph, *, disease: str | None = None, drug: str | None = None
) -> pl.DataFrame:
    """Give all pairs of the node with this key, the likeliest first, in the columns of predictions.

    `folder` is what `rank.matrix_files.write_matrix` wrote. `rank`, among all pairs, is null; `whole` is added: false
    where the score is that of the first pass alone. Empty for a node that was not ranked.
    """
    if disease is not None:
        index = pl.read_parquet(folder / INDEX).filter(pl.col("disease_key") == disease)
        files = [folder / name for name in index["file"]]
        wanted = pl.col("disease_key") == disease
    else:
        files = sorted(folder.glob("diseases_*.parquet"))
        wanted = pl.col("drug_key") == drug
        drugs = pl.read_parquet_schema(files[0])["drug_key"]
        assert isinstance(drugs, pl.Enum)  # as it was written
        files = files if drug in drugs.categories else []
    if not files:
        return pl.DataFrame(schema={"disease_key": pl.String, "drug_key": pl.String})
    text = pl.col("drug_key", "disease_key").cast(pl.String)  # each file has the keys of its own diseases
    found = [pl.scan_parquet(file).filter(wanted).with_columns(text) for file in files]
    rows = pl.concat(found).sort("score", descending=True, maintain_order=True).collect()
    names = kg.nodes.select("node_key", "node_name", "node_id")
    for end in ("drug", "disease"):
        columns = {"node_key": f"{end}_key", "node_name": f"{end}_name", "node_id": f"{end}_id"}
        rows = rows.join(names.rename(columns), on=f"{end}_key", how="left", maintain_order="left")
    if "prob_not_treat" not in rows.columns:
        rows = rows.with_columns(prob_not_treat=pl.lit(None, pl.Float32))
    return rows.select(
        rank=pl.lit(None, pl.UInt32),
        drug_name="drug_name",
        disease_name="disease_name",
        prob_treats="prob_treats",
        confidence=confidence(pl.col("prob_treats")),
        prob_not_treat="prob_not_treat",
        prob_unknown=1 - pl.col("prob_treats") - pl.col("prob_not_treat").fill_null(0.0),
        drug_id="drug_id",
        disease_id="disease_id",
        drug_key="drug_key",
        disease_key="disease_key",
        known="known",
        percentile_for_disease="percentile_for_disease",
        percentile_for_drug="percentile_for_drug",
        whole="whole",
    )
