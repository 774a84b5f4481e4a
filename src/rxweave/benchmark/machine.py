"""What a measurement was made on: a figure without it says little."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rxweave.embed.free_memory import total

_PACKAGES = ("torch", "numba", "triton", "numpy", "scipy", "torch-geometric", "pyg-lib", "scikit-learn", "xgboost",
             "xgboost-cpu", "pykeen")  # fmt: skip


def cores() -> int:
    """Give the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def busy_seconds() -> float | None:
    """Give the processor seconds that all processes together have used since the machine started; Linux only."""
    try:
        user, nice, system, _, _, irq, softirq, *steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + sum(steal)) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Since:
    """A moment from which on the use of the processors is told."""

    wall: float
    own: float
    busy: float | None

    @classmethod
    def now(cls) -> Since:
        return cls(time.perf_counter(), time.process_time(), busy_seconds())

    def share_of_others(self) -> float | None:
        """Give the share of the machine's processor time since then that other processes took; Linux only."""
        busy = busy_seconds()
        if self.busy is None or busy is None:
            return None
        others = busy - self.busy - (time.process_time() - self.own)
        return max(0.0, others / ((os.cpu_count() or 1) * (time.perf_counter() - self.wall)))


def machine(threads: int) -> dict[str, object]:
    """Give processor, cores, threads used, memory, system, package versions and how busy the machine was before."""
    memory = total()
    return {
        "processor": _processor(),
        "cores": cores(),
        "threads": threads,
        "memory_gb": None if memory is None else round(memory / 1e9, 1),
        "system": platform.platform(),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": _versions(),
    }


def _processor() -> str:
    if sys.platform.startswith("linux"):
        named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        if named:
            return named[0].partition(":")[2].strip()
    if sys.platform == "darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
