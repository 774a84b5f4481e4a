"""Parquet files as tables of strings, and refused with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from rxweave.errors import InputError, did_you_mean
from rxweave.kg.files import listed
from rxweave.kg.tables import InputFile
from rxweave.kg.text import Table


def is_parquet(path: Path) -> bool:
    """Tell whether a path is a Parquet file, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def column_names(path: Path) -> list[str]:
    """Give the names of a Parquet file's columns; raises InputError for a damaged file."""
    with _told(path):
        return list(pl.read_parquet_schema(path))


def has_columns(path: Path, columns: Sequence[str]) -> bool:
    """Tell whether a path is a Parquet file that can be read and has all of the columns."""
    try:
        return is_parquet(path) and set(columns) <= set(column_names(path))
    except InputError:
        return False


def read_columns(path: Path, wanted: Sequence[str], *, categorical: bool = False) -> Table:
    """Give some columns of a Parquet file as strings, what is missing as an empty one; rows count from 1, as lines do.

    Raises InputError for a file that is damaged, lacks a column or has no rows.
    """
    found = column_names(path)
    missing = [column for column in wanted if column not in found]
    if missing:
        raise InputError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has {listed(found)}."
            f"{did_you_mean(missing[0], found)}"
        )
    with _told(path):
        kind = pl.Categorical if categorical else pl.String
        text = pl.col(list(wanted)).cast(pl.String).fill_null("").cast(kind)
        frame = pl.read_parquet(path, columns=list(wanted)).select(text)
    if not frame.height:
        raise InputError(f"{path} has no rows. Download or write it again.")
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return Table(frame, InputFile(str(path), path.stat().st_size, checksum), range(1, frame.height + 1))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read as Parquet ({reason}). Download or write it again.") from None
