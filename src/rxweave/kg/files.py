"""Files as bytes: found in a folder, unpacked, checksummed, and refused with a reason."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable
from pathlib import Path

import polars as pl

from rxweave.errors import InputError, did_you_mean
from rxweave.kg.tables import InputFile

_GZIP, _BZIP2, _ZSTD = b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd"
_PACKED_ENDINGS = (".gz", ".bz2", ".zst")
_TEXT_ENDINGS = {".csv", ".tsv", ".txt", ".tab", ".sif"}
_NOT_TEXT = {
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"\xfd7zXZ": "compressed with xz: unpack it first (unxz)",
    b"PAR1": "a Parquet file; expected text",
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
}
_START = 1 << 16
"""Bytes that show what a file is: far more than two lines of a table."""


def read_bytes(path: Path) -> tuple[bytes, InputFile]:
    """Give the unpacked content of a text file, and its size and SHA-256 as it lies on disk.

    Raises InputError for a file that is not there, empty, damaged, cut short or no text.
    """
    with _opened(path) as stream:
        raw = stream.read()
    file = InputFile(str(path), len(raw), hashlib.sha256(raw).hexdigest())
    if raw.startswith(_GZIP):
        raw = _gunzipped(path, io.BytesIO(raw), -1)
    elif raw.startswith(_BZIP2):
        raw = _bunzipped(path, io.BytesIO(raw), -1)
    elif raw.startswith(_ZSTD):
        raw = _unzstd(path, raw)
    _check_is_text(path, raw)
    return raw, file


def first_bytes(path: Path) -> bytes:
    """Give the unpacked beginning of a text file, without reading the rest of it where that can be helped."""
    with _opened(path) as stream:
        raw = stream.read(_START)
        if raw.startswith(_GZIP):
            stream.seek(0)
            raw = _gunzipped(path, stream, _START)
        elif raw.startswith(_BZIP2):
            stream.seek(0)
            raw = _bunzipped(path, stream, _START)
        elif raw.startswith(_ZSTD):
            raw = _unzstd(path, raw + stream.read(), lines=2)
    _check_is_text(path, raw)
    return raw


def missing_path(path: Path) -> InputError:
    """Give the error for a path that does not exist: what is missing, what lies near it, and what to do."""
    while not path.parent.exists():
        path = path.parent
    near = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
    return InputError(
        f"{path} does not exist. {path.parent.resolve()} holds {listed(near)}."
        f"{did_you_mean(path.name, near)} Give the path of a graph's file or folder, or 'demo'."
    )


def listed(names: list[str]) -> str:
    """Give the first eight names as one string."""
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") or "nothing"


def text_files(folder: Path) -> list[Path]:
    """Give the files of a folder whose names end like text tables, packed or not, sorted."""

    def ends_like_text(path: Path) -> bool:
        plain = path.with_suffix("") if path.suffix in _PACKED_ENDINGS else path
        return plain.suffix in _TEXT_ENDINGS and path.is_file()

    return sorted(filter(ends_like_text, folder.iterdir()))


def matching_files(folder: Path, matches: Callable[[Path], bool]) -> list[Path]:
    """Give the text files of a folder that match by content; a file that cannot be read matches nothing."""

    def is_read_and_matches(path: Path) -> bool:
        try:
            return matches(path)
        except InputError:
            return False

    return list(filter(is_read_and_matches, text_files(folder)))


def pick(candidates: list[Path], what: str, prefer: str) -> Path | None:
    """Give the one candidate, or the one named `prefer` before its endings; raise InputError for several."""
    best = [path for path in candidates if path.name.split(".")[0] == prefer] or candidates
    if len(best) > 1:
        raise InputError(
            f"{best[0].parent} holds more than one {what}: {', '.join(path.name for path in best)}. "
            "Name the file to read, or move the others away."
        )
    return best[0] if best else None


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise missing_path(path) from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; a file was expected. Name the file in it.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None


def _gunzipped(path: Path, stream: io.BufferedIOBase, size: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=stream) as unpacked:
            return unpacked.read(size)
    except EOFError:
        raise InputError(f"{path} is cut short: its gzip stream has no end. Download or copy it again.") from None
    except (OSError, zlib.error) as error:
        raise InputError(f"{path} is damaged gzip ({error}). Download or copy it again.") from None


def _bunzipped(path: Path, stream: io.BufferedIOBase, size: int) -> bytes:
    try:
        with bz2.BZ2File(stream) as unpacked:
            return unpacked.read(size)
    except EOFError:
        raise InputError(f"{path} is cut short: its bzip2 stream has no end. Download or copy it again.") from None
    except OSError as error:
        raise InputError(f"{path} is damaged bzip2 ({error}). Download or copy it again.") from None


def _unzstd(path: Path, raw: bytes, lines: int | None = None) -> bytes:
    # The standard library reads zstd only from Python 3.14 on. Polars does already, and given a
    # separator that no text holds it hands over whole lines.
    try:
        column = pl.read_csv(
            raw, has_header=False, schema={"line": pl.String}, separator="\x00", quote_char=None, n_rows=lines
        )["line"]
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path} cannot be unpacked ({reason}). Unpack it with `zstd -d`, or download or copy it again."
        ) from None
    return "\n".join(column.fill_null("")).encode()


def _check_is_text(path: Path, data: bytes) -> None:
    for magic, advice in _NOT_TEXT.items():
        if data.startswith(magic):
            raise InputError(f"{path} is {advice}.")
    if not data or data.isspace():
        raise InputError(f"{path} is empty. Download or write it again.")
    if path.suffix in _PACKED_ENDINGS:
        with path.open("rb") as stream:
            start = stream.read(4)
        if not start.startswith((_GZIP, _BZIP2, _ZSTD)):
            raise InputError(
                f"{path} is named {path.suffix} but is not packed (it begins with {start!r}). "
                "Download it again, or take the ending off its name."
            )
