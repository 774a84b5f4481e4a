"""Embeddings on disk: Parquet as the truth, a CSV beside it for people's scripts, a reader for both."""

from __future__ import annotations

import re
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
WIDE_COLUMN = re.compile(r"emb_(\d+)")
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


def read_embeddings(path: Path, *, types: Path | None = None) -> Embeddings:
    """Read embeddings from Parquet, CSV or TSV (plain, gzip or zstd), or a .npy matrix.

    Tables hold the vectors in one `embedding` column (a list, or text such as `[0.1, 0.2]`) or in columns
    `emb_0, emb_1, …`. `types` is a Parquet, CSV or TSV file with `node_type` for files that do not say it:
    joined on `node_key` (else `node_id`) to a table, row by row to a .npy matrix. A missing `node_name` is
    the id, and a missing `node_key` is `node_type|node_id`. Raises InputError for a missing, truncated or
    foreign file, ragged vectors, and whatever `Embeddings` refuses.
    """
    metadata: dict[str, str] = {}
    if path.suffix == ".npy":
        if types is None:
            raise InputError(f"{path} holds no node names: give types=, a table with node_id and node_type per row.")
        nodes, vectors = _read_table(types), _read_npy(path)
        if len(nodes) != len(vectors):
            raise InputError(f"{path} has {len(vectors):,} rows but {types} has {len(nodes):,}; they must match.")
    else:
        table = _read_table(path)
        if _is_parquet(path):
            stored = pl.read_parquet_metadata(path)
            metadata = {key: value for key, value in stored.items() if key != "ARROW:schema"}
        nodes, vectors = _vectors_of(table, path)
        if types is not None and "node_type" not in nodes.columns:
            nodes = _join_types(nodes, _read_table(types), path, types)
    return Embeddings(_complete(nodes, path), vectors, metadata)


def _is_parquet(path: Path) -> bool:
    return path.suffix in (".parquet", ".pq")


def _read_table(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise InputError(f"{path} does not exist. Train embeddings first (rxweave embed), or check the path.")
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    try:
        if _is_parquet(path):
            return pl.read_parquet(path)
        if not name.endswith((".csv", ".tsv", ".txt")):
            raise InputError(f"{path}: embeddings are read from .parquet, .csv, .tsv (also .gz, .zst) or .npy.")
        lines = pl.scan_csv(path, separator="," if name.endswith(".csv") else "\t", infer_schema=False)
        columns = lines.collect_schema().names()
        if "embedding" in columns:
            lines = lines.with_columns(_numbers_from_text())
        # The streaming engine turns text into numbers batch by batch: the text of a whole file is never held.
        return lines.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} cannot be read: {reason}. It may be truncated; write it again.") from error


def _numbers_from_text() -> pl.Expr:
    """Both `[0.1, 0.2]` and numpy's own `[0.1 0.2]`; what is no number becomes null, and is refused later."""
    inner = pl.col("embedding").str.strip_chars("[]() \n")
    return inner.str.replace_all(r"\s*,\s*|\s+", ",").str.split(",").cast(pl.List(pl.Float32), strict=False)


def _read_npy(path: Path) -> Float32[np.ndarray, "nodes dim"]:
    try:
        matrix = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read as a .npy matrix: {error}") from error
    if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.floating):
        raise InputError(f"{path} must hold a matrix of nodes × dimensions; got {matrix.dtype} of {matrix.shape}.")
    return np.asarray(matrix, np.float32)


