"""Memory that is freed: given back to the system at once, or kept for the next buffer of that size."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from glibc's malloc.h
_NEVER_TRIM = 2**31 - 1
_GLIBC_TRIM_THRESHOLD, _GLIBC_MMAP_MAX = 128 * 1024, 65536


def give_back_holes() -> None:
    """Return freed memory between live buffers to the system, where the C library can (glibc).

    For moments when much is alive: holes too small for the next large buffer would add to the peak.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory in the process while the block runs; give it back to the system at the end.

    glibc returns every large buffer to the kernel when it is freed, and the next one of that size is mapped and
    zeroed page by page again. What that costs, in time and memory: `benchmarks/kept_memory.py`, docs/methods.md.
    What is kept splits into holes from step to step, so training itself does without. Elsewhere than on glibc this does
    nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_MAX, _GLIBC_MMAP_MAX)
        libc.mallopt(_M_TRIM_THRESHOLD, _GLIBC_TRIM_THRESHOLD)
        libc.malloc_trim(0)
