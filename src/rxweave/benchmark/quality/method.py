"""What a method is: training graph, split, seed and context in; a score for every drug–disease pair out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from rxweave.benchmark.quality.settings import BaselineSettings
from rxweave.benchmark.quality.vectors import Vectors
from rxweave.config import RunSettings
from rxweave.graph.build import Graph
from rxweave.graph.split import Split

Scores = Float32[np.ndarray, "drugs diseases"]
Kind = Literal["hgt", "hgt-constant"]
"""Which of our embeddings a method uses; methods that use the same share one training per seed."""


@dataclass(frozen=True)
class Context:
    """What a method may use beside the training graph and its split."""

    settings: RunSettings
    peers: BaselineSettings
    vectors: Vectors | None
    """The embeddings that the method `needs`, trained on this very training graph."""
    threads: int
    tell: Callable[[str], None]


@dataclass(frozen=True)
class Method:
    """A method of the table."""

    name: str
    about: str
    """What it is, in a sentence."""
    score: Callable[[Graph, Split, int, Context], Scores]
    needs: Kind | None = None
    decided_by: tuple[str, ...] = ()
    """Stages of the settings (`rank`, `logistic`, …) that its scores depend on."""
    package: str | None = None
    """What must be installed for it, if that is not rxweave itself."""
    extra: str = field(default="")
    """The extra of rxweave that brings the package."""

    def settings(self, settings: RunSettings, peers: BaselineSettings) -> dict[str, Any]:
        """Give the settings that its scores depend on, as plain values; threads are none of them."""
        told: dict[str, Any] = {}
        for stage in self.decided_by:
            found = getattr(settings if stage in type(settings).model_fields else peers, stage)
            told[stage] = found.model_dump(mode="json", exclude={"threads"})
        return told
