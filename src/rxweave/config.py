"""Every setting of every stage, in one place: the source of command-line options and saved run configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rxweave.errors import ConfigError, did_you_mean

_Kind = TypeVar("_Kind", bound="Settings")


class Settings(BaseModel):
    """Settings are values: frozen and checked when made; what does not fit, or has no such name, is a ConfigError."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_told(error)) from None

    def but(self: _Kind, **values: Any) -> _Kind:
        """Give the same settings with some values changed, and checked."""
        return type(self)(**{**dict(self), **values})


def _told(error: ValidationError) -> str:
    """The first thing wrong, in words; errors of nested settings have been put in words already."""
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return str(cause)
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"There is no setting {name!r} here; `rxweave settings` lists them all."
    told = first["msg"].replace("Input should be", "it must be").removesuffix(".")
    return f"Setting {name} is {first['input']!r}; {told}."


class EmbedSettings(Settings):
    """How node embeddings are trained."""

    embedding_dim: int = Field(512, ge=1, description="Length of each node's embedding.")
    hidden_dim: int = Field(256, ge=1, description="Width of the transformer layers.")
    num_layers: int = Field(2, ge=1, description="Rounds of messages.")
    num_heads: int = Field(8, ge=1, description="Attention heads.")
    num_epochs: int = Field(100, ge=1, description="Passes over the graph; every edge is used in each.")
    steps_per_epoch: int = Field(1, ge=1, description="Optimiser steps in an epoch.")
    learning_rate: float = Field(0.001, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of AdamW.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of input features zeroed in each step.")
    features: Literal["svd", "learned", "constant"] = Field(
        "svd",
        description="Identity of a node: spectral features of the training graph, or a learnable table; "
        "constant gives none and collapses (a control).",
    )
    feature_dim: int = Field(256, ge=1, description="Length of a node's input features.")
    feature_file: str | None = Field(
        None,
        description="Vectors of nodes made elsewhere, of texts or molecules say, set beside these features: Parquet or "
        "CSV with node_key (or node_type and node_id) and embedding, or a column for each number.",
    )
    edge_sample_size: int = Field(5000, ge=1, description="Facts scored per relation in a micro-batch.")
    accumulation_steps: int = Field(4, ge=1, description="Micro-batches in an optimiser step.")
    batching: Literal["full", "sampled"] = Field(
        "full",
        description="What a micro-batch passes messages on: the whole graph, in one pass for all of a step's "
        "micro-batches, or neighbours drawn for its facts alone, for graphs that do not fit.",
    )
    num_neighbours: tuple[int, ...] = Field(
        (10,),
        min_length=1,
        description="sampled: most edges drawn into a node from each relation and direction, in every layer, or one "
        "number for each, the last layer first; -1 takes all.",
    )
    batch_facts: int = Field(
        4096, ge=1, description="sampled: facts scored in a micro-batch, shared equally by the relations."
    )
    masked_share: float = Field(
        0.4, gt=0, lt=1, description="Largest share of a relation's facts scored (and so hidden) in a step."
    )
    edge_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of the other facts left out of a step's messages, drawn anew in each."
    )
    relation_balance: float = Field(
        1.0, ge=0, le=1, description="1: every relation weighs the same in the loss; 0: by its number of facts."
    )
    num_negatives: int = Field(64, ge=1, description="Shared negatives per side, drawn from the right type.")
    num_treatment_negatives: int = Field(
        2048, ge=1, description="The same for drug–disease relations; small types are taken whole."
    )
    treatment_weight: float = Field(2.0, gt=0, description="Weight of a drug–disease relation; others have 1.")
    contrastive_weight: float = Field(0.5, ge=0, description="Weight of pulling gene-sharing nodes together.")
    similarity_threshold: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Jaccard overlap of genes above which two diseases (or drugs) are similar.",
    )
    clip_norm: float | None = Field(
        10.0, gt=0, description="A step's gradient longer than this is shortened to it; none: never."
    )
    early_stopping: int | None = Field(
        None,
        ge=1,
        description="End training after this many epochs without a better rank of the validation treatments (as "
        "measured about every tenth of the epochs), and keep the best weights; unset: never.",
    )
    checkpoint_every: int = Field(
        10, ge=0, description="Epochs between checkpoints; 0: only when training ends, early or not."
    )
    measure_every: int | None = Field(
        None,
        ge=1,
        description="Epochs between measurements of each type's rank, cosine and twins; unset: a tenth of all epochs.",
    )
    on_collapse: Literal["warn", "stop"] = Field(
        "warn", description="What to do when the effective rank of drugs or diseases falls to that of collapse."
    )
    attention: Literal["auto", "fused_cpu", "fused_cuda", "csr", "gather", "reference"] = Field(
        "auto", description="Implementation of the attention operator; auto takes the fastest that runs here."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="What matrix products and attention take in: float32, or bfloat16 (sums stay float32). auto takes "
        "bf16 for large graphs on processors that multiply it.",
    )
    device: str | None = Field(None, description="cpu, cuda or mps; unset picks the best one present.")
    memory_limit_gb: float | None = Field(
        None, gt=0, description="Memory that training may take, in 10^9 bytes, in place of what the device has free."
    )

    @field_validator("num_neighbours", mode="before")
    @classmethod
    def _one_number_for_every_layer(cls, value: object) -> object:
        return (value,) if isinstance(value, int | str) else value

    @model_validator(mode="after")
    def _neighbours_of_each_layer(self) -> EmbedSettings:
        wrong = [most for most in self.num_neighbours if most < 1 and most != -1]
        if wrong or len(self.num_neighbours) not in (1, self.num_layers):
            given = ",".join(map(str, self.num_neighbours))
            raise ConfigError(
                f"num_neighbours is {given}; expected one number of edges, or {self.num_layers}, one for each layer; "
                "each at least 1, or -1 for all."
            )
        return self

    @property
    def neighbours_of_layers(self) -> tuple[int, ...]:
        """`num_neighbours` for each layer, the last one first."""
        return self.num_neighbours * (self.num_layers if len(self.num_neighbours) == 1 else 1)

    @model_validator(mode="after")
    def _heads_share_dimensions(self) -> EmbedSettings:
        for name in ("hidden_dim", "embedding_dim"):
            dim = getattr(self, name)
            if dim % self.num_heads:
                nearest = max(1, round(dim / self.num_heads)) * self.num_heads
                raise ConfigError(
                    f"{name} is {dim}, which {self.num_heads} heads cannot share equally. "
                    f"Choose a multiple of {self.num_heads}, for example {nearest}."
                )
        return self


