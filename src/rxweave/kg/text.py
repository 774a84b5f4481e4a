"""Tables of text as strings: every value as it is written, every bad row named by its line."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from rxweave.errors import InputError, did_you_mean
from rxweave.kg.files import first_bytes, read_bytes
from rxweave.kg.tables import InputFile, RejectedRow

OnError = Literal["stop", "skip", "refuse"]
"""What a malformed row does: stop the reading with an error, or be left out, counted and listed.
"refuse" is "stop" where nobody can choose."""

MAX_EXAMPLES = 10
"""How many rejected rows a report lists; the rest are only counted."""

_LONGEST_RECORD = 20
"""Lines a quoted field may run over before its opening quote counts as a slip of the pen."""


@dataclass(frozen=True)
class Table:
    """The sound rows of a text file, all values as written, and what is known of the rows left out."""

    frame: pl.DataFrame
    file: InputFile
    lines: Sequence[int]
    """The 1-based line of the file on which each row of `frame` begins."""
    num_rejected: int = 0
    rejected: tuple[RejectedRow, ...] = ()
    """The first MAX_EXAMPLES of the rejected rows."""

    @property
    def num_rows(self) -> int:
        """Rows of the file without header and blank lines, the rejected ones included."""
        return self.frame.height + self.num_rejected


def read_table(
    path: Path,
    required: Sequence[str],
    *,
    optional: Sequence[str] = (),
    header: bool = True,
    categorical: bool = False,
    on_error: OnError = "stop",
) -> Table:
    """Read the named columns of a text table as strings: tab-separated if line 1 has a tab, else by commas.

    Values stay as written (`007`, `1e5`, `NA`); an empty field is an empty string. Without a header,
    `required` names the columns by position. `categorical` holds repeated strings once, for millions of rows.
    Raises InputError for a file that cannot be read, lacks a column or has no rows, and, unless `on_error` is
    "skip", for the first row whose number of fields, quotes or encoding is wrong, with its line.
    """
    data, file = read_bytes(path)
    if data.endswith((b"\n\n", b"\r\n\r\n")):
        data = data.rstrip(b"\r\n")  # blank lines at the end are common, and not worth the slow reading
    separator = _separator_of(_first_line(data))
    names = _header(path, data, separator) if header else list(required)
    check_columns(path, names, required)

    num_lines = data.count(b"\n") + (not data.endswith(b"\n")) - header
    frame = _parsed(data, names, separator, categorical=categorical, skip=int(header))
    # One row a line, and a last field in each: nothing was padded, or swallowed by a quote.
    # Anything else is read again line by line, which is slower and knows the line numbers.
    if frame is not None and frame.height == num_lines and not frame[names[-1]].null_count():
        table = Table(frame, file, range(1 + header, 1 + header + num_lines))
    else:
        data, lines, num_rejected, rejected = _sifted(path, data, names, separator, on_error, header=header)
        frame = _parsed(data, names, separator, categorical=categorical, skip=0)
        if frame is None or frame.height != len(lines):
            raise InputError(f"{path}: its rows cannot be told apart. Check its quotes, or write it anew.")
        table = Table(frame, file, lines, num_rejected, rejected)
    if not table.num_rows:
        raise InputError(f"{path} has a header but no rows. Download or write it again.")
    wanted = [name for name in names if name in {*required, *optional}]
    return _not_all_rejected(replace(table, frame=table.frame.select(pl.col(wanted).fill_null(""))))


def drop_bad_rows(table: Table, bad: pl.Series, reason: Callable[[dict[str, Any]], str], on_error: OnError) -> Table:
    """Give the table without the rows marked in `bad`, which count as rejected; "stop" raises for the first.

    `reason` says what is wrong with one row, given as a dictionary of its values.
    """
    rows = bad.arg_true().to_list()
    if not rows:
        return table
    examples = tuple(
        RejectedRow(table.file.path, int(table.lines[row]), reason(table.frame.row(row, named=True)))
        for row in rows[:MAX_EXAMPLES]
    )
    if on_error != "skip":
        raise _bad_row(examples[0], len(rows), may_skip=on_error == "stop")
    left = replace(
        table,
        frame=table.frame.filter(~bad),
        lines=array("q", np.asarray(table.lines, np.int64)[(~bad).to_numpy()].tobytes()),
        num_rejected=table.num_rejected + len(rows),
        rejected=first_examples(table.rejected + examples),
    )
    return _not_all_rejected(left)


def first_examples(rejected: Sequence[RejectedRow]) -> tuple[RejectedRow, ...]:
    """Give the first MAX_EXAMPLES rejected rows in the order of their lines."""
    return tuple(sorted(rejected, key=lambda row: (row.file, row.line))[:MAX_EXAMPLES])


def first_records(path: Path, count: int = 2) -> list[list[str]]:
    """Give the fields of the first lines of a text table, read without reading the rest."""
    lines = first_bytes(path).decode("utf-8-sig", "replace").splitlines()[:count]
    return list(csv.reader(lines, delimiter=_separator_of(lines[0])))


def has_columns(path: Path, columns: Sequence[str]) -> bool:
    """Tell whether the first line of a file names all of the columns."""
    return set(columns) <= set(first_records(path, 1)[0])


def check_columns(path: Path, found: Sequence[str], required: Sequence[str]) -> None:
    """Raise InputError if a header lacks a required column or names one twice."""
    missing = [name for name in required if name not in found]
    if missing:
        others = [name for name in found if name not in required]
        raise InputError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; its first line has "
            f"{', '.join(found)}.{did_you_mean(missing[0], others)}"
        )
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise InputError(f"{path} has more than one column named {', '.join(twice)}. Rename or remove one.")


def _not_all_rejected(table: Table) -> Table:
    if not table.frame.height:
        first = table.rejected[0]
        raise InputError(
            f"{table.file.path}: none of its {table.num_rows:,} rows can be used. Line {first.line}: {first.reason}."
        )
    return table


def _separator_of(line: str) -> str:
    return "\t" if "\t" in line else ","


def _first_line(data: bytes) -> str:
    end = data.find(b"\n")  # not partition, which would copy the rest of a gigabyte
    return data[: end if end >= 0 else len(data)].decode("utf-8-sig", "replace").removesuffix("\r")


def _header(path: Path, data: bytes, separator: str) -> list[str]:
    fields = _fields(_first_line(data).encode(), separator)
    if not isinstance(fields, list):
        raise InputError(f"{path}, line 1: {fields or 'a quote is opened and not closed'}. Mend the header.")
    return fields


def _parsed(data: bytes, names: Sequence[str], separator: str, *, categorical: bool, skip: int) -> pl.DataFrame | None:
    """Give the rows as polars reads them, or None where it gives up."""
    schema = dict.fromkeys(names, pl.Categorical if categorical else pl.String)
    if not data:
        return pl.DataFrame(schema=schema)
    try:
        return pl.read_csv(data, has_header=False, skip_lines=skip, schema=schema, separator=separator)
    except (pl.exceptions.PolarsError, OSError):
        return None


def _sifted(
    path: Path, data: bytes, names: Sequence[str], separator: str, on_error: OnError, *, header: bool
) -> tuple[bytes, Sequence[int], int, tuple[RejectedRow, ...]]:
    """Give the sound rows written anew, their lines, how many rows were rejected, and the first of those."""
    sound = io.StringIO(newline="")
    writer = csv.writer(sound, delimiter=separator, lineterminator="\n")
    lines = array("q")
    rejected: list[RejectedRow] = []
    num_rejected = 0
    for line, fields in _records(data, separator):
        if header and line == 1:
            continue
        if isinstance(fields, list) and len(fields) == len(names):
            writer.writerow(fields)
            lines.append(line)
            continue
        reason = (
            f"{len(fields)} fields, expected {len(names)} ({', '.join(names)})" if isinstance(fields, list) else fields
        )
        num_rejected += 1
        if len(rejected) < MAX_EXAMPLES:
            rejected.append(RejectedRow(str(path), line, reason))
        if on_error != "skip":
            raise _bad_row(rejected[0], may_skip=on_error == "stop")
    return sound.getvalue().encode(), lines, num_rejected, tuple(rejected)


def _records(data: bytes, separator: str) -> Iterator[tuple[int, list[str] | str]]:
    """Give each record that is not blank: the line it begins on, and its fields or what is wrong with it."""
    stream = io.BytesIO(data.removeprefix(b"\xef\xbb\xbf"))
    line = 0
    while raw := stream.readline():
        line += 1
        if not raw.strip(b"\r\n "):
            continue
        begin, resume, more = line, stream.tell(), b""
        fields = _fields(raw, separator)
        while fields is None and line - begin < _LONGEST_RECORD and (more := stream.readline()):
            line += 1
            raw += more
            fields = _fields(raw, separator)
        if fields is None or (more and isinstance(fields, str)):
            # The quote was never meant to be one: only its own line is bad, the next ones get their chance.
            stream.seek(resume)
            line, fields = begin, "a quote is opened and not closed"
        yield begin, fields


def _fields(raw: bytes, separator: str) -> list[str] | str | None:
    """Give the fields of a record, or what is wrong with it, or None if it ends inside quotes."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return f"byte {raw[error.start]:#04x} at position {error.start + 1} of the line is not UTF-8"
    try:
        return next(csv.reader([text], delimiter=separator, strict=True), [])
    except csv.Error as error:
        # The one message of the csv module that means "go on reading".
        return None if "unexpected end of data" in str(error) else f"its quotes are wrong ({error})"


def _bad_row(row: RejectedRow, alike: int = 1, *, may_skip: bool = True) -> InputError:
    others = f" ({alike:,} rows are like it)" if alike > 1 else ""
    choice = ", or choose on_error 'skip', which leaves such rows out, counts and lists them" if may_skip else ""
    return InputError(f"{row.file}, line {row.line}: {row.reason}{others}. Mend the file{choice}.")
