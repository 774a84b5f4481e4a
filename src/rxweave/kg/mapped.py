"""Any table of facts, by naming its columns: `head=drug_id, head_type='Drug', relation=kind, tail=…, tail_type=…`.

A value in quotes is the same for every row. Without a type, ends are written `Type::id`, as triples are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from rxweave.errors import ConfigError, InputError, did_you_mean
from rxweave.kg.parquet import is_parquet, read_columns
from rxweave.kg.tables import KnowledgeGraph
from rxweave.kg.text import OnError, read_table
from rxweave.kg.triples import graph_of
from rxweave.kg.types import RoleChoice

NEEDED = ("head", "relation", "tail")
PARTS = (*NEEDED, "head_type", "tail_type", "head_name", "tail_name")


def mapping_of(texts: Sequence[str]) -> dict[str, str]:
    """Give part → column of texts like `head=drug_id`; raises ConfigError for what is no part, missing or twice."""
    found: dict[str, str] = {}
    for text in texts:
        part, equals, column = (piece.strip() for piece in text.partition("="))
        if part not in PARTS:
            raise ConfigError(
                f"columns has {text!r}; expected part=column with one of {', '.join(PARTS)}.{did_you_mean(part, PARTS)}"
            )
        if not equals or not column or part in found:
            raise ConfigError(f"columns must name {part} once, as {part}=column or {part}='the same for all'.")
        found[part] = column
    missing = [part for part in NEEDED if part not in found]
    if missing:
        raise ConfigError(f"columns lacks {', '.join(missing)}; head, relation and tail are needed.")
    if ("head_type" in found) != ("tail_type" in found):
        raise ConfigError("columns names the type of one end; name head_type and tail_type, or neither.")
    return found


def read(path: Path, columns: Mapping[str, str], on_error: OnError, choice: RoleChoice) -> KnowledgeGraph:
    """Read a text table with a header, or a Parquet file, whose columns are named; see `triples.graph_of`."""
    named = {part: column for part, column in columns.items() if _constant(column) is None}
    wanted = list(dict.fromkeys(named.values()))
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the file whose columns are given.")
    if is_parquet(path):
        table = read_columns(path, wanted)
    elif wanted:
        table = read_table(path, wanted, categorical=True, on_error=on_error)
    else:
        raise ConfigError("columns gives constants only; at least one part must be a column of the file.")

    def value(part: str) -> pl.Expr:
        constant = _constant(columns[part])
        return pl.lit(constant) if constant is not None else pl.col(columns[part]).cast(pl.String)

    def end(side: str) -> pl.Expr:
        if f"{side}_type" not in columns:
            return value(side)
        return pl.concat_str(value(f"{side}_type"), pl.lit("::"), value(side))

    frame = table.frame.select(
        end("head").alias("head"), value("relation").alias("relation"), end("tail").alias("tail")
    ).cast(pl.Categorical)
    given = ", ".join(f"{part}={column}" for part, column in columns.items())
    kg = graph_of(path, replace(table, frame=frame), [f"Columns as given: {given}."], on_error, choice)
    sides = [side for side in ("head", "tail") if f"{side}_name" in columns]
    if not sides:
        return kg
    names = pl.concat(
        [
            table.frame.select(node_id=end(side), name=value(f"{side}_name")).unique(maintain_order=True)
            for side in sides
        ]
    )
    return _named(kg, names)


def _named(kg: KnowledgeGraph, names: pl.DataFrame) -> KnowledgeGraph:
    """Give the graph with the first name of each node in place of its id."""
    first = names.filter(pl.col("name") != "").unique("node_id", keep="first", maintain_order=True)
    nodes = kg.nodes.join(first, on="node_id", how="left", maintain_order="left")
    unnamed = nodes["name"].null_count()
    nodes = nodes.with_columns(node_name=pl.coalesce("name", "node_name")).drop("name")
    return replace(kg, nodes=nodes, report=replace(kg.report, empty_names=unnamed))


def _constant(column: str) -> str | None:
    """Give what stands between quotes, or None for the name of a column."""
    if len(column) > 2 and column[0] == column[-1] and column[0] in "'\"":
        return column[1:-1]
    return None
