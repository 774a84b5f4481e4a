"""Who is near whom: hubs that are near everybody, and whether the near ones are of one's own type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from rxweave.embed.likeness import row_lengths
from rxweave.validate.geometry import UNDEFINED, Interval
from rxweave.validate.intervals import FEWEST, bootstrap_mean, half_samples

NEIGHBOURS = 10
PURITY_QUERIES = 500
"""Nodes of each type whose neighbours are looked at for purity; the neighbours are sought among all measured ones."""
BLOCK = 512


@dataclass(frozen=True)
class Neighbours:
    """The 10 nearest neighbours by cosine among the measured nodes of one type (fewer, of a small type).

    N_k of a node counts how often it is a neighbour of others; its mean is k, whatever the vectors.
    """

    hubness: float
    """Skewness of N_k (Radovanović, Nanopoulos & Ivanović 2010): near 0 without hubs; above 1.4 is called high.
    It sees nodes that are near everyone; it cannot see collapse, where all are equally near. −1 or so to √n."""
    hubness_interval: Interval
    anti_hub_share: float
    """Share of nodes that are nobody's neighbour (Radovanović et al. 2010), 0 to 1: no search finds them."""
    largest_hub: float
    """The largest N_k as a share of the nodes, 0 to 1: one node that comes up in so many lists."""
    occurrences: Int[np.ndarray, " directed"]
    """N_k of each node with a direction."""


def measure_neighbours(vectors: Float32[np.ndarray, "nodes dim"], rng: np.random.Generator) -> Neighbours:
    """Measure hubs among the vectors that have a direction; NaN for fewer than 3 of them."""
    unit = _unit(vectors)
    unit = unit[unit.any(axis=1)]
    num = len(unit)
    if num < FEWEST:
        return Neighbours(UNDEFINED, (UNDEFINED, UNDEFINED), UNDEFINED, UNDEFINED, np.zeros(num, np.int64))
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)

    def hubness_of(half: Int[np.ndarray, " half"]) -> Float[np.ndarray, " measures"]:
        return np.array([skewness(_occurrences(cosine[np.ix_(half, half)]))])

    occurrences = _occurrences(cosine)
    value = skewness(occurrences)
    (interval,) = half_samples(hubness_of, np.array([value]), num, rng)
    return Neighbours(
        hubness=value,
        hubness_interval=interval,
        anti_hub_share=float((occurrences == 0).mean()),
        largest_hub=float(occurrences.max() / num),
        occurrences=occurrences,
    )


def skewness(counts: Int[np.ndarray, " nodes"]) -> float:
    """Give the third standardised moment of counts, E(N − μ)³ / σ³; 0 when all are equal."""
    centred = counts - counts.mean()
    deviation = float(np.sqrt((centred**2).mean()))
    return float((centred**3).mean() / deviation**3) if deviation > 0 else 0.0


def _occurrences(cosine: Float32[np.ndarray, "nodes nodes"]) -> Int[np.ndarray, " nodes"]:
    k = min(NEIGHBOURS, len(cosine) - 1)
    nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    return np.bincount(nearest.ravel(), minlength=len(cosine))


@dataclass(frozen=True)
class Purity:
    """How many of a node's 10 nearest neighbours, sought among the measured nodes of ALL types, are of its type.

    0 to 1. High purity only says that types lie apart, which a constant per type does as well: it is no sign of
    health. Purity at chance says that the vectors do not even tell types apart.
    """

    value: float
    interval: Interval
    chance: float
    """What neighbours drawn at random among the measured nodes would give."""


def type_purity(samples: list[Float32[np.ndarray, "_ dim"]], rng: np.random.Generator) -> list[Purity]:
    """Measure the purity of each type, on at most 500 nodes of each; NaN for a single type or an empty one."""
    sizes = np.array([len(sample) for sample in samples])
    total = int(sizes.sum())
    everything = _unit(np.concatenate(samples)) if total else np.zeros((0, 1), np.float32)
    kinds = np.repeat(np.arange(len(samples)), sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    k = min(NEIGHBOURS, total - 1)
    found = []
    for kind, size in enumerate(sizes):
        if size == 0 or k < 1 or np.count_nonzero(sizes) < 2:
            found.append(Purity(UNDEFINED, (UNDEFINED, UNDEFINED), UNDEFINED))
            continue
        rows = starts[kind] + np.sort(rng.choice(size, min(size, PURITY_QUERIES), replace=False))
        same = np.concatenate(
            [
                (kinds[nearest_rows(everything, rows[i : i + BLOCK], k)] == kind).mean(axis=1)
                for i in range(0, len(rows), BLOCK)
            ]
        )
        found.append(Purity(float(same.mean()), bootstrap_mean(same, rng), float((size - 1) / (total - 1))))
    return found


def nearest_rows(
    unit: Float32[np.ndarray, "nodes dim"], rows: Int[np.ndarray, " queries"], k: int
) -> Int[np.ndarray, "queries k"]:
    """Give, for each of these rows, the k other rows of largest cosine, nearest first; `unit` has rows of length 1."""
    cosine = unit[rows] @ unit.T
    cosine[np.arange(len(rows)), rows] = -np.inf
    nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(cosine, nearest, axis=1), axis=1, kind="stable")
    return np.take_along_axis(nearest, order, axis=1)


def _unit(vectors: Float32[np.ndarray, "nodes dim"]) -> Float32[np.ndarray, "nodes dim"]:
    lengths = row_lengths(vectors)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1)[:, None], np.float32)
