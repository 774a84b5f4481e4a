"""How far a clustering can be believed: is it found again in other samples of the nodes?

For each resolution, pairs of samples of the nodes are clustered, each sample with its own neighbours and seed, and the
two clusterings compared on the nodes in both by the adjusted Rand index (Hubert & Arabie 1985; 1 for the same, about 0
for unrelated ones). Stability of subsamples as a criterion: Ben-Hur, Elisseeff & Guyon 2002.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from sklearn.metrics import adjusted_rand_score

from rxweave.cluster.leiden import communities, without_small
from rxweave.cluster.neighbours import nearest, neighbour_graph
from rxweave.config import ClusterSettings

STABLE, DISSOLVED = 0.75, 0.5
"""Mean Jaccard overlaps from which a cluster is stable, and up to which it has dissolved (Hennig 2007)."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class AtResolution:
    """What clustering at one resolution is worth."""

    resolution: float
    num_clusters: int
    """Of all nodes, with as many members as a cluster must have."""
    stability: float
    """Mean adjusted Rand index of pairs of samples, −0.5 to 1."""
    standard_error: float
    """Of that mean, over the pairs."""


@dataclass(frozen=True, eq=False)
class Stability:
    """The resolutions that were tried, the one that was taken, and what structureless vectors would give there."""

    tried: tuple[AtResolution, ...]
    chosen: AtResolution
    control: float
    """Mean adjusted Rand index when every dimension is shuffled among the nodes: each keeps its values, and
    nothing is left of how they go together."""
    control_error: float
    per_cluster: Float[np.ndarray, " clusters"]
    """Of each cluster, the mean over the samples of its largest Jaccard overlap with a cluster of the sample, 0 to 1
    (Hennig 2007)."""

    @property
    def above_control(self) -> bool:
        """Whether the clusters are found again more often than those of shuffled vectors, by two standard errors."""
        apart = self.chosen.stability - self.control
        return bool(apart > 2 * np.hypot(self.chosen.standard_error, self.control_error))


def told(overlap: float) -> str:
    """Give the word for a cluster's own stability."""
    return "stable" if overlap >= STABLE else "doubtful" if overlap > DISSOLVED else "unstable"


def find_clusters(
    unit: Float32[np.ndarray, "nodes dim"],
    settings: ClusterSettings,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> tuple[Int[np.ndarray, " nodes"], Stability]:
    """Give each node's cluster at the resolution that was chosen, −1 for none, and what is known of its stability.

    Chosen is, among the resolutions that give two clusters or more, the finest whose stability is within
    `settings.tolerance` of the best one's; a resolution given in the settings is taken as it is.
    """
    found = nearest(unit, settings.neighbours)
    whole = neighbour_graph(found, settings.neighbours)
    seed = int(rng.integers(2**31))
    samples = [rng.random(len(unit)) < settings.share for _ in range(2 * settings.pairs)]
    graphs = [neighbour_graph(found, settings.neighbours, kept) for kept in samples]
    seeds = rng.integers(2**31, size=len(samples)).tolist()
    grid = settings.resolutions if settings.resolution is None else (settings.resolution,)
    tried, labels, again = [], [], []
    for number, resolution in enumerate(grid):
        if progress:
            progress("finding clusters", number / (len(grid) + 1))
        labels.append(without_small(communities(whole, resolution, seed), settings.smallest))
        again.append([communities(each, resolution, own) for each, own in zip(graphs, seeds, strict=True)])
        mean, error = _mean_agreement(samples, again[-1])
        tried.append(AtResolution(resolution, int(labels[-1].max()) + 1, mean, error))
    best = _choose(tried, settings.tolerance)
    if progress:
        progress("shuffled vectors", len(grid) / (len(grid) + 1))
    control, control_error = _control(unit, samples, seeds, tried[best].resolution, settings.neighbours, rng)
    overlaps = _overlaps(labels[best], samples, again[best])
    return labels[best], Stability(tuple(tried), tried[best], control, control_error, overlaps)


def _choose(tried: list[AtResolution], tolerance: float) -> int:
    several = [number for number, each in enumerate(tried) if each.num_clusters > 1]
    if not several:
        return max(range(len(tried)), key=lambda number: (tried[number].num_clusters, -number))
    highest = max(tried[number].stability for number in several)
    near = [number for number in several if tried[number].stability >= highest - tolerance]
    return max(near, key=lambda number: tried[number].resolution)


def _mean_agreement(
    samples: list[Bool[np.ndarray, " nodes"]], again: list[Int[np.ndarray, " _"]]
) -> tuple[float, float]:
    """Give the mean adjusted Rand index over pairs of samples, first with second and so on, and its error."""
    found = []
    for i in range(0, len(samples), 2):
        one, other = (_spread(samples[j], again[j]) for j in (i, i + 1))
        both = samples[i] & samples[i + 1]
        found.append(adjusted_rand_score(one[both], other[both]))
    return float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(len(found)))


def _control(
    unit: Float32[np.ndarray, "nodes dim"],
    samples: list[Bool[np.ndarray, " nodes"]],
    seeds: list[int],
    resolution: float,
    k: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    shuffled = rng.permuted(unit, axis=0)
    shuffled /= np.maximum(np.linalg.norm(shuffled, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    found = nearest(shuffled, k)
    graphs = (neighbour_graph(found, k, kept) for kept in samples)
    again = [communities(each, resolution, own) for each, own in zip(graphs, seeds, strict=True)]
    return _mean_agreement(samples, again)


def _overlaps(
    labels: Int[np.ndarray, " nodes"], samples: list[Bool[np.ndarray, " nodes"]], again: list[Int[np.ndarray, " _"]]
) -> Float[np.ndarray, " clusters"]:
    num = int(labels.max()) + 1
    total, times = np.zeros(num), np.zeros(num)
    for kept, theirs in zip(samples, again, strict=True):
        both = np.zeros((num + 1, int(theirs.max()) + 1))  # the last row is of the nodes in no cluster
        np.add.at(both, (labels[kept], theirs), 1)
        reached, both = both.sum(axis=0), both[:num]
        size = both.sum(axis=1)
        there = size > 0  # a small cluster may be left out by a sample as a whole
        union = size[:, None] + reached - both
        total[there] += (both / np.maximum(union, 1)).max(axis=1)[there]
        times += there
    return np.asarray(total / np.maximum(times, 1))


def _spread(kept: Bool[np.ndarray, " nodes"], labels: Int[np.ndarray, " _"]) -> Int[np.ndarray, " nodes"]:
    spread = np.full(len(kept), -1)
    spread[kept] = labels
    return spread
