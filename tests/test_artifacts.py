from __future__ import annotations

import errno
import json
import os
import shutil
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from rxweave.artifacts import atomic_path, write_json, write_text


@dataclass(frozen=True)
class Inner:
    values: tuple[float, ...]
    where: Path


def write_half(path: Path, error: type[BaseException]) -> None:
    with atomic_path(path) as part:
        part.write_text("half")
        raise error("half-way")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_when_the_writer_fails_or_is_stopped(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error, match="half-way"):
        write_half(tmp_path / "a.csv", error)
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_survives_a_failure_and_is_replaced_by_success(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError):
        write_half(path, RuntimeError)
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_the_file_does_not_exist_before_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "a.parquet"
    with atomic_path(path) as part:
        part.write_bytes(b"x")
        assert not path.exists()
        assert part.parent == path.parent
        assert part.suffix == ".parquet"
    assert path.read_bytes() == b"x"


def test_a_writer_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        pass


@pytest.mark.skipif(os.name != "posix", reason="no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_who_may_read_a_file_is_what_the_umask_says(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "model.safetensors") as temporary:
            save_file({"a": np.zeros(3)}, temporary)  # of itself, readable by its owner alone
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask


def test_json_takes_numpy_and_dataclasses_and_writes_nan_as_null(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    write_json(
        path,
        {
            "inner": Inner((1.0, float("nan")), Path("a/b")),
            "array": np.array([[1.0, np.inf], [2.0, 3.0]], np.float32),
            "whole": np.int64(7),
            "flag": np.bool_(True),
            "text": "ü",
            np.int64(3): None,
        },
    )
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == {
        "inner": {"values": [1.0, None], "where": "a/b"},
        "array": [[1.0, None], [2.0, 3.0]],
        "whole": 7,
        "flag": True,
        "text": "ü",
        "3": None,
    }
    assert '\n  "whole": 7' in text


def test_json_refuses_what_it_cannot_hold_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "m.json", {"set": {1, 2}})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("free", "told"), [(4096, OSError), (10**9, RuntimeError)])
def test_on_a_full_disk_the_error_says_so_whatever_the_writer_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, told: type[Exception]
) -> None:
    """XGBoost, for one, says "FileStream.Write incomplete"."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9 - free, free))
    with pytest.raises(told) as raised:
        write_half(tmp_path / "a.ubj", RuntimeError)
    assert getattr(raised.value, "errno", None) == (errno.ENOSPC if told is OSError else None)
    assert list(tmp_path.iterdir()) == []
