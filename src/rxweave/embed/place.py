"""Which of the processes that train together this one is, as torchrun tells it; light to import."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rxweave.errors import ConfigError

_TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables that torchrun sets for each process it starts."""


@dataclass(frozen=True)
class Place:
    """The rank of a process, 0, 1, …, and how many there are; `local_rank` counts those of its own machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the rank that tells, validates, ranks and writes files."""
        return self.rank == 0

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.size}"


ALONE = Place()


def told_rank() -> str:
    """Give ` (rank 1)` to stand in messages of one of several processes; "" alone."""
    return "" if os.environ.get("WORLD_SIZE", "1") == "1" else f" (rank {os.environ.get('RANK', 'unknown')})"


def this_place() -> Place:
    """Give the place of this process: alone, unless WORLD_SIZE is above 1.

    Raises ConfigError where several processes were started, but not all that torchrun tells them is there.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return ALONE
    told = {name: os.environ.get(name, "") for name in _TOLD}
    numbers = [int(text) for text in (told["RANK"], told["WORLD_SIZE"], told["LOCAL_RANK"]) if text.isdecimal()]
    if not all(told.values()) or len(numbers) < 3 or numbers[0] >= numbers[1]:
        raise ConfigError(
            f"WORLD_SIZE is {told['WORLD_SIZE']!r}, so several processes are to train together, but what each must be "
            f"told is {', '.join(f'{name}={value!r}' for name, value in told.items())}. Start them with `torchrun "
            "--nproc-per-node N -m rxweave …`, which sets all of these, or unset WORLD_SIZE to train in one process."
        )
    return Place(*numbers)
