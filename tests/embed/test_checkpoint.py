"""A training that was interrupted ends as one that was not, bit for bit; what is not its checkpoint is refused."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_training import SEED, SETTINGS, train_slowly

from rxweave.config import EmbedSettings
from rxweave.embed import train as training
from rxweave.embed.attention.choose import Choice
from rxweave.embed.checkpoint import CheckpointError, all_aside, graph_fingerprint, read_checkpoint
from rxweave.embed.history import Epoch
from rxweave.embed.memory_plan import MemoryPlanError
from rxweave.embed.train import Trained, train
from rxweave.graph.build import Graph


class Stop(Exception):
    """Ends a training from outside, at once."""


def train_until(graph: Graph, settings: EmbedSettings, path: Path, last: int) -> None:
    """Train, and be cut off after epoch `last` has been saved."""

    def stop(epoch: Epoch) -> None:
        if epoch.number > last:
            raise Stop

    with pytest.raises(Stop):
        train(graph, settings, seed=SEED, on_epoch=stop, checkpoint=path)


def assert_same(one: Trained, other: Trained) -> None:
    """Equal to the last bit: vectors, weights and what was recorded of every epoch, its times apart."""
    np.testing.assert_array_equal(one.vectors, other.vectors)
    for part in ("encoder", "decoder"):
        for (name, a), b in zip(
            getattr(one, part).state_dict().items(), getattr(other, part).state_dict().values(), strict=True
        ):
            assert torch.equal(a, b), name
    timeless = [
        [
            replace(epoch, seconds=0.0, measuring_seconds=0.0, memory=0, peak_memory=0, warnings=lasting(epoch))
            for epoch in trained.history
        ]
        for trained in (one, other)
    ]
    assert timeless[0] == timeless[1]


def lasting(epoch: Epoch) -> dict[str, str]:
    """The warnings that do not depend on what else the process holds."""
    return {about: text for about, text in epoch.warnings.items() if about != "memory growth"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "training.safetensors"


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({}, 1),
        ({"features": "learned", "weight_decay": 0.01}, 4),
        ({"steps_per_epoch": 2, "accumulation_steps": 2, "checkpoint_every": 2, "clip_norm": 0.5}, 2),
    ],
    ids=["default", "learned", "steps"],
)
def test_a_resumed_training_ends_as_an_uninterrupted_one(
    small_graph: Graph, path: Path, changes: dict[str, object], last: int
) -> None:
    settings = SETTINGS.but(**changes)
    whole = train(small_graph, settings, seed=SEED)
    train_until(small_graph, settings, path, last)
    notes: list[str] = []
    resumed = train(small_graph, settings, seed=SEED, checkpoint=path, resume=True, on_note=notes.append)
    assert_same(resumed, whole)
    assert any(f"Training goes on after epoch {last}, from {path}" in note for note in notes)


def test_a_training_goes_on_in_the_precision_it_began_in(
    small_graph: Graph, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun under precision=auto where that is bfloat16, and gone on with where it is float32, by another version."""
    settings = SETTINGS.but(num_epochs=4)
    whole = train(small_graph, settings.but(precision="bf16"), seed=SEED)
    monkeypatch.setattr(training, "choose_precision", lambda *_, **__: Choice("bf16", "of this processor"))
    monkeypatch.setattr(training, "__version__", "0.0.1")
    train_until(small_graph, settings, path, 2)
    monkeypatch.undo()
    notes: list[str] = []
    resumed = train(small_graph, settings, seed=SEED, checkpoint=path, resume=True, on_note=notes.append)
    assert_same(resumed, whole)
    assert (resumed.precision.name, resumed.precision.reason) == ("bf16", "as in the checkpoint")
    assert resumed.memory.precision == "bf16"
    assert not np.array_equal(whole.vectors, train(small_graph, settings, seed=SEED).vectors)
    assert any("The checkpoint was made with rxweave 0.0.1 then, " in note for note in notes)


def test_a_killed_training_ends_as_an_uninterrupted_one(path: Path) -> None:
    """kill -9 at a random moment of a random epoch."""
    last, wait = random.randint(2, 26), random.uniform(0, 0.05)
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("small_training.py")), str(path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) == last:
            break
    time.sleep(wait)
    child.kill()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    assert len(read_checkpoint(path).history) >= last - 1, (last, wait)
    resumed = train_slowly(path)
    whole = train_slowly(path.with_name("other.safetensors"))
    assert len(resumed.history) == 30
    assert_same(resumed, whole)
    assert sorted(file.name for file in path.parent.iterdir()) == ["other.safetensors", path.name], (last, wait)


