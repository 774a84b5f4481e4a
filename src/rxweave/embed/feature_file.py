"""Vectors of nodes made elsewhere, of texts or molecules say: read, checked, and set beside the identity of each node.

The file is Parquet or text with a header, and has a row for each node that has a vector: `node_key`, or `node_type` and
`node_id`; then the vector in a column `embedding` (a list; in text `[f, f, …]`), or a number in every other column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32, Int

from rxweave.embed.features import FEATURE_RMS
from rxweave.errors import InputError, did_you_mean
from rxweave.graph.build import Graph
from rxweave.kg.files import listed, missing_path
from rxweave.kg.parquet import column_names, is_parquet
from rxweave.kg.text import first_records, read_table

VECTOR = "embedding"
FEATURES_KEY = "feature_file_sha256"
"""Where the metadata of embeddings hold the SHA-256 of the feature file that they were trained with."""
ABOUT = ("node_key", "node_type", "node_id", "node_name", "node_source")
"""Columns that say which node a row is of; never numbers of its vector."""


@dataclass(frozen=True, eq=False)
class FileFeatures:
    """The vectors of the nodes that have one, as the encoder gets them, and what was found in the file.

    Vectors are centred on the mean of their type and brought to one length, as the spectral features are: root mean
    square FEATURE_RMS. Beside them stands a flag: 0 for a node with a vector; a node without one has zeros there, and a
    flag of the length of a vector. So both kinds of row have one length, and the first map of the encoder, one for each
    node type, turns the flag into a vector that it learns: what stands in for the missing ones.
    """

    width: int
    """Numbers in a vector of the file; the encoder gets one more for each node."""
    rows: Int[np.ndarray, " present"]
    """Rows of the graph that have a vector, ascending."""
    vectors: Float32[np.ndarray, "present width"]
    coverage: dict[str, tuple[int, int]]
    """By node type: nodes with a vector, and nodes."""
    sha256: str
    notes: tuple[str, ...]

    def plain(self) -> dict[str, object]:
        """Give what to record of it in a manifest."""
        shares = {name: {"with_vector": some, "nodes": all_} for name, (some, all_) in self.coverage.items()}
        return {"width": self.width, "sha256": self.sha256, "coverage": shares, "notes": list(self.notes)}

    def beside(self, identity: Float32[np.ndarray, "nodes dim"]) -> Float32[np.ndarray, "nodes more"]:
        """Give the identity of every node of the graph, its vector and the flag, side by side."""
        return beside(identity, self.rows, self.vectors)


def beside(
    identity: Float32[np.ndarray, "nodes dim"],
    rows: Int[np.ndarray, " present"],
    vectors: Float32[np.ndarray, "present width"],
) -> Float32[np.ndarray, "nodes more"]:
    """Give `identity ‖ vector ‖ flag` for every node, of whom `rows` have these vectors."""
    dim, width = identity.shape[1], vectors.shape[1]
    whole = np.zeros((len(identity), dim + width + 1), np.float32)
    whole[:, :dim] = identity
    whole[:, -1] = FEATURE_RMS * np.sqrt(width)
    whole[rows, dim:-1] = vectors
    whole[rows, -1] = 0.0
    return whole


def file_sha256(path: Path) -> str:
    """Give the SHA-256 of a file, in hexadecimal; InputError if there is none."""
    _check_there(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def added_width(path: str | None) -> int:
    """Give how many numbers a feature file adds to those of each node, from its first row alone; 0 without a file."""
    if path is None:
        return 0
    place = Path(path)
    _check_there(place)
    _, columns = _columns_of(place)
    if columns != [VECTOR]:
        return len(columns) + 1
    if is_parquet(place):
        first = pl.scan_parquet(place).select(VECTOR).head(1).collect()[VECTOR]
        return (len(first[0]) if len(first) and first[0] is not None else 0) + 1
    header, *row = first_records(place, 2)
    return (row[0][header.index(VECTOR)].count(",") + 1 if row and len(row[0]) == len(header) else 0) + 1


def read_feature_file(path: Path, graph: Graph) -> FileFeatures:
    """Read the vectors of a graph's nodes.

    Rows of nodes that the graph lacks are left out and noted, as it may be a part of the one that the file was made
    for; so are vectors that say nothing, being zero or that of all nodes of their type. Raises InputError for a file
    that cannot be read, without key or vector columns, with a node twice or several nodes of one type and id, numbers
    that are missing, NaN or infinite, vectors of several widths, and for one that knows none of the graph's nodes;
    each names the row.
    """
    sha256 = file_sha256(path)
    keyed_by, columns = _columns_of(path)
    about, vectors, lines, word = (_from_parquet if is_parquet(path) else _from_text)(path, keyed_by, columns)

    def where(row: int) -> str:
        return f"{path}, {word} {int(lines[row])} ({' '.join(about.row(row))})"

    _check_keys(about, where)
    bad = np.argwhere(~np.isfinite(vectors))
    if len(bad):
        row, column = (int(each) for each in bad[0])
        name = f"number {column + 1} of {VECTOR}" if columns == [VECTOR] else columns[column]
        raise InputError(
            f"{where(row)}: {name} is missing, NaN, infinite or no number ({len(bad):,} are in the file). Leave out "
            "the rows of nodes without a vector: that they have none is known then."
        )
    place, notes = _places(about, graph, path, where)
    known = place >= 0
    order = np.argsort(place[known])
    rows, found = place[known][order], vectors[known][order]
    rows, found, silent = _on_sphere(rows, found, graph)
    if silent:
        notes.append(
            f"{silent:,} vectors of {path.name} are zero, or that of all nodes of their type: taken as missing."
        )
    types = np.searchsorted(graph.type_offsets, rows, side="right") - 1
    counts = np.bincount(types, minlength=len(graph.node_types)).tolist()
    coverage = {name: (count, graph.num_of(name)) for name, count in zip(graph.node_types, counts, strict=True)}
    told = ", ".join(f"{name} {some:,} of {all_:,}" for name, (some, all_) in coverage.items() if some)
    without = [name for name, (some, _) in coverage.items() if not some]
    none = f"; none: {', '.join(without)}" if without else ""
    notes.insert(0, f"Vectors of {vectors.shape[1]} numbers from {path.name}: {told}{none}.")
    return FileFeatures(vectors.shape[1], rows, found, coverage, sha256, tuple(notes))


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path} is a folder; name the feature file in it.") if path.is_dir() else missing_path(path)


_Read = tuple[pl.DataFrame, np.ndarray, Sequence[int], str]


def _columns_of(path: Path) -> tuple[list[str], list[str]]:
    """Give the columns that say which node a row is of, and those that hold its vector."""
    names = column_names(path) if is_parquet(path) else first_records(path, 1)[0]
    keyed_by = ["node_key"] if "node_key" in names else ["node_type", "node_id"]
    missing = [name for name in keyed_by if name not in names]
    if missing:
        raise InputError(
            f"{path} has no column node_key, nor {' and '.join(missing)} in its place; it has {listed(names)}."
            f"{did_you_mean('node_key', names)}"
        )
    columns = [VECTOR] if VECTOR in names else [name for name in names if name not in ABOUT]
    if not columns:
        raise InputError(f"{path} has no vectors: expected a column {VECTOR!r}, or a column for each number.")
    return keyed_by, columns


def _from_parquet(path: Path, keyed_by: list[str], columns: list[str]) -> _Read:
    frame = pl.read_parquet(path, columns=[*keyed_by, *columns])
    if not frame.height:
        raise InputError(f"{path} has no rows.")
    about = frame.select(pl.col(keyed_by).cast(pl.String).fill_null(""))
    lines, word = range(1, frame.height + 1), "row"
    if columns == [VECTOR]:
        return about, _stacked(frame[VECTOR], about, lines, path, word), lines, word
    wrong = [name for name in columns if not frame.schema[name].is_numeric()]
    if wrong:
        raise InputError(
            f"{path}: column {wrong[0]!r} is {frame.schema[wrong[0]]}, no number. Keep the key and the numbers of the "
            f"vectors only, or put the vectors into a column {VECTOR!r}."
        )
    numbers = frame.select(pl.col(columns).cast(pl.Float32).fill_null(np.nan))
    return about, numbers.to_numpy(), lines, word


def _from_text(path: Path, keyed_by: list[str], columns: list[str]) -> _Read:
    table = read_table(path, [*keyed_by, *columns], on_error="refuse")
    about = table.frame.select(keyed_by)
    if columns == [VECTOR]:
        parts = table.frame[VECTOR].str.strip_chars(" []").str.split(",")
        values = pl.Series(VECTOR, parts).list.eval(pl.element().str.strip_chars().cast(pl.Float32, strict=False))
        return about, _stacked(values, about, table.lines, path, "line"), table.lines, "line"
    numbers = table.frame.select(pl.col(columns).str.strip_chars().cast(pl.Float32, strict=False).fill_null(np.nan))
    return about, numbers.to_numpy(), table.lines, "line"


def _stacked(values: pl.Series, about: pl.DataFrame, lines: Sequence[int], path: Path, word: str) -> np.ndarray:
    """Give lists of one width as a matrix, NaN for what is missing."""
    if isinstance(values.dtype, pl.Array):
        values = values.arr.to_list()
    if not isinstance(values.dtype, pl.List):
        raise InputError(f"{path}: column {VECTOR!r} is {values.dtype}; expected a list of numbers for each node.")
    widths = values.list.len().fill_null(0).to_numpy()
    other = np.flatnonzero(widths != widths[0])
    if len(other) or widths[0] == 0:
        row = int(other[0]) if len(other) else 0
        raise InputError(
            f"{path}, {word} {int(lines[row])} ({' '.join(about.row(row))}): its vector has {int(widths[row])} numbers"
            f", the first one has {int(widths[0])}; all must have the same, at least 1. Is it whole?"
        )
    flat = values.explode().cast(pl.Float32, strict=False).fill_null(np.nan).to_numpy()
    return flat.reshape(len(values), int(widths[0]))


def _check_keys(about: pl.DataFrame, where: Callable[[int], str]) -> None:
    repeated = about.with_row_index("row").filter(pl.struct(about.columns).is_duplicated())
    if repeated.height:
        first, second = repeated.filter(pl.struct(about.columns) == pl.struct(about.columns).first())["row"].to_list()[
            :2
        ]
        raise InputError(f"{where(second)}: the node has a vector already, in row {first + 1} of the file. Keep one.")


def _places(
    about: pl.DataFrame, graph: Graph, path: Path, where: Callable[[int], str]
) -> tuple[Int[np.ndarray, " rows"], list[str]]:
    """Give the row of the graph that each row of the file is of, −1 for none, and what to know of these."""
    nodes = graph.nodes.select(*about.columns, place=pl.int_range(pl.len(), dtype=pl.Int64))
    wanted = about.with_row_index("row")
    found = wanted.join(nodes, on=about.columns, how="left", maintain_order="left")
    several = found.filter(pl.col("row").is_duplicated())
    if several.height:
        row = int(several["row"][0])
        raise InputError(f"{where(row)}: several nodes have this type and id. Name nodes by their node_key.")
    unknown = found.filter(pl.col("place").is_null())
    if unknown.height == found.height:
        near = did_you_mean(about.row(0)[-1], nodes[about.columns[-1]].head(50_000))
        raise InputError(
            f"{path} knows none of {graph.name}'s {graph.num_nodes:,} nodes: its first is {' '.join(about.row(0))}, "
            f"the graph's first is {' '.join(nodes.select(about.columns).row(0))}.{near} Name nodes as "
            "nodes.parquet of `rxweave build` does."
        )
    notes = []
    if unknown.height:
        first = " ".join(unknown.select(about.columns).row(0))
        notes.append(
            f"{unknown.height:,} of {found.height:,} rows of {path.name} name nodes that {graph.name} does not have, "
            f"first {first!r}: left out."
        )
    return found["place"].fill_null(-1).to_numpy(), notes


def _on_sphere(
    rows: Int[np.ndarray, " present"], vectors: Float32[np.ndarray, "present width"], graph: Graph
) -> tuple[Int[np.ndarray, " kept"], Float32[np.ndarray, "kept width"], int]:
    """Centre the vectors of each type, bring them to one length, and leave out those that say nothing; count these."""
    types = np.searchsorted(graph.type_offsets, rows, side="right") - 1
    centred = vectors.astype(np.float64)
    for node_type in np.unique(types):
        mine = types == node_type
        if mine.sum() > 1:
            centred[mine] -= centred[mine].mean(axis=0)
    size = np.linalg.norm(vectors, axis=1)
    length = np.linalg.norm(centred, axis=1)
    kept = length > 1e-6 * np.maximum(size, 1e-12)
    scaled = centred[kept] / length[kept, None] * (FEATURE_RMS * np.sqrt(vectors.shape[1]))
    return rows[kept], scaled.astype(np.float32), int((~kept).sum())
