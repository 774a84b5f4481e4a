"""Files that were cut short or had bytes changed: the right data or one InputError, whatever the damage."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save as safetensors_bytes

from rxweave.embed.store import Embeddings
from rxweave.errors import InputError
from rxweave.validate.read import notes_of, read_embeddings

VECTORS = np.random.default_rng(0).standard_normal((23, 5)).astype(np.float32)
IDS = [f"n {i}é" for i in range(len(VECTORS))]
TYPES = ["drug" if i % 3 else "gene" for i in range(len(VECTORS))]
NUM_DAMAGES = 80


def table() -> pl.DataFrame:
    wide = pl.DataFrame(VECTORS, schema=[f"emb_{i}" for i in range(VECTORS.shape[1])])
    return pl.concat([pl.DataFrame({"node_id": IDS, "node_type": TYPES}), wide], how="horizontal")


def listed() -> pl.DataFrame:
    return table().select("node_id", "node_type", embedding=pl.Series(map(str, VECTORS.tolist())))


def words(header: str) -> bytes:
    rows = (" ".join([i.replace(" ", "_"), *map(repr, v)]) for i, v in zip(IDS, VECTORS.tolist(), strict=True))
    return (header + "\n".join(rows) + "\n").encode()


def in_memory(write: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def parquet(compression: str) -> bytes:
    vectors = pl.Series("v", VECTORS.tolist(), dtype=pl.List(pl.Float32))
    frame = table().select("node_id", "node_type").with_columns(vectors)
    return in_memory(lambda stream: frame.write_parquet(stream, compression=compression))


ARRAYS = {"vectors": VECTORS, "ids": np.array(IDS), "types": np.array(TYPES)}
TEXT = {
    "wide.csv": table().write_csv().encode(),
    "list.csv": listed().write_csv().encode(),
    "list.tsv": listed().write_csv(separator="\t").encode(),
    "glove.txt": words(""),
    "word2vec.vec": words(f"{len(VECTORS)} {VECTORS.shape[1]}\n"),
}
CHECKED = {
    "wide.csv.gz": gzip.compress(TEXT["wide.csv"]),
    "list.csv.bz2": bz2.compress(TEXT["list.csv"]),
    "list.tsv.xz": lzma.compress(TEXT["list.tsv"]),
    "packed.npz": in_memory(lambda stream: np.savez_compressed(stream, **ARRAYS)),
    "plain.npz": in_memory(lambda stream: np.savez(stream, **ARRAYS)),
}
"""Formats that carry checksums of their content."""
BINARY = {
    "e.npy": in_memory(lambda stream: np.save(stream, VECTORS)),
    "e.safetensors": safetensors_bytes({"x": VECTORS}),
    "zstd.parquet": parquet("zstd"),
    "plain.parquet": parquet("uncompressed"),
}
ALL = TEXT | CHECKED | BINARY


def read_bytes(folder: Path, name: str, data: bytes) -> Embeddings | None:
    """The embeddings in the bytes of a file, or None if they are refused with an error that names it."""
    path = folder / name
    path.write_bytes(data)
    path.with_suffix(".ids").write_text("\n".join(IDS) + "\n", encoding="utf-8")
    try:
        return read_embeddings(path)
    except InputError as error:
        if name not in str(error):
            raise
        return None


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, near the ends (where formats keep their structure) as often as anywhere."""
    changed = bytearray(data)
    start, end = [(0, len(data)), (0, min(200, len(data))), (max(0, len(data) - 200), len(data))][rng.integers(3)]
    for place in rng.integers(start, end, size=rng.choice([1, 1, 3, 10])):
        changed[place] = rng.integers(256) if rng.random() < 0.5 else changed[place] ^ (1 << rng.integers(8))
    return bytes(changed)


@pytest.mark.parametrize("name", ALL)
def test_undamaged_files_are_read(tmp_path: Path, name: str) -> None:
    got = read_bytes(tmp_path, name, ALL[name])
    assert got is not None
    assert np.array_equal(got.vectors, VECTORS)


@pytest.mark.parametrize("name", ALL)
def test_changed_bytes_give_valid_embeddings_or_one_error(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(NUM_DAMAGES):
        got = read_bytes(tmp_path, name, damaged(ALL[name], rng))
        refused += got is None
        if got is not None and name in CHECKED:
            assert np.array_equal(got.vectors, VECTORS)
    assert refused


@pytest.mark.parametrize("name", CHECKED | BINARY)
def test_binary_and_packed_files_cut_anywhere_are_refused(tmp_path: Path, name: str) -> None:
    whole = ALL[name]
    for end in np.random.default_rng(2).integers(0, len(whole) - 1, size=NUM_DAMAGES // 2):
        assert read_bytes(tmp_path, name, whole[:end]) is None


@pytest.mark.parametrize("name", TEXT)
def test_text_cut_anywhere_gives_sound_rows_and_a_warning_or_an_error(tmp_path: Path, name: str) -> None:
    whole = TEXT[name]
    refused = 0
    for end in np.random.default_rng(3).integers(0, len(whole) - 1, size=NUM_DAMAGES):
        got = read_bytes(tmp_path, name, whole[:end])
        refused += got is None
        if got is not None:
            # The last number of a line without an end may have lost digits: nothing in the file can tell.
            doubtful = int(not whole[:end].endswith(b"\n"))
            assert any("last line has no end" in note for note in notes_of(got)) == bool(doubtful)
            sound = len(got.vectors) - doubtful
            assert not sound or np.array_equal(got.vectors[:sound], VECTORS[:sound])
            assert name != "word2vec.vec" or len(got.vectors) == len(VECTORS)
    assert refused
