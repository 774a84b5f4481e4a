"""Every threshold of the verdict, what it is asked of, where it comes from, and what to do about a miss.

"Calibrated" thresholds come from 12 HGT runs on Hetionet (512 dimensions; good, half collapsed and
collapsed), compared by how well they rank held-out treatments. "Both graphs" ones come from healthy runs and runs
with constant features on Hetionet and the demo graph. "General" ones are the ranges
seen in healthy and in collapsed embeddings of biomedical graphs, for types on which nothing was calibrated.
"Proposed" ones rest on a single graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Level = Literal["good", "warning", "collapsed"]
LEVELS: tuple[Level, ...] = ("good", "warning", "collapsed")

FEWEST_JUDGED = 10
"""Types with fewer measured nodes are reported and not judged: their cosines and ranks are mostly chance."""
FEWEST_DECISIVE = 50
"""While the roles are unknown, a type with this many active nodes decides the overall verdict."""
SMALL_LIMIT, LARGE_LIMIT = 136, 512
"""The rank limits, min(nodes − 1, dim), at which RankMe is calibrated: RankMe fills less of a larger
limit."""
COMPONENT_SHARES = (0.12, 0.06)
"""Few nodes cannot fill many components: a component gate asks for at most these shares of the rank limit (to
pass, not to fail). Working runs had .09 to .14 of the limit for drugs, .07 to .18 for diseases; half collapsed and
collapsed ones .01 to .04, and .04 to .07."""


@dataclass(frozen=True)
class Gate:
    """Two thresholds: `good` itself passes, beyond `collapsed` is collapse, between them a warning."""

    good: float
    collapsed: float | None
    """None: this measure alone never means collapse."""
    higher_is_better: bool
    source: str
    """calibrated, both graphs, general or proposed (see the top of this file), or what the threshold follows from."""

    def level(self, value: float) -> Level:
        """Give the level of a value; NaN is a warning, since what could not be measured has not passed."""
        sign = 1 if self.higher_is_better else -1
        if sign * value >= sign * self.good:
            return "good"
        return "collapsed" if self.collapsed is not None and sign * value < sign * self.collapsed else "warning"

    def for_limit(self, rank_limit: int) -> Gate:
        """Give a gate on components, lowered to what a type with this rank limit can reach."""
        if self.collapsed is None:
            raise AssertionError("a gate on components has both thresholds")
        passes, fails = (share * rank_limit for share in COMPONENT_SHARES)
        return replace(self, good=min(self.good, passes), collapsed=min(self.collapsed, fails))

    def __str__(self) -> str:
        passes, fails = ("≥", "<") if self.higher_is_better else ("≤", ">")
        fail = "" if self.collapsed is None else f", collapsed {fails} {self.collapsed:.3g}"
        return f"good {passes} {self.good:.3g}{fail}"


GATES: Mapping[tuple[str, str], Gate] = {
    # RankMe as a share of min(nodes − 1, dim). Good runs had .17 to .30 where that is 512 and .29 to .48
    # where it is 136; collapsed ones .08 to .14 and .13 to .16. It separates the two where cosines do not.
    ("rank_ratio", "rank limit 512 and more"): Gate(0.16, 0.12, higher_is_better=True, source="calibrated"),
    ("rank_ratio", "rank limit 136 and less"): Gate(0.29, 0.20, higher_is_better=True, source="calibrated"),
    # Only drugs and diseases are held to the strict cosine. Genes have a mean cosine of .68 to .76 in good
    # runs, so one strict threshold for all types would reject every good embedding.
    ("mean_cosine", "drugs and diseases"): Gate(0.57, 0.75, higher_is_better=False, source="calibrated"),
    # Where the vectors spread well around their mean, a shared direction is all that is wrong: cosines cannot be
    # used, and taking the mean away mends it.
    ("mean_cosine", "spread around the mean healthy"): Gate(0.57, 0.95, higher_is_better=False, source="general"),
    ("mean_cosine", "other types"): Gate(0.80, 0.95, higher_is_better=False, source="general"),
    # Drugs had 45 to 73 in working runs, 7 to 21 in collapsed ones; diseases 10 to 25, and 5 to 9. One wide direction
    # is no collapse, so between 10 and 45 it takes another sign (`collapse_signs`).
    ("components_90", "drugs"): Gate(45.0, 10.0, higher_is_better=True, source="calibrated"),
    ("components_90", "other types"): Gate(15.0, 10.0, higher_is_better=True, source="general"),
    # Beside the same model without training. Healthy runs gain .07 on Hetionet and .05 to .19 on the demo graph.
    ("gain_over_untrained", "facts of the graph"): Gate(0.02, None, higher_is_better=True, source="both graphs"),
    # How many of rank, cosine and components are not good; rank and cosine count as one where the vectors spread well
    # around their mean, since a shared direction makes both. One alone can be a healthy type's own manner (diseases
    # of good runs had 10 to 13 components); no run that ranked well had two in one type.
    ("collapse_signs", "each type"): Gate(1.0, 1.0, higher_is_better=False, source="calibrated"),
    # Healthy runs have .04 to .11 on the demo graph and .10 to .54 on Hetionet, half-trained ones there up to .66
    # (anatomy); constant features .71 to .99.
    ("edge_share", "each type"): Gate(0.60, 0.65, higher_is_better=False, source="both graphs"),
    # Nodes with the same neighbours in the graph have the same vector by right. While that share is not
    # known, twins mean collapse only when most of a type has one: 35 % of Hetionet's side effects have the
    # neighbours of another.
    ("duplicate_rate", "beyond the graph's own"): Gate(0.01, 0.03, higher_is_better=False, source="proposed"),
    ("duplicate_rate", "graph's own not known"): Gate(0.01, 0.50, higher_is_better=False, source="proposed"),
    # Nearly the same neighbours make nearly the same vector: the spectral features of Hetionet, healthy in
    # every other measure, have up to 6 % near twins beyond the graph's exact ones.
    ("near_duplicate_rate", "beyond the graph's own"): Gate(0.10, 0.50, higher_is_better=False, source="proposed"),
    # Nodes of different types cannot have the same neighbours.
    ("across_type_twin_rate", "each type"): Gate(0.001, 0.03, higher_is_better=False, source="proposed"),
    # Healthy runs have up to 1.5 on the demo graph and 2.8 on Hetionet, an untrained model there 4.4. Hubs are a
    # nuisance, not a collapse.
    ("hubness", "each type"): Gate(4.0, None, higher_is_better=False, source="both graphs"),
    ("mean_cosine", "all nodes"): Gate(0.60, 0.90, higher_is_better=False, source="general"),
    ("components_90", "all nodes"): Gate(15.0, 10.0, higher_is_better=True, source="general"),
    # Share of the rank limit. A last linear layer 256 → 512 reaches 257 dimensions: .50.
    ("real_dimensions", "all nodes"): Gate(0.90, None, higher_is_better=True, source="arithmetic"),
    # Healthy runs have .79 on Hetionet and .81 to .95 on the demo graph; constant features .57 to .60 there, and .70
    # on Hetionet, which passes: it is no gate on collapse. Random vectors .50, the degree prior .51 to .55. The facts
    # were trained on, so passing is no proof of usefulness.
    ("link_auroc", "facts of the graph"): Gate(0.65, None, higher_is_better=True, source="both graphs"),
}
"""The thresholds, by measure and by what it is asked of."""


HEALTHY_SPREAD = (0.37, 0.25)
"""Vectors spread well around their mean when their centred effective rank is this share of a small and of a large rank
limit. Good runs had .39 to .54 and .29 to .45, collapsed ones .16 to .32 and .12 to .19."""


def rank_gate(rank_limit: int) -> Gate:
    """Give the gate on RankMe / rank limit, between the two calibrated limits by their logarithm."""
    large, small = (
        GATES["rank_ratio", "rank limit 512 and more"],
        GATES["rank_ratio", "rank limit 136 and less"],
    )
    if large.collapsed is None or small.collapsed is None:
        raise AssertionError("the gates on RankMe have both thresholds")
    return replace(
        large,
        good=_between(rank_limit, small.good, large.good),
        collapsed=_between(rank_limit, small.collapsed, large.collapsed),
    )


def spreads_well(centred_rank_ratio: float, rank_limit: int) -> bool:
    """Say whether vectors spread well around their mean, whatever direction they share."""
    return centred_rank_ratio >= _between(rank_limit, *HEALTHY_SPREAD)


def _between(rank_limit: int, small: float, large: float) -> float:
    span = math.log(LARGE_LIMIT / SMALL_LIMIT)
    place = min(max(math.log(max(rank_limit, 1) / SMALL_LIMIT) / span, 0.0), 1.0)
    return small + place * (large - small)


@dataclass(frozen=True)
class Advice:
    """Why a measure is out of range, and the settings of the embed stage that mend it, most telling first."""

    likely_causes: tuple[str, ...]
    what_to_change: tuple[str, ...]


ADVICE: Mapping[str, Advice] = {
    "rank_ratio": Advice(
        ("nodes start from one and the same vector", "learning rate too high", "too few optimiser steps"),
        ("features=svd", "learning_rate=0.001", "num_epochs: twice as many"),
    ),
    "mean_cosine": Advice(
        ("a direction shared by all nodes outweighs what tells them apart", "learning rate too high"),
        ("features=svd", "learning_rate=0.001", "contrastive_weight=0.5"),
    ),
    "components_90": Advice(
        ("few directions hold nearly all the variance", "learning rate too high", "too few optimiser steps"),
        ("learning_rate=0.001", "num_epochs: twice as many", "feature_dim=256"),
    ),
    "collapse_signs": Advice(
        ("nodes start from one and the same vector", "learning rate too high", "too few optimiser steps"),
        ("features=svd", "learning_rate=0.001", "num_epochs: twice as many"),
    ),
    "edge_share": Advice(
        (
            "nodes start from one and the same vector, so that only numbers of edges tell them apart",
            "input features that are themselves numbers of edges",
        ),
        ("features=svd", "features=learned"),
    ),
    "across_type_twin_rate": Advice(
        ("vectors were joined on ids that are unique only within a type or source",),
        ("the graph: join on node_key (type, source and id), never on node_id",),
    ),
    "hubness": Advice(
        ("a few nodes of very high degree are near everybody", "too few directions for so many nodes"),
        ("features=svd", "embedding_dim=512", "num_negatives: twice as many"),
    ),
    "link_auroc": Advice(
        (
            "the vectors are not those of this graph (shuffled or joined wrongly)",
            "the model was not trained, or not long enough",
            "nodes start from one and the same vector",
        ),
        ("num_epochs: twice as many", "features=svd", "learning_rate=0.001"),
    ),
    "gain_over_untrained": Advice(
        ("training has changed nothing: the input features say as much", "too few optimiser steps"),
        ("num_epochs: twice as many", "learning_rate=0.001", "steps_per_epoch: more"),
    ),
    "duplicate_rate": Advice(
        (
            "nodes start from one and the same vector",
            "nodes without edges",
            "different nodes merged by their id",
        ),
        ("features=svd", "the graph: its load report counts nodes without edges and ids with two names"),
    ),
    "near_duplicate_rate": Advice(
        ("nodes with the same neighbours", "nodes start from nearly the same vector"),
        ("features=svd", "feature_dim=256"),
    ),
    "real_dimensions": Advice(
        ("the output is wider than the layers before it can fill",),
        ("hidden_dim: wider", "embedding_dim: no more than the layers can fill"),
    ),
    "diseases given a drug": Advice(
        (
            "too little training on treatments",
            "the embedding tells no more than how often a disease is treated",
        ),
        ("treatment_weight=2", "features=svd", "num_epochs: twice as many"),
    ),
    "drugs given a disease": Advice(
        ("too few negative drugs per treatment", "the embedding tells no more than how often a drug is used"),
        ("num_treatment_negatives=2048", "treatment_weight=2", "num_epochs: twice as many"),
    ),
}
"""Advice by measure, and by side for held-out ranking."""
