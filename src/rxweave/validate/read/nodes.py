"""Who the vectors belong to: node columns under any usual name, a list of ids, a table of types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from rxweave.errors import InputError
from rxweave.kg.files import first_bytes, read_bytes
from rxweave.kg.tables import NODE_COLUMNS
from rxweave.kg.text import first_records, read_table
from rxweave.validate.read.content import columns_listed, decoding, examples

SPELLINGS = {
    "node_key": ("node_key",),
    "node_id": ("node_id", "id", "identifier", "entity_id", "entity", "node", "word"),
    "node_name": ("node_name", "name", "label"),
    "node_type": ("node_type", "type", "entity_type", "category", "kind"),
    "node_source": ("node_source",),
}
"""Names, in any case, under which a column of a foreign table is taken for a node column, the surest first."""
INDEX_NAMES = ("", "unnamed: 0", "index", "__index_level_0__")
"""Names of a column that may be a mere row number; it holds the ids if nothing else can."""
ONE_TYPE = "node"
"""The type of every node when nothing says otherwise."""


def node_columns(names: Sequence[str]) -> dict[str, str]:
    """Give, for each node column, the column of a table that holds it; empty if the table names no nodes.

    Without a column for the ids, the key, the name, a row index or the only column left stands in, in this order.
    """
    known = {name.strip().lower(): name for name in reversed(names)}
    roles = {
        role: next(known[spelling] for spelling in spellings if spelling in known)
        for role, spellings in SPELLINGS.items()
        if not known.keys().isdisjoint(spellings)
    }
    left = [name for name in names if name not in roles.values()]
    stand_ins = [roles[role] for role in ("node_key", "node_name") if role in roles]
    stand_ins += [known[name] for name in INDEX_NAMES if name in known]
    stand_ins += left if len(left) == 1 else []
    if "node_id" not in roles and stand_ins:
        roles["node_id"] = stand_ins[0]
    return roles if "node_id" in roles else {}


def check_names_nodes(path: Path, roles: dict[str, str], others: Sequence[str]) -> None:
    """Raise InputError if a table has columns beside its numbers but none that could be the ids."""
    if others and not roles:
        raise InputError(
            f"{path}: which column holds the node ids? Beside its numbers it has {columns_listed(others)}. "
            "Name that column node_id."
        )


def read_ids(path: Path, num_vectors: int, vectors_path: Path) -> pl.DataFrame:
    """Read the nodes of a matrix, row by row: a table with a header, lines of id and type, or an id per line.

    Raises InputError unless there are as many as vectors.
    """
    _check_there(path, "ids")
    if path.suffix in (".parquet", ".pq"):
        nodes = _read_parquet(path)
    elif _is_table(path):
        nodes = _read_text_table(path)
    else:
        lines = _read_lines(path)
        titled = lines.height == num_vectors + 1 and lines["node_id"][0].lower() in SPELLINGS["node_id"]
        nodes = lines.slice(int(titled))
    if nodes.height != num_vectors:
        raise InputError(
            f"{path} has {nodes.height:,} nodes but {vectors_path} has {num_vectors:,} vectors; "
            "there must be one line for each, in the same order."
        )
    return nodes


def read_types(path: Path) -> pl.DataFrame:
    """Read node types: a Parquet, CSV or TSV table with columns for id (or node_key) and type, or those two alone."""
    _check_there(path, "types")
    types = _read_parquet(path) if path.suffix in (".parquet", ".pq") else _read_text_table(path)
    if "node_type" not in types.columns:
        raise InputError(
            f"{path} should hold node types: columns node_id and node_type, or two columns, id and type; "
            f"it has {columns_listed(types.columns)}."
        )
    return types


def _check_there(path: Path, what: str) -> None:
    if not path.exists():
        raise InputError(f"{path}, which should give the {what}, does not exist. Check the path of --{what}.")


def with_types(nodes: pl.DataFrame, types: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Give the nodes the types (and names, where they have none) of a table; a note if they had types before.

    Joined on the key where both have one, else on the id, else the id is looked up among the keys: whichever
    finds most. Raises InputError if a node has no type there, or more than one.
    """
    pairs = [("node_key", "node_key"), ("node_id", "node_id"), ("node_id", "node_key")]
    pairs = [(own, other) for own, other in pairs if own in nodes.columns and other in types.columns]
    own, other = max(pairs, key=lambda pair: int(nodes[pair[0]].is_in(types[pair[1]].implode()).sum()))
    values = [c for c in ("node_type", "node_name") if c in types.columns]
    needed = types.filter(pl.col(other).is_in(nodes[own].implode())).select(pl.col(other).alias(own), *values)
    lost = nodes.filter(~pl.col(own).is_in(needed[own].implode()))
    if lost.height:
        raise InputError(
            f"{path} gives no type for {lost.height:,} of {nodes.height:,} nodes: {examples(lost[own])}. "
            "Add them, or give no types at all to have all nodes judged as one type."
        )
    needed = needed.unique([own, "node_type"], keep="first", maintain_order=True)
    several = needed.filter(pl.col(own).is_duplicated())[own].unique(maintain_order=True)
    if len(several):
        raise InputError(
            f"{path} gives more than one type to {len(several):,} {own}s: {examples(several)}. "
            "Ids that collide between types need node_key columns in both files."
        )
    notes = (f"The types in the file were replaced by those of {path}.",) if "node_type" in nodes.columns else ()
    values = [c for c in values if c == "node_type" or c not in nodes.columns]
    kept = nodes.drop("node_type", strict=False)
    return kept.join(needed.select(own, *values), on=own, how="left", maintain_order="left"), notes


