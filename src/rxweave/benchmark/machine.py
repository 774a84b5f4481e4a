"""What a measurement was made on: a figure without it says little."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rxweave.benchmark.memory import total

_PACKAGES = ("torch", "numba", "triton", "numpy", "scipy", "torch-geometric", "pyg-lib")


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
