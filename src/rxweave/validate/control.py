"""The untrained model: what its input features and the graph alone give, before anything is learnt."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32

from rxweave.embed.attention import build_index
from rxweave.embed.hgt import HGT
from rxweave.embed.train import Trained


def untrained_vectors(trained: Trained, *, seed: int = 0) -> Float32[np.ndarray, "nodes dim"]:
    """Give what an encoder of the same shape, with fresh weights, makes of the same features and graph.

    Embeddings that know no more of their facts than these owe nothing to training. Computed on the CPU.
    """
    encoder = HGT(trained.encoder.shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        vectors: Float32[np.ndarray, "nodes dim"] = encoder(trained.features.cpu(), build_index(trained.graph)).numpy()
    return vectors
