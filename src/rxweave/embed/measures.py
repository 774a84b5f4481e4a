"""How the embeddings of each node type fare while they are trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32

from rxweave.embed.likeness import has_twin, mean_cosine
from rxweave.embed.spectrum import effective_rank
from rxweave.graph.build import Graph

MOST_NODES = 2000
MEASUREMENTS = 10
"""Measured about this many times in a training."""
FEWEST_JUDGED = 10
SMALL_LIMIT, LARGE_LIMIT = 136, 512
SMALL_ALARM, LARGE_ALARM = 0.20, 0.12
"""Effective rank as a share of min(nodes − 1, dimensions), where that is at most 136 and at least 512. Collapsed runs
on Hetionet had .13 to .16 and .08 to .14, good ones .29 to .48 and .17 to .30; `validate.gates` judges by the same."""


@dataclass(frozen=True)
class TypeMeasures:
    """Measures by node type, on at most 2,000 nodes of each; types without any fact are left out."""

    effective_rank: dict[str, float] = field(default_factory=dict)
    mean_cosine: dict[str, float] = field(default_factory=dict)
    duplicate_rate: dict[str, float] = field(default_factory=dict)
    rank_alarm: dict[str, float] = field(default_factory=dict)
    """The effective rank below which a type is collapsing; types of fewer than 10 nodes have none."""


def is_due(number: int, num_epochs: int, every: int | None = None) -> bool:
    """Whether the types are measured after this epoch: `every` so many (unset: a tenth of all), and at the end."""
    return number == num_epochs or number % (every or max(1, num_epochs // MEASUREMENTS)) == 0


def measure_types(
    graph: Graph,
    vectors: Float32[np.ndarray, "nodes dim"],
    active: Bool[np.ndarray, " nodes"],
) -> TypeMeasures:
    """Measure each node type on those of its drawn nodes that are `active`: that have facts.

    The draw is always the same: curves do not jump with it, and measuring does not disturb the training.
    """
    found, rng = TypeMeasures(), np.random.default_rng(0)
    for node_type in graph.node_types:
        rows = graph.rows_of(node_type)
        size = rows.stop - rows.start
        drawn = rows.start + rng.choice(size, min(size, MOST_NODES), replace=False)
        sample = vectors[drawn[active[drawn]]]
        if len(sample):
            found.effective_rank[node_type] = effective_rank(sample)
            found.mean_cosine[node_type] = mean_cosine(sample)
            found.duplicate_rate[node_type] = float(has_twin(sample).mean())
        if len(sample) >= FEWEST_JUDGED:
            found.rank_alarm[node_type] = rank_alarm(min(len(sample) - 1, vectors.shape[1]))
    return found


def rank_alarm(limit: int) -> float:
    """Give the effective rank below which embeddings that could reach `limit` are collapsing."""
    place = math.log(max(limit, 1) / SMALL_LIMIT) / math.log(LARGE_LIMIT / SMALL_LIMIT)
    return limit * (SMALL_ALARM + min(max(place, 0.0), 1.0) * (LARGE_ALARM - SMALL_ALARM))
