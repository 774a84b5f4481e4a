"""A process under limits of memory and time: it ends by itself, or is stopped, and the caller learns why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rxweave.benchmark.memory import POLL_SECONDS, resident
from rxweave.embed.place import this_place
from rxweave.errors import ConfigError

POLL_PARENT = 2.0
"""Seconds after which an orphaned worker notices."""
PARENT = "RXWEAVE_PARENT_PROCESS"
"""The variable by which `run_watched` tells a worker who started it."""
Status = Literal["measured", "stopped", "failed", "skipped"]


@dataclass(frozen=True)
class Limits:
    """When a worker is stopped."""

    memory_gb: float | None
    """Resident memory, in 10^9 bytes; None for no limit."""
    seconds: float


@dataclass(frozen=True)
class Ending:
    """How a process ended."""

    status: Status
    reason: str
    """Empty for a process that ended well."""
    highest_memory: int | None
    """The most bytes it was seen to hold; None where the system does not say."""


def run_watched(
    command: Sequence[str],
    limits: Limits,
    *,
    env: Mapping[str, str] | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Ending:
    """Run a command to its end, or until it passes a limit; it never outlives this call, whatever ends the call.

    `meanwhile` is called again and again while it runs. Its standard output is dropped. The reason of a failure is the
    last line of its standard error.
    """
    if this_place().size > 1:
        raise ConfigError(
            f"This is {this_place()}, started by torchrun: what is measured runs in a process of its own, which would "
            "take itself for a rank as well. Call it without torchrun."
        )
    started, highest, stopped = time.monotonic(), 0, ""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**(os.environ if env is None else env), PARENT: str(os.getpid())},
        )
        try:
            while process.poll() is None and not stopped:
                held = resident(process.pid) or 0
                highest = max(highest, held)
                if limits.memory_gb is not None and held > limits.memory_gb * 1e9:
                    stopped = f"passed the memory limit of {limits.memory_gb:.3g} GB"
                elif time.monotonic() - started > limits.seconds:
                    stopped = f"passed the time limit of {limits.seconds:g} s"
                else:
                    time.sleep(POLL_SECONDS)
                    if meanwhile is not None:
                        meanwhile()
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        if stopped:
            return Ending("stopped", f"{stopped} after {time.monotonic() - started:.0f} s", highest or None)
        if process.returncode == 0:
            return Ending("measured", "", highest or None)
        errors.seek(0)
        return Ending("failed", _cause(process.returncode, errors.read().decode(errors="replace")), highest or None)


def end_with_parent() -> None:
    """Have this process end soon after the one that started it, which may be killed before it can say so.

    Under `run_watched` that is so too when the other was gone before this call: a worker imports for seconds first, and
    then has the system's first process as its parent.
    """
    told = os.environ.pop(PARENT, "")  # it is not the parent of what this process starts
    if sys.platform == "win32":  # there the number of a parent stays when it has ended, and may be a launcher's
        return
    parent = int(told) if told else os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_PARENT)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def thread_settings(threads: int) -> dict[str, str]:
    """Give this process's environment with every library held to so many threads."""
    names = ("OMP", "MKL", "OPENBLAS", "NUMBA", "VECLIB_MAXIMUM", "NUMEXPR")
    return {
        **os.environ,
        **{f"{name}_THREADS" if name.endswith("MAXIMUM") else f"{name}_NUM_THREADS": str(threads) for name in names},
        "POLARS_MAX_THREADS": str(threads),
    }


def _cause(code: int, errors: str) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        out_of_memory = "; the system was probably out of memory" if name == "SIGKILL" else ""
        return f"was ended by {name}{out_of_memory}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return lines[-1] if lines else f"ended with exit code {code} and no message"
