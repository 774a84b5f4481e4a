"""Freed memory is kept while the block runs and goes back to the system afterwards."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

from rxweave.embed.memory import freed_memory_kept

MB = 2**20

# A process of its own, since any other has freed memory lying about that the next buffer fills.
MEASURES = """
import json
import numpy as np
from rxweave.embed.memory import freed_memory_kept, give_back_holes

found = []

def note():
    with open("/proc/self/statm") as file:
        found.append(int(file.read().split()[1]) * 4096)

def fill_and_free():
    buffer = np.ones(200 * 2**17)
    del buffer

note()
fill_and_free()
note()
with freed_memory_kept():
    fill_and_free()
    note()
    buffers = [np.ones(2**17) for _ in range(200)]
    note()
    del buffers[::2]
    note()
    give_back_holes()
    note()
    del buffers
note()
print(json.dumps(found))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_freed_memory_stays_inside_the_block_only_and_holes_go_back_when_asked() -> None:
    result = subprocess.run([sys.executable, "-c", MEASURES], capture_output=True, text=True, check=True)
    start, *others = json.loads(result.stdout)
    before, kept, filled, half_freed, holes_given_back, after = (resident - start for resident in others)
    assert before < 20 * MB
    assert kept > 180 * MB
    assert filled > 180 * MB
    assert half_freed > filled - 20 * MB
    assert holes_given_back < half_freed - 80 * MB
    assert after < 20 * MB


def test_an_error_inside_passes_through() -> None:
    with pytest.raises(KeyError, match="inside"), freed_memory_kept():
        raise KeyError("inside")


TRAINS = """
from rxweave.config import EmbedSettings
from rxweave.embed.train import train
from rxweave.graph.primekg_shape import primekg_shaped

class Enough(Exception):
    pass

def on_epoch(epoch):
    print(epoch.peak_memory, flush=True)
    if epoch.number == 7:
        raise Enough

settings = EmbedSettings(device="cpu", attention="fused_cpu", {settings})
try:
    train(primekg_shaped(0.25, seed=0), settings, seed=0, on_epoch=on_epoch)
except Enough:
    pass
"""


def peaks_of_seven_epochs(settings: str) -> list[int]:
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    trains = TRAINS.replace("{settings}", settings)
    result = subprocess.run([sys.executable, "-c", trains], capture_output=True, text=True, check=True, env=env)
    peaks = [int(line) for line in result.stdout.split()]
    assert len(peaks) == 7
    return peaks


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_the_peak_of_training_does_not_rise_from_epoch_to_epoch() -> None:
    """It did while training kept what it freed: a step's buffers fit badly where those of the last one lay."""
    peaks = peaks_of_seven_epochs('precision="fp32"')
    assert max(peaks) < 1.06 * peaks[1]  # the optimiser's state comes with the first step


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_nor_does_it_where_every_micro_batch_has_another_number_of_nodes() -> None:
    """It did, by 0.5 GB, while rounded products had as many rows as a type has nodes: each number is compiled."""
    peaks = peaks_of_seven_epochs('precision="bf16", batching="sampled", num_neighbours=(5, 2), batch_facts=512')
    assert max(peaks) < 1.1 * peaks[1]
