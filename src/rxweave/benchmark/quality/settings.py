"""What the peers are trained with. Modest, so that a table takes hours on two cores; every value can be set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from rxweave.config import RunSettings, Settings
from rxweave.errors import ConfigError, did_you_mean
from rxweave.settings import known_fields, settings_from


class LogisticSettings(Settings):
    """Logistic regression on embeddings."""

    negatives_per_positive: int = Field(30, ge=1, description="Unknown pairs drawn per known treatment.")
    penalties: tuple[float, ...] = Field(
        (0.0001, 0.001, 0.01, 0.1, 1.0),
        min_length=1,
        description="Inverse L2 penalties C; validation pairs choose one.",
    )


class TripleSettings(Settings):
    """TransE, DistMult, ComplEx and RotatE through PyKEEN."""

    embedding_dim: int = Field(128, ge=1, description="Numbers per entity (complex ones for ComplEx and RotatE).")
    num_epochs: int = Field(
        10, ge=1, description="Passes over all facts; the validation pairs choose after which to score."
    )
    patience: int = Field(
        3, ge=1, description="Epochs in which validation pairs rank no better, after which training ends."
    )
    batch_size: int = Field(4096, ge=1, description="Facts in a batch.")
    learning_rate: float = Field(0.005, gt=0, description="Learning rate of Adam.")
    num_negatives: int = Field(16, ge=1, description="Corrupted facts per fact.")
    negatives: Literal["typed", "any"] = Field(
        "typed",
        description="What replaces an end of a fact: a node of its type, or any node, which is PyKEEN's default.",
    )
    loss_of_products: Literal["softmax", "logistic"] = Field(
        "softmax",
        description="Loss of DistMult and ComplEx: a fact against its negatives, or each by itself. Distances (TransE, "
        "RotatE) learn from self-adversarial negatives.",
    )


class WalkSettings(Settings):
    """node2vec: random walks, then skip-gram with negative sampling."""

    embedding_dim: int = Field(128, ge=1, description="Length of each vector.")
    num_walks: int = Field(10, ge=1, description="Walks from every node.")
    walk_length: int = Field(30, ge=2, description="Nodes in a walk.")
    window: int = Field(10, ge=1, description="Farthest context of a node in a walk.")
    num_negatives: int = Field(5, ge=1, description="Drawn nodes per context.")
    num_epochs: int = Field(5, ge=1, description="Passes of skip-gram over the walks.")
    p: float = Field(1.0, gt=0, description="Return parameter: above 1, walks turn back less.")
    q: float = Field(1.0, gt=0, description="In-out parameter: above 1, walks stay near.")
    learning_rate: float = Field(0.025, gt=0, description="First rate of skip-gram; it falls linearly to a hundredth.")


class PlainHgtSettings(Settings):
    """PyTorch Geometric's HGTConv with the usual recipe."""

    features: Literal["learned", "constant"] = Field("learned", description="Input of a node.")
    hidden_dim: int = Field(32, ge=1, description="Width of layers and embeddings.")
    num_heads: int = Field(2, ge=1, description="Attention heads.")
    num_layers: int = Field(2, ge=1, description="Rounds of messages.")
    num_epochs: int = Field(100, ge=1, description="Steps, each over all training treatments.")
    learning_rate: float = Field(0.005, gt=0, description="Learning rate of Adam.")
    most_edges: int = Field(50_000, ge=1, description="Most facts kept of each relation: all of them need too much.")


class BaselineSettings(Settings):
    """The settings of all peers, by method."""

    logistic: LogisticSettings = LogisticSettings()
    triples: TripleSettings = TripleSettings()
    walks: WalkSettings = WalkSettings()
    plain_hgt: PlainHgtSettings = PlainHgtSettings()


def quality_settings(named: dict[str, object], overrides: Sequence[str]) -> tuple[RunSettings, BaselineSettings]:
    """Give the settings of runs and those of the peers from `stage.name=value` texts, as `settings_from` does."""
    fields = known_fields(BaselineSettings)
    stages: dict[str, dict[str, object]] = {}
    others = []
    for text in overrides:
        name, _, typed = (part.strip() for part in text.partition("="))
        stage, _, field = name.partition(".")
        if stage not in BaselineSettings.model_fields:
            others.append(text)
            continue
        if name not in fields:
            raise ConfigError(
                f"There is no setting {name!r} of the peers; there are {', '.join(fields)}."
                f"{did_you_mean(name, list(fields))}"
            )
        listed = "tuple[" in str(fields[name].annotation)
        stages.setdefault(stage, {})[field] = [part.strip() for part in typed.split(",")] if listed else typed
    return settings_from(named, others), BaselineSettings(**stages)
