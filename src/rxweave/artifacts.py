"""Files that are either whole or absent: written under a temporary name, renamed when complete."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

_FULL = 1_000_000
"""Fewer free bytes than this are a full disk: the half-written file has taken the rest."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; renamed to it when the block succeeds, removed when it fails.

    Missing parent folders are made. A file already at `path` is replaced at once by the complete new one, and
    stays untouched when the block raises. The temporary name keeps the suffix, since writers choose by it. Who may
    read it is what the user's umask says, also after writers that make private files (safetensors). Whatever a writer
    raises on a full disk becomes the OSError that says so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.part.{path.name}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        temporary.unlink()  # a writer that writes nothing is an error
        yield temporary
        if temporary.stat().st_mode != mode:
            with suppress(OSError):  # file systems without such rights
                temporary.chmod(mode)
        # The rename must not reach the disk before the bytes do: a power cut would leave an empty finished
        # file.
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except Exception as error:
        if not isinstance(error, OSError) and shutil.disk_usage(path.parent).free < _FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, obj: object) -> None:
    """Write `json_text` atomically."""
    write_text(path, json_text(obj))


def json_text(obj: object) -> str:
    """Give an object as JSON, indented by 2.

    Dataclasses, numpy scalars and arrays, paths and tuples are accepted. JSON has no NaN or infinity: they
    are written as null. Raises TypeError for anything else that JSON cannot hold.
    """
    return json.dumps(plain(obj), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def script_json(value: object) -> str:
    """Give JSON, short, that cannot end the script element of a page it stands in, whatever a name in it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value
