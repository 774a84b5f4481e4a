"""Several processes that train one model: they end as one process does, and none waits for one that has failed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranked_training import SCENARIOS, SHARED
from small_training import SEED, SETTINGS

from rxweave.embed.batches import FactSampler
from rxweave.embed.checkpoint import read_checkpoint
from rxweave.embed.decoder import DistMult
from rxweave.embed.device import choose_device
from rxweave.embed.objective import Objective, ScoredEmbeddings
from rxweave.embed.place import ALONE, Place, this_place
from rxweave.embed.train import train
from rxweave.errors import ConfigError
from rxweave.graph.build import Graph

WORKER = Path(__file__).with_name("ranked_training.py")
LIMIT = 120


def start_ranks(size: int, *arguments: str | Path) -> list[subprocess.Popen[bytes]]:
    """Start ranks as torchrun does, but without its supervisor, which would kill all when one ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, WORKER, *arguments],
            env={**os.environ, **told, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
        )
        for rank in range(size)
    ]


def ended(processes: list[subprocess.Popen[bytes]]) -> list[int]:
    """Wait for them, and give their exit codes; whatever happens, none is left behind."""
    try:
        told = [process.communicate(timeout=LIMIT)[1].decode() for process in processes]
        sys.stderr.write("\n".join(told))
        return [process.returncode for process in processes]
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two ranks that went through every scenario one after another; in the last, the first rank dies."""
    folder = tmp_path_factory.mktemp("ranks")
    assert ended(start_ranks(2, folder, *SCENARIOS)) == [-signal.SIGKILL, 0]
    return folder


def outcomes(folder: Path, name: str) -> list[Mapping[str, Any]]:
    return [json.loads((folder / f"{name}.{rank}.json").read_text()) for rank in (0, 1)]


def vectors(folder: Path, name: str) -> list[np.ndarray]:
    return [np.load(folder / f"{name}.{rank}.npy") for rank in (0, 1)]


@pytest.mark.parametrize("name", SHARED)
def test_two_ranks_end_as_one_process_does(played: Path, small_graph: Graph, name: str) -> None:
    alone = train(small_graph, SHARED[name], seed=SEED)
    first, second = vectors(played, name)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - alone.vectors).max() < 1e-5
    losses = [[epoch.link, epoch.treatment, epoch.contrastive] for epoch in alone.history]
    first_told, second_told = outcomes(played, name)
    np.testing.assert_allclose(first_told["losses"], losses, rtol=1e-5)
    assert first_told["losses"] == second_told["losses"]
    assert any(note.startswith("Attention: csr on cpu") for note in first_told["notes"])
    assert second_told["notes"] == []


def test_ctrl_c_on_one_rank_stops_all_after_the_same_epoch_and_all_go_on(played: Path) -> None:
    first, second = outcomes(played, "stopped_and_resumed")
    stopped = first["notes"].index("stopped after 3 steps")
    told = "Stopped after epoch 3 of 6. The same command goes on after epoch 3, from"
    assert first["notes"][stopped - 1].startswith(told)
    assert first["notes"][stopped + 1].startswith("Training goes on after epoch 3, from")
    assert second["notes"] == ["stopped after 3 steps"]
    for resumed, whole in zip(vectors(played, "stopped_and_resumed"), vectors(played, "plain"), strict=True):
        np.testing.assert_array_equal(resumed, whole)


def test_early_stopping_ends_all_ranks_after_the_same_epoch_with_the_same_weights(played: Path) -> None:
    first, second = outcomes(played, "stopped_early")
    assert (len(first["losses"]), len(second["losses"])) == (4, 4)
    assert any("kept: epoch 2" in note for note in first["notes"])
    np.testing.assert_array_equal(*vectors(played, "stopped_early"))


def test_memory_that_runs_out_on_one_rank_stops_all_and_the_first_saves(played: Path) -> None:
    first, second = outcomes(played, "out_of_memory")
    assert (first["error"], second["error"]) == ("RankError", "OutOfMemoryError")
    assert first["told"].startswith("Stopped, since rank 1 of 2 has failed; its message says why. The same command ")
    assert second["told"].startswith("Memory ran out while scoring facts")
    saved = read_checkpoint(played / "oom.safetensors")
    assert 1 <= len(saved.history) <= 3


def test_a_value_that_is_not_finite_is_told_by_the_rank_where_it_was(played: Path) -> None:
    first, second = outcomes(played, "not_finite")
    assert (first["error"], second["error"]) == ("RankError", "TrainingError")
    assert "In step 1 (epoch 1) the link loss of" in second["told"]


def test_what_fails_everywhere_is_told_by_the_first_rank(played: Path) -> None:
    first, second = outcomes(played, "exploding")
    assert (first["error"], second["error"]) == ("TrainingError", "RankError")
    assert second["told"] == "Stopped, since rank 0 of 2 has failed; its message says why."


def test_the_first_rank_decides_on_collapse(played: Path) -> None:
    first, second = outcomes(played, "collapsing")
    assert (first["error"], second["error"]) == ("CollapseError", "RankError")


def test_a_bug_on_the_first_rank_ends_the_others(played: Path) -> None:
    first, second = outcomes(played, "failing_watch")
    assert (first["error"], second["error"]) == ("LookupError", "RankError")


def test_ranks_with_other_settings_are_refused(played: Path) -> None:
    first, second = outcomes(played, "other_settings")
    assert (first["error"], second["error"]) == ("ConfigError", "RankError")
    assert first["told"].startswith(
        "Rank 1 was started with other data or settings than rank 0: on it seed is 4, not 3"
    )


def test_a_checkpoint_that_only_the_first_rank_sees_is_refused(played: Path) -> None:
    first, second = outcomes(played, "other_checkpoint")
    assert first["notes"] == ["True"]
    assert (first["error"], second["error"]) == ("RankError", "CheckpointError")
    assert "There is no checkpoint at" in second["told"]


def test_a_rank_that_dies_ends_the_other(played: Path) -> None:
    assert not (played / "dying.0.json").exists()
    told = json.loads((played / "dying.1.json").read_text())
    assert told["error"] == "RankError"
    assert told["told"].startswith("Rank 1 of 2 cannot reach the others (")


@pytest.mark.parametrize("size", [2, 3, 8])
def test_the_parts_of_all_ranks_are_the_batch_of_one_process(small_graph: Graph, size: int) -> None:
    """Every fact once, with the same negatives and marks; and all ranks draw alike."""
    settings = SETTINGS.but(edge_sample_size=30, accumulation_steps=2)
    whole, *parts = (
        list(FactSampler(small_graph, settings, place).micro_batches(chosen_by(small_graph, settings), rng))
        for place, rng in [(place, np.random.default_rng(1)) for place in (ALONE, *places_of(size))]
    )
    waiting = [list(part) for part in parts]
    for batch in whole:
        mine = [part.pop(0) for part in waiting if part and same_draw(part[0], batch)]
        assert sum(len(part.source) for part in mine) == len(batch.source)
        assert sum(part.share for part in mine) == pytest.approx(batch.share)
        for name in ("source", "target", "source_also_true", "target_also_true"):
            np.testing.assert_array_equal(np.concatenate([getattr(p, name) for p in mine]), getattr(batch, name))
        assert max(len(part.source) for part in mine) - min(len(part.source) for part in mine) <= 1
    assert not any(waiting)


def chosen_by(graph: Graph, settings: Any) -> list[np.ndarray]:
    return FactSampler(graph, settings).hide(np.random.default_rng(0))


def places_of(size: int) -> list[Place]:
    return [Place(rank, size, rank) for rank in range(size)]


def same_draw(part: Any, batch: Any) -> bool:
    return part.relation == batch.relation and np.array_equal(part.other_targets, batch.other_targets)


@pytest.mark.parametrize("size", [2, 3])
def test_losses_and_gradients_of_all_ranks_sum_to_those_of_one_process(small_graph: Graph, size: int) -> None:
    z = torch.randn(small_graph.num_nodes, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    streams = [np.random.default_rng(2) for _ in range(1 + size)]
    places = [ALONE, *places_of(size)]
    alone, *parts = (scored_by(small_graph, z, place, rng) for place, rng in zip(places, streams, strict=True))
    for whole, *each in zip(alone, *parts, strict=True):
        torch.testing.assert_close(sum(each), whole, rtol=1e-10, atol=1e-12)
    assert len({int(rng.integers(1 << 60)) for rng in streams}) == 1


def scored_by(graph: Graph, z: torch.Tensor, place: Place, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
    decoder = DistMult(len(graph.relations), 32, generator=torch.Generator().manual_seed(1)).double()
    scored = ScoredEmbeddings(z)
    objective = Objective(graph, SETTINGS, place=place)
    link = objective.score_facts(scored, decoder, objective.sampler.micro_batches(chosen_by(graph, SETTINGS), rng))
    losses = *link, objective.contrast(scored, objective.for_this_rank(objective.draw_alike(rng)))
    return torch.tensor(losses, dtype=torch.float64), scored.gradient, decoder.relation.grad


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1"), ("MASTER_ADDR", "localhost")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "29500")
    return monkeypatch


def test_the_place_is_read_from_what_torchrun_tells(second_of_two: pytest.MonkeyPatch) -> None:
    assert this_place() == Place(1, 2, 1)
    second_of_two.setenv("WORLD_SIZE", "1")
    assert this_place() == ALONE
    second_of_two.delenv("WORLD_SIZE")
    assert this_place() == ALONE


@pytest.mark.parametrize(("name", "value"), [("MASTER_ADDR", None), ("RANK", ""), ("LOCAL_RANK", "one"), ("RANK", "2")])
def test_half_of_what_torchrun_tells_is_refused(second_of_two: pytest.MonkeyPatch, name: str, value: str) -> None:
    if value is None:
        second_of_two.delenv(name)
    else:
        second_of_two.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name}.*torchrun --nproc-per-node"):
        this_place()


def test_each_rank_has_a_cuda_device_of_its_own(second_of_two: pytest.MonkeyPatch) -> None:
    second_of_two.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device(None) == choose_device("cuda") == torch.device("cuda:1")
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="device is 'cuda:0', which 2 ranks cannot share"):
        choose_device("cuda:0")
    second_of_two.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"rank 2 of its machine, where torch sees 1 CUDA .*--nproc-per-node 1"):
        choose_device(None)


def test_ranks_do_not_share_an_apple_gpu(second_of_two: pytest.MonkeyPatch) -> None:
    second_of_two.setattr(torch.cuda, "device_count", lambda: 0)
    second_of_two.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device(None) == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"device is 'mps', which 2 ranks cannot share\. Use device=cpu"):
        choose_device("mps")


def test_one_process_sets_up_nothing(small_graph: Graph) -> None:
    train(small_graph, SETTINGS.but(num_epochs=1), seed=0)
    assert not torch.distributed.is_initialized()
