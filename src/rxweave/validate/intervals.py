"""95 % intervals by resampling, seeded: how far a measure would move if other nodes had been measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from rxweave.embed.likeness import row_lengths
from rxweave.validate.geometry import NOISE, NORMAL_95, UNDEFINED, Interval, components_for, participation_rank

RESAMPLES = 200
HALVES = 12
FEWEST = 3
"""Below so many nodes an interval says nothing."""


def bootstrap_mean(values: Float[np.ndarray, " nodes"], rng: np.random.Generator) -> Interval:
    """Give the percentile interval of a mean over nodes (Efron 1979); NaN below 3 nodes."""
    return bootstrap_ratio(values, np.ones(len(values)), rng)


def bootstrap_ratio(
    above: Float[np.ndarray, " nodes"], below: Float[np.ndarray, " nodes"], rng: np.random.Generator
) -> Interval:
    """Give the percentile interval of Σ above / Σ below when the nodes are drawn again with replacement.

    For sums over nodes only. Measures that look at pairs of nodes need `half_samples`: a node drawn twice would be
    its own twin. NaN below 3 nodes, or when the denominators sum to 0.
    """
    num = len(above)
    if num < FEWEST or below.sum() == 0:
        return UNDEFINED, UNDEFINED
    drawn = rng.multinomial(num, np.full(num, 1 / num), size=RESAMPLES).astype(np.float64)
    total = drawn @ below
    ratios = (drawn @ above)[total != 0] / total[total != 0]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def share_interval(num_marked: int, num: int) -> Interval:
    """Give the score interval of a share of nodes (Wilson 1927), which is sound for shares of 0 and 1; NaN below 3."""
    if num < FEWEST:
        return UNDEFINED, UNDEFINED
    share, z2 = num_marked / num, NORMAL_95**2
    centre = (share + z2 / (2 * num)) / (1 + z2 / num)
    reach = NORMAL_95 / (1 + z2 / num) * float(np.sqrt(share * (1 - share) / num + z2 / (4 * num**2)))
    return max(centre - reach, 0.0), min(centre + reach, 1.0)


def half_samples(
    measure: Callable[[Int[np.ndarray, " half"]], Float[np.ndarray, " measures"]],
    values: Float[np.ndarray, " measures"],
    num: int,
    rng: np.random.Generator,
    *,
    halves: int = HALVES,
) -> list[Interval]:
    """Give the intervals of several measures from random halves of the nodes (delete-half jackknife, Shao & Wu 1989).

    `measure` takes the rows of a half, `values` are its results on all rows. The standard deviation over halves
    drawn without replacement estimates the standard error on all nodes; no node is repeated, so that rank,
    components and hubness are not mistaken for collapse, as they would be in a bootstrap. NaN below 6 nodes.
    """
    if num < 2 * FEWEST:
        return [(UNDEFINED, UNDEFINED)] * len(values)
    found = np.array([measure(rng.choice(num, num // 2, replace=False)) for _ in range(halves)])
    reach = NORMAL_95 * found.std(axis=0, ddof=1)
    return [(float(value - r), float(value + r)) for value, r in zip(values, reach, strict=True)]


@dataclass(frozen=True)
class SpreadIntervals:
    """95 % intervals of the measures of a spectrum; NaN below 3 vectors or for one point."""

    components_90: Interval
    components_95: Interval
    participation_rank: Interval


def spread_intervals(
    vectors: Float32[np.ndarray, "nodes dim"],
    rng: np.random.Generator,
    weights: Float[np.ndarray, " nodes"] | None = None,
) -> SpreadIntervals:
    """Give the bootstrap intervals of components and participation rank, the principal axes held fixed; `weights` says
    how many nodes each vector stands for (else 1).

    A resample changes the variance along each axis to a weighted mean of the squared coordinates, which is, to first
    order, what it does to the spectrum (Jaeckel 1972); finding the axes anew would take repeated nodes for twins.
    """
    undefined = UNDEFINED, UNDEFINED
    num, dim = vectors.shape
    exact = vectors.astype(np.float64)
    weight = np.ones(num) if weights is None else weights
    if num:
        exact -= weight @ exact / weight.sum()
    exact *= np.sqrt(weight)[:, None]
    size = float(np.sqrt(weight @ row_lengths(vectors) ** 2))
    if num <= dim:
        eigenvalues, left = np.linalg.eigh(exact @ exact.T)
        squared = left**2 * np.maximum(eigenvalues, 0)
    else:
        _, right = np.linalg.eigh(exact.T @ exact)
        squared = (exact @ right) ** 2
    if num < FEWEST or squared.sum() <= (NOISE * size) ** 2:
        return SpreadIntervals(undefined, undefined, undefined)
    squared = squared[:, ::-1]
    drawn = rng.multinomial(num, np.full(num, 1 / num), size=RESAMPLES).astype(np.float64)
    # Without the mean of each resample, as centring each would.
    coordinates = np.sqrt(np.maximum(drawn @ squared, 0))
    found = [
        (components_for(values, 0.90), components_for(values, 0.95), participation_rank(values))
        for values in coordinates
    ]
    low, high = np.quantile(np.array(found, np.float64), [0.025, 0.975], axis=0).tolist()
    return SpreadIntervals(*zip(low, high, strict=True))
