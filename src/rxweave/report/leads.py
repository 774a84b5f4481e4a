"""Which predictions the report shows: pairs nobody has recorded as a treatment, the likeliest first."""

from __future__ import annotations

import polars as pl

from rxweave.graph.build import Graph
from rxweave.graph.pairs import fact_pairs, pair_keys

PAIR = ("drug_key", "disease_key")
SHOWN = (
    "rank", "drug_name", "drug_id", "disease_name", "disease_id", "prob_treats", "confidence",
    "percentile_for_disease", "percentile_for_drug", *PAIR,
)  # fmt: skip


def top_new(predictions: pl.DataFrame, graph: Graph, *, at_most: int = 10) -> pl.DataFrame:
    """Give the likeliest pairs that are not known, over all drugs and diseases, best first.

    Columns: SHOWN and `on_record`, the drug–disease relations other than treatment that the graph has between
    the two (an off-label use, a contraindication), sorted; null where it has none.
    """
    new = predictions.lazy().filter(~pl.col("known")).bottom_k(at_most, by="rank").sort("rank")
    return with_record(new.select(SHOWN).collect(), graph)


def with_record(rows: pl.DataFrame, graph: Graph) -> pl.DataFrame:
    """Add `on_record` (see `top_new`); looked up for these rows only."""
    found = [pl.DataFrame(schema={**dict.fromkeys(PAIR, pl.String), "relation": pl.String})]
    for r in graph.drug_disease_relations():
        name = graph.relations[r].name
        if name not in graph.roles.treats:
            pairs = pair_keys(graph, fact_pairs(graph, r)).join(rows, on=PAIR, how="semi")
            found.append(pairs.with_columns(relation=pl.lit(name)))
    record = pl.concat(found).unique().sort("relation").group_by(PAIR, maintain_order=True)
    return rows.join(record.agg(pl.col("relation").alias("on_record")), on=PAIR, how="left", maintain_order="left")
