"""A training in one line per epoch: losses, effective ranks, held-out rank, pace, time left and memory."""

from __future__ import annotations

import math
from collections import deque

from rxweave.embed.history import UNKNOWN, Epoch
from rxweave.graph.build import Graph
from rxweave.kg.tables import Roles
from rxweave.terminal import clean


class EpochLine:
    """Follows a training of `num_epochs` epochs; what was measured last is told until it is measured again."""

    def __init__(self, num_epochs: int) -> None:
        self.num_epochs = num_epochs
        self.roles: Roles | None = None
        self.measured: Epoch | None = None
        self.held_out = UNKNOWN
        self.seconds: deque[float] = deque(maxlen=10)

    def begin(self, graph: Graph) -> None:
        """Forget an earlier training: one on this graph begins."""
        self.roles, self.measured, self.held_out = graph.roles, None, UNKNOWN
        self.seconds.clear()

    def parts(self, epoch: Epoch) -> list[str]:
        """Give what there is to tell of an epoch, in the order of its importance."""
        self.measured = epoch if epoch.effective_rank else self.measured
        self.held_out = self.held_out if math.isnan(epoch.held_out) else epoch.held_out
        self.seconds.append(epoch.seconds)
        losses = f"link {epoch.link:.3f} contr {epoch.contrastive:.3f} total {epoch.total:.3f}"
        return [losses, *self._measures(), *self._held_out(), self._costs(epoch)]

    def is_due(self, epoch: Epoch) -> bool:
        """Say whether to tell of an epoch where each takes a line: every tenth of them, the last, and the measured."""
        every = max(1, self.num_epochs // 10)
        return epoch.number % every == 0 or epoch.number == self.num_epochs or self.measured is epoch

    def _measures(self) -> list[str]:
        """What was last measured of drugs and diseases; of neither, of the type with the lowest effective rank."""
        if self.measured is None:
            return []
        ranks, cosines, twins = (
            self.measured.effective_rank,
            self.measured.mean_cosine,
            self.measured.duplicate_rate,
        )
        roles = () if self.roles is None else (self.roles.drug, self.roles.disease)
        shown = [name for name in roles if name in ranks] or [min(ranks, key=ranks.__getitem__)]
        told = ["effective rank " + ", ".join(f"{clean(name)} {ranks[name]:.0f}" for name in shown)]
        if all(name in cosines and name in twins for name in shown):
            told.append("cosine " + ", ".join(f"{cosines[name]:.2f}" for name in shown))
            told.append("twins " + ", ".join(f"{twins[name]:.1%}" for name in shown))
        return told

    def _held_out(self) -> list[str]:
        return [] if math.isnan(self.held_out) else [f"held-out MRR {self.held_out:.3f}"]

    def _costs(self, epoch: Epoch) -> str:
        """Seconds per epoch and time left, by the last ten epochs, and the most memory held."""
        pace = sum(self.seconds) / len(self.seconds)
        told = [f"{pace:.1f} s/epoch", f"{_duration(pace * (self.num_epochs - epoch.number))} left"]
        return " · ".join(told + ([f"peak {epoch.peak_memory / 1e9:.1f} GB"] if epoch.peak_memory else []))


def _duration(seconds: float) -> str:
    """`45 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
