"""The score of a pair as a sum of what its features add, group by group."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64

from rxweave.explain.explanation import FeaturePart, GroupPart, ScoreParts
from rxweave.graph.pairs import Pairs
from rxweave.rank.contributions import contributions, group_of
from rxweave.rank.model import Ranker


def score_parts(ranker: Ranker, row: Float32[np.ndarray, "1 features"], pair: Pairs) -> ScoreParts:
    """Give the score of one pair, and its parts from the pair's row of features, the largest group first."""
    scores = ranker.score(row, pair)
    found = contributions(ranker, row, pair)
    groups = [
        GroupPart(group, float(part[0]), _features(group, found.names, row[0], found.parts[0]))
        for group, part in found.by_group().items()
    ]
    return ScoreParts(
        score=float(scores[0, 0]),
        probability=float(ranker.probabilities(scores)[0, 0]),
        base=float(found.base[0]),
        groups=tuple(sorted(groups, key=lambda group: -abs(group.part))),
    )


def _features(
    group: str,
    names: tuple[str, ...],
    values: Float32[np.ndarray, " features"],
    parts: Float64[np.ndarray, " parts"],
) -> tuple[FeaturePart, ...]:
    mine = [i for i in np.argsort(-np.abs(parts), kind="stable").tolist() if group_of(names[i]) == group]
    return tuple(FeaturePart(names[i], _value(values, i), float(parts[i])) for i in mine)


def _value(values: Float32[np.ndarray, " features"], i: int) -> float | None:
    """A feature that is missing has no value, nor has what a member sees beside the row of features."""
    return None if i >= len(values) or np.isnan(values[i]) else float(values[i])
