"""Several processes that train one model: each scores its share of the facts, and gradients are summed over all.

Every rank runs the same encoder on the whole graph and draws the same random numbers; it back-propagates the loss of
its own share. The sum of the gradients is the gradient of one process, and the same bits on every rank, so weights
never part.

Ranks meet at the calls of `Ranks`, all of them in the same order. Each meeting begins with the question whether a rank
has failed meanwhile, so that none waits for one that will not come.
"""

from __future__ import annotations

import atexit
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from rxweave.embed.checkpoint import Identity
from rxweave.embed.place import ALONE, Place, this_place
from rxweave.errors import ConfigError, TrainingError

PATIENCE = timedelta(minutes=10)
"""How long a rank waits for the others at a meeting: they do the same work, but one may read or write files first."""
_NOISE = re.compile(r"^\[\S+\] |\. .*")
"""Around what torch says of a lost connection: a place in its sources, and advice."""

_Decision = TypeVar("_Decision")


class RankError(TrainingError):
    """Another rank has failed, or cannot be reached any more; what this rank has done is whole."""


@dataclass
class Ranks:
    """The ranks of a training, and this one's place; alone, every call gives back what it was given."""

    place: Place = ALONE
    lost: bool = field(default=False, init=False)
    """Whether a rank has gone without a word: there will be no more meetings."""

    def sum(self, values: Sequence[float]) -> list[float]:
        """Give the sums over ranks of some numbers."""
        if self.place.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        self._meet(total)
        found: list[float] = total.tolist()
        return found

    def any(self, told: bool) -> bool:  # noqa: FBT001  # a question like Python's own
        """Whether it is so on any rank."""
        return self.sum([float(told)])[0] > 0

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by its sum over ranks: the same bits on each; a rank without one adds nothing."""
        if self.place.size == 1:
            return
        parameters = list(parameters)
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        total = torch.cat([gradient.flatten() for gradient in found])
        self._meet(total)
        parts = torch.split(total, [p.numel() for p in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Fill tensors with the first rank's numbers: other processors may compute other last bits."""
        if self.place.size == 1:
            return
        self._meet()
        for tensor in tensors:
            with self._in_touch():
                dist.broadcast(tensor.detach(), src=0)

    def decided(self, decision: _Decision) -> _Decision:
        """Give what the first rank has decided."""
        if self.place.size == 1:
            return decision
        self._meet()
        shared = [decision]
        with self._in_touch():
            dist.broadcast_object_list(shared, src=0)
        return shared[0]

    def first_does(self, act: Callable[[], str]) -> str:
        """Let the first rank do something while the others wait, and give what it says; "" on the others."""
        told = act() if self.place.first else ""
        if self.place.size > 1 and not self.lost:
            self._meet()
        return told

    def check_same(self, identity: Identity, device: torch.device) -> None:
        """Raise ConfigError, on every rank, if one was given other data, settings or another kind of device."""
        if self.place.size == 1:
            return
        self._meet()
        mine = replace(identity, settings={**identity.settings, "device": device.type})
        everyone = [mine] * self.place.size
        with self._in_touch():
            dist.all_gather_object(everyone, mine)
        for rank, other in enumerate(everyone):
            differing = other.differences(everyone[0])
            if differing:
                raise ConfigError(
                    f"Rank {rank} was started with other data or settings than rank 0: on it {'; '.join(differing)}. "
                    "Start all ranks with one command, on the same files."
                )

    def _meet(self, total: Tensor | None = None, *, failed: bool = False) -> None:
        """Wait for all ranks, and sum `total` over them unless one has failed; RankError, naming it, if one has."""
        failures = torch.zeros(self.place.size)
        failures[self.place.rank] = float(failed)
        with self._in_touch():
            dist.all_reduce(failures)
        if failures.any():
            first = int(failures.nonzero()[0])
            if not failed or first < self.place.rank:
                raise RankError(f"Stopped, since rank {first} of {self.place.size} has failed; its message says why.")
        elif total is not None:
            with self._in_touch():
                dist.all_reduce(total)

    @contextlib.contextmanager
    def _in_touch(self) -> Iterator[None]:
        """Turn what torch says when a rank has gone into a RankError."""
        try:
            yield
        except RuntimeError as error:
            self.lost = True
            reason = _NOISE.sub("", str(error).splitlines()[0])
            raise RankError(
                f"{str(self.place).capitalize()} cannot reach the others ({reason}): one was stopped, or has not "
                f"answered for {PATIENCE.total_seconds() / 60:g} minutes. Its own message, if there is one, says why."
            ) from None


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that torchrun started with this one while the block runs; alone, nothing is set up.

    An error that a rank leaves the block with ends it on every other rank too, with RankError, and none goes before
    all have come to their ends: torchrun kills what is left when one is gone.
    """
    ranks = Ranks(this_place())
    if ranks.place.size == 1:
        yield ranks
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        with ranks._in_touch():
            dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        # Not at the end of a training: a second group would meet at the addresses that the first has left.
        atexit.register(dist.destroy_process_group)
    try:
        yield ranks
        ranks._meet()
    except RankError:
        _part(ranks)
        raise
    except Exception:
        if not ranks.lost:
            try:
                ranks._meet(failed=True)
            finally:
                _part(ranks)
        raise


def _part(ranks: Ranks) -> None:
    """After a failure that all know of: wait until the first rank has saved what there is to save."""
    if not ranks.lost:
        with contextlib.suppress(RuntimeError):
            dist.barrier()