def completed(nodes: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Give the nodes every column they must have, and a note if no type was known.

    A missing type is "node", a missing name is the id, and a missing key is `node_type|node_id`.
    Raises InputError where an id or type is empty, and where two vectors belong to one node.
    """
    notes: tuple[str, ...] = ()
    if "node_type" not in nodes.columns:
        nodes = nodes.with_columns(node_type=pl.lit(ONE_TYPE))
        notes = (f"No node types were given: all nodes are judged as one type, {ONE_TYPE!r} (--types tells them).",)
    text = pl.all().cast(pl.String).fill_null("")
    nodes = nodes.select(text)
    for column in [c for c in ("node_id", "node_type", "node_key") if c in nodes.columns]:
        empty = (nodes[column] == "").arg_true()
        if len(empty):
            raise InputError(
                f"{path}: {len(empty):,} of {nodes.height:,} nodes have an empty {column}, first vector "
                f"{int(empty[0]) + 1:,}. Fill it in."
            )
    if "node_name" not in nodes.columns:
        nodes = nodes.with_columns(node_name=pl.lit(""))
    if "node_key" not in nodes.columns:
        nodes = nodes.with_columns(node_key=pl.format("{}|{}", "node_type", "node_id"))
    named = pl.when(pl.col("node_name") == "").then("node_id").otherwise("node_name")
    nodes = nodes.with_columns(node_name=named).select(c for c in NODE_COLUMNS if c in nodes.columns)
    repeated = nodes.filter(pl.col("node_key").is_duplicated())
    if repeated.height:
        keys = repeated["node_key"].unique(maintain_order=True)
        raise InputError(
            f"{path}: {repeated.height:,} vectors belong to {len(keys):,} nodes, more than one to each: "
            f"{examples(keys)}. Each node has one vector; where ids collide, add a node_type or node_key column."
        )
    return nodes, notes


def _is_table(path: Path) -> bool:
    """Tell a table from a list of ids, which may hold commas: by tabs, or by commas in a file named .csv."""
    line = first_bytes(path).partition(b"\n")[0]
    return b"\t" in line or (b"," in line and ".csv" in path.suffixes)


def _read_text_table(path: Path) -> pl.DataFrame:
    """Read the node columns of a table with a header, or two columns, id and type, without one."""
    names = first_records(path, 1)[0]
    known = {spelling for role in ("node_id", "node_key", "node_type") for spelling in SPELLINGS[role]}
    if known.isdisjoint(name.strip().lower() for name in names):
        if len(names) != 2:
            raise InputError(
                f"{path} should have a column node_id (and node_type), or two columns, id and type; "
                f"its first line has {columns_listed(names)}."
            )
        return read_table(path, ("node_id", "node_type"), header=False).frame
    roles = node_columns(names)
    check_names_nodes(path, roles, names)
    return _named(read_table(path, list(dict.fromkeys(roles.values()))).frame, roles)


def _read_lines(path: Path) -> pl.DataFrame:
    data, _ = read_bytes(path)
    with decoding(path, "a list of ids"):
        schema = {"node_id": pl.String}
        # A separator that no text holds: the whole line is the id, commas and spaces included.
        lines = pl.read_csv(data.rstrip(), has_header=False, schema=schema, separator="\x00", quote_char=None)
        return lines.select(pl.col("node_id").fill_null("").str.strip_chars())


def _read_parquet(path: Path) -> pl.DataFrame:
    with decoding(path, "a Parquet file"):
        flat = [name for name, dtype in pl.read_parquet_schema(path).items() if not dtype.is_nested()]
        roles = node_columns(flat)
        if not roles:
            raise InputError(f"{path} has no column of node ids; it has {columns_listed(flat)}. Name it node_id.")
        table = pl.read_parquet(path, columns=list(dict.fromkeys(roles.values())))
        return _named(table, roles)


def _named(table: pl.DataFrame, roles: dict[str, str]) -> pl.DataFrame:
    """Give a table's node columns under their own names, as strings."""
    return table.select(pl.col(column).cast(pl.String).alias(role) for role, column in roles.items())
