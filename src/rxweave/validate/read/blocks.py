"""Text files in blocks of whole records, packed or not, so that a file is never held at once."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from rxweave.errors import InputError
from rxweave.validate.read.content import decoding

BLOCK_BYTES = 1 << 23
"""8 MiB: about 1,300 vectors of 512 numbers, enough to keep the parser's threads busy."""
LONGEST_RECORD = 1 << 26
"""Bytes after which a quote that is still open, or a line without an end, is a mistake."""

_GZIP, _BZIP2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"


def first_block(path: Path) -> bytes:
    """Give the beginning of a text file, without its byte order mark; raise InputError for what is no text."""
    block = next(_unpacked(path), b"")
    if block.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is UTF-16 text. Save it as UTF-8.")
    if b"\0" in block:
        raise InputError(f"{path} is no text: byte {block.index(0):,} is zero. Check what kind of file it is.")
    if not block.strip():
        raise InputError(f"{path} is empty. Write it again.")
    return block.removeprefix(b"\xef\xbb\xbf")


def blocks(path: Path, *, header: bool, quoted: bool) -> Iterator[tuple[int, int, bytes]]:
    """Give the records of a file in blocks: the line a block begins on, its number of records, and its bytes.

    Records end with a newline outside quotes, if quotes count; line ends are given as `\\n`. A last record whose
    quote stays open counts as none. Raises InputError for a packed file that is damaged or cut short, and for a
    quote or line without an end.
    """
    line, rest, skip = 1, b"", header
    for chunk in _unpacked(path):
        rest = rest + chunk if rest else chunk.removeprefix(b"\xef\xbb\xbf") if line == 1 else chunk
        if skip and b"\n" in rest:
            line, rest, skip = 2, rest.partition(b"\n")[2], False
        num_records, end = _whole_records(rest, quoted=quoted)
        if num_records:
            yield line, num_records, _unix(rest[:end])
            line += rest.count(b"\n", 0, end)
            rest = rest[end:]
        elif len(rest) > LONGEST_RECORD:
            what = "a quote is opened and not closed" if quoted and b'"' in rest else "the line has no end"
            raise InputError(f"{path}, line {line:,}: {what}. Mend the file, or write it anew.")
    if rest.strip() and not skip:
        closed = not quoted or rest.count(b'"') % 2 == 0
        yield line, int(closed), _unix(rest).rstrip(b"\r\n") + b"\n"


def ends_with_newline(path: Path) -> bool:
    """Tell whether a file that is not packed ends as text files do; a packed one knows by itself if it was cut."""
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(-1, 2)
        return file.read(1) == b"\n" or start.startswith((_GZIP, _BZIP2, _XZ, _ZSTD))


def _whole_records(data: bytes, *, quoted: bool) -> tuple[int, int]:
    """Give how many records are whole, and where the last of them ends."""
    if not quoted or b'"' not in data:
        return data.count(b"\n"), data.rfind(b"\n") + 1
    characters = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(characters == ord("\n"))
    quotes_before = np.searchsorted(np.flatnonzero(characters == ord('"')), newlines)
    ends = newlines[quotes_before % 2 == 0]
    return len(ends), int(ends[-1]) + 1 if len(ends) else 0


def _unix(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n") if b"\r" in data else data


def _unpacked(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(_ZSTD):
        yield from _zstd_lines(path)
        return
    with decoding(path, "packed text"), _opened(path, start) as stream:
        while chunk := stream.read(BLOCK_BYTES):
            yield chunk


def _opened(path: Path, start: bytes) -> io.BufferedIOBase:
    if start.startswith(_GZIP):
        return gzip.GzipFile(path)
    if start.startswith(_BZIP2):
        return bz2.BZ2File(path)
    return lzma.LZMAFile(path) if start.startswith(_XZ) else path.open("rb")


def _zstd_lines(path: Path) -> Iterator[bytes]:
    # The standard library reads zstd only from Python 3.14 on. Polars does already, and given a
    # separator that no text holds it hands over whole lines.
    with decoding(path, "zstd"):
        lines = pl.scan_csv(
            path, has_header=False, schema={"line": pl.String}, separator="\x00", quote_char=None
        ).collect_batches(maintain_order=True, chunk_size=1 << 11)
        for batch in lines:
            yield ("\n".join(batch["line"].fill_null("")) + "\n").encode()
