"""Everything that changes while embeddings are trained, and so all that a checkpoint must hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rxweave.config import EmbedSettings
from rxweave.embed.decoder import DistMult
from rxweave.embed.feature_file import FileFeatures
from rxweave.embed.features import FEATURE_RMS, svd_features
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.embed.history import Epoch
from rxweave.graph.build import Graph


@dataclass
class TrainingState:
    """Model, optimiser, both random streams, and the history; the place in the schedule is its length."""

    features: Tensor
    """A Parameter where they are learnt."""
    encoder: HGT
    decoder: DistMult
    optimiser: torch.optim.AdamW
    rng: np.random.Generator
    generator: torch.Generator
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    """The weights after the epoch with the best held-out score, under early stopping."""
    whole: bool = True
    """Whether it is the state after the last epoch of its history; only then may it be saved."""

    def weights(self) -> dict[str, nn.Parameter]:
        """Give everything that is learnt, by name."""
        return learnt(self.features, self.encoder, self.decoder)

    def close(self, epoch: Epoch) -> None:
        """An epoch is over."""
        self.history.append(epoch)
        self.whole = True

    def keep_best(self) -> None:
        """Keep a copy of the weights as they are now: they are the best so far."""
        self.best = {name: parameter.detach().clone() for name, parameter in self.weights().items()}

    def go_back_to_best(self) -> None:
        """Put back the weights that were kept, if any were."""
        with torch.no_grad():
            for name, kept in self.best.items():
                self.weights()[name].copy_(kept)

    def random_streams(self) -> tuple[dict[str, Any], Tensor]:
        """Give the place that both random streams have come to, for `rewind`."""
        return dict(self.rng.bit_generator.state), self.generator.get_state()

    def rewind(self, streams: tuple[dict[str, Any], Tensor]) -> None:
        """Put both random streams back."""
        self.rng.bit_generator.state = streams[0]
        self.generator.set_state(streams[1])


def initial_state(
    graph: Graph,
    settings: EmbedSettings,
    *,
    seed: int,
    num_relations: int,
    device: torch.device,
    attention: str,
    precision: str,
    features: Tensor | None = None,
    from_file: FileFeatures | None = None,
) -> TrainingState:
    """Give the state before the first step; `num_relations` are directed ones. Features are made unless given.

    `from_file` is what `settings.feature_file` holds; it is set beside the features that are made.

    `attention` names the implementation that the encoder uses, `precision` is "fp32" or "bf16".
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    if features is None:
        features = _features(graph, settings, seed, generator)
        if from_file is not None:
            features = torch.from_numpy(from_file.beside(features.numpy()))
    features = features.to(device)
    if settings.features == "learned":
        features = nn.Parameter(features)
    shape = HGTShape(
        type_offsets=tuple(graph.type_offsets.tolist()),
        num_relations=num_relations,
        feature_dim=features.shape[1],
        hidden_dim=settings.hidden_dim,
        embedding_dim=settings.embedding_dim,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
    )
    encoder = HGT(shape, generator=generator, attention=attention, precision=precision).to(device)
    decoder = DistMult(len(graph.relations), settings.embedding_dim, generator=generator).to(device)
    optimiser = torch.optim.AdamW(
        learnt(features, encoder, decoder).values(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    return TrainingState(features, encoder, decoder, optimiser, rng, generator)


def learnt(features: Tensor, encoder: HGT, decoder: DistMult) -> dict[str, nn.Parameter]:
    """Give the parameters by name: `encoder.…`, `decoder.…` and, where they are learnt, `features`."""
    named = {f"encoder.{name}": parameter for name, parameter in encoder.named_parameters()}
    named |= {f"decoder.{name}": parameter for name, parameter in decoder.named_parameters()}
    return named | ({"features": features} if isinstance(features, nn.Parameter) else {})


def _features(graph: Graph, settings: EmbedSettings, seed: int, generator: torch.Generator) -> Tensor:
    size = (graph.num_nodes, settings.feature_dim)
    if settings.features == "svd":
        return torch.from_numpy(svd_features(graph, settings.feature_dim, seed=seed))
    if settings.features == "constant":
        return torch.full(size, FEATURE_RMS)
    return FEATURE_RMS * torch.randn(size, generator=generator)
