"""What a run tells while it works; the command line draws it, a script may log it."""

from __future__ import annotations

import logging

from rxweave.embed.history import Epoch
from rxweave.graph.build import Graph

_log = logging.getLogger("rxweave")


class Watch:
    """Told what a run is doing. This one keeps silent, but logs warnings; override what you want to see."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def training(self, graph: Graph) -> None:
        """Training on this graph begins."""

    def epoch(self, epoch: Epoch) -> None:
        """A training epoch is over."""

    def progress(self, what: str, share: float) -> None:
        """Part of a stage is done: what is being done now, and the share of the stage behind it, 0 to 1."""

    def note(self, text: str) -> None:
        """Something a reader should know, in a sentence."""

    def warning(self, text: str) -> None:
        """Something that may spoil the result, its likely causes, and what to change."""
        _log.warning(text)
