"""Vectors from Parquet: a column of lists or arrays, or a column per dimension, of any tool."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32

from rxweave.errors import InputError
from rxweave.validate.read.content import Content, choose_part, columns_listed, decoding
from rxweave.validate.read.layout import LIST_COLUMNS, numbered_columns
from rxweave.validate.read.nodes import check_names_nodes, node_columns

_NOT_FACTS = ("ARROW:schema", "pandas")
"""Metadata that describes the columns, not how the vectors were made."""


def read_parquet(path: Path, part: str | None = None) -> Content:
    """Read the vectors of a Parquet file and the node columns beside them; no other column is read.

    `part` names the column of vectors where there are several, or what the columns of numbers begin with.
    Raises InputError for a file without vectors or ids, vectors that differ in length, and missing values.
    """
    with decoding(path, "a Parquet file"):
        schema = pl.read_parquet_schema(path)
        stored = pl.read_parquet_metadata(path)
    lists = [n for n, dtype in schema.items() if isinstance(dtype, pl.List | pl.Array) and dtype.inner.is_numeric()]
    numeric = [name for name, dtype in schema.items() if dtype.is_numeric()]
    wide = () if lists and part in (None, *lists) else numbered_columns(path, numeric, part)
    usual = [name for name in LIST_COLUMNS if name in lists][:1]
    chosen = list(wide) or [choose_part(path, part, lists, "column", usual or lists)] if lists or wide else []
    if not chosen:
        raise InputError(
            f"{path} holds no embeddings{f' named {part}' if part else ''}: expected a column of lists of numbers, or "
            f"columns emb_0, emb_1, …; it has {columns_listed(schema)}."
        )
    taken = set(chosen)
    others = [name for name, dtype in schema.items() if name not in taken and not dtype.is_nested()]
    roles = node_columns(others)
    check_names_nodes(path, roles, others)
    with decoding(path, "a Parquet file"):
        table = pl.read_parquet(path, columns=list(dict.fromkeys([*roles.values(), *chosen])))
        if not table.height:
            raise InputError(f"{path} has no rows. Write it again.")
        vectors = _from_columns(table.select(chosen), path) if wide else _from_lists(table[chosen[0]], path)
        nodes = table.select(pl.col(column).cast(pl.String).alias(role) for role, column in roles.items())
    kinds = {str(getattr(schema[name], "inner", schema[name])) for name in chosen} - {"Float32"}
    notes = [f"{path} holds {', '.join(sorted(kinds))} numbers; they were converted to float32."] if kinds else []
    metadata = {key: value for key, value in stored.items() if key not in _NOT_FACTS}
    return Content(vectors, nodes if roles else None, tuple(notes), metadata)


def _from_columns(table: pl.DataFrame, path: Path) -> Float32[np.ndarray, "nodes dim"]:
    holes = [(column.name, column.null_count()) for column in table if column.null_count()]
    if holes:
        raise InputError(
            f"{path}: {sum(count for _, count in holes):,} numbers are missing, first in column {holes[0][0]}. "
            "A vector must be whole: leave its node out, or fill it in."
        )
    return np.ascontiguousarray(table.cast(pl.Float32).to_numpy(), np.float32)


def _from_lists(column: pl.Series, path: Path) -> Float32[np.ndarray, "nodes dim"]:
    lengths = column.list.len() if isinstance(column.dtype, pl.List) else column.arr.len()
    odd = (lengths.ne_missing(pl.Series([lengths[0]], dtype=lengths.dtype))).arg_true()
    if len(odd) or lengths[0] is None:
        row = int(odd[0]) if len(odd) else 0
        raise InputError(
            f"{path}: vectors differ in length: row {row + 1:,} has {lengths[row] or 0} numbers, the first row has "
            f"{lengths[0] or 0}, in column {column.name!r}. Write one vector of one length for each node."
        )
    numbers = column.explode(empty_as_null=False) if isinstance(column.dtype, pl.List) else column.reshape((-1,))
    if numbers.null_count():
        row = int(numbers.is_null().arg_true()[0]) // int(lengths[0]) + 1
        raise InputError(
            f"{path}: {numbers.null_count():,} numbers are missing, first in row {row:,}. "
            "A vector must be whole: leave its node out, or fill it in."
        )
    return numbers.cast(pl.Float32).to_numpy().reshape(len(column), int(lengths[0]))
