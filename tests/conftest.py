"""Small graphs that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

# Before the libraries are there, and for the processes that tests start: threads for matrices this small cost more than
# they bring, and where two tests run at once, threads that wait for each other spinning take the cores from both.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest
import torch
from hypothesis import settings

from rxweave.graph.build import Graph, build_graph
from rxweave.kg.demo import demo_kg

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")

HETIONET = Path(__file__).resolve().parents[2] / "shared" / "data" / "hetionet"


torch.set_num_threads(1)  # for fixtures of modules, which come before those of a test


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small tensors run faster on one thread, and results do not depend on how work is cut."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_graph() -> Graph:
    """The demo graph at its smallest useful size."""
    return build_graph(demo_kg(num_nodes=400, num_edges=4000, seed=3))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, to be read; whoever writes into a run takes a copy."""
    from small_run import run_small

    return run_small(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def hetionet() -> Path:
    """The folder of the real Hetionet; the test is skipped, visibly, where it is absent."""
    if not (HETIONET / "edges.tsv.gz").exists():
        pytest.skip(f"real Hetionet is not at {HETIONET}")
    return HETIONET


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: a compressed file holds the time, and every process must collect the same names."""
    return argname if isinstance(val, bytes) else None
