"""One process at a time in a folder: two runs in one place would mix their files into a run that never was."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from rxweave.errors import ConfigError


@dataclass(frozen=True)
class Claim:
    """A folder that this process alone writes to; the system gives it up when the process ends, however it ends."""

    lock: FileLock
    holder: Path
    """Says which process it is."""

    @classmethod
    def of(cls, folder: Path) -> Claim:
        """Claim a folder, which need not exist.

        Raises ConfigError, with the other's process number, while another process of this machine holds it. The files
        lie with the machine's temporary files, so that none is left among the user's.
        """
        mark = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        place = Path(tempfile.gettempdir()) / f"rxweave-{mark}"
        claim = cls(FileLock(place.with_suffix(".lock"), thread_local=False), place.with_suffix(".pid"))
        try:
            claim.lock.acquire(blocking=False)
            while not Path(claim.lock.lock_file).exists():  # its last holder took it away just now
                claim.lock.release()
                claim.lock.acquire(blocking=False)
        except Timeout:
            who = claim._held_by()
            if who != os.getpid():  # an earlier run of this very process that failed and is still known to someone
                raise ConfigError(
                    f"Another run writes to {folder.parent}{'' if who is None else f' (process {who})'}. Wait for its "
                    "end, or choose another --out."
                ) from None
        except OSError:  # no place for temporary files: better unguarded than not at all
            return claim
        with suppress(OSError):
            claim.holder.write_text(str(os.getpid()), encoding="ascii")
        return claim

    def release(self) -> None:
        """Give it up, and leave no file behind."""
        if self.lock.is_locked:
            for path in (self.holder, Path(self.lock.lock_file)):
                with suppress(OSError):  # another user's, who claimed it before; or a system that removes no open file
                    path.unlink(missing_ok=True)
        self.lock.release()

    def _held_by(self) -> int | None:
        try:
            return int(self.holder.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