def _vectors_of(table: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, Float32[np.ndarray, "nodes dim"]]:
    """Take the vectors out of a table; what is left describes the nodes."""
    if len(table) == 0:
        raise InputError(f"{path} has no rows.")
    wide = [c for c in table.columns if WIDE_COLUMN.fullmatch(c)]
    if "embedding" in table.columns:
        column, nodes = table["embedding"], table.drop("embedding")
        if not isinstance(column.dtype, pl.List | pl.Array) or not _is_numeric(column.dtype.inner):
            raise InputError(f"{path}: column 'embedding' must be a list of numbers; it is {column.dtype}.")
        ragged = _first_odd_length(column)
        if ragged is not None:
            row, got, expected = ragged
            raise InputError(
                f"{path}: vectors differ in length: row {row + 1} ({_label(nodes, row)}) has "
                f"{got} numbers, the first row has {expected}."
            )
        values = column.explode() if isinstance(column.dtype, pl.List) else column.reshape((-1,))
        numbers = values.cast(pl.Float32)
    elif wide:
        nodes = table.drop(wide)
        ordered = [f"emb_{i}" for i in range(len(wide))]
        if set(ordered) != set(wide):
            raise InputError(f"{path}: {len(wide)} columns emb_… should be emb_0 to {ordered[-1]}; some are missing.")
        stacked = table.select(embedding=pl.concat_list(pl.col(ordered).cast(pl.Float32, strict=False)))
        numbers = stacked["embedding"].explode()
    else:
        raise InputError(
            f"{path} holds no embeddings: expected a column 'embedding' or columns emb_0, emb_1, …; "
            f"it has {', '.join(table.columns)}."
        )
    if numbers.null_count():
        first = int(numbers.is_null().arg_true()[0]) * len(table) // len(numbers)
        raise InputError(
            f"{path}: {numbers.null_count():,} values are missing or not numbers, first in row {first + 1} "
            f"({_label(nodes, first)})."
        )
    return nodes, np.asarray(numbers.to_numpy(), np.float32).reshape(len(table), -1)


def _is_numeric(dtype: object) -> bool:
    return isinstance(dtype, pl.DataType) and dtype.is_numeric()


def _first_odd_length(column: pl.Series) -> tuple[int, int, int] | None:
    """Row, its length and the first row's length, for the first vector whose length differs."""
    if isinstance(column.dtype, pl.Array):
        lengths = np.where(column.is_null().to_numpy(), 0, column.dtype.size)
    else:
        lengths = column.list.len().fill_null(0).to_numpy()
    odd = np.flatnonzero(lengths != lengths[0])
    return (int(odd[0]), int(lengths[odd[0]]), int(lengths[0])) if len(odd) else None


def _label(nodes: pl.DataFrame, row: int) -> str:
    named = [c for c in ("node_key", "node_id", "node_name") if c in nodes.columns]
    return f"{named[0]} {nodes[named[0]][row]!r}" if named else "no node columns"


def _join_types(nodes: pl.DataFrame, types: pl.DataFrame, path: Path, types_path: Path) -> pl.DataFrame:
    key = next((c for c in ("node_key", "node_id") if c in nodes.columns and c in types.columns), None)
    if key is None or "node_type" not in types.columns:
        raise InputError(f"{types_path} needs node_type and a node_key or node_id that {path} has too.")
    if types[key].is_duplicated().any() or nodes[key].is_duplicated().any():
        raise InputError(f"{key} is not unique in {types_path} or {path}: a join would give nodes a wrong type.")
    joined = nodes.join(types.select(key, "node_type"), on=key, how="left", maintain_order="left")
    lost = joined.filter(pl.col("node_type").is_null())
    if len(lost):
        raise InputError(f"{types_path} gives no type for {len(lost):,} nodes of {path}, first {lost[key][0]!r}.")
    return joined


def _complete(nodes: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Fill what may be left out, and keep the node columns in their order."""
    if "node_id" not in nodes.columns and "node_key" in nodes.columns:
        nodes = nodes.with_columns(node_id=pl.col("node_key"))
    missing = [c for c in ("node_id", "node_type") if c not in nodes.columns]
    if missing:
        raise InputError(
            f"{path} lacks {' and '.join(missing)}; it has {', '.join(nodes.columns) or 'no node columns'}. "
            "Embeddings are judged per node type: add the column, or give types=, a table with both."
        )
    if "node_name" not in nodes.columns:
        nodes = nodes.with_columns(node_name=pl.lit(None, pl.String))
    if "node_key" not in nodes.columns:
        nodes = nodes.with_columns(node_key=pl.format("{}|{}", "node_type", "node_id"))
    nodes = nodes.with_columns(pl.coalesce("node_name", "node_id").alias("node_name"))
    nodes = nodes.select(pl.col(c).cast(pl.String) for c in NODE_COLUMNS if c in nodes.columns)
    empty = nodes.filter(pl.any_horizontal(pl.col("node_key", "node_id", "node_type").is_null()))
    if len(empty):
        raise InputError(f"{path}: {len(empty):,} rows lack their node_key, node_id or node_type.")
    return nodes
