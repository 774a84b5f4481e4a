"""Freed memory is kept while the block runs and goes back to the system afterwards."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from rxweave.embed.memory import freed_memory_kept

BYTES = 200 * 2**20


def resident() -> int:
    """Bytes this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_freed_memory_stays_inside_the_block_only() -> None:
    before = resident()
    with freed_memory_kept():
        buffer = np.ones(BYTES // 8)
        del buffer
        inside = resident()
    assert inside - before > 0.9 * BYTES
    assert resident() - before < 0.1 * BYTES


def test_an_error_inside_passes_through() -> None:
    with pytest.raises(KeyError, match="inside"), freed_memory_kept():
        raise KeyError("inside")
