"""Settings of loading a graph and of splitting its treatments."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from rxweave.config.settings import Settings
from rxweave.errors import ConfigError


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
