"""The best new pairs as a KGX graph (Biolink): two TSV tables, as Translator and Monarch tools read them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from rxweave import __version__
from rxweave.export.content import Content, Progress
from rxweave.export.curies import category, curies


def write_kgx(content: Content, folder: Path, progress: Progress) -> None:
    """Write `predictions_nodes.tsv`, all drugs and diseases, and `predictions_edges.tsv`.

    Every edge says that it is a prediction of a model (`knowledge_level`, `agent_type`), and its `score`, the
    probability of treatment. Raises InputError for a run without predictions.
    """
    progress("predictions_edges.tsv", 0.0)
    roles, leads = content.roles, content.leads
    nodes = content.embeddings.nodes.filter(pl.col("node_type").is_in([roles.drug, roles.disease]))
    nodes = nodes.with_columns(curies(nodes, roles))
    kinds = {kind: category(kind, roles) for kind in (roles.drug, roles.disease)}
    table = nodes.select(
        id="curie",
        category=pl.col("node_type").replace_strict(kinds, return_dtype=pl.String),
        name=pl.col("node_name").str.replace_all(r"[\t\r\n]", " "),
        rxweave_key="node_key",
    )
    table.write_csv(folder / "predictions_nodes.tsv", separator="\t")
    ids = nodes.select("node_key", "curie")
    edges = (
        leads.join(ids.rename({"node_key": "drug_key", "curie": "subject"}), on="drug_key", maintain_order="left")
        .join(ids.rename({"node_key": "disease_key", "curie": "object"}), on="disease_key", maintain_order="left")
        .select(
            id=pl.format("rxweave-{}", "rank"),
            subject="subject",
            predicate=pl.lit("biolink:treats"),
            object="object",
            knowledge_level=pl.lit("prediction"),
            agent_type=pl.lit("computational_model"),
            score="prob_treats",
            rank="rank",
            provided_by=pl.lit(f"rxweave {__version__}"),
        )
    )
    edges.write_csv(folder / "predictions_edges.tsv", separator="\t")
