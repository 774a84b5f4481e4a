"""Which predictions the report shows: pairs nobody has recorded as a treatment, the likeliest first."""

from __future__ import annotations

import polars as pl

from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs, fact_pairs, pair_keys

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
    return _with_record(new.select(SHOWN).collect(), graph)


def top_new_per_disease(
    predictions: pl.DataFrame, graph: Graph, test: Pairs, *, num_diseases: int = 30, num_drugs: int = 5
) -> pl.DataFrame:
    """Give the likeliest new drugs of the diseases that were tested most, as `top_new` does.

    Diseases are taken by their number of test pairs, then by their best new prediction, and stay in that
    order; each has its `num_drugs` likeliest drugs that are not known. A column `test_pairs` is added.
    """
    new = predictions.lazy().filter(~pl.col("known"))
    tested = pair_keys(graph, test).group_by("disease_key").len("test_pairs")
    # Two columns of a table that may have a hundred million rows decide which few rows are needed whole.
    chosen = (
        new.group_by("disease_key").agg(pl.col("rank").min().alias("best"))
        .collect()
        .join(tested, on="disease_key", how="left")
        .with_columns(pl.col("test_pairs").fill_null(0))
        .sort("test_pairs", "best", descending=[True, False])
        .head(num_diseases)
        .with_row_index("place")
    )  # fmt: skip
    rows = (
        new.filter(pl.col("disease_key").is_in(chosen["disease_key"].to_list()))
        .select(SHOWN)
        .collect()
        .join(chosen.select("disease_key", "place", "test_pairs"), on="disease_key")
        .sort("place", "rank")
        .group_by("disease_key", maintain_order=True)
        .head(num_drugs)
    )
    return _with_record(rows.select(*SHOWN, "test_pairs"), graph)


def _with_record(rows: pl.DataFrame, graph: Graph) -> pl.DataFrame:
    """Add `on_record`; looked up for these rows only."""
    found = [pl.DataFrame(schema={**dict.fromkeys(PAIR, pl.String), "relation": pl.String})]
    for r in graph.drug_disease_relations():
        name = graph.relations[r].name
        if name not in graph.roles.treats:
            pairs = pair_keys(graph, fact_pairs(graph, r)).join(rows, on=PAIR, how="semi")
            found.append(pairs.with_columns(relation=pl.lit(name)))
    record = pl.concat(found).unique().sort("relation").group_by(PAIR, maintain_order=True)
    return rows.join(record.agg(pl.col("relation").alias("on_record")), on=PAIR, how="left", maintain_order="left")
