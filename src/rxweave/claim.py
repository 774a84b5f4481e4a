"""One run at a time in a folder: two in one place would mix their files into a run that never was."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from rxweave.errors import ConfigError


@dataclass(frozen=True)
class Claim:
    """A folder that one run alone writes to.

    It is given up by `release`, when nothing refers to it any more, and by the system when the process ends, however it
    ends.
    """

    folder: Path
    lock: FileLock
    holder: Path
    """Says which process it is."""
    file: os.stat_result | None
    """The file that is locked; None where there was no place for one."""

    @classmethod
    def of(cls, folder: Path) -> Claim:
        """Claim a folder, which need not exist.

        Raises ConfigError, with the other's process number, while another run of this machine holds it, be it of
        another process or of this one. The files lie with the temporary files, so that none is left among the user's:
        processes that have temporary folders of their own (TMPDIR, containers, other machines) do not see each other.
        """
        folder = folder.resolve()
        place = _temporary() / f"rxweave-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
        lock, holder = FileLock(place.with_suffix(".lock"), thread_local=False), place.with_suffix(".pid")
        with _ASKING:
            if folder in _ACTIVE:
                raise _refusal(folder, f"this very process, {os.getpid()}")
            try:
                file = _lock(lock)
            except Timeout:
                raise _refusal(folder, _told_by(holder)) from None
            except OSError:  # no place for temporary files: guarded from this process alone is better than not at all
                file = None
            claim = _ACTIVE[folder] = cls(folder, lock, holder, file)
        if file is not None:
            with suppress(OSError):
                _write_anew(holder, str(os.getpid()))
        return claim

    def release(self) -> None:
        """Give it up, and leave no file behind."""
        if self.lock.is_locked and self.file is not None and _lies_at(self.file, self.lock.lock_file):
            for path in (self.holder, Path(self.lock.lock_file)):
                with suppress(OSError):  # a system that removes no open file
                    path.unlink(missing_ok=True)
        self.lock.release()
        if _ACTIVE.get(self.folder) is self:
            del _ACTIVE[self.folder]


_ACTIVE: WeakValueDictionary[Path, Claim] = WeakValueDictionary()
"""The claims of this process. A run that was dropped without an end is no longer among them."""
_ASKING = threading.Lock()


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError:  # none that can be written to; the lock will fail, and guard this process alone
        return Path(os.curdir).absolute()


def _write_anew(path: Path, text: str) -> None:
    """Write a file of our own: in a folder that all can write to, a link of that name may lead anywhere."""
    path.unlink(missing_ok=True)
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(opened, "w", encoding="ascii") as file:
        file.write(text)


def _lock(lock: FileLock) -> os.stat_result:
    """Lock the file that lies in the lock's place, and give what identifies it; Timeout if another has locked it.

    Who gives a claim up takes the file away, perhaps after it was opened here and before it was locked: a lock on it
    keeps nobody out. A file that is held open and lies there before and after has lain there all the while.
    """
    while True:
        opened = os.open(lock.lock_file, os.O_RDONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            file = os.fstat(opened)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                if _lies_at(file, lock.lock_file):
                    raise
                continue
            if _lies_at(file, lock.lock_file):
                return file
            lock.release()
        finally:
            os.close(opened)


def _lies_at(file: os.stat_result, path: str) -> bool:
    try:
        return os.path.samestat(file, Path(path).stat())
    except FileNotFoundError:
        return False


def _refusal(folder: Path, who: str) -> ConfigError:
    return ConfigError(
        f"Another run writes to {folder.parent}{who and f' ({who})'}. Wait for its end, or choose another place."
    )


def _told_by(holder: Path) -> str:
    """Say which process holds a claim: its number may be this one's too, where that lives in another container."""
    try:
        return f"process {int(holder.read_text(encoding='ascii'))}"
    except (OSError, ValueError):
        return ""
