"""What each feature of a pair adds to the ranker's score of it: parts that sum to the score.

One function per kind of member (`of_trees`, `of_linear`, `of_bilinear`) says what the features add to a member's own
score. Parts are then put together as the scores are (`Ranker.score`): the mean over the models that are asked about the
pair, and the blend of the kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import xgboost as xgb
from jaxtyping import Float, Float32, Float64
from scipy.special import expit

from rxweave.graph.pairs import Pairs, pair_codes
from rxweave.rank.bilinear import Bilinear
from rxweave.rank.blend import TREES
from rxweave.rank.linear import LinearModel
from rxweave.rank.model import Ranker

GROUPS = ("drug", "disease", "interaction", "decoder", "neighbours", "profiles", "paths", "degrees", "other")
"""What features are told together: what is known of the drug by itself, of the disease, and of the two as a product
(embeddings, and the bilinear member), then the groups of `FeatureSettings`.
"""

BILINEAR = "bilinear: drug × disease"
"""The feature that the bilinear member is: what it knows of the one end times what it knows of the other."""

_GROUP_OF = {
    BILINEAR: "interaction",
    "embedding: drug ×": "interaction",
    "embedding: drug": "drug",
    "embedding: disease": "disease",
    "decoder:": "decoder",
    "neighbours:": "neighbours",
    "profiles:": "profiles",
    "paths:": "paths",
    "degree:": "degrees",
}
"""Group by how a feature's name begins, the longest beginning first."""


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each feature of each pair adds to its score, in log-odds; `base` and the parts sum to the score."""

    names: tuple[str, ...]
    base: Float64[np.ndarray, " rows"]
    """The score before any feature is known."""
    parts: Float64[np.ndarray, "rows features"]

    @property
    def scores(self) -> Float64[np.ndarray, " rows"]:
        """The log-odds of treatment, as `Ranker.score` gives them to within 1e-4."""
        total: Float64[np.ndarray, " rows"] = self.base + self.parts.sum(axis=1)
        return total

    def by_group(self) -> dict[str, Float64[np.ndarray, " rows"]]:
        """Give the sum of the parts of each group that has features, in the order of GROUPS."""
        groups = np.array([group_of(name) for name in self.names])
        return {group: self.parts[:, groups == group].sum(axis=1) for group in GROUPS if (groups == group).any()}


def group_of(name: str) -> str:
    """Give the group, one of GROUPS, that a feature is told with."""
    return next((group for begins, group in _GROUP_OF.items() if name.startswith(begins)), "other")


Rows = Float32[np.ndarray, "rows features"]


def contributions(ranker: Ranker, rows: Float32[np.ndarray, "rows features"], pairs: Pairs) -> Contributions:
    """Give what each feature adds to the first column of `ranker.score(rows, pairs)`; `rows` are the pairs' features.

    With a bilinear member there is a feature more, BILINEAR.
    """
    shift, blend = np.log(ranker.class_weights), ranker.blend
    kinds: dict[str, list[Callable[[Rows], np.ndarray]]] = {
        TREES: [partial(of_trees, booster, shift=shift) for booster in ranker.boosters]
    }
    if ranker.linear:
        kinds["linear"] = [partial(of_linear, model, shift=shift) for model in ranker.linear]
    names, width = ranker.feature_names, rows.shape[1]
    parts, base = np.zeros((len(rows), width)), np.full(len(rows), blend.offset)
    for kind, models in kinds.items():
        mean = _mean_of_asked(ranker, models, rows, pairs)
        parts += blend.share(kind) * mean[:, :-1]
        base += blend.share(kind) * mean[:, -1]
    if ranker.bilinear is not None:
        share, usual = blend.share("bilinear"), blend.means["bilinear"]
        parts = np.column_stack([parts, share * of_bilinear(ranker.bilinear, pairs, usual)])
        base += share * usual
        names = (*names, BILINEAR)
    return Contributions(names, base, parts)


def _mean_of_asked(
    ranker: Ranker, models: Sequence[Callable[[Rows], np.ndarray]], rows: Rows, pairs: Pairs
) -> Float64[np.ndarray, "rows _"]:
    """The mean over the models of one kind, but those that were told a pair is unknown are not asked about it."""
    codes = pair_codes(pairs, ranker.num_diseases)
    total, asked = np.zeros((len(rows), rows.shape[1] + 1)), np.zeros((len(rows), 1))
    for parts_of, drawn in zip(models, ranker.drawn, strict=True):
        ask = np.full(len(rows), len(models) == 1) | ~np.isin(codes, drawn)
        asked[ask] += 1
        if ask.any():
            total[ask] += parts_of(rows[ask])
    return total / asked


def of_trees(
    booster: xgb.Booster, rows: Float32[np.ndarray, "rows features"], shift: Float[np.ndarray, " classes"]
) -> Float64[np.ndarray, "rows features+1"]:
    """Give what each feature adds to the score by boosted trees, the base in the last column.

    TreeSHAP (Lundberg et al. 2020), which XGBoost computes, says what each feature adds to the margin of each class.
    `shift` holds the logarithm of each class's weight in fitting, which scores take out: from the base. With two
    classes the margin is the score; three are joined by `treats_against_rest`.
    """
    parts = booster.predict(xgb.DMatrix(rows, nthread=1), pred_contribs=True).astype(np.float64)
    if len(shift) == 2:
        parts[:, -1] -= shift[0]
        return np.asarray(parts)
    parts[:, :, -1] -= shift
    return treats_against_rest(parts)


def of_linear(
    model: LinearModel, rows: Float32[np.ndarray, "rows features"], shift: Float[np.ndarray, " classes"]
) -> Float64[np.ndarray, "rows features+1"]:
    """Give what each feature adds to the score by a logistic regression, the base in the last column.

    A feature adds its weight times how far it is from the mean, so one at the mean adds nothing. `shift` and three
    classes are as in `of_trees`.
    """
    parts = model.standardised(rows)[:, None, :].astype(np.float64) * model.weights
    parts = np.concatenate([parts, np.broadcast_to(model.intercept[:, None], (*parts.shape[:2], 1))], axis=2)
    if len(shift) == 2:
        parts[:, 0, -1] -= shift[0]
        return np.asarray(parts[:, 0])
    parts[:, :, -1] -= shift
    return treats_against_rest(parts)


def of_bilinear(model: Bilinear, pairs: Pairs, usual: float) -> Float64[np.ndarray, " pairs"]:
    """Give what the bilinear member adds to its own score beyond `usual`, its mean over the pairs drawn in fitting."""
    return np.asarray(model.scores(pairs) - usual, np.float64)


def treats_against_rest(
    parts: Float64[np.ndarray, "rows 3 parts"],
) -> Float64[np.ndarray, "rows parts"]:
    """Turn parts of the margins of treats, not_treat and unknown into parts of treats − log(e^not_treat + e^unknown).

    The last column holds the base.

    The score is not linear in the margins, so its parts are those of its integral along the straight line from the base
    margins to the final ones (Aumann & Shapley 1974; integrated gradients, Sundararajan et al. 2017): each feature's
    parts of the margins, weighted by the mean gradient along the line. That gradient is 1 for treats and minus the
    softmax share of each of the other two, whose mean has a closed form: with d = not_treat − unknown going from d0 to
    d1, the mean of sigmoid(d) is (softplus(d1) − softplus(d0)) / (d1 − d0). So nothing remains unaccounted for.
    """
    treats, harms, unknown = parts[:, 0], parts[:, 1], parts[:, 2]
    first = harms[:, -1] - unknown[:, -1]
    last = (harms - unknown).sum(axis=1)
    share = _mean_sigmoid(first, last)[:, None]
    out: Float64[np.ndarray, "rows parts"] = treats - share * harms - (1 - share) * unknown
    out[:, -1] = treats[:, -1] - np.logaddexp(harms[:, -1], unknown[:, -1])
    return out


def _mean_sigmoid(first: Float64[np.ndarray, " rows"], last: Float64[np.ndarray, " rows"]) -> np.ndarray:
    """Give the mean of sigmoid(d) for d from `first` to `last`."""
    length = last - first
    short = np.abs(length) < 1e-5  # the quotient loses its digits there, and the middle is the mean
    rise = np.logaddexp(0, last) - np.logaddexp(0, first)
    mean: np.ndarray = np.where(short, expit((first + last) / 2), rise / np.where(short, 1.0, length))
    return mean
