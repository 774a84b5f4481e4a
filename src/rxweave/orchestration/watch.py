"""What a step tells while it works, in Dagster's log; and Ctrl-C, or "terminate", which must reach the training."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rxweave.embed.history import Epoch
from rxweave.epoch_line import EpochLine
from rxweave.graph.build import Graph
from rxweave.watch import Watch

EVERY_SECONDS = 20.0
"""An epoch is told when it is due (see `EpochLine.is_due`) or so long after the last that was."""


class LogWatch(Watch):
    """Tells Dagster's log: warnings as warnings, and of epochs and progress what a reader can follow."""

    def __init__(self, log: logging.Logger, num_epochs: int = 1) -> None:
        self.log = log
        self.line = EpochLine(num_epochs)
        self.since = 0.0
        self.doing = ""

    def training(self, graph: Graph) -> None:
        self.line.begin(graph)
        self.log.info(
            f"Training on {graph.num_nodes:,} nodes and {graph.num_facts:,} facts, {self.line.num_epochs} epochs."
        )

    def epoch(self, epoch: Epoch) -> None:
        told, self.since = self.line.parts(epoch), self.since + epoch.seconds
        if epoch.number == 1 or self.line.is_due(epoch) or self.since >= EVERY_SECONDS:
            self.since = 0.0
            self.log.info(f"epoch {epoch.number}/{self.line.num_epochs}: {' · '.join(told)}")

    def progress(self, what: str, share: float) -> None:
        if what != self.doing:
            self.doing = what
            self.log.info(f"{what} ({share:.0%} done)")

    def note(self, text: str) -> None:
        self.log.info(text)

    def warning(self, text: str) -> None:
        self.log.warning(text)


@contextmanager
def own_ctrl_c() -> Iterator[None]:
    """Put Python's own answer to an interrupt back while the block runs.

    Dagster has one of its own, under which a training would be cut off without a checkpoint: `train` takes over only
    Python's (`embed/interruptions.py`). Nothing changes outside the main thread, where no handler may be set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
