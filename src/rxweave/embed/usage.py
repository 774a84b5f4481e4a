"""How much memory is held, now and at most: by the process, or on the CUDA device that trains."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch


def memory_now(device: torch.device) -> int:
    """Give the bytes held now; where the system does not tell them (macOS), the most held so far."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return peak_memory()
    return pages * resource.getpagesize()


def memory_peak(device: torch.device) -> int:
    """Give the most bytes held at once so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return max(peak_memory(), memory_now(device))  # Linux counts the peak with a little delay


def peak_memory() -> int:
    """Give the most memory this process has held at once, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kilobytes
