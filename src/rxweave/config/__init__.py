"""Every setting of every stage, in one place: the source of command-line options and saved run configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from rxweave.config.cluster import ClusterSettings
from rxweave.config.embed import EmbedSettings
from rxweave.config.graph import LoadSettings, SplitSettings
from rxweave.config.rank import BILINEAR_INPUTS, FEATURE_GROUPS, FROM_EMBEDDINGS, FeatureSettings, RankSettings
from rxweave.config.settings import Settings

__all__ = [
    "BILINEAR_INPUTS", "FEATURE_GROUPS", "FROM_EMBEDDINGS", "PRESETS", "ClusterSettings", "EmbedSettings",
    "FeatureSettings", "LoadSettings", "RankSettings", "RunSettings", "Settings", "SplitSettings",
]  # fmt: skip

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
