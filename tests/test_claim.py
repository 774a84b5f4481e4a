"""Two runs with one place for their output: the second is refused, and a killed one leaves nothing in the way."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from rxweave import claim
from rxweave.claim import Claim
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
CLAIMS = """
import sys, time
from pathlib import Path
from rxweave.claim import Claim
from rxweave.errors import ConfigError

folder = Path(sys.argv[1]) / ".unfinished"
try:
    claim = Claim.of(folder)
except ConfigError as error:
    sys.exit(print(error))
folder.mkdir()
(folder / "mine").write_text("half")
print("begun", flush=True)
sys.stdin.readline()
claim.release()
print("given up", flush=True)
time.sleep(600)
"""


posix = pytest.mark.skipif(sys.platform == "win32", reason="an open file can be removed")


def temporary(root: Path, suffix: str) -> Path:
    """The file of a claim that ends in `suffix`."""
    mark = hashlib.sha256(str(root.resolve() / ".unfinished").encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"rxweave-{mark}{suffix}"


def workspace(root: Path) -> Workspace:
    return Workspace(root, RunSettings(), Watch())


class Other:
    """A process of its own that asks for a claim."""

    def __init__(self, root: Path, script: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.said = self.listen()

    def listen(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def give_up(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.listen()


Begin = Callable[..., Other]


@pytest.fixture(autouse=True)
def _own_temporary_files(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed runs leave theirs."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    monkeypatch.setattr(tempfile, "tempdir", folder)
    monkeypatch.setenv("TMPDIR", folder)


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts other processes, and kills them at the end."""
    others: list[Other] = []

    def begin(root: Path, script: str = CLAIMS) -> Other:
        others.append(Other(root, script))
        return others[-1]

    yield begin
    for other in others:
        end(other)


def end(other: Other) -> None:
    other.process.kill()
    other.process.communicate()


def test_a_second_run_in_one_place_is_refused_and_touches_nothing(tmp_path: Path, begin: Begin) -> None:
    other = begin(tmp_path, HOLDS)
    assert other.said == "begun"
    work = workspace(tmp_path)
    with pytest.raises(ConfigError, match=rf"Another run writes to .*\(process {other.process.pid}\)"):
        work.begin()
    work.discard()  # as a run does at its end, failed or not
    assert (tmp_path / ".unfinished" / "mine").read_text() == "half"
    elsewhere = workspace(tmp_path / "elsewhere")
    elsewhere.begin()
    elsewhere.discard()
    end(other)
    work.begin()  # what a killed run left is cleared away, its claim among it
    assert list((tmp_path / ".unfinished").iterdir()) == []
    work.discard()
    assert not (tmp_path / ".unfinished").exists()


def test_a_process_of_the_same_number_is_refused(tmp_path: Path, begin: Begin) -> None:
    """In two containers with one folder for temporary files, two processes may have one number."""
    assert begin(tmp_path).said == "begun"
    holder = temporary(tmp_path, ".pid")
    holder.write_text(str(os.getpid()))
    with pytest.raises(ConfigError, match="Another run writes to"):
        workspace(tmp_path).begin()
    assert (tmp_path / ".unfinished" / "mine").read_text() == "half"


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


def test_a_second_run_of_the_same_process_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    one, two = workspace(tmp_path), workspace(tmp_path)
    one.begin()
    (tmp_path / ".unfinished" / "mine").write_text("half")
    with pytest.raises(ConfigError, match=rf"Another run writes to .*\(this very process, {os.getpid()}\)"):
        two.begin()
    two.discard()
    assert (tmp_path / ".unfinished" / "mine").read_text() == "half"
    one.discard()
    two.begin()
    one.discard()  # once more: the place is another's by now
    with pytest.raises(ConfigError, match="this very process"):
        workspace(tmp_path).begin()
    two.discard()


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    claim = Claim.of(tmp_path / "run")
    claim.release()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    claim.holder.symlink_to(precious)
    Claim.of(tmp_path / "run").release()
    assert precious.read_text() == "mine"