class LoadSettings(Settings):
    """Which graph, and how it is read."""

    kg: str = Field("demo", description="A file or folder, a downloaded source, or demo (demo:6000 for another size).")
    format: str = Field("auto", description="A reader by name, such as kgx; auto looks at the content.")
    columns: tuple[str, ...] | None = Field(
        None, description="Columns of any table: head=a, relation=b, tail=c, head_type='Drug', tail_type=d."
    )
    include_node_types: tuple[str, ...] | None = Field(None, description="Node types to keep; unset keeps all.")
    treats: tuple[str, ...] | None = Field(None, description="Relations that mean treatment; unset: the format's.")
    contraindicated: tuple[str, ...] | None = Field(None, description="Relations that mean must not be given.")
    drug_type: str | None = Field(None, description="Node type of drugs; unset: the format's.")
    disease_type: str | None = Field(None, description="Node type of diseases; unset: the format's.")
    gene_type: str | None = Field(None, description="Node type of genes; unset: the format's.")
    on_error: Literal["stop", "skip"] = Field("stop", description="What to do with a malformed row.")
    strict: bool = Field(
        default=False, description="Refuse a graph with repeated or malformed rows, or nodes with no name or several."
    )
    limit_nodes: int | None = Field(None, ge=1, description="Sample this many nodes, each type in proportion.")

    def reader_options(self) -> dict[str, Any]:
        """Give the arguments of `load_kg`."""
        options = self.model_dump(exclude={"kg", "limit_nodes"})
        return {"source": self.kg, **options}


