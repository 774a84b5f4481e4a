"""A run of the demo graph that is as small as one can be whose embeddings have not collapsed, and is ranked."""

from __future__ import annotations

from pathlib import Path

from rxweave import pipeline
from rxweave.settings import settings_from

OPTIONS = [
    "embed.embedding_dim=32",
    "embed.hidden_dim=32",
    "embed.feature_dim=32",
    "embed.num_epochs=12",
    "embed.learning_rate=0.003",
    "rank.num_trees=10",
    "rank.num_draws=1",
    "rank.linear_weight=0",
    "rank.bilinear_weight=0",
    "rank.features.num_folds=2",
    "rank.features.groups=degrees,profiles",
    "embed.accumulation_steps=1",
    "embed.device=cpu",
]


def run_small(out: Path, *, seed: int = 0) -> Path:
    """Run everything into a folder, and give the folder."""
    assert pipeline.run(settings_from({"load.kg": "demo:400", "seed": seed}, OPTIONS), out).predictions is not None
    return out
