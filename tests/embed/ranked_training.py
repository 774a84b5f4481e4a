"""One rank of a training, as a process of its own: `python ranked_training.py FOLDER SCENARIO …`.

Each scenario is a function of the rank and a folder. What came of it is written to `FOLDER/SCENARIO.RANK.json`, and its
vectors beside it as `.npy`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from small_training import SEED, SETTINGS, small_graph

from rxweave.embed import objective
from rxweave.embed import train as training
from rxweave.embed.held_out import HeldOut
from rxweave.embed.history import Epoch
from rxweave.embed.place import this_place
from rxweave.embed.train import Trained, train
from rxweave.graph.split import random_split, training_graph

SHARED = {
    "plain": SETTINGS,
    "learned": SETTINGS.but(features="learned", num_epochs=3),
    "many_steps": SETTINGS.but(accumulation_steps=3, edge_sample_size=20, steps_per_epoch=2, num_epochs=3),
    "sampled": SETTINGS.but(batching="sampled", num_neighbours=3, batch_facts=200, accumulation_steps=3, num_epochs=3),
}
"""Trainings that any number of processes should end alike."""
Told = list[str]


def stopped_and_resumed(rank: int, folder: Path, notes: Told) -> Trained:
    """Ctrl-C reaches one rank only, in the third epoch; then all go on."""
    checkpoint, settings = folder / "stopped.safetensors", SETTINGS.but(checkpoint_every=0)
    draw = objective.contrastive_loss

    def press(*arguments: object, **named: object) -> torch.Tensor:
        if rank == 1 and len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        seen.append(rank)
        return draw(*arguments, **named)

    seen: list[int] = []
    try:
        with mock.patch.object(objective, "contrastive_loss", press):
            train(small_graph(), settings, seed=SEED, checkpoint=checkpoint, on_note=notes.append)
    except KeyboardInterrupt:
        notes.append(f"stopped after {len(seen)} steps")
    return train(small_graph(), settings, seed=SEED, checkpoint=checkpoint, resume=None, on_note=notes.append)


def stopped_early(rank: int, folder: Path, notes: Told) -> Trained:
    """By held-out treatments, whose score falls from the second epoch on."""
    split = random_split(small_graph(), seed=0)
    with (
        mock.patch.object(training, "is_due", return_value=True),
        mock.patch.object(training, "held_out_mrr", side_effect=[0.5, 0.9, 0.4, 0.3, 0.2, 0.1]),
    ):
        return train(
            training_graph(small_graph(), split),
            SETTINGS.but(early_stopping=2),
            seed=SEED,
            held_out=HeldOut(split.valid, split.known),
            on_note=notes.append,
        )


def out_of_memory(rank: int, folder: Path, notes: Told) -> Trained:
    """On one rank, in its fourth step."""
    score, seen = objective.add_link_gradient, []

    def fail(*arguments: object) -> object:
        seen.append(rank)
        if rank == 1 and len(seen) > 3 * len(small_graph().relations):
            raise MemoryError
        return score(*arguments)

    with mock.patch.object(objective, "add_link_gradient", fail):
        return train(small_graph(), SETTINGS.but(checkpoint_every=0), seed=SEED, checkpoint=folder / "oom.safetensors")


def not_finite(rank: int, folder: Path, notes: Told) -> Trained:
    """A loss that is NaN on one rank only."""
    score = objective.add_link_gradient

    def spoil(*arguments: object) -> object:
        loss, gradient = score(*arguments)
        return (float("nan") if rank == 1 else loss), gradient

    with mock.patch.object(objective, "add_link_gradient", spoil):
        return train(small_graph(), SETTINGS, seed=SEED)


def exploding(rank: int, folder: Path, notes: Told) -> Trained:
    """What is not finite on every rank."""
    return train(small_graph(), SETTINGS.but(learning_rate=1e30, steps_per_epoch=2), seed=SEED)


def collapsing(rank: int, folder: Path, notes: Told) -> Trained:
    settings = SETTINGS.but(features="constant", on_collapse="stop" if rank == 0 else "warn", num_layers=1)
    return train(small_graph(), settings, seed=SEED)


def failing_watch(rank: int, folder: Path, notes: Told) -> Trained:
    """A bug in what the first rank does beside training."""

    def fail(epoch: Epoch) -> None:
        raise LookupError("nobody watches")

    return train(small_graph(), SETTINGS, seed=SEED, on_epoch=fail)


def other_settings(rank: int, folder: Path, notes: Told) -> Trained:
    return train(small_graph(), SETTINGS.but(dropout=0.1 * (1 + rank)), seed=SEED + rank)


def other_checkpoint(rank: int, folder: Path, notes: Told) -> Trained:
    """Folders that are not shared: only the first rank finds something to resume."""
    place = folder / f"of_rank_{rank}"
    if rank == 0:
        with mock.patch.dict(os.environ, WORLD_SIZE="1"):
            try:
                train(small_graph(), SETTINGS, seed=SEED, checkpoint=place, on_epoch=_stop)
            except InterruptedError:
                notes.append(str(place.exists()))
    return train(small_graph(), SETTINGS, seed=SEED, checkpoint=place)


def _stop(epoch: Epoch) -> None:
    if epoch.number == 3:
        raise InterruptedError


def dying(rank: int, folder: Path, notes: Told) -> Trained:
    """The first rank is killed in the middle of its training; nothing can come after it."""

    def die(epoch: Epoch) -> None:
        if epoch.number == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    return train(small_graph(), SETTINGS, seed=SEED, on_epoch=die)


def shared(name: str) -> Callable[[int, Path, Told], Trained]:
    return lambda rank, folder, notes: train(small_graph(), SHARED[name], seed=SEED, on_note=notes.append)


SCENARIOS: dict[str, Callable[[int, Path, Told], Trained]] = {name: shared(name) for name in SHARED} | {
    each.__name__: each
    for each in (
        stopped_and_resumed,
        stopped_early,
        out_of_memory,
        not_finite,
        exploding,
        collapsing,
        failing_watch,
        other_settings,
        other_checkpoint,
        dying,
    )
}


def play(name: str, folder: Path) -> None:
    rank, notes = this_place().rank, []
    outcome: dict[str, object] = {"notes": notes}
    try:
        trained = SCENARIOS[name](rank, folder, notes)
        np.save(folder / f"{name}.{rank}.npy", trained.vectors)
        outcome["losses"] = [[epoch.link, epoch.treatment, epoch.contrastive] for epoch in trained.history]
    except Exception as error:
        outcome |= {"error": type(error).__name__, "told": str(error)}
    (folder / f"{name}.{rank}.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for scenario in sys.argv[2:]:
        play(scenario, Path(sys.argv[1]))
