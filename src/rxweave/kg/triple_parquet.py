"""Triples in a Parquet file: columns for head, relation and tail, and for the types of both ends or `Type::id`.

The columns may have any of the usual names (COLUMNS, TYPE_COLUMNS). Everything else is as in a text file of
triples: see `triples`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from rxweave.errors import InputError
from rxweave.kg.files import listed
from rxweave.kg.parquet import column_names, is_parquet, read_columns
from rxweave.kg.tables import KnowledgeGraph
from rxweave.kg.text import OnError
from rxweave.kg.triples import graph_of
from rxweave.kg.types import Reader, RoleChoice

COLUMNS = {
    "head": ("head", "source", "subject", "x_id", "from", "head_id", "source_id"),
    "relation": ("relation", "predicate", "edge_type", "metaedge", "label"),
    "tail": ("tail", "target", "object", "y_id", "to", "tail_id", "target_id"),
}
TYPE_COLUMNS = {
    "head": ("head_type", "source_type", "subject_category", "subject_type", "x_type", "from_type"),
    "tail": ("tail_type", "target_type", "object_category", "object_type", "y_type", "to_type"),
}
"""Names of the columns, in any case, the first that is there."""


def find(path: Path) -> tuple[Path, ...] | None:
    """Give the Parquet file at a path, or the only one of a folder, or None."""
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if is_parquet(file)]
        return (found[0],) if len(found) == 1 else None
    return (path,) if is_parquet(path) else None


def read(files: tuple[Path, ...], on_error: OnError, choice: RoleChoice) -> KnowledgeGraph:
    """Read triples; an end without type and id, or an empty value, makes a row malformed.

    Rows count from 1 where messages speak of lines. Raises InputError for a damaged file or missing columns.
    """
    (path,) = files
    names = {name.lower(): name for name in column_names(path)}
    columns = {role: _first(spellings, names) for role, spellings in COLUMNS.items()}
    types = {role: _first(spellings, names) for role, spellings in TYPE_COLUMNS.items()}
    missing = [role for role, column in columns.items() if column is None]
    if missing:
        raise InputError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has "
            f"{listed(list(names.values()))}. Expected head, relation and tail, or their usual names."
        )
    typed = None not in types.values()
    wanted = [name for name in (*columns.values(), *(types.values() if typed else ())) if name]
    table = read_columns(path, list(dict.fromkeys(wanted)))
    frame = table.frame.select(
        _end(columns["head"], types["head"] if typed else None).alias("head"),
        _end(columns["relation"], None).alias("relation"),
        _end(columns["tail"], types["tail"] if typed else None).alias("tail"),
    ).cast(pl.Categorical)
    notes = ["The file has no names: every node is named by its id."]
    return graph_of(path, replace(table, frame=frame), notes, on_error, choice)


READER = Reader(
    "a Parquet file of columns head, relation, tail, with ends like Compound::DB00014, or head_type and "
    "tail_type beside them",
    (),
    find,
    read,
)


def _first(spellings: tuple[str, ...], names: dict[str, str]) -> str | None:
    return next((names[spelling] for spelling in spellings if spelling in names), None)


def _end(column: str | None, type_column: str | None) -> pl.Expr:
    """Give an end as `Type::id`, as triples are written."""
    value = pl.col(column or "")
    return value if type_column is None else pl.concat_str(type_column, pl.lit("::"), value)
