"""When a training is saved, what is found to resume, and what is said of both."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path

import torch

from rxweave.embed.checkpoint import (
    UNKNOWN_MADE,
    Checkpoint,
    CheckpointError,
    Identity,
    Made,
    all_aside,
    check_present,
    check_same_training,
    identity_in,
    put_aside,
    read_checkpoint,
    save_checkpoint,
)
from rxweave.embed.interruptions import is_out_of_memory
from rxweave.embed.ranks import Ranks
from rxweave.embed.state import TrainingState


@dataclass
class CheckpointKeeper:
    """Keeps the checkpoint of one training at `path`; without a path it keeps nothing."""

    path: Path | None
    identity: Identity
    every: int
    """Save after every so many epochs; 0: only when training ends early, and at its end."""
    made: Made = UNKNOWN_MADE
    """With what this training is made, once that is chosen."""
    saved_epoch: int = 0
    """The epoch of the checkpoint that lies at `path`; 0 before there is one."""
    outdated: list[Path] = field(default_factory=list)
    """Files that go when the first checkpoint of a training that was begun anew is saved."""
    writes: bool = True
    """Whether this process saves; of several ranks the first does, and the others only read."""

    def find(self, *, resume: bool | None, say: Callable[[str], None]) -> Checkpoint | None:
        """Give the checkpoint to go on from, if there is one.

        `resume` True: there must be one of this very training (else CheckpointError). None: it is used if there is.
        False: none is used, and those of this training go when its next one is saved. The checkpoint of another
        training is put aside, where it is found when that training is asked for again.
        """
        if self.path is None:
            if resume:
                raise CheckpointError("There is no place for a checkpoint, so none to resume.", "Give checkpoint=.")
            return None
        for part in self.path.parent.glob(f".*.part.{escape(self.path.name)}"):
            part.unlink(missing_ok=True)  # of a process that was killed while it saved
        mine = [each for each in all_aside(self.path) if self._is_mine(each)]
        checkpoint = None
        if resume is False:
            self.outdated = mine
            if identity_in(self.path) is not None and not self._is_mine(self.path):
                say(f"{self.path} is of another training; it is kept as {put_aside(self.path).name}.")
        else:
            checkpoint = self._take_up(self.path, mine, insist=bool(resume), say=say)
        _tell_kept([each for each in all_aside(self.path) if each not in self.outdated], say)
        if checkpoint is not None:
            self.saved_epoch = len(checkpoint.history)
            say(f"Training goes on after epoch {self.saved_epoch}, from {self.path} (--no-resume starts anew).")
        return checkpoint

    def _take_up(self, path: Path, mine: list[Path], *, insist: bool, say: Callable[[str], None]) -> Checkpoint | None:
        """Give the checkpoint of this training, at `path` by then; `mine` were put aside before."""
        checkpoint, problems = None, []
        for found in (path, *mine) if path.is_file() else mine:
            try:
                checkpoint = self._read(found)
            except CheckpointError as error:
                problems.append(error)
            else:
                if found == path:
                    return checkpoint
                break
        if checkpoint is None and insist:
            check_present(path)
            if problems:
                raise problems[0]
            raise CheckpointError(
                f"There is no checkpoint of this training at {path}.", "Leave --resume out to train from the start."
            )
        kept = [f"It is kept as {put_aside(path).name}."] if path.is_file() else []
        if checkpoint is not None:
            found.replace(path)
        if problems:
            anew = ["Training starts from the beginning."] if checkpoint is None else []
            say(" ".join([*(error.problem for error in problems), *kept, *anew]))
        return checkpoint

    def _is_mine(self, path: Path) -> bool:
        identity = identity_in(path)
        return identity is not None and not identity.differences(self.identity)

    def _read(self, path: Path) -> Checkpoint:
        checkpoint = read_checkpoint(path)
        check_same_training(checkpoint, self.identity, path)
        return checkpoint

    def save_if_due(self, state: TrainingState, warn: Callable[[str], None], *, at_end: bool) -> None:
        """Save in every so many epochs, and after the last; training goes on when that fails, and `warn` says so."""
        number = len(state.history)
        if self.path is None or not self.writes or number == self.saved_epoch:
            return
        if at_end or (self.every and number % self.every == 0):
            problem = self._write(self.path, state)
            if problem is not None:
                warn(f"{problem} Training goes on without.")

    def save(self, state: TrainingState) -> str:
        """Save now, if there is anything to save; give a sentence on what can be resumed."""
        if not self.writes:
            return ""
        if self.path is None:
            return "Nothing was saved: no place for checkpoints was given."
        problem = ""
        if state.whole and len(state.history) > self.saved_epoch:
            problem = self._write(self.path, state) or ""
        if self.saved_epoch == 0:
            return f"{problem} No epoch has been saved.".strip()
        return f"{problem} The same command goes on after epoch {self.saved_epoch}, from {self.path}.".strip()

    def _write(self, path: Path, state: TrainingState) -> str | None:
        """Save, or say why not."""
        if not all(bool(torch.isfinite(parameter).all()) for parameter in state.weights().values()):
            return f"No checkpoint of epoch {len(state.history)}: its weights are not finite."
        try:
            save_checkpoint(path, self.identity, state, self.made)
        except (OSError, MemoryError, RuntimeError) as error:
            if not isinstance(error, OSError) and not is_out_of_memory(error):
                raise
            why = (error.strerror or str(error)) + _free_space(path) if isinstance(error, OSError) else "no memory left"
            return f"The checkpoint of epoch {len(state.history)} could not be written to {path}: {why}."
        self.saved_epoch = len(state.history)
        while self.outdated:
            self.outdated.pop().unlink(missing_ok=True)
        return None


def find_on_all(
    keeper: CheckpointKeeper, ranks: Ranks, *, resume: bool | None, say: Callable[[str], None]
) -> Checkpoint | None:
    """Give the checkpoint that the first rank goes on from, read by every rank; CheckpointError where it is not found.

    The first rank looks before the others, since it may put a file aside.
    """
    saved = keeper.find(resume=resume, say=say) if ranks.place.first else None
    epoch = ranks.decided(0 if saved is None else len(saved.history))
    if epoch and not ranks.place.first:
        saved = keeper.find(resume=True, say=say)
        if keeper.saved_epoch != epoch:
            raise CheckpointError(
                f"{keeper.path} is of epoch {keeper.saved_epoch} for {ranks.place} and of epoch {epoch} for the first.",
                "All ranks must see the same files: share the folder between the machines.",
            )
    return saved


def _tell_kept(others: list[Path], say: Callable[[str], None]) -> None:
    if others:
        listed = (each.name if identity_in(each) else f"{each.name} (no whole checkpoint)" for each in others)
        size = sum(each.stat().st_size for each in others)
        say(
            f"Put aside in {others[0].parent}: {', '.join(listed)}; {size / 1e6:,.1f} MB. A stopped training goes on "
            "from there when it is asked for again; delete what you no longer want."
        )


def _free_space(path: Path) -> str:
    """How much room there is, since it is mostly that."""
    try:
        return f" ({shutil.disk_usage(path.parent).free / 1e6:,.0f} MB are free there)"
    except OSError:
        return ""
