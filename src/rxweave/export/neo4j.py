"""Nodes with embeddings and the best new pairs, for Neo4j and Memgraph: CSV tables and scripts that load them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from rxweave.embed.store import CHUNK_ROWS
from rxweave.export.content import NOT_ADVICE, Content, Progress

TYPE = "PREDICTED_TREATS"


def write_neo4j(content: Content, folder: Path, progress: Progress) -> None:
    """Write `nodes.csv`, `predictions.csv` (heads as `neo4j-admin database import` reads them) and two load scripts.

    A node's label is its type, its id the node's key, and its embedding a list of numbers. Raises InputError for a run
    without predictions.
    """
    leads, embeddings = content.leads, content.embeddings
    with (folder / "nodes.csv").open("wb") as file:
        for start in range(0, embeddings.num_nodes, CHUNK_ROWS):
            progress("nodes.csv", start / embeddings.num_nodes)
            rows = slice(start, start + CHUNK_ROWS)
            vectors = pl.Series(embeddings.vectors[rows], dtype=pl.Array(pl.Float32, embeddings.dim))
            table = embeddings.nodes[rows].select(
                pl.col("node_key").alias("id:ID"),
                pl.col("node_id"),
                pl.col("node_name").alias("name"),
                pl.col("node_source").alias("source"),
                _label(pl.col("node_type")).alias(":LABEL"),
            )
            numbers = vectors.cast(pl.List(pl.String)).list.join(";").alias("embedding:float[]")
            table.with_columns(numbers).write_csv(file, include_header=start == 0, quote_style="necessary")
    leads.select(
        pl.col("drug_key").alias(":START_ID"),
        pl.col("disease_key").alias(":END_ID"),
        pl.lit(TYPE).alias(":TYPE"),
        pl.col("prob_treats").alias("score:float"),
        pl.col("rank").alias("rank:int"),
        pl.col("confidence"),
    ).write_csv(folder / "predictions.csv")
    labels = sorted({kind.replace(";", ",").replace("`", "'") for kind in embeddings.node_types})
    for name, memgraph in (("load.cypher", False), ("load_memgraph.cypher", True)):
        (folder / name).write_text(_script(labels, memgraph=memgraph), encoding="utf-8", newline="\n")


def _label(column: pl.Expr) -> pl.Expr:
    """A ";" parts labels, and a backquote would end one in a script."""
    return column.str.replace_all(";", ",").str.replace_all("`", "'")


def _script(labels: list[str], *, memgraph: bool) -> str:
    read = (
        'LOAD CSV FROM "/import/{}" WITH HEADER AS row'
        if memgraph
        else "LOAD CSV WITH HEADERS FROM 'file:///{}' AS row"
    )
    where = "Mount this folder as /import." if memgraph else "Put the CSV files into Neo4j's import folder."
    index = (
        "CREATE INDEX ON :RxweaveNode(id);"
        if memgraph
        else "CREATE CONSTRAINT rxweave_id IF NOT EXISTS FOR (n:RxweaveNode) REQUIRE n.id IS UNIQUE;"
    )
    parts = [f"// {NOT_ADVICE}\n// {where}\n{index}"]
    for label in labels:
        quoted = label.replace("\\", "\\\\").replace("'", "\\'")
        parts.append(
            f"{read.format('nodes.csv')}\nWITH row WHERE row.`:LABEL` = '{quoted}'\n"
            f"CREATE (:RxweaveNode:`{label}` {{id: row.`id:ID`, node_id: row.node_id, name: row.name, "
            "source: row.source,\n  embedding: [x IN split(row.`embedding:float[]`, ';') | toFloat(x)]});"
        )
    parts.append(
        f"{read.format('predictions.csv')}\n"
        "MATCH (drug:RxweaveNode {id: row.`:START_ID`}), (disease:RxweaveNode {id: row.`:END_ID`})\n"
        f"CREATE (drug)-[:{TYPE} {{score: toFloat(row.`score:float`), rank: toInteger(row.`rank:int`), "
        "confidence: row.confidence}]->(disease);"
    )
    return "\n\n".join(parts) + "\n"
