"""Memory of processes, as far as the system tells it without another package; the machine's: `embed.free_memory`."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

_ON_LINUX = sys.platform.startswith("linux")
POLL_SECONDS = 0.02 if _ON_LINUX else 0.5
"""How often another process's memory is looked at; elsewhere than on Linux a look costs a process of its own."""


def in_gb(count: int | None) -> float | None:
    """Give a number of bytes in 10^9 bytes, None for None."""
    return None if count is None else count / 1e9


def resident(pid: int | None = None) -> int | None:
    """Give the bytes a process (this one by default) holds in memory; None if it is gone or the system won't say."""
    if _ON_LINUX:
        try:
            pages = Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return None
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    if os.name != "posix":
        return None
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid or os.getpid())], capture_output=True, text=True).stdout
    return int(told) * 1024 if told.strip() else None


def peak() -> int | None:
    """Give the most bytes this process has held, since it began or since `forget_peak`; None on Windows.

    On Linux from /proc: `getrusage` there counts what the parent held when it started this process.
    """
    if _ON_LINUX:
        try:
            status = Path("/proc/self/status").read_text()
        except OSError:
            return None
        held = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(held[0]) * 1024 if held else None
    if os.name != "posix":
        return None
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if platform.system() == "Darwin" else used * 1024  # macOS counts bytes


def forget_peak() -> None:
    """Let `peak` begin anew at what is held now, where the system can (Linux); elsewhere it goes on."""
    if _ON_LINUX:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return