def test_without_any_place_for_temporary_files_a_run_can_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError("no usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.chdir(tmp_path)
    work = workspace(tmp_path / "run")
    work.begin()
    work.discard()


def test_without_a_place_for_the_lock_two_runs_of_one_process_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    one, two = workspace(tmp_path), workspace(tmp_path)
    one.begin()
    with pytest.raises(ConfigError, match="this very process"):
        two.begin()
    one.discard()
    two.begin()
    two.discard()


def test_a_run_that_failed_is_not_in_the_way_of_the_next_in_the_same_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    failed, again = workspace(tmp_path), workspace(tmp_path)
    (tmp_path / ".unfinished").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", fail)
        with pytest.raises(OSError, match="no space left"):
            failed.begin()  # never began
    again.begin()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", fail)
        with pytest.raises(OSError, match="no space left"):
            again.discard()  # ended, and could not clear up
    dropped = workspace(tmp_path)
    dropped.begin()
    del dropped
    failed.begin()
    failed.discard()
    assert not (tmp_path / ".unfinished").exists()


@pytest.mark.parametrize("end", [Workspace.publish, partial(Workspace.replace, products=(), trained=True)])
def test_the_checkpoint_is_forgotten_before_the_place_is_given_up(
    end: Callable[[Workspace], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that begins at that moment may have a checkpoint of its own soon."""
    work, release = workspace(tmp_path), Claim.release
    work.begin()
    work.checkpoint.parent.mkdir()
    work.checkpoint.write_text("mine")

    def release_and_begin_another(held: Claim) -> None:
        release(held)
        work.checkpoint.parent.mkdir()
        work.checkpoint.write_text("another's")

    monkeypatch.setattr(Claim, "release", release_and_begin_another)
    end(work)
    assert work.checkpoint.read_text() == "another's"


# The moment at which one gives a claim up and others ask for it


class LockOfAnyVersion(FileLock):
    """Something happens between its opening of the file and the locking.

    Old versions do not look whether the file still has a name once it is locked.
    """

    _path: str
    _between: Callable[[], None]
    _old: bool
    _held: int | None

    @classmethod
    def at(cls, path: Path, between: Callable[[], None], *, old: bool) -> LockOfAnyVersion:
        lock = object.__new__(cls)  # nothing of the installed version's state
        lock._path, lock._between, lock._old, lock._held = str(path), between, old, None
        return lock

    @property
    def lock_file(self) -> str:
        return self._path

    def acquire(self, *_: object, **__: object) -> None:  # type: ignore[override]
        import fcntl

        opened = os.open(self.lock_file, os.O_RDWR | os.O_CREAT)
        self._between()
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._old and not os.fstat(opened).st_nlink:
                raise BlockingIOError
        except BlockingIOError:
            os.close(opened)
            raise Timeout(self.lock_file) from None
        self._held = opened

    @property
    def is_locked(self) -> bool:
        return self._held is not None

    def release(self, force: bool = False) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None


@posix
@pytest.mark.parametrize("old", [True, False], ids=["old filelock", "new filelock"])
@pytest.mark.parametrize("third", [True, False], ids=["a third asks", "nobody else asks"])
def test_two_never_hold_a_claim_that_is_given_up_while_they_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Begin, old: bool, third: bool
) -> None:
    first = begin(tmp_path)
    assert first.said == "begun"
    others: list[Other] = []
    asked = []

    def between() -> None:
        asked.append(True)
        if len(asked) == 1:
            assert first.give_up() == "given up"
            shutil.rmtree(tmp_path / ".unfinished")
            if third:
                others.append(begin(tmp_path))

    monkeypatch.setattr(claim, "FileLock", lambda path, **_: LockOfAnyVersion.at(path, between, old=old))
    work = workspace(tmp_path)
    if third:
        with pytest.raises(ConfigError) as refused:
            work.begin()
        assert others[0].said == "begun"
        assert f"(process {others[0].process.pid})" in str(refused.value)
        assert (tmp_path / ".unfinished" / "mine").read_text() == "half"
    else:
        work.begin()
        assert f"(process {os.getpid()})" in begin(tmp_path).said
        work.discard()


@posix
def test_a_claim_whose_file_was_cleared_away_takes_no_other_away(tmp_path: Path, begin: Begin) -> None:
    """Some systems clear old temporary files away, whoever has locked them."""
    work = workspace(tmp_path)
    work.begin()
    (tmp_path / ".unfinished").rmdir()
    temporary(tmp_path, ".lock").unlink()
    other = begin(tmp_path)
    assert other.said == "begun"
    assert work.claim is not None
    work.claim.release()
    with pytest.raises(ConfigError, match=rf"\(process {other.process.pid}\)"):
        workspace(tmp_path).begin()
