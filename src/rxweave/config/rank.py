"""Settings of pair features and of the ranker."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from rxweave.config.settings import Settings
from rxweave.errors import ConfigError, did_you_mean

FEATURE_GROUPS = ("neighbours", "degrees", "paths", "profiles", "embeddings", "decoder")
"""All groups of pair features."""
FROM_EMBEDDINGS = ("neighbours", "embeddings", "decoder")
"""Those that embeddings are needed for; off by default (see `rank/features.py`)."""
BILINEAR_INPUTS = ("profiles", "embeddings")
"""What the ranker's bilinear member may know of a drug and of a disease (see `rank/bilinear.py`)."""


class FeatureSettings(Settings):
    """Which features a drug–disease pair has."""

    groups: tuple[str, ...] = Field(
        ("degrees", "paths", "profiles"),
        min_length=1,
        description=f"Feature groups, of {', '.join(FEATURE_GROUPS)}.",
    )
    num_folds: int = Field(
        10, ge=2, description="Folds of the training pairs: a row's features leave out one fold's facts."
    )
    folds_by: Literal["split", "pair", "disease", "drug"] = Field(
        "split",
        description="Whose facts a row does without: those of other pairs of its fold, or of all pairs of the diseases "
        "(drugs) of its fold; split: whichever the split holds out.",
    )
    max_path_length: int = Field(3, ge=2, description="Longest metapath, in steps.")
    max_paths: int = Field(200, ge=1, description="Most metapaths; those that reach the most pairs are kept.")
    damping: float = Field(
        0.5, ge=0, le=1, description="Exponent on degrees in a path's weight; 1 takes hubs out almost wholly."
    )
    scale_diseases: int = Field(512, ge=1, description="Diseases sampled to measure each metapath's mean count.")
    embedding_form: Literal["hadamard", "concat"] = Field(
        "hadamard", description="Group embeddings: the product of the two vectors, or both of them."
    )

    @field_validator("groups")
    @classmethod
    def _known_groups(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        for group in groups:
            if group not in FEATURE_GROUPS:
                raise ConfigError(
                    f"Feature group {group!r} is not known; choose from {', '.join(FEATURE_GROUPS)}."
                    f"{did_you_mean(group, FEATURE_GROUPS)}"
                )
        return groups

    @property
    def uses_embeddings(self) -> bool:
        return not set(FROM_EMBEDDINGS).isdisjoint(self.groups)


class RankSettings(Settings):
    """How the ranker is fitted; the defaults were selected on the validation part of Hetionet."""

    features: FeatureSettings = FeatureSettings()
    num_draws: int = Field(10, ge=1, description="Models averaged, each with its own negatives and seed.")
    negatives_per_positive: int = Field(30, ge=1, description="Unknown pairs drawn per known treatment.")
    treatment_weight: float = Field(
        0.25,
        gt=0,
        description="Total weight of treatments (and of contraindications) beside the drawn pairs.",
    )
    num_trees: int = Field(300, ge=1, description="Trees of each model.")
    max_depth: int = Field(6, ge=1, description="Depth of a tree.")
    learning_rate: float = Field(0.06, gt=0, le=1, description="Shrinkage of each tree.")
    min_child_weight: float = Field(5.0, ge=0, description="Least weight of a leaf.")
    reg_lambda: float = Field(5.0, ge=0, description="L2 penalty on leaf values.")
    subsample: float = Field(0.8, gt=0, le=1, description="Share of rows seen by a tree.")
    colsample: float = Field(0.3, gt=0, le=1, description="Share of features seen by a tree.")
    max_bin: int = Field(64, ge=2, description="Histogram bins of a feature.")
    linear_weight: float = Field(
        0.3, ge=0, description="Weight of a logistic regression on the same features, the trees' being 1; 0: none."
    )
    linear_penalty: float = Field(
        0.1, gt=0, description="Half of it times its squared weights is added to its mean log loss."
    )
    bilinear_weight: float = Field(
        0.3, ge=0, description="Weight of a bilinear ridge regression on the two ends' own vectors; 0: none."
    )
    bilinear_inputs: tuple[str, ...] = Field(
        BILINEAR_INPUTS, min_length=1, description=f"What it knows of each end, of {', '.join(BILINEAR_INPUTS)}."
    )
    bilinear_dim: int = Field(512, ge=1, description="Directions of the profiles that it uses.")
    bilinear_penalty: float = Field(1.0, gt=0, description="Its ridge.")
    threads: int = Field(0, ge=0, description="Threads of XGBoost; 0 uses all. Others may change last bits.")

    @field_validator("bilinear_inputs")
    @classmethod
    def _known_inputs(cls, inputs: tuple[str, ...]) -> tuple[str, ...]:
        for given in inputs:
            if given not in BILINEAR_INPUTS:
                raise ConfigError(
                    f"Bilinear input {given!r} is not known; choose from {', '.join(BILINEAR_INPUTS)}."
                    f"{did_you_mean(given, BILINEAR_INPUTS)}"
                )
        return inputs

    @property
    def uses_embeddings(self) -> bool:
        return self.features.uses_embeddings or (self.bilinear_weight > 0 and "embeddings" in self.bilinear_inputs)
