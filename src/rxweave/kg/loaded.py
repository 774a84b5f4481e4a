"""Large graphs are read once: the cleaned tables of a file lie in the cache until the file or the reader changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl

from rxweave import __version__
from rxweave.artifacts import plain, write_json
from rxweave.errors import InputError
from rxweave.kg.catalogue.source import cache_folder
from rxweave.kg.store import read_kg, write_kg
from rxweave.kg.tables import KnowledgeGraph

WORTH_KEEPING = 50_000_000
"""Bytes of input from which on the tables are kept; less is read in a second anyway."""

_VERSION = 1
"""To be raised whenever a reader gives other tables for the same file."""


def read_once(
    files: tuple[Path, ...], settings: object, read: Callable[[], KnowledgeGraph], *, keep_from: int = WORTH_KEEPING
) -> KnowledgeGraph:
    """Give what `read` gives for these files and settings, from the cache if it was given before.

    A file counts as the same while its size and its time of last change are. What cannot be kept or is damaged is
    read from the files again.
    """
    state = [(str(file.resolve()), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files]
    if sum(size for _, size, _ in state) < keep_from:
        return read()
    known_by = json.dumps([[path for path, _, _ in state], plain(settings)])
    folder = cache_folder() / "loaded" / hashlib.sha256(known_by.encode()).hexdigest()[:16]
    key = {"files": plain(state), "reader": _VERSION, "rxweave": __version__}
    with suppress(OSError, ValueError, InputError):
        if json.loads((folder / "key.json").read_text(encoding="utf-8")) == key:
            return read_kg(folder)
    kg = read()
    with suppress(OSError, pl.exceptions.PolarsError):
        (folder / "key.json").unlink(missing_ok=True)  # first, so that new tables never stand under an old key
        write_kg(kg, folder)
        write_json(folder / "key.json", key)
    return kg
