"""Settings of training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from rxweave.config.settings import Settings
from rxweave.errors import ConfigError


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
        wrong = [most for most in self.num_neighbours if most != -1 and not 1 <= most < 2**31]
        if wrong or len(self.num_neighbours) not in (1, self.num_layers):
            given = ",".join(map(str, self.num_neighbours))
            raise ConfigError(
                f"num_neighbours is {given}; expected one number of edges, or {self.num_layers}, one for each layer; "
                "each from 1 to 2,147,483,647, or -1 for all."
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
