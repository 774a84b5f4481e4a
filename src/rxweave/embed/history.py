"""What training did, epoch by epoch: kept in memory, in checkpoints, and in `training.parquet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from rxweave.artifacts import atomic_path

UNKNOWN = float("nan")


@dataclass(frozen=True)
class Epoch:
    """What one epoch did. Losses are means over its steps; the state of each node type is measured now and then."""

    number: int
    link: float
    """Weighted mean over relations of the ranking loss, both sides, in nats."""
    treatment: float
    """The same for drug–disease relations alone; NaN without any."""
    contrastive: float
    total: float
    seconds: float
    effective_rank: dict[str, float] = field(default_factory=dict)
    """RankMe of the nodes that have facts, per node type."""
    mean_cosine: dict[str, float] = field(default_factory=dict)
    """Over all pairs of different nodes of the type."""
    duplicate_rate: dict[str, float] = field(default_factory=dict)
    """Share of the type's nodes that have a twin."""
    rank_alarm: dict[str, float] = field(default_factory=dict)
    """The effective rank below which a type is collapsing."""
    gradient_norm: float = UNKNOWN
    """The largest of its steps, before clipping."""
    learning_rate: float = UNKNOWN
    """Of its last step."""
    memory: int = 0
    """Bytes held at its end: by the process, or on the CUDA device."""
    peak_memory: int = 0
    """The most bytes held so far."""
    warnings: dict[str, str] = field(default_factory=dict)
    """What was amiss for the first time, by what it concerns."""
    held_out: float = UNKNOWN
    """Mean reciprocal rank of held-out treatments, when there are any and it was measured."""
    measuring_seconds: float = 0.0
    """Those of its seconds that measuring the node types took."""


_NUMBERS = {
    "epoch": ("number", "1, 2, …"),
    "link": ("link", "ranking loss of all relations, weighted mean, in nats"),
    "treatment": ("treatment", "ranking loss of drug–disease relations alone, in nats; empty without any"),
    "contrastive": ("contrastive", "InfoNCE of nodes that share genes, in nats"),
    "total": ("total", "what is minimised: link + contrastive_weight × contrastive"),
    "held_out": ("held_out", "mean reciprocal rank of held-out treatments by the decoder, both sides"),
    "learning_rate": ("learning_rate", "of the epoch's last step"),
    "gradient_norm": ("gradient_norm", "largest of the epoch's steps, before clipping"),
    "seconds": ("seconds", "wall time of the epoch"),
    "measuring_seconds": ("measuring_seconds", "of these, what measuring the node types took"),
    "memory": ("memory", "bytes held at the end of the epoch"),
    "peak_memory": ("peak_memory", "most bytes held so far"),
}
"""Columns of `training.parquet` with one number per epoch: the field of `Epoch`, and what it is."""
_PER_TYPE = {
    "effective_rank": "RankMe of the type's nodes that have facts, on a sample",
    "mean_cosine": "mean cosine over all pairs of the same nodes",
    "duplicate_rate": "share of the same nodes that have a twin among them",
    "rank_alarm": "effective rank below which the type is collapsing",
}
"""Columns with one number per epoch and node type, named `measure/type`; empty where it was not measured."""


def history_table(history: Sequence[Epoch]) -> pl.DataFrame:
    """Give a row per epoch: losses, rates, times, memory, `measure/type` for each measure and node type, warnings."""
    columns: dict[str, list[float | int | None]] = {
        name: [_known(getattr(epoch, attribute)) for epoch in history] for name, (attribute, _) in _NUMBERS.items()
    }
    for measure in _PER_TYPE:
        each = [getattr(epoch, measure) for epoch in history]
        for node_type in sorted({node_type for measured in each for node_type in measured}):
            columns[f"{measure}/{node_type}"] = [_known(measured.get(node_type)) for measured in each]
    whole = ("epoch", "memory", "peak_memory")
    schema = {name: pl.Int64 if name in whole else pl.Float64 for name in columns}
    warnings = pl.Series("warnings", [" ".join(epoch.warnings.values()) for epoch in history], pl.String)
    return pl.DataFrame(columns, schema=schema).with_columns(warnings)


def write_history(history: Sequence[Epoch], path: Path) -> None:
    """Write `history_table` as Parquet; its key/value metadata says what each column is."""
    meaning = {name: told for name, (_, told) in _NUMBERS.items()}
    meaning |= {f"{measure}/<node type>": told for measure, told in _PER_TYPE.items()}
    meaning["warnings"] = "what was said to be amiss in this epoch"
    with atomic_path(path) as temporary:
        history_table(history).write_parquet(temporary, metadata=meaning)


def epochs_from(rows: Sequence[Mapping[str, Any]]) -> list[Epoch]:
    """Give epochs from plain values, as JSON holds them: null is NaN. Raises TypeError for what is no epoch."""
    return [Epoch(**{name: _number(value) for name, value in row.items()}) for row in rows]


def _number(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _number(entry) for key, entry in value.items()}
    return UNKNOWN if value is None else value


def _known(value: float | int | None) -> float | int | None:
    """None for what is not known, which Parquet's readers count as missing; NaN they would average."""
    return None if value is None or value != value else value
