"""The number of threads changes rounding and the order of sums, never what a run says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SMALL = [
    *("--kg", "demo:1200", "--embedding-dim", "128", "--hidden-dim", "64", "--num-epochs", "25"),
    *("--learning-rate", "0.003", "-o", "rank.num_draws=2", "-o", "embed.attention=fused_cpu"),
]
NOISE = 0.03
"""About the standard error of an MRR over the hundred test treatments of this graph."""


def metrics_with(threads: int, out: Path) -> dict[str, Any]:
    """What `rxweave run` tells of the small graph with so many threads."""
    command = [sys.executable, "-m", "rxweave", "run", *SMALL, "--out", str(out)]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)}, capture_output=True)
    found: dict[str, Any] = json.loads((out / "08_reporting" / "metrics.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_one_thread_and_two_give_the_same_verdict_and_metrics_within_noise(tmp_path: Path) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("this machine has one core")
    one, two = (metrics_with(threads, tmp_path / str(threads)) for threads in (1, 2))
    assert one["verdict"]["types"] == two["verdict"]["types"]
    for method in ("ranker", "HGT decoder"):
        for side in ("drugs_given_disease", "diseases_given_drug"):
            first, second = (found["methods"][method][side]["mrr"]["value"] for found in (one, two))
            assert first == pytest.approx(second, abs=NOISE), (method, side)
    prior = [found["methods"]["degree prior"] for found in (one, two)]
    assert prior[0] == prior[1]
