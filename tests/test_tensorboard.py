"""Event files of a training: what is written, what is passed on, and what is said without the package."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest

from rxweave.embed.history import Epoch
from rxweave.errors import ConfigError
from rxweave.tensorboard import scalars, tensorboard
from rxweave.watch import Watch

EPOCH = Epoch(
    number=3,
    link=5.0,
    treatment=float("nan"),
    contrastive=2.0,
    total=6.0,
    seconds=0.5,
    effective_rank={"drug": 40.0},
    rank_alarm={"drug": 12.0},
    mean_cosine={"drug": 0.25},
    learning_rate=0.001,
    gradient_norm=1.5,
    memory=2_000_000_000,
    peak_memory=3_000_000_000,
)


class Recorder(Watch):
    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def __getattribute__(self, name: str):
        if name in ("stage", "training", "epoch", "progress", "note", "warning"):
            return lambda *given: self.told.append((name, given))
        return super().__getattribute__(name)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, list]:
    """What a stand-in for torch's SummaryWriter was given."""
    kept: dict[str, list] = {"folders": [], "scalars": [], "closed": []}

    class SummaryWriter:
        def __init__(self, folder: str, purge_step: int) -> None:
            kept["folders"].append(folder)
            kept["from"] = [purge_step]

        def add_scalar(self, name: str, value: float, step: int) -> None:
            kept["scalars"].append((name, value, step))

        def flush(self) -> None:
            kept["flushed"] = len(kept["scalars"])

        def close(self) -> None:
            kept["closed"].append(True)

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return kept


def test_an_epoch_is_losses_ranks_rates_times_and_memory_and_nothing_unmeasured() -> None:
    assert scalars(EPOCH) == {
        "loss/link": 5.0,
        "loss/contrastive": 2.0,
        "loss/total": 6.0,
        "effective_rank/drug": 40.0,
        "rank_alarm/drug": 12.0,
        "mean_cosine/drug": 0.25,
        "training/learning_rate": 0.001,
        "training/gradient_norm": 1.5,
        "training/seconds": 0.5,
        "memory/held_gb": 2.0,
        "memory/peak_gb": 3.0,
    }


def test_the_rank_of_held_out_treatments_is_told_where_it_was_measured() -> None:
    assert scalars(replace(EPOCH, held_out=0.4))["training/held_out_mrr"] == 0.4


def test_epochs_are_written_at_once_and_everything_is_passed_on(written: dict[str, list], tmp_path: Path) -> None:
    inner = Recorder()
    with tensorboard(tmp_path / "runs", inner) as watch:
        watch.stage("embed")
        watch.epoch(EPOCH)
        assert written["flushed"] == len(scalars(EPOCH))
        watch.progress("pairs", 0.5)
        watch.note("a note")
        watch.warning("a warning")
        assert not written["closed"]
    assert written["folders"] == [str(tmp_path / "runs")]
    assert written["from"] == [3]
    assert written["scalars"] == [(name, value, 3) for name, value in scalars(EPOCH).items()]
    assert written["closed"] == [True]
    assert inner.told == [
        ("stage", ("embed",)),
        ("epoch", (EPOCH,)),
        ("progress", ("pairs", 0.5)),
        ("note", ("a note",)),
        ("warning", ("a warning",)),
    ]


def test_the_file_is_closed_when_training_fails(written: dict[str, list], tmp_path: Path) -> None:
    class Stopped(Watch):
        def epoch(self, _: Epoch) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), tensorboard(tmp_path, Stopped()) as watch:
        watch.epoch(EPOCH)
    assert written["closed"] == [True]


def test_without_a_folder_nothing_is_written(written: dict[str, list]) -> None:
    inner = Watch()
    with tensorboard(None, inner) as watch:
        assert watch is inner
    assert written["folders"] == []


def test_of_several_ranks_only_the_first_writes_a_file(
    monkeypatch: pytest.MonkeyPatch, written: dict[str, list], tmp_path: Path
) -> None:
    started = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    for rank, folders in (("1", []), ("0", [str(tmp_path)])):
        monkeypatch.setenv("RANK", rank)
        with tensorboard(tmp_path, Watch()) as watch:
            watch.epoch(EPOCH)
        assert written["folders"] == folders


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install 'rxweave\[tensorboard\]'"), tensorboard(tmp_path, Watch()):
        pass


def test_the_event_file_can_be_read_back(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard(tmp_path, Watch()) as watch:
        watch.epoch(EPOCH)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == set(scalars(EPOCH))
    assert [(event.step, event.value) for event in events.Scalars("loss/link")] == [(3, 5.0)]


def test_epochs_that_are_done_again_after_a_kill_stand_there_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for numbers in (range(1, 6), range(4, 8)):  # killed after the fifth, gone on from the third
        with tensorboard(tmp_path, Watch()) as watch:
            for number in numbers:
                watch.epoch(replace(EPOCH, number=number))
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Scalars("loss/link")] == list(range(1, 8))
