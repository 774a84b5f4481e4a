"""A large file is read once: then from the cache, until it changes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rxweave.kg import loaded
from rxweave.kg.loaded import read_once
from rxweave.kg.sources import load_kg
from rxweave.kg.tables import KnowledgeGraph

SLICE = Path(__file__).parents[1] / "data" / "primekg" / "kg.csv"


class Reading:
    """Reads the slice and counts how often."""

    def __init__(self, folder: Path) -> None:
        self.path = Path(shutil.copy(SLICE, folder / "kg.csv"))
        self.times = 0

    def __call__(self, settings: object = "stop", *, keep_from: int = 1) -> KnowledgeGraph:
        return read_once((self.path,), settings, self._read, keep_from=keep_from)

    def _read(self) -> KnowledgeGraph:
        self.times += 1
        return load_kg(self.path)


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
    monkeypatch.setenv("RXWEAVE_CACHE", str(tmp_path / "cache"))
    return Reading(tmp_path)


def test_the_second_time_comes_from_the_cache_and_is_the_same(reading: Reading) -> None:
    first, second = reading(), reading()
    assert reading.times == 1
    assert first.nodes.equals(second.nodes)
    assert first.edges.equals(second.edges)
    assert (first.relations, first.roles, first.report) == (second.relations, second.roles, second.report)
    assert second.synonyms is not None


def test_a_changed_file_other_settings_and_another_reader_are_read(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading()
    reading("skip")
    assert reading.times == 2
    reading.path.write_text(reading.path.read_text() + reading.path.read_text().splitlines()[1] + "\n")
    assert reading().report.rows_read == 25
    stat = reading.path.stat()
    os.utime(reading.path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    reading()
    assert reading.times == 4
    monkeypatch.setattr(loaded, "_VERSION", 99)
    reading()
    reading()
    assert reading.times == 5


def test_small_files_are_not_kept(reading: Reading, tmp_path: Path) -> None:
    reading(keep_from=10_000_000)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["nodes.parquet", "edges.parquet", "load_report.json", "key.json"])
def test_a_damaged_cache_is_read_anew_and_mended(reading: Reading, tmp_path: Path, name: str) -> None:
    reading()
    (kept,) = (tmp_path / "cache" / "loaded").glob(f"*/{name}")
    kept.write_bytes(kept.read_bytes()[:40])
    assert reading().report.facts == 11
    reading()
    assert reading.times == 2


def test_a_cache_that_cannot_be_written_is_no_error(reading: Reading, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file is in the way")
    assert reading().report.facts == 11
