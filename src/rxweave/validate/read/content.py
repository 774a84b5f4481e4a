"""What one file holds before its nodes are completed, and the checks every format shares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32

from rxweave.errors import InputError, did_you_mean

MAX_EXAMPLES = 5
"""How many ids a message lists; the rest are only counted."""


@dataclass(frozen=True, eq=False)
class Content:
    """The vectors of a file and what it says of their nodes."""

    vectors: Float32[np.ndarray, "nodes dim"]
    nodes: pl.DataFrame | None
    """A row per vector, strings, in columns named as a nodes table's; None if the file names no nodes."""
    notes: tuple[str, ...] = ()
    """What was done to the values on the way, for the user."""
    metadata: dict[str, str] = field(default_factory=dict)


def examples(values: Iterable[object]) -> str:
    """Give the first few values as one string."""
    first = [repr(value) for value, _ in zip(values, range(MAX_EXAMPLES + 1), strict=False)]
    return ", ".join(first[:MAX_EXAMPLES]) + (", …" if len(first) > MAX_EXAMPLES else "")


def columns_listed(names: Iterable[str]) -> str:
    """Give column names for a message: eight at most, since a table may have a thousand."""
    names = list(names)
    return ", ".join(names[:8]) + (f", … ({len(names):,} columns)" if len(names) > 8 else "")


def as_float32(values: np.ndarray, what: str) -> tuple[Float32[np.ndarray, "nodes dim"], tuple[str, ...]]:
    """Give a matrix as float32, and a note if its numbers were of another kind.

    Raises InputError for what is no matrix, and for numbers that are neither integers nor real.
    """
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise InputError(
            f"{what} must be a matrix of numbers, nodes × dimensions; it is {values.dtype} "
            f"of shape {tuple(values.shape)}. Write the vectors as a two-dimensional float32 array."
        )
    if values.dtype == np.float32:
        return np.ascontiguousarray(values, np.float32), ()
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as that
        converted = np.ascontiguousarray(values.astype(np.float32))
    return converted, (f"{what} holds {values.dtype} numbers; they were converted to float32.",)


def choose_part(path: Path, part: str | None, choices: list[str], what: str, candidates: list[str]) -> str:
    """Give the part that was asked for, else the only candidate; raise InputError with the choices if neither."""
    if part is not None:
        if part not in choices:
            raise InputError(
                f"{path} has no {what} named {part!r}; it has {columns_listed(choices) or 'none'}."
                f"{did_you_mean(part, choices)}"
            )
        return part
    if len(candidates) != 1:
        found = f"{len(candidates)} ({columns_listed(candidates)})" if candidates else "none"
        advice = f"Name one: {path}#{candidates[0]}." if candidates else "Write the vectors as a float32 matrix."
        raise InputError(f"{path} should hold one {what} of vectors; it holds {found}. {advice}")
    return candidates[0]


@contextmanager
def decoding(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises into one InputError.

    Every kind of error is meant: a damaged file makes a decoder fail in whichever layer meets the damage first,
    and polars by a panic, which is no Exception.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"{path} cannot be read as {kind} ({reason.rstrip('.')}). It may be damaged or cut short: "
            "write or copy it again."
        ) from error
