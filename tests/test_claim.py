"""Two processes with one place for their output: the second is refused, and a killed one leaves nothing in the way."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rxweave.config import RunSettings
from rxweave.errors import ConfigError
from rxweave.watch import Watch
from rxweave.workspace import Workspace

HOLDS = """
import sys, time
from pathlib import Path
from rxweave.config import RunSettings
from rxweave.watch import Watch
from rxweave.workspace import Workspace

work = Workspace(Path(sys.argv[1]), RunSettings(), Watch())
work.begin()
(work.root / ".unfinished" / "mine").write_text("half")
print("begun", flush=True)
time.sleep(600)
"""


def workspace(root: Path) -> Workspace:
    return Workspace(root, RunSettings(), Watch())


def test_a_second_run_in_one_place_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        work = workspace(tmp_path)
        with pytest.raises(ConfigError, match=rf"Another run writes to .*\(process {other.pid}\)"):
            work.begin()
        work.discard()  # as a run does at its end, failed or not
        assert (tmp_path / ".unfinished" / "mine").read_text() == "half"
        elsewhere = workspace(tmp_path / "elsewhere")
        elsewhere.begin()
        elsewhere.discard()
    finally:
        other.kill()
        other.communicate()
    work.begin()  # what a killed run left is cleared away, its claim among it
    assert list((tmp_path / ".unfinished").iterdir()) == []
    work.discard()
    assert not (tmp_path / ".unfinished").exists()


def test_nothing_is_left_among_the_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    work = workspace(tmp_path / "run")
    work.begin()
    assert len(list((tmp_path / "temporary").iterdir())) == 2
    work.discard()
    assert list((tmp_path / "temporary").iterdir()) == []
    work.begin()
    work.discard()


def test_a_run_that_failed_is_not_in_the_way_of_the_next_in_the_same_process(tmp_path: Path) -> None:
    failed = workspace(tmp_path)
    failed.begin()
    again = workspace(tmp_path)
    again.begin()
    (tmp_path / ".unfinished" / "mine").write_text("whole")
    again.discard()
    assert not (tmp_path / ".unfinished").exists()
    failed.discard()
    assert failed.claim is None
