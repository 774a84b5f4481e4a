"""Embeddings, and how they are written: Parquet as the truth, a CSV beside it for people's scripts.

`validate.read` reads them back, and those of any other tool.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32, Int

from rxweave.artifacts import atomic_path
from rxweave.errors import InputError, did_you_mean
from rxweave.kg.tables import NODE_COLUMNS

CSV_COLUMNS = ("node_id", "node_name", "node_type", "embedding")
CHUNK_ROWS = 4096
"""Rows turned into text at a time: 4,096 rows of 512 numbers are about 25 MB of text."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One vector per node, the node it belongs to, and how the vectors were made.

    `nodes` has a row per vector: `node_key` (unique), `node_id`, `node_name`, `node_type` and, where known,
    `node_source`, all strings. `metadata` is kept in the Parquet file's key/value metadata. Raises InputError
    when there are no vectors, a column is missing, a key occurs twice, or a value is NaN or infinite.
    """

    nodes: pl.DataFrame
    vectors: Float32[np.ndarray, "nodes dim"]
    metadata: dict[str, str]

    def __post_init__(self) -> None:
        missing = [c for c in NODE_COLUMNS[:4] if c not in self.nodes.columns]
        if missing:
            raise InputError(
                f"Embeddings need the node columns {', '.join(missing)}; got {', '.join(self.nodes.columns)}."
            )
        if len(self.nodes) != len(self.vectors):
            raise InputError(f"Embeddings have {len(self.nodes):,} nodes but {len(self.vectors):,} vectors.")
        if self.vectors.size == 0:
            raise InputError(f"Embeddings are empty: {len(self.vectors)} vectors of {self.dim} numbers.")
        repeated = self.nodes.filter(pl.col("node_key").is_duplicated())
        if len(repeated):
            raise InputError(
                f"{len(repeated):,} vectors share their node_key with another, first "
                f"{repeated['node_key'][0]!r}; each node has one vector. Type and id, which is all a CSV "
                "tells, may collide between sources; the node_key of the Parquet file does not."
            )
        bad = np.flatnonzero(~np.isfinite(self.vectors).all(axis=1))
        if len(bad):
            first = int(bad[0])
            column = int(np.flatnonzero(~np.isfinite(self.vectors[first]))[0])
            raise InputError(
                f"{len(bad):,} of {len(self.vectors):,} vectors hold NaN or infinite values, first node "
                f"{self.nodes['node_key'][first]!r} ({self.nodes['node_name'][first]!r}), "
                f"dimension {column}: {self.vectors[first, column]}. Train again; these cannot be used."
            )

    @property
    def num_nodes(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    @property
    def node_types(self) -> tuple[str, ...]:
        """The node types, sorted."""
        return tuple(self.nodes["node_type"].unique().sort().to_list())

    def of_type(self, node_type: str) -> Int[np.ndarray, " rows"]:
        """Give the rows of a node type, in file order; for an unknown type raises InputError."""
        rows = np.flatnonzero((self.nodes["node_type"] == node_type).to_numpy())
        if len(rows) == 0:
            raise InputError(
                f"Node type {node_type!r} is not in these embeddings "
                f"(they have {', '.join(self.node_types)}).{did_you_mean(node_type, self.node_types)}"
            )
        return rows


def write_embeddings(embeddings: Embeddings, parquet: Path, csv: Path | None = None) -> None:
    """Write the Parquet file and, if asked, the CSV beside it; both appear complete, or neither does.

    Parquet: the node columns and `embedding: fixed_size_list<float32>[dim]`. CSV: `node_id, node_name,
    node_type, embedding`, the embedding as `[f, f, …]` in the fewest digits that give the same float32 back.
    """
    vectors = np.ascontiguousarray(embeddings.vectors)
    with ExitStack() as files:
        parquet_part = files.enter_context(atomic_path(parquet))
        csv_part = files.enter_context(atomic_path(csv)) if csv else None
        table = embeddings.nodes.with_columns(
            pl.Series("embedding", vectors, dtype=pl.Array(pl.Float32, embeddings.dim))
        )
        table.write_parquet(parquet_part, metadata=embeddings.metadata)
        if csv_part is None:
            return
        as_text = pl.format("[{}]", pl.col("embedding").cast(pl.List(pl.String)).list.join(", "))
        with csv_part.open("wb") as file:
            for start in range(0, len(table), CHUNK_ROWS):
                chunk = table.slice(start, CHUNK_ROWS).with_columns(as_text.alias("embedding"))
                chunk.select(CSV_COLUMNS).write_csv(file, include_header=start == 0)
