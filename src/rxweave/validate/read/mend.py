"""The second reading of a block of text, record by record: sound values in unusual spelling, or the error's line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32

from rxweave.errors import InputError
from rxweave.validate.read.layout import BRACKETS, Layout, as_number


def mended_block(
    path: Path, line: int, data: bytes, layout: Layout, dim: int | None
) -> tuple[pl.DataFrame, Float32[np.ndarray, "rows dim"]]:
    """Read a block that begins on a line; blank lines, spaces around numbers and spaces in ids are all right.

    Ids with spaces need word2vec's first line, which says how many of a line's fields are numbers.
    Raises InputError for the first record that is not.
    """
    nodes: dict[str, list[str]] = {role: [] for role in layout.nodes}
    vectors: list[list[float]] = []
    for begin, fields in _records(path, line, data, layout):
        if len(fields) != len(layout.names):
            raise InputError(
                f"{path}, line {begin:,}: {len(fields)} fields, expected {len(layout.names)}. "
                f"The line may be cut short, or a value may hold the separator {layout.separator!r}."
            )
        record = dict(zip(layout.names, fields, strict=True))
        label = record[layout.nodes["node_id"]] if layout.nodes else "without id"
        if layout.vector is None:
            names, texts = list(layout.numbers), [record[name] for name in layout.numbers]
        else:
            text = record[layout.vector].strip()
            if text.startswith("[") != text.endswith("]"):
                raise InputError(f"{path}, line {begin:,} (node {label!r}): the vector's bracket has no pair.")
            text = text.strip(BRACKETS)
            texts = re.split(r"\s*,\s*|\s+", text) if text else []
            names = [f"number {i + 1}" for i in range(len(texts))]
            if "..." in texts:
                raise InputError(
                    f"{path}, line {begin:,} (node {label!r}): the vector was shortened to '…' when it was written. "
                    "Write it in full, for example with json.dumps(vector.tolist())."
                )
        numbers = [as_number(text) for text in texts]
        sound = [number for number in numbers if number is not None]
        if len(sound) < len(numbers):
            bad = numbers.index(None)
            raise InputError(
                f"{path}, line {begin:,} (node {label!r}), {names[bad]}: {texts[bad][:40]!r} is not a number."
            )
        if len(sound) != (dim := dim or len(sound)):
            raise InputError(
                f"{path}, line {begin:,} (node {label!r}): vectors differ in length: this one has {len(sound)} "
                f"numbers, the first has {dim}."
            )
        vectors.append(sound)
        for role, column in layout.nodes.items():
            nodes[role].append(record[column])
    with np.errstate(over="ignore"):
        matrix = np.array(vectors, np.float32).reshape(len(vectors), dim or 0)
    return pl.DataFrame(nodes, schema=dict.fromkeys(nodes, pl.String)), matrix


def _records(path: Path, line: int, data: bytes, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Give each record that is not blank, and the line it begins on."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        begin = line + data.count(b"\n", 0, error.start)
        raise InputError(
            f"{path}, line {begin:,}: byte {data[error.start]:#04x} is not UTF-8. Save the file as UTF-8."
        ) from None
    if not layout.quoted:
        for begin, record in enumerate(text.split("\n"), line):
            fields = record.rstrip(" \r").split(layout.separator)
            if layout.declared is not None:
                fields = record.rstrip(" \r").rsplit(layout.separator, len(layout.numbers))
            if fields != [""]:
                yield begin, fields
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=layout.separator, strict=True)
    begin = line
    try:
        for fields in reader:
            if fields and any(field.strip() for field in fields):
                yield begin, fields
            begin = line + reader.line_num
    except csv.Error as error:
        reason = (
            "a quote is opened and not closed" if "unexpected end" in str(error) else f"its quotes are wrong ({error})"
        )
        raise InputError(f"{path}, line {begin:,}: {reason}. Mend the file, or write it anew.") from None
