"""The table of an ablation as the report shows it: a row for each variant, a cell for each measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from rxweave.rank.bootstrap import Estimate

NOISE = 0.05
"""Adjusted p-value from which a difference is called level."""


@dataclass(frozen=True)
class AblationCell:
    estimate: Estimate
    difference: float | None
    """From all groups; None for all groups themselves, and for a measure that is not compared pair by pair."""
    standing: Literal["above", "level", "below"] | None
    """Above or below when the difference has an adjusted p-value below NOISE."""


@dataclass(frozen=True)
class AblationPart:
    """All variants on the treatments of one part of the split."""

    part: str
    num_pairs: int
    measures: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[AblationCell, ...]], ...]
    """(variant, kind, cells in the order of `measures`)."""


def ablation_parts(table: pl.DataFrame | None) -> tuple[AblationPart, ...]:
    """Give the parts of the table of `rank.ablation.ablate`, the test part first; none without a table."""
    if table is None or table.is_empty():
        return ()
    found = []
    for part in sorted(table["part"].unique().to_list(), key=lambda name: name != "test"):
        of_part = table.filter(part=part)
        rows = []
        for each in of_part.partition_by("variant", maintain_order=True):
            cells = tuple(_cell(row) for row in each.to_dicts())
            rows.append((each["variant"][0], each["kind"][0], cells))
        measures = tuple(of_part["measure"].unique(maintain_order=True))
        found.append(AblationPart(part, int(of_part["num_pairs"][0]), measures, tuple(rows)))
    return tuple(found)


def _cell(row: dict[str, Any]) -> AblationCell:
    estimate = Estimate(row["value"], row["low"], row["high"])
    difference, p_value = row["difference"], row["p_holm"] if row["p_holm"] is not None else row["p_value"]
    if difference is None or p_value is None:
        return AblationCell(estimate, None, None)
    standing: Literal["above", "level", "below"] = "level"
    if p_value < NOISE:
        standing = "above" if difference > 0 else "below"
    return AblationCell(estimate, difference, standing)
