"""A training that takes a fraction of a second, also as a process of its own: `python small_training.py CHECKPOINT`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from rxweave.config import EmbedSettings
from rxweave.embed.history import Epoch
from rxweave.embed.train import Trained, train
from rxweave.graph.build import Graph, build_graph
from rxweave.kg.demo import demo_kg

SETTINGS = EmbedSettings(
    embedding_dim=32,
    hidden_dim=16,
    feature_dim=16,
    num_heads=4,
    num_epochs=6,
    learning_rate=0.003,
    num_negatives=16,
    num_treatment_negatives=32,
    accumulation_steps=1,
    checkpoint_every=1,
    device="cpu",
)
SEED = 3


def small_graph() -> Graph:
    return build_graph(demo_kg(num_nodes=400, num_edges=4000, seed=3))


def train_slowly(checkpoint: Path) -> Trained:
    """Many epochs, told one by one on standard output."""
    torch.set_num_threads(1)

    def tell(epoch: Epoch) -> None:
        sys.stdout.write(f"{epoch.number}\n")
        sys.stdout.flush()

    return train(small_graph(), SETTINGS.but(num_epochs=30), seed=SEED, on_epoch=tell, checkpoint=checkpoint)


if __name__ == "__main__":
    train_slowly(Path(sys.argv[1]))
