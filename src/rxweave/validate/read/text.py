"""Vectors from text: word2vec and GloVe, CSV and TSV with a column of vectors or a column per dimension.

Blocks of a file go through polars' parser; a block in which anything is odd is read again by `mend`, record by
record, which is slower and knows what is wrong and where.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32

from rxweave.errors import InputError
from rxweave.validate.read.blocks import blocks, ends_with_newline
from rxweave.validate.read.content import Content
from rxweave.validate.read.layout import BRACKETS, Layout, layout_of
from rxweave.validate.read.mend import mended_block


def read_text(path: Path, part: str | None = None) -> Content:
    """Read the vectors of a text file and the node columns beside them.

    Raises InputError, with the line, for a row of another length, a number that is none, or damaged text, and
    with both counts for a word2vec file that holds more or fewer vectors than its first line says.
    """
    layout = layout_of(path, part)
    vectors: list[Float32[np.ndarray, "rows dim"]] = []
    nodes: list[pl.DataFrame] = []
    dim = len(layout.numbers) or None
    for line, num_records, data in blocks(path, header=layout.header, quoted=layout.quoted):
        parsed = _parsed_block(data, num_records, layout, dim) or mended_block(path, line, data, layout, dim)
        if len(parsed[1]):
            nodes.append(parsed[0])
            vectors.append(parsed[1])
            dim = parsed[1].shape[1]
    if not vectors:
        raise InputError(f"{path} has no rows. Write it again.")
    matrix = np.concatenate(vectors)
    if layout.declared not in (None, len(matrix)):
        raise InputError(
            f"{path} says on line 1 that it holds {layout.declared:,} vectors; it holds {len(matrix):,}. "
            "It may be cut short: write or copy it again."
        )
    notes: tuple[str, ...] = ()
    if not ends_with_newline(path):
        notes = ("The last line has no end: if the file was cut short, its last vector may be wrong.",)
    return Content(matrix, pl.concat(nodes) if layout.nodes else None, notes)


def _parsed_block(
    data: bytes, num_records: int, layout: Layout, dim: int | None
) -> tuple[pl.DataFrame, Float32[np.ndarray, "rows dim"]] | None:
    """Give the node columns and vectors of a block as polars reads it, or None if anything about it is odd."""
    if layout.separator == " " and b" \n" in data:  # word2vec's own program ends its lines so
        data = data.replace(b" \n", b"\n")
    table = _table(data, layout.names, layout.numbers, layout.separator, quoted=layout.quoted)
    if table is None or table.height != num_records:
        return None
    numbers = table.select(layout.numbers) if layout.vector is None else _numbers_of(table[layout.vector], dim)
    if numbers is None or numbers.height != num_records or any(column.null_count() for column in numbers):
        return None
    vectors = np.ascontiguousarray(numbers.to_numpy(), np.float32)
    return table.select(pl.col(column).fill_null("").alias(role) for role, column in layout.nodes.items()), vectors


def _numbers_of(column: pl.Series, dim: int | None) -> pl.DataFrame | None:
    """Give the numbers of vectors that are written as text: the texts are the lines of another table."""
    if column.null_count():
        return None
    text = column.str.strip_chars()
    if (text.str.starts_with("[") != text.str.ends_with("]")).any():
        return None
    text = text.str.strip_chars(BRACKETS).str.replace_all(", ", ",", literal=True)
    if any(text.str.contains(space, literal=True).any() for space in " \t\n"):  # numpy writes [0.1 0.2], over lines
        text = text.str.replace_all(r"\s*,\s*|\s+", ",")
    names = tuple(map(str, range(dim or text[0].count(",") + 1)))
    return _table("\n".join([*text, ""]).encode(), names, names, ",", quoted=False)


def _table(
    data: bytes, names: Sequence[str], numbers: Sequence[str], separator: str, *, quoted: bool
) -> pl.DataFrame | None:
    schema = dict.fromkeys(names, pl.String()) | dict.fromkeys(numbers, pl.Float32())
    try:
        return pl.read_csv(
            data, has_header=False, schema=schema, separator=separator, quote_char='"' if quoted else None
        )
    except (pl.exceptions.PolarsError, OSError):
        return None
