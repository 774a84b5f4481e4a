"""How much memory a device has left, as far as the system tells it without another package."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from rxweave.embed.usage import peak_memory

MEMINFO = Path("/proc/meminfo")
OWN_GROUPS = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")
"""Where Linux tells the limits of containers, of either version of control groups."""
_ON_LINUX = sys.platform.startswith("linux")
_NO_LIMIT = 2**60
"""Version 1 writes no limit as a number above any machine's memory."""


def device_free(device: torch.device) -> int | None:
    """Give the bytes that training may still take on a device; None where the system won't say.

    On CUDA what the driver has free and what torch holds unused; on MPS, whose memory is the machine's, the lesser of
    what torch recommends to take and what the machine has.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        recommended = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        of_machine = available()
        return recommended if of_machine is None else min(recommended, of_machine)
    return available()


def available() -> int | None:
    """Give the bytes this process could still take: what is free (Linux, within its container's limit), else all that
    the machine has but what this process holds.
    """
    if _ON_LINUX:
        amounts = [amount for amount in (_free_of_machine(), _free_of_groups()) if amount is not None]
        return min(amounts, default=None)
    of_machine = total()
    return None if of_machine is None else max(0, of_machine - peak_memory())


def total() -> int | None:
    """Give the bytes of memory of the machine; None if the system won't say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def _free_of_machine() -> int | None:
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return None
    free = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(free[0]) * 1024 if free else None


def _free_of_groups() -> int | None:
    """The least that this process's control group, or any above it, has left; None without a limit."""
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = GROUPS / "memory" if controllers else GROUPS
        # A container sees its own group as the root, whatever the path says.
        for group in (root, *(root / part for part in _parts(path))):
            left = _left_in(group, second_version=not controllers)
            if left is not None:
                found.append(left)
    return min(found, default=None)


def _parts(path: str) -> list[str]:
    """`/a/b` as `a` and `a/b`: every group on the way down."""
    names = [name for name in path.split("/") if name and name != ".."]
    return ["/".join(names[: i + 1]) for i in range(len(names))]


def _left_in(group: Path, *, second_version: bool) -> int | None:
    """Limit less use, not counting files that the kernel can drop; None without a limit."""
    names = ("max", "current") if second_version else ("limit_in_bytes", "usage_in_bytes")
    try:
        limit, used = ((group / f"memory.{name}").read_text().strip() for name in names)
        facts = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    if limit == "max" or int(limit) >= _NO_LIMIT:
        return None
    droppable = [int(fact.split()[1]) for fact in facts if fact.startswith(("inactive_file ", "total_inactive_file "))]
    return max(0, int(limit) - int(used) + max(droppable, default=0))
