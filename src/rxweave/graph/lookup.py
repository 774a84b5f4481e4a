"""Nodes as people write them: by key, id, source and id, or name; and the lists and tables they write them in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int

from rxweave.errors import InputError, did_you_mean
from rxweave.graph.build import Graph
from rxweave.graph.pairs import identities
from rxweave.kg.files import listed, read_bytes
from rxweave.kg.text import first_records, read_table

TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".parquet")
PACKED_ENDINGS = (".gz", ".bz2", ".zst")
NOT_THERE, SEVERAL = -1, -2


@dataclass(frozen=True)
class Written:
    """Columns of a file as they are written, all text, and the line of each row (of Parquet: its number)."""

    path: Path
    columns: pl.DataFrame
    lines: Sequence[int]
    sha256: str


def is_table(text: str) -> bool:
    """Tell whether a text is the name of a file of names or pairs, by its ending."""
    name = Path(text)
    return (name.with_suffix("") if name.suffix in PACKED_ENDINGS else name).suffix in TABLE_ENDINGS


def spellings(end: str, node_type: str) -> tuple[str, ...]:
    """Give the names that a column of this end (drug or disease) may have, best first."""
    return (f"{end}_key", f"{end}_id", end, f"{end}_name", node_type.lower())


def read_columns(
    path: Path, wanted: dict[str, tuple[str, ...]], *, optional: dict[str, tuple[str, ...]] | None = None
) -> Written:
    """Read the columns that have one of these spellings, in any case, from CSV, TSV (packed or not) or Parquet.

    They come back under the names given; an optional one may be absent. Raises InputError for a file that cannot
    be read, has no rows, or lacks a column.
    """
    is_parquet = path.suffix == ".parquet" and path.is_file()
    try:
        header = list(pl.read_parquet_schema(path)) if is_parquet else first_records(path, 1)[0]
        there = {name.strip().lower(): name for name in header}
        chosen = {}
        for name, choices in {**wanted, **(optional or {})}.items():
            found = next((there[choice] for choice in choices if choice in there), None)
            if found is not None:
                chosen[name] = found
            elif name in wanted:
                raise InputError(
                    f"{path} lacks a column for the {name}: its first line has {listed(header)}. "
                    f"Name one of them {' or '.join(map(repr, choices))}."
                )
        if is_parquet:
            frame = pl.read_parquet(path, columns=list(chosen.values())).cast(pl.String).fill_null("")
            with path.open("rb") as file:
                lines: Sequence[int] = range(1, len(frame) + 1)
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        else:
            table = read_table(path, list(dict.fromkeys(chosen.values())))
            frame, lines, sha256 = table.frame, table.lines, table.file.sha256
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}). Write it again.") from None
    if not len(frame):
        raise InputError(f"{path} has no rows. Write at least one.")
    return Written(path, frame.select(pl.col(column).alias(name) for name, column in chosen.items()), lines, sha256)


def read_list(path: Path, column: tuple[str, ...]) -> Written:
    """Read a list, one entry a line (blank lines and those that begin with # do not count), or a table's column.

    It is a table if it is Parquet, or if its first line has one of these column names.
    """
    if path.suffix != ".parquet":
        header = {name.strip().lower() for name in first_records(path, 1)[0]}
        if not header & set(column):
            data, file = read_bytes(path)
            text = enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1)
            entries = [(n, line.strip()) for n, line in text if line.strip() and not line.lstrip().startswith("#")]
            frame = pl.DataFrame({"entry": [entry for _, entry in entries]}, schema={"entry": pl.String})
            if not len(frame):
                raise InputError(f"{path} lists nothing. Write one name, id or key a line.")
            return Written(path, frame, [n for n, _ in entries], file.sha256)
    return read_columns(path, {"entry": column})


def find_things(graph: Graph, node_type: str, texts: pl.Series) -> Int[np.ndarray, " texts"]:
    """Give which thing (`pairs.identities`) of a type each text means; −1 for none, −2 for several.

    A text means a node by its key, or else by its id, or by source:id, or by its name; case and blanks at the ends
    do not count.
    """
    nodes = graph.nodes[graph.rows_of(node_type)].with_columns(thing=pl.Series(identities(graph, node_type)))
    ways = (pl.col("node_key"), pl.col("node_id"), pl.format("{}:{}", "node_source", "node_id"), pl.col("node_name"))
    told = pl.concat(
        nodes.select(text=_plain(way), way=pl.lit(number), thing=pl.col("thing")) for number, way in enumerate(ways)
    )
    first = told.filter(pl.col("way") == pl.col("way").min().over("text"))
    meant = first.group_by("text").agg(
        thing=pl.when(pl.col("thing").n_unique() > 1).then(pl.lit(SEVERAL)).otherwise(pl.col("thing").first())
    )
    asked = pl.DataFrame({"text": texts.cast(pl.String)}).select(text=_plain(pl.col("text")))
    found = asked.join(meant, on="text", how="left", maintain_order="left")["thing"].fill_null(NOT_THERE)
    return found.to_numpy().astype(np.int64)


def refuse_unfound(
    graph: Graph, node_type: str, texts: pl.Series, things: Int[np.ndarray, " texts"], place: Sequence[str]
) -> None:
    """Raise InputError if a text means no node or several, with the first of them and its `place`."""
    lost = np.flatnonzero(things < 0)
    if not len(lost):
        return
    first = int(lost[0])
    text, alike = str(texts[first]), f" ({len(lost)} are like it)" if len(lost) > 1 else ""
    own = graph.nodes[graph.rows_of(node_type)]
    if things[first] == SEVERAL:
        same = own.filter(pl.any_horizontal(_plain(pl.col("node_id", "node_name")) == text.strip().lower()))
        raise InputError(
            f"{place[first]}: {text!r} is the id or name of more than one {node_type} in {graph.name}{alike}: "
            f"{listed(same['node_key'].to_list())}. Write the key."
        )
    near = (
        did_you_mean(text, own["node_name"])
        or did_you_mean(text, own["node_key"])
        or did_you_mean(text, own["node_id"])
    )
    raise InputError(
        f"{place[first]}: {text!r} is no {node_type} of {graph.name}, which has {len(own):,}{alike}.{near} "
        "Write a key, id or name as in its nodes.parquet."
    )


def _plain(column: pl.Expr) -> pl.Expr:
    return column.str.strip_chars().str.to_lowercase()