def test_a_finished_training_is_not_trained_again(small_graph: Graph, path: Path) -> None:
    told: list[Epoch] = []
    first = train(small_graph, SETTINGS, seed=SEED, checkpoint=path)
    again = train(small_graph, SETTINGS, seed=SEED, checkpoint=path, on_epoch=told.append)
    assert told == []
    assert_same(first, again)


def test_checkpoints_are_saved_as_often_as_asked(small_graph: Graph, path: Path) -> None:
    saved = {}
    for every in (0, 4):
        epochs = []

        def note(_: Epoch, epochs: list[int] = epochs) -> None:
            epochs.append(len(read_checkpoint(path).history) if path.exists() else 0)

        train(small_graph, SETTINGS.but(checkpoint_every=every), seed=SEED, on_epoch=note, checkpoint=path)
        assert len(read_checkpoint(path).history) == 6
        saved[every] = epochs
        path.unlink()
    assert saved == {0: [0] * 6, 4: [0] * 4 + [4] * 2}


def test_what_differs_is_named(small_graph: Graph, path: Path) -> None:
    train(small_graph, SETTINGS.but(num_epochs=1), seed=SEED, checkpoint=path)
    less = small_graph.keep_facts({0: np.arange(small_graph.facts[0].shape[1]) > 0})
    for graph, changes, seed, message in (
        (small_graph, {"num_epochs": 2, "dropout": 0.1}, SEED, r"dropout is 0\.3, not 0\.1; num_epochs is 1, not 2"),
        (small_graph, {}, 4, "in it seed is 3, not 4"),
        (less, {}, SEED, r"the graph is demo \(400 nodes, 4,000 facts\), not demo \(400 nodes, 3,999 facts\)"),
    ):
        with pytest.raises(CheckpointError, match=f"{message}.*--no-resume to train from the start"):
            train(graph, SETTINGS.but(**{"num_epochs": 1} | changes), seed=seed, checkpoint=path, resume=True)


def test_other_facts_of_a_graph_of_the_same_size_are_told_apart(small_graph: Graph, path: Path) -> None:
    settings = SETTINGS.but(num_epochs=1)
    train(small_graph, settings, seed=SEED, checkpoint=path)
    facts = [fact.copy() for fact in small_graph.facts]
    facts[0][0, 0] = facts[0][0, 0] + 1
    other = replace(small_graph, facts=tuple(facts))
    assert graph_fingerprint(other) != graph_fingerprint(small_graph)
    with pytest.raises(CheckpointError, match="other facts of demo"):
        train(other, settings, seed=SEED, checkpoint=path, resume=True)


def test_settings_that_decide_nothing_may_differ(small_graph: Graph, path: Path) -> None:
    train_until(small_graph, SETTINGS, path, 4)
    settings = SETTINGS.but(checkpoint_every=5, on_collapse="stop", device=None)
    resumed = train(small_graph, settings, seed=SEED, checkpoint=path, resume=True)
    assert len(resumed.history) == 6


def aside(path: Path, number: int) -> Path:
    return path.with_name(f"previous.{number}.{path.name}")


def test_another_checkpoint_is_put_aside_not_lost(small_graph: Graph, path: Path) -> None:
    train(small_graph, SETTINGS.but(num_epochs=2), seed=SEED, checkpoint=path)
    valuable, notes = path.read_bytes(), []
    train(small_graph, SETTINGS.but(num_epochs=1), seed=SEED, checkpoint=path, on_note=notes.append)
    assert "num_epochs is 2, not 1. It is kept as previous.1." in notes[0]
    assert notes[0].endswith("Training starts from the beginning.")
    assert notes[1].startswith(f"Put aside in {path.parent}: {aside(path, 1).name}; ")
    assert aside(path, 1).read_bytes() == valuable
    assert len(read_checkpoint(path).history) == 1


@pytest.mark.parametrize("resume", [None, True])
def test_what_was_put_aside_goes_on_when_it_is_asked_for_again(
    small_graph: Graph, path: Path, resume: bool | None
) -> None:
    other, third = SETTINGS.but(dropout=0.1), SETTINGS.but(dropout=0.2)
    train_until(small_graph, SETTINGS, path, 5)
    train_until(small_graph, other, path, 2)
    train_until(small_graph, third, path, 2)
    notes, told = [], []
    train(small_graph, SETTINGS, seed=SEED, checkpoint=path, resume=resume, on_note=notes.append, on_epoch=told.append)
    assert "It is kept as previous.3." in notes[0]
    assert "beginning" not in notes[0]
    assert [epoch.number for epoch in told] == [6]
    assert not aside(path, 1).exists()
    assert read_checkpoint(aside(path, 2)).identity.settings["dropout"] == 0.1
    assert read_checkpoint(aside(path, 3)).identity.settings["dropout"] == 0.2
    path.unlink()  # as a run that is published does
    train(small_graph, other, seed=SEED, checkpoint=path, resume=resume, on_epoch=told.append)
    assert [epoch.number for epoch in told[1:]] == [3, 4, 5, 6]
    assert [each.name for each in path.parent.glob("previous*")] == [aside(path, 3).name]


