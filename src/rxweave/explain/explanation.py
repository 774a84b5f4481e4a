"""Why a drug might treat a disease, as far as a run can tell: what an explanation says, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rxweave.explain.alike import AlikeTreatment
from rxweave.kg.names import Node

NOT_ADVICE = "Explanations are research leads, not medical advice."

Direction = Literal["along", "against", "both ways"]
"""How a step walks its relation: as it is written, against it, or along one without direction."""

Standing = Literal["treatment it learnt from", "contraindication it learnt from", "held-out treatment", "not recorded"]
"""What a pair is to the ranker. One that it learnt from is explained as it was learnt: without its own fold's facts."""


@dataclass(frozen=True)
class StepAttention:
    """The encoder's attention along a step, for each layer the mean over heads; of one node all shares sum to 1."""

    forward: tuple[float, ...]
    """Of what the step's target attends to in each layer, the share of its source: messages towards the disease."""
    back: tuple[float, ...]
    """Of what the step's source attends to, the share of its target: messages towards the drug."""
    even_forward: float
    """1 / edges into the target: the share of each, if attention made no difference."""
    even_back: float


@dataclass(frozen=True)
class PathStep:
    """One step of a path: the relation, how it is walked, and the two nodes in walking order."""

    relation: str
    direction: Direction
    source: Node
    target: Node
    attention: StepAttention | None = None

    def __str__(self) -> str:
        dashes = {"along": ("–", "→"), "against": ("←", "–"), "both ways": ("–", "–")}[self.direction]
        return f" {dashes[0]}{self.relation}{dashes[1]} "


@dataclass(frozen=True)
class ExplainingPath:
    """One path from the drug to the disease, and how it stands among those of its kind."""

    metapath: str
    steps: tuple[PathStep, ...]
    strength: float
    """The product over the steps of (out-degree × in-degree)^−damping: the path's part of the ranker's path count."""
    weight: float
    """arcsinh(strength / mean count of the metapath over all pairs): comparable between metapaths."""
    share: float
    """The share of the strength of all paths of its kind between the two, 0 to 1."""
    num_of_kind: int
    """Paths of this kind that join the two."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        return (self.steps[0].source, *(step.target for step in self.steps))

    def __str__(self) -> str:
        return self.steps[0].source.node_name + "".join(f"{step}{step.target.node_name}" for step in self.steps)


@dataclass(frozen=True)
class FeaturePart:
    """What one feature of the pair adds to its score."""

    name: str
    value: float | None
    """The feature itself; None where it is missing, and for the bilinear member, which sees the two ends."""
    part: float


@dataclass(frozen=True)
class GroupPart:
    """What a group of features (`rank.contributions.GROUPS`) adds to the score, and its features, largest first."""

    group: str
    part: float
    features: tuple[FeaturePart, ...]


@dataclass(frozen=True)
class ScoreParts:
    """The ranker's score of a pair, in log-odds, as a sum: `base` and the parts of the groups."""

    score: float
    probability: float
    """Calibrated, for the mix of pairs that `Calibration` names."""
    base: float
    groups: tuple[GroupPart, ...]


@dataclass(frozen=True)
class Explanation:
    """What joins a drug and a disease in the training graph of a run, and what the ranker makes of it."""

    drug: Node
    disease: Node
    standing: Standing
    score: ScoreParts
    paths: tuple[ExplainingPath, ...]
    """Best first, in the order of `order.best_paths`."""
    num_paths: int
    """Paths of all kinds that join the two; with a filter, those that pass it."""
    num_kinds: int
    num_left_out: int
    """Walks that the ranker counts and that are no paths, since they come back to a node."""
    alike: tuple[AlikeTreatment, ...]
    notes: tuple[str, ...] = ()
