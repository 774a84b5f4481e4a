"""What a process asks of its libraries before it loads them, and that it is in time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rxweave.process import prepare_process

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "THP_MEM_ALLOC_ENABLE")
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

# What lies on large pages after a tensor of 64 MB is made, in kB.
MEASURES = """
from rxweave.process import prepare_process
prepare_process()
import torch
kept = torch.ones(2**24)
with open("/proc/self/smaps_rollup") as file:
    print(sum(int(line.split()[1]) for line in file if line.startswith("AnonHugePages")))
"""


@pytest.mark.parametrize(
    "said",
    [{}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}, {"THP_MEM_ALLOC_ENABLE": "0"}],
    ids=str,
)
def test_threads_sleep_and_tensors_lie_on_large_pages_unless_the_user_has_said_how(
    said: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(said))
    prepare_process()
    expected = {"THP_MEM_ALLOC_ENABLE": "1"} | said
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & said.keys():
        expected["GOMP_SPINCOUNT"] = "300"
    assert os.environ == expected


@pytest.mark.skipif(
    not LARGE_PAGES.is_file() or "[madvise]" not in LARGE_PAGES.read_text(),
    reason="this system gives large pages always or never, not on request",
)
@pytest.mark.parametrize(("said", "large"), [({}, True), ({"THP_MEM_ALLOC_ENABLE": "0"}, False)], ids=str)
def test_a_large_tensor_lies_on_large_pages(said: dict[str, str], large: bool) -> None:
    env = {name: value for name, value in os.environ.items() if name not in NAMES} | said
    done = subprocess.run([sys.executable, "-c", MEASURES], capture_output=True, text=True, check=True, env=env)
    assert (int(done.stdout) > 48 * 1024) is large