class SplitSettings(Settings):
    """Which treatments are held out."""

    kind: Literal["random", "disease", "area", "drug", "file", "folds"] = Field(
        "random",
        description="What is held out: random pairs; all treatments of a share of the diseases (zero-shot), of an area "
        "of disease, or of a share of the drugs; the pairs of your own files; one of some folds.",
    )
    valid_fraction: float = Field(
        0.15,
        gt=0,
        lt=1,
        description="Share of treatment pairs (of diseases, of drugs) for calibration and the verdict.",
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of treatment pairs (of diseases, of drugs) for the metrics."
    )
    area: str | None = Field(
        None,
        description="Area: a disease (name, id or key), whose descendants belong to it, or a file that lists diseases.",
    )
    valid_area: str | None = Field(
        None, description="The same for validation; unset: a share of the other diseases, at random."
    )
    area_relation: str | None = Field(
        None,
        description="Relation from diseases to their parents; unset: by its name (is_a, subclass_of and the like).",
    )
    area_steps: int | None = Field(
        None, ge=0, description="How far an area reaches; needed where facts do not say which end is the parent."
    )
    file: str | None = Field(
        None, description="File: a folder with valid, test and perhaps train, or a file of drug, disease and part."
    )
    num_folds: int = Field(5, ge=2, description="Folds: how many.")
    fold: int = Field(0, ge=0, description="Folds: which of them is the test, counted from 0.")
    folds_of: Literal["pair", "disease", "drug"] = Field(
        "pair", description="Folds: of treatment pairs, or of diseases or drugs with all their treatments."
    )
    keep: tuple[str, ...] = Field(
        (),
        description="Drug–disease relations that held-out pairs keep in training; only to compare with papers that do.",
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> SplitSettings:
        for kind, names in _SPLIT_KINDS.items():
            given = [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
            if given and self.kind != kind:
                raise ConfigError(
                    f"split.{given[0]} is {getattr(self, given[0])!r}, and split.kind is {self.kind!r}, which does not "
                    f"use it. Choose --split {kind}, or leave it out."
                )
            if self.kind == kind and getattr(self, names[0]) is None:
                raise ConfigError(f"split.kind is {kind!r}: say which with -o split.{names[0]}=….")
        if self.fold >= self.num_folds:
            raise ConfigError(
                f"split.fold is {self.fold}; of {self.num_folds} folds (split.num_folds) it must be 0 to "
                f"{self.num_folds - 1}."
            )
        return self


_SPLIT_KINDS = {
    "area": ("area", "valid_area", "area_relation", "area_steps"),
    "file": ("file",),
    "folds": ("num_folds", "fold", "folds_of"),
}
"""The settings that only one kind of split uses; the first has no default for `area` and `file`."""

FEATURE_GROUPS = ("neighbours", "degrees", "paths", "profiles", "embeddings")
"""All groups of pair features; `neighbours` and `embeddings` are off by default (see `rank/features.py`)."""
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
        return bool({"neighbours", "embeddings"} & set(self.groups))


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


class ClusterSettings(Settings):
    """How nodes of a type are grouped; `rxweave cluster` and the library read it, `rxweave run` does not."""

    neighbours: int = Field(15, ge=2, description="Nearest nodes by cosine that each node is joined to.")
    resolutions: tuple[float, ...] = Field(
        (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0),
        min_length=1,
        description="Resolutions of Leiden that are tried: higher ones give more clusters.",
    )
    resolution: float | None = Field(None, gt=0, description="Take this resolution; none chooses by stability.")
    tolerance: float = Field(
        0.05, ge=0, le=1, description="Taken is the finest resolution less stable than the best by no more than this."
    )
    smallest: int = Field(5, ge=2, description="Fewest nodes of a cluster; nodes of smaller groups are in none.")
    pairs: int = Field(10, ge=2, description="Pairs of samples of the nodes that stability is measured on.")
    share: float = Field(0.8, gt=0.3, lt=1, description="Share of the nodes in such a sample.")
    map: Literal["pca", "pacmap", "umap"] = Field(
        "pca", description="Places of the nodes in the plane; all but pca need the extra map."
    )
    fdr: float = Field(0.05, gt=0, le=1, description="Highest false discovery rate of an enriched neighbour.")

    @field_validator("resolutions")
    @classmethod
    def _above_zero(cls, resolutions: tuple[float, ...]) -> tuple[float, ...]:
        if min(resolutions) <= 0:
            raise ConfigError(f"Setting cluster.resolutions has {min(resolutions)}; each must be above 0.")
        return tuple(sorted(set(resolutions)))


PRESETS: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "quick": {"load": {"limit_nodes": 5000}, "embed": {"num_epochs": 20}},
    "full": {"load": {"limit_nodes": None}, "embed": {"num_epochs": 100}},
    "high_quality": {
        "embed": {"num_epochs": 200, "learning_rate": 0.0005, "edge_sample_size": 8000, "accumulation_steps": 2}
    },
    "memory_constrained": {"embed": {"edge_sample_size": 3000, "accumulation_steps": 8}},
}
"""Values by preset, stage and setting; settings that a preset does not name keep their defaults."""


class RunSettings(Settings):
    """Everything that decides a run; saved beside its results. Values given beside a preset win over it."""

    preset: Literal["quick", "full", "high_quality", "memory_constrained"] | None = Field(
        None, description="quick, full, high_quality or memory_constrained; `rxweave settings --preset` shows each."
    )
    load: LoadSettings = LoadSettings()
    split: SplitSettings = SplitSettings()
    embed: EmbedSettings = EmbedSettings()
    rank: RankSettings = RankSettings()
    cluster: ClusterSettings = ClusterSettings()
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of every random choice.")

    @model_validator(mode="before")
    @classmethod
    def _preset_below_given_values(cls, values: dict[str, Any]) -> dict[str, Any]:
        for stage, chosen in PRESETS.get(str(values.get("preset")), {}).items():
            given = values.get(stage, {})
            own = given.model_dump(exclude_unset=True) if isinstance(given, Settings) else given
            if isinstance(own, Mapping):
                values = {**values, stage: {**chosen, **own}}
        return values