def test_what_lies_beside_is_found_by_its_whole_name_alone(small_graph: Graph, tmp_path: Path) -> None:
    path, longer = tmp_path / "a[1].safetensors", tmp_path / "b.a[1].safetensors"
    half_written = tmp_path / f".0123abcd.part.{path.name}"
    half_written.touch()
    for each in (path, longer):
        train_until(small_graph, SETTINGS, each, 1)
        each.rename(aside(each, 1))
    assert all_aside(path) == [aside(path, 1)]
    told: list[Epoch] = []
    train(small_graph, SETTINGS, seed=SEED, checkpoint=path, resume=True, on_epoch=told.append)
    assert told[0].number == 2
    assert [each.name for each in tmp_path.iterdir() if each != path] == [aside(longer, 1).name]


def test_only_checkpoints_of_others_are_none_to_resume(small_graph: Graph, path: Path) -> None:
    train_until(small_graph, SETTINGS, path, 2)
    path.rename(aside(path, 1))
    with pytest.raises(CheckpointError, match="no checkpoint of this training"):
        train(small_graph, SETTINGS.but(dropout=0.1), seed=SEED, checkpoint=path, resume=True)
    assert aside(path, 1).exists()


def test_starting_anew_forgets_what_was_put_aside_of_this_training_only(small_graph: Graph, path: Path) -> None:
    train_until(small_graph, SETTINGS, path, 2)
    train_until(small_graph, SETTINGS.but(dropout=0.1), path, 2)
    train_until(small_graph, SETTINGS.but(dropout=0.2), path, 2)
    with pytest.raises(MemoryPlanError):  # before anything is saved, nothing is lost
        train(small_graph, SETTINGS.but(memory_limit_gb=0.001), seed=SEED, checkpoint=path, resume=False)
    assert is_epoch(aside(path, 1), 2)
    assert is_epoch(aside(path, 3), 2)
    notes: list[str] = []
    train(small_graph, SETTINGS, seed=SEED, checkpoint=path, resume=False, on_note=notes.append)
    assert notes[0].startswith(f"Put aside in {path.parent}: {aside(path, 2).name}, {aside(path, 3).name}; ")
    assert sorted(each.name for each in path.parent.glob("previous*")) == [aside(path, n).name for n in (2, 3)]
    assert read_checkpoint(aside(path, 3)).identity.settings["dropout"] == 0.2


def is_epoch(path: Path, number: int) -> bool:
    return len(read_checkpoint(path).history) == number


def test_a_damaged_one_that_was_put_aside_is_no_hindrance_but_where_it_is_insisted_on(
    small_graph: Graph, path: Path
) -> None:
    train_until(small_graph, SETTINGS, path, 2)
    damage_one_bit(path)
    path.rename(aside(path, 1))
    train_until(small_graph, SETTINGS.but(dropout=0.1), path, 2)
    with pytest.raises(CheckpointError, match=r"dropout is 0\.1, not 0\.3"):
        train(small_graph, SETTINGS, seed=SEED, checkpoint=path, resume=True)
    assert is_epoch(path, 2)
    notes: list[str] = []
    assert len(train(small_graph, SETTINGS, seed=SEED, checkpoint=path, on_note=notes.append).history) == 6
    assert re.search(r"dropout is .*its numbers are not.* kept as previous\.2\..*from the beginning", notes[0])
    assert aside(path, 1).exists()
    assert read_checkpoint(aside(path, 2)).identity.settings["dropout"] == 0.1


def test_what_is_no_checkpoint_is_told_to_be_none(small_graph: Graph, path: Path) -> None:
    path.write_text("hello")
    notes: list[str] = []
    train(small_graph, SETTINGS.but(num_epochs=1), seed=SEED, checkpoint=path, on_note=notes.append)
    assert f"{aside(path, 1).name} (no whole checkpoint)" in notes[1]
    assert aside(path, 1).read_text() == "hello"


