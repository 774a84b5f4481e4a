"""How a text file of vectors is laid out, told from its first two lines."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rxweave.errors import InputError
from rxweave.validate.read.blocks import BLOCK_BYTES, first_block
from rxweave.validate.read.content import columns_listed
from rxweave.validate.read.nodes import check_names_nodes, node_columns

LIST_COLUMNS = ("embedding", "embeddings", "vector", "emb")
"""Names of a column that holds whole vectors, the surest first."""
BRACKETS = "[](){} \n"
"""What may stand around the numbers of a vector written as one text."""
_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})")
_COUNTS = re.compile(r"([0-9]{1,12})[ \t]([0-9]{1,12})")


@dataclass(frozen=True)
class Layout:
    """Where the ids and the numbers of a text file stand."""

    names: tuple[str, ...]
    """The columns; those without a header are `node_id` and the places 0, 1, …"""
    separator: str
    quoted: bool
    header: bool
    nodes: dict[str, str]
    """For each node column, the column of the file that holds it; empty if the file names no nodes."""
    numbers: tuple[str, ...]
    """The columns of numbers, in order; none if the vectors stand in one column."""
    vector: str | None = None
    """The column that holds whole vectors, such as `[0.1, 0.2]`."""
    declared: int | None = None
    """The number of vectors that word2vec's first line promises."""


def layout_of(path: Path, part: str | None = None) -> Layout:
    """Tell the layout of a text file; `part` names the column of vectors, or what its columns begin with.

    - A first line of two whole numbers is word2vec's, "vectors dimensions"; ids and numbers follow, spaced.
    - Otherwise a first line whose fields after the first are all numbers is a vector (GloVe and many others),
      unless they count 0, 1, 2, …: those are the names of columns. If its first field is a number too, and not
      a whole one, the file has no ids.
    - Otherwise it is a header.

    Raises InputError for a header without vectors, with a gap in their numbering, or without ids.
    """
    lines = first_block(path).split(b"\n", 2)
    if len(lines) == 1 and len(lines[0]) >= BLOCK_BYTES:
        raise InputError(f"{path} is no text of vectors: its first line has no end.")
    first, second = (line.decode("utf-8", "replace").rstrip("\r ") for line in [*lines, b""][:2])
    if counts := _COUNTS.fullmatch(first):
        declared, dim = int(counts[1]), int(counts[2])
        if not 0 < dim < len(second):
            raise InputError(
                f"{path} says on line 1 that its {declared:,} vectors have {dim:,} dimensions; line 2, "
                f"{second[:40]!r}, cannot hold as many. Write the file again."
            )
        return _headless("\t" if "\t" in second else " ", dim, declared=declared)
    separator = next((each for each in "\t,; " if each in first), ",")
    if separator in ",;" and _are_numbers(first.split(" ")[1:]):
        separator = " "  # an id with a comma in it, in a file that has spaces between the numbers
    quoted = separator != " "
    names = _fields(path, first, separator) if quoted else first.split(" ")
    counted = [str(i) for i in range(len(names))]
    if _are_numbers(names[1:]) and names != counted and names[1:] != counted[:-1]:
        # An id is a word or a whole number; what numpy.savetxt writes has a point or an exponent, and no ids.
        ids = as_number(names[0]) is None or names[0].strip().isdigit()
        return _headless(separator, len(names) - ids, ids=ids)
    if not quoted:
        raise InputError(
            f"{path} has neither a header nor vectors: its first line is {first[:60]!r}. Expected columns node_id "
            "and embedding (or emb_0, emb_1, …) with commas or tabs, or lines of an id and numbers."
        )
    return _with_header(path, names, _fields(path, second, separator), separator, part)


def numbered_columns(path: Path, names: Sequence[str], prefix: str | None = None) -> tuple[str, ...]:
    """Give the largest group of columns that differ by a number only, such as emb_0 to emb_511, in its order.

    A group begins with 0 or 1 and has no gap: otherwise raises InputError. It has two columns or more, or one
    whose name is a number or begins with "emb" or "dim".
    """
    groups: dict[str, dict[int, str]] = {}
    for name in names:
        if match := _NUMBERED.fullmatch(name.strip()):
            group = groups.setdefault(match[1], {})
            if (number := int(match[2])) in group:
                raise InputError(f"{path}: the columns {group[number]!r} and {name!r} have one number. Rename one.")
            group[number] = name
    groups = {
        start: group
        for start, group in groups.items()
        if (len(group) > 1 or not start or start.lower().startswith(("emb", "dim"))) and prefix in (None, start)
    }
    if not groups:
        return ()
    start = max(groups, key=lambda each: len(groups[each]))
    group = groups[start]
    expected = range(min(min(group), 1), min(min(group), 1) + len(group))
    missing = [number for number in expected if number not in group]
    if missing:
        raise InputError(
            f"{path}: {len(group):,} columns named {start}… should be {start}{expected[0]} to {start}{expected[-1]}; "
            f"{start}{missing[0]} is missing."
        )
    return tuple(group[number] for number in expected)


def as_number(text: str) -> float | None:
    """Give the number that a text is, or None. Python alone would also take 1_000."""
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None


def _headless(separator: str, dim: int, *, declared: int | None = None, ids: bool = True) -> Layout:
    numbers = tuple(map(str, range(dim)))
    return Layout(
        ("node_id", *numbers) if ids else numbers,
        separator,
        quoted=separator in ",;",
        header=declared is not None,
        nodes={"node_id": "node_id"} if ids else {},
        numbers=numbers,
        declared=declared,
    )


def _with_header(path: Path, names: list[str], values: list[str], separator: str, part: str | None) -> Layout:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(f"{path} has more than one column named {columns_listed(twice)}. Rename or remove one.")
    if any("." in name and as_number(name) is not None for name in names):
        raise InputError(
            f"{path} has no header: its first line holds numbers ({columns_listed(names)}). Add a line of names, "
            "such as node_id,node_type,emb_0,emb_1,…"
        )
    vector = _vector_column(names, values, part)
    numbers = numbered_columns(path, names, part) if vector is None else ()
    if vector is None and not numbers:
        raise InputError(
            f"{path} holds no embeddings{f' named {part}' if part else ''}: expected a column 'embedding' or columns "
            f"emb_0, emb_1, …; it has {columns_listed(names)}."
        )
    taken = {vector, *numbers}
    others = [name for name in names if name not in taken]
    nodes = node_columns(others)
    check_names_nodes(path, nodes, others)
    return Layout(tuple(names), separator, quoted=True, header=True, nodes=nodes, numbers=numbers, vector=vector)


def _vector_column(names: list[str], values: list[str], part: str | None) -> str | None:
    """Give the column of whole vectors: the one asked for, one with a usual name, else the first in brackets."""
    if part is not None:
        return part if part in names else None
    by_name = {name.strip().lower(): name for name in reversed(names)}
    for usual in LIST_COLUMNS:
        if usual in by_name:
            return by_name[usual]
    bracketed = [
        name
        for name, value in zip(names, values, strict=False)
        if value.strip().startswith(("[", "(")) and _are_numbers(re.split(r"[\s,]+", value.strip(BRACKETS)))
    ]
    return bracketed[0] if bracketed else None


def _fields(path: Path, line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error as error:
        raise InputError(f"{path}: its first lines cannot be read as a table ({error}).") from None


def _are_numbers(fields: Sequence[str]) -> bool:
    return bool(fields) and all(as_number(field) is not None for field in fields)
