"""The command line as torchrun starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rxweave.validate.read import read_embeddings

TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
SMALL = ["--embedding-dim", "64", "--hidden-dim", "32", "--num-heads", "4", "-o", "embed.feature_dim=32"]
SMALL += ["--num-epochs", "4", "--accumulation-steps", "1", "-o", "embed.checkpoint_every=1", "--device", "cpu"]
QUICK = ["run", "--kg", "demo:400", *SMALL, "-o", "rank.num_trees=10", "-o", "rank.num_draws=1", "--json"]


def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a Python module as a command."""
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_python_m_rxweave_is_the_command_line() -> None:
    called = call("rxweave", "run", "--no-such-option")
    assert called.returncode == 2
    assert "No such option" in called.stderr


@pytest.mark.slow
def test_a_run_of_two_ranks_is_that_of_one_process_and_told_once(tmp_path: Path) -> None:
    found = {}
    for name, start in (("one", []), ("two", TORCHRUN)):
        called = call(*start, "rxweave", *QUICK, "--out", tmp_path / name)
        assert called.returncode == 0, called.stderr
        found[name] = json.loads(called.stdout)
    assert found["two"]["verdict"] == found["one"]["verdict"]
    one, two = (
        read_embeddings(tmp_path / name / "06_models" / "embeddings" / "hgt_embeddings.parquet").vectors
        for name in ("one", "two")
    )
    assert np.abs(one - two).max() < 1e-5 * np.abs(one).max()
    files = [{path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*")} for name in ("one", "two")]
    assert files[0] == files[1]


@pytest.mark.slow
def test_settings_that_cannot_work_end_all_ranks(tmp_path: Path) -> None:
    called = call(*TORCHRUN, "rxweave", *QUICK, "--device", "cpu:7", "--out", tmp_path)
    assert called.returncode == 1  # torchrun's own, whatever the ranks end with
    assert "rxweave (rank 0): device is 'cpu:7'" in called.stderr
    assert list(tmp_path.iterdir()) == []
