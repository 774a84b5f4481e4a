"""How many nodes and facts of each kind a graph has, beside what its makers say; null where they say nothing."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Int

from rxweave.graph.build import Graph
from rxweave.kg.published import PUBLISHED
from rxweave.kg.tables import KnowledgeGraph


def type_tally(graph: Graph, degrees: Int[np.ndarray, " nodes"]) -> pl.DataFrame:
    """Give `node_type, nodes, published, isolated, median_degree, max_degree` of each type there or published."""
    published = PUBLISHED[graph.name].nodes if graph.name in PUBLISHED else {}
    rows = []
    for node_type in sorted({*graph.node_types, *published}):
        own = degrees[graph.rows_of(node_type)] if node_type in graph.node_types else np.zeros(0, np.int64)
        rows.append(
            (
                node_type,
                len(own),
                published.get(node_type),
                int((own == 0).sum()),
                float(np.median(own)) if len(own) else 0.0,
                int(own.max(initial=0)),
            )
        )
    schema = {
        "node_type": pl.String,
        "nodes": pl.Int64,
        "published": pl.Int64,
        "isolated": pl.Int64,
        "median_degree": pl.Float64,
        "max_degree": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def relation_tally(kg: KnowledgeGraph) -> pl.DataFrame:
    """Give `relation, facts, published` of each relation that is or should be there.

    Sources count a fact under several display relations several times, and so do these `facts`.
    """
    published = PUBLISHED[kg.name].facts if kg.name in PUBLISHED else {}
    labels = pl.lit(1)
    if "display_relation" in kg.edges.columns:
        labels = pl.col("display_relation").str.count_matches("|", literal=True).fill_null(0) + 1
    counts = dict(kg.edges.group_by("relation").agg(labels.sum().cast(pl.Int64).alias("facts")).iter_rows())
    counts |= {relation.name: counts.get(relation.name, 0) for relation in kg.relations}
    rows = [(name, counts.get(name, 0), published.get(name)) for name in sorted({*counts, *published})]
    return pl.DataFrame(rows, schema={"relation": pl.String, "facts": pl.Int64, "published": pl.Int64}, orient="row")
