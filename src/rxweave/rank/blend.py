"""The members of the ranker brought to one scale and averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

TREES = "trees"


@dataclass(frozen=True)
class Blend:
    """A weighted mean of members' scores, each first given the mean and deviation that the trees' scores have.

    The trees' scores are log-odds, and so stays the blend. What the mean and deviation are taken over is fixed when
    the ranker is fitted, so that no score depends on which pairs are scored beside it.
    """

    weights: Mapping[str, float]
    """By member; the trees' is 1."""
    means: Mapping[str, float]
    deviations: Mapping[str, float]
    """Over pairs drawn at random in fitting, greater than 0."""

    @staticmethod
    def of(scores: Mapping[str, Float[np.ndarray, " pairs"]], weights: Mapping[str, float]) -> Blend:
        """Measure the members on pairs drawn at random."""
        deviations = {name: float(values.std()) or 1.0 for name, values in scores.items()}
        return Blend(dict(weights), {name: float(values.mean()) for name, values in scores.items()}, deviations)

    def without(self, member: str) -> Blend:
        """Give the blend of the other members, still on the scale of the trees."""
        return Blend(
            {name: weight for name, weight in self.weights.items() if name != member}, self.means, self.deviations
        )

    def share(self, member: str) -> float:
        """Give what a member's own score is multiplied by."""
        scale = self.deviations[TREES] / self.deviations[member]
        return self.weights[member] / sum(self.weights.values()) * scale

    @property
    def offset(self) -> float:
        """Give what is added to the sum of the members' shares."""
        whole = sum(self.weights.values())
        lifted = sum(weight / whole * self.means[TREES] for weight in self.weights.values())
        return lifted - sum(self.share(name) * self.means[name] for name in self.weights)

    def __call__(self, scores: Mapping[str, Float[np.ndarray, "*pairs"]]) -> Float[np.ndarray, "*pairs"]:
        """Give the blended score of each pair."""
        if set(self.weights) == {TREES}:
            return scores[TREES]
        return sum((self.share(name) * scores[name] for name in self.weights), np.full(1, self.offset))
