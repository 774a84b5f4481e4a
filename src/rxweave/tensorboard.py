"""Training as TensorBoard shows it: one event file of scalars per epoch. Needs the extra `tensorboard`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rxweave.embed.history import Epoch
from rxweave.embed.place import this_place
from rxweave.errors import ConfigError
from rxweave.graph.build import Graph
from rxweave.watch import Watch


class TensorBoardWatch(Watch):
    """Writes every epoch's losses, ranks, rates, times and memory, and passes all on to another watch."""

    def __init__(self, writer_from: Callable[[int], Any], to: Watch) -> None:
        self.writer_from, self.to = writer_from, to
        self.writer: Any = None

    def epoch(self, epoch: Epoch) -> None:
        if self.writer is None:  # not before: what an earlier file holds of later epochs is then done again
            self.writer = self.writer_from(epoch.number)
        for name, value in scalars(epoch).items():
            self.writer.add_scalar(name, value, epoch.number)
        self.writer.flush()
        self.to.epoch(epoch)

    def stage(self, name: str) -> None:
        self.to.stage(name)

    def training(self, graph: Graph) -> None:
        self.to.training(graph)

    def progress(self, what: str, share: float) -> None:
        self.to.progress(what, share)

    def note(self, text: str) -> None:
        self.to.note(text)

    def warning(self, text: str) -> None:
        self.to.warning(text)


def scalars(epoch: Epoch) -> dict[str, float]:
    """Give what is written of an epoch, by the name TensorBoard groups it under; what was not measured is left out.

    Losses are in nats, seconds of wall time, memory in 10^9 bytes.
    """
    found: dict[str, float] = {f"loss/{name}": getattr(epoch, name) for name in _LOSSES}
    for measure in ("effective_rank", "rank_alarm", "mean_cosine", "duplicate_rate"):
        found |= {f"{measure}/{node_type}": value for node_type, value in getattr(epoch, measure).items()}
    found |= {
        "training/held_out_mrr": epoch.held_out,
        "training/learning_rate": epoch.learning_rate,
        "training/gradient_norm": epoch.gradient_norm,
        "training/seconds": epoch.seconds,
        "memory/held_gb": epoch.memory / 1e9,
        "memory/peak_gb": epoch.peak_memory / 1e9,
    }
    return {name: value for name, value in found.items() if not math.isnan(value)}


_LOSSES = ("link", "treatment", "contrastive", "total")


@contextmanager
def tensorboard(folder: Path | None, to: Watch) -> Iterator[Watch]:
    """Give a watch that also writes an event file into `folder`, closed at the end.

    Without a folder, and in ranks other than the first, which tell nothing, it is `to` itself. Raises ConfigError
    without the package tensorboard.
    """
    if folder is None or not this_place().first:
        yield to
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError(
            "--tensorboard needs the package tensorboard, which is not installed. "
            "Install it with `pip install 'rxweave[tensorboard]'`, or leave the option out: training.parquet holds the "
            "same numbers."
        ) from None
    watch = TensorBoardWatch(lambda first: SummaryWriter(str(folder), purge_step=first), to)
    try:
        yield watch
    finally:
        if watch.writer is not None:
            watch.writer.close()
