"""How much memory is held, now and at most: by the process, or on the device that trains.

On MPS, whose memory is the machine's, that is both together; the most is that seen when asked, as torch keeps no peak.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch


def memory_now(device: torch.device) -> int:
    """Give the bytes held now; where the system does not tell them (macOS), the most held so far."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    on_device = torch.mps.driver_allocated_memory() if device.type == "mps" else 0
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return peak_memory() + on_device
    return pages * resource.getpagesize() + on_device


def memory_peak(device: torch.device) -> int:
    """Give the most bytes held at once so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return max(peak_memory(), memory_now(device))  # Linux counts the peak with a little delay


def peak_memory() -> int:
    """Give the most memory this process has held at once, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kilobytes
