"""Studies of seconds, on a demo graph of 400 nodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rxweave.benchmark.quality.catalogue import chosen_methods
from rxweave.benchmark.quality.settings import quality_settings
from rxweave.benchmark.quality.study import Plan, Study, study_quality

TINY = [
    "embed.num_epochs=3", "embed.embedding_dim=16", "embed.hidden_dim=16", "embed.feature_dim=16",
    "embed.num_heads=2", "embed.accumulation_steps=1", "embed.device=cpu",
]  # fmt: skip
SETTINGS, PEERS = quality_settings({"load.kg": "demo:400"}, TINY)


def quiet(text: str) -> None:
    pass


def plan_of(out: Path, methods: str, **changes: Any) -> Plan:
    """Seeds 0 and 1, unless changed."""
    plan = Plan(chosen_methods(methods), (0, 1), SETTINGS, PEERS, out, command="rxweave benchmark quality …")
    return replace(plan, **changes)


def finished(out: Path, methods: str, **changes: Any) -> Study:
    return study_quality(plan_of(out, methods, **changes), tell=quiet)
