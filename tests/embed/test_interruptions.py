"""Ctrl-C: the epoch is finished, the state saved, and training goes on later as if nothing had been."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_training import SEED, SETTINGS

from rxweave.embed.checkpoint import read_checkpoint
from rxweave.embed.history import Epoch
from rxweave.embed.interruptions import deferred_ctrl_c
from rxweave.embed.train import train
from rxweave.graph.build import Graph


@pytest.fixture(autouse=True)
def _python_handles_ctrl_c() -> Iterator[None]:
    """As in a terminal: a process in the background of a shell starts with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_finishes_the_epoch_and_saves_it(
    small_graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pressed in the middle of the third epoch, when no checkpoint is due."""
    path, settings, notes = tmp_path / "c.safetensors", SETTINGS.but(checkpoint_every=0), []
    drawn = []

    def draw_and_press(*arguments: object) -> object:
        drawn.append(arguments)
        if len(drawn) == 3:
            press()
        return original(*arguments)

    from rxweave.embed import step

    original = step.dropout
    monkeypatch.setattr(step, "dropout", draw_and_press)
    with pytest.raises(KeyboardInterrupt):
        train(small_graph, settings, seed=SEED, checkpoint=path, on_note=notes.append)
    monkeypatch.undo()
    assert notes[-2] == "Ctrl-C: stopping after this epoch. Press it again to stop at once."
    assert notes[-1].startswith("Stopped after epoch 3 of 6. The same command goes on after epoch 3")
    assert len(read_checkpoint(path).history) == 3
    resumed = train(small_graph, settings, seed=SEED, checkpoint=path, resume=True)
    np.testing.assert_array_equal(resumed.vectors, train(small_graph, settings, seed=SEED).vectors)


def test_ctrl_c_without_a_checkpoint_says_that_nothing_is_kept(small_graph: Graph) -> None:
    notes: list[str] = []

    def stop(epoch: Epoch) -> None:
        press()

    with pytest.raises(KeyboardInterrupt):
        train(small_graph, SETTINGS, seed=SEED, on_epoch=stop, on_note=notes.append)
    assert "Stopped after epoch 1 of 6. Nothing was saved" in notes[-1]


def test_a_second_ctrl_c_stops_at_once() -> None:
    told: list[str] = []
    with deferred_ctrl_c(told.append) as asked:
        assert not asked()
        press()
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            press()
    assert len(told) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_heard_in_the_middle_of_a_print() -> None:
    """A print that is under way cannot be entered again; the wish is noted all the same."""

    def cannot(text: str) -> None:
        raise RuntimeError("reentrant call inside a buffered writer")

    with deferred_ctrl_c(cannot) as asked:
        press()
        assert asked()


def test_a_program_that_handles_ctrl_c_itself_keeps_doing_so() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    with deferred_ctrl_c(lambda text: None) as asked:
        press()
        assert not asked()
    assert heard == [signal.SIGINT]


def test_training_works_outside_the_main_thread(small_graph: Graph) -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(train(small_graph, SETTINGS.but(num_epochs=1), seed=SEED)))
    thread.start()
    thread.join()
    assert len(found[0].history) == 1