def test_what_a_checkpoint_says_of_itself_is_under_a_checksum_too(small_graph: Graph, path: Path) -> None:
    """A changed random state or history would go on, and end elsewhere."""
    train_until(small_graph, SETTINGS, path, 2)
    data = path.read_bytes()
    for what in (b'\\"state\\": ', b'\\"link\\": ', b'\\"seed\\": '):
        place = max(data.find(digit, data.index(what)) for digit in (b"1", b"2", b"3", b"4", b"5"))
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match="is not a whole checkpoint"):
            train(small_graph, SETTINGS, seed=SEED, checkpoint=path, resume=True)
    path.write_bytes(data)
    assert is_epoch(path, 2)


def test_starting_anew_can_be_asked_for(small_graph: Graph, path: Path) -> None:
    told: list[Epoch] = []
    train_until(small_graph, SETTINGS, path, 3)
    train(small_graph, SETTINGS, seed=SEED, checkpoint=path, resume=False, on_epoch=told.append)
    assert [epoch.number for epoch in told] == list(range(1, 7))


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_foreign(path: Path) -> None:
    path.write_text("drug,disease\n" * 100)


def damage_other_safetensors(path: Path) -> None:
    save_file({"a": torch.zeros(3)}, path)


def damage_version(path: Path) -> None:
    tensors = load_file(path)
    save_file(tensors, path, metadata={"checkpoint": json.dumps({"saved_as": "rxweave training 99"})})


def damage_one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_cut, "is not a whole checkpoint"),
        (damage_empty, "is not a whole checkpoint"),
        (damage_foreign, "is not a whole checkpoint"),
        (damage_other_safetensors, "it has no 'checkpoint'"),
        (damage_version, "it says it is 'rxweave training 99'"),
        (damage_one_bit, "its numbers are not those that were saved"),
        (Path.unlink, "There is no checkpoint at .*: nothing to resume"),
    ],
)
def test_what_is_no_checkpoint_is_refused(small_graph: Graph, path: Path, damage, message: str) -> None:
    settings = SETTINGS.but(num_epochs=1)
    train(small_graph, settings, seed=SEED, checkpoint=path)
    damage(path)
    with pytest.raises(CheckpointError, match=message):
        train(small_graph, settings, seed=SEED, checkpoint=path, resume=True)
    assert len(train(small_graph, settings, seed=SEED, checkpoint=path).history) == 1  # unless told to insist


def test_to_resume_without_a_place_is_refused(small_graph: Graph) -> None:
    with pytest.raises(CheckpointError, match="no place for a checkpoint"):
        train(small_graph, SETTINGS, seed=SEED, resume=True)


def test_nothing_in_it_is_pickled(small_graph: Graph, path: Path) -> None:
    train(small_graph, SETTINGS.but(num_epochs=1), seed=SEED, checkpoint=path)
    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["checkpoint"])
    assert told["identity"]["settings"]["num_epochs"] == 1
    assert told["numpy_random"]["bit_generator"] == "PCG64"


def test_a_full_disk_leaves_the_last_checkpoint_whole_and_training_goes_on(small_graph: Graph, path: Path) -> None:
    """The operating system itself refuses the bytes, half-way through the file: a limit on file sizes."""
    warnings: list[str] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(epoch: Epoch) -> None:
        limit = 20_000 if 3 <= epoch.number <= 5 else soft
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        if epoch.number == 5:
            assert len(read_checkpoint(path).history) == 2
            assert [file.name for file in path.parent.iterdir()] == [path.name]

    try:
        trained = train(small_graph, SETTINGS, seed=SEED, checkpoint=path, on_epoch=fill, on_warning=warnings.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    failed = [text for text in warnings if "could not be written" in text]
    assert [text.split(" could")[0] for text in failed] == [f"The checkpoint of epoch {n}" for n in (3, 4, 5)]
    assert "File too large" in failed[0]
    assert "Training goes on without" in failed[0]
    assert len(read_checkpoint(path).history) == 6
    assert_same(trained, train(small_graph, SETTINGS, seed=SEED))


def test_a_full_disk_is_told_as_the_system_tells_it(small_graph: Graph, path: Path, monkeypatch) -> None:
    """safetensors words errors of the system in its own way."""
    from safetensors import SafetensorError

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("rxweave.embed.checkpoint.save_file", full)
    warnings: list[str] = []
    train(small_graph, SETTINGS.but(num_epochs=1), seed=SEED, checkpoint=path, on_warning=warnings.append)
    assert os.strerror(28) in warnings[0]
    assert "MB are free there" in warnings[0]
    assert not path.exists()
