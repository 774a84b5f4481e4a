"""Bootstrap intervals of ranking metrics: queries are drawn again, each with all its test pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from rxweave.graph.filtered_ranks import CHUNK


@dataclass(frozen=True)
class Estimate:
    """A metric and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def resample(
    query: Int[np.ndarray, " pairs"], num_bootstraps: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "draws queries"], Int[np.ndarray, " pairs"]]:
    """Give how often each distinct query is drawn, and which of them each pair has.

    Row 0 is the sample itself, each query once; the others are drawn with replacement.
    """
    distinct, which = np.unique(query, return_inverse=True)
    count = len(distinct)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=num_bootstraps)
    return np.concatenate([np.ones((1, count)), drawn]), which


def ratio(
    weights: Float[np.ndarray, "draws queries"],
    numerator: Float[np.ndarray, " queries"],
    denominator: Float[np.ndarray, " queries"] | Int[np.ndarray, " queries"],
) -> Estimate:
    """Give the estimate of Σ numerator / Σ denominator over queries."""
    return estimate((weights @ numerator) / (weights @ denominator))


def average_precision(
    weights: Float[np.ndarray, "draws pairs"],
    value: Float[np.ndarray, " pairs"],
    negatives_from_here_up: Int[np.ndarray, " pairs"],
) -> Float[np.ndarray, " draws"]:
    """Give the average precision of test pairs among negatives for each draw of them.

    `value` is the score of each pair, `negatives_from_here_up` how many negatives score at least as much.
    """
    order = np.argsort(-value, kind="stable")
    last_tied = np.searchsorted(-value[order], -value[order], side="right") - 1
    negatives = negatives_from_here_up[order]
    found_precision = np.empty(len(weights))
    step = max(1, CHUNK // len(value))
    for start in range(0, len(weights), step):
        weight = weights[start : start + step][:, order]
        found = np.cumsum(weight, axis=1)[:, last_tied]
        # Where nothing is found yet the weight is zero too: 1 only keeps 0 / 0 away.
        precision = found / np.maximum(found + negatives, 1)
        found_precision[start : start + step] = (weight * precision).sum(axis=1) / weight.sum(axis=1)
    return found_precision


def estimate(draws: Float[np.ndarray, " draws"]) -> Estimate:
    """Give the value of the sample itself, draw 0, with the percentile interval of the other draws."""
    low, high = np.quantile(draws[1:], (0.025, 0.975))
    return Estimate(float(draws[0]), float(low), float(high))
