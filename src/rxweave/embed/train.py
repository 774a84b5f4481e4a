"""The training loop: every edge in every epoch, facts hidden from the messages while they are scored."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn

from rxweave.config import EmbedSettings
from rxweave.embed.attention import build_index
from rxweave.embed.batches import FactBatch, FactSampler
from rxweave.embed.decoder import DistMult
from rxweave.embed.features import FEATURE_RMS, svd_features
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.embed.loss import contrastive_loss, ranking_loss
from rxweave.embed.memory import freed_memory_kept
from rxweave.embed.similarity import gene_sharing
from rxweave.embed.spectrum import effective_rank
from rxweave.errors import ConfigError, InputError, TrainingError
from rxweave.graph.build import Graph

WARM_UP_STEPS = 10
DECAY_SHARE = 0.4
"""The learning rate falls linearly over this last share of the steps: quality rises most while it falls."""
CONTRASTIVE_NODES = 2048
DEVICES = ("cpu", "cuda")
"""Devices with the sparse products of the `csr` attention; Apple's MPS has none."""
RANK_NODES = 2000


@dataclass(frozen=True)
class Epoch:
    """What one epoch did. Losses are means over its steps; effective ranks are measured now and then."""

    number: int
    link: float
    """Weighted mean over relations of the ranking loss, both sides, in nats."""
    treatment: float
    """The same for drug–disease relations alone; NaN without any."""
    contrastive: float
    total: float
    seconds: float
    effective_rank: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """A trained encoder and decoder, what they make of every node, and how training went."""

    vectors: Float32[np.ndarray, "nodes dim"]
    graph: Graph
    """The graph that was trained on: every fact of it may have shaped the vectors."""
    features: Float[Tensor, "nodes features"]
    """What the encoder was given for each node."""
    encoder: HGT
    decoder: DistMult
    history: tuple[Epoch, ...]
    device: str


@freed_memory_kept()
def train(
    graph: Graph, settings: EmbedSettings, *, seed: int, on_epoch: Callable[[Epoch], None] | None = None
) -> Trained:
    """Train embeddings of every node of a graph; pass the TRAINING graph, since everything in it is learnt from.

    The same graph, settings and seed give the same result on one machine's CPU. Raises TrainingError when a loss is
    not finite, InputError for a graph without facts, ConfigError for a device that cannot be used.
    """
    if graph.num_facts == 0:
        raise InputError(f"{graph.name} has {graph.num_nodes:,} nodes and no fact between them: nothing to learn.")
    device = choose_device(settings.device)
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)

    index = build_index(graph).to(device)
    features = _features(graph, settings, seed, generator, device)
    shape = HGTShape(
        type_offsets=tuple(graph.type_offsets.tolist()),
        num_relations=index.num_relations,
        feature_dim=settings.feature_dim,
        hidden_dim=settings.hidden_dim,
        embedding_dim=settings.embedding_dim,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
    )
    encoder = HGT(shape, generator=generator, attention=settings.attention).to(device)
    decoder = DistMult(len(graph.relations), settings.embedding_dim, generator=generator).to(device)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    if isinstance(features, nn.Parameter):
        parameters.append(features)
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    num_steps = settings.num_epochs * settings.steps_per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, num_steps))

    sampler = FactSampler(graph, settings)
    weights = _relation_weights(graph, settings)
    alike = _similar_nodes(graph, settings)
    history = []
    for number in range(1, settings.num_epochs + 1):
        started = time.perf_counter()
        steps = []
        for _ in range(settings.steps_per_epoch):
            chosen = sampler.hide(rng)
            visible = index.without(sampler.hidden_mask(chosen))
            z = encoder(_dropout(features, settings.dropout, generator), visible)
            scored = _Scored(z)
            link, treatment = _score_facts(scored, decoder, sampler, chosen, weights, rng)
            contrastive = _contrast(scored, graph, alike, settings.contrastive_weight, rng)
            _check_finite(number, settings.learning_rate, link=link, contrastive=contrastive)
            z.backward(scored.gradient)
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
            steps.append((link, treatment, contrastive))
        link, treatment, contrastive = np.mean(steps, axis=0).tolist()
        history.append(
            Epoch(
                number=number,
                link=link,
                treatment=treatment,
                contrastive=contrastive,
                total=link + settings.contrastive_weight * contrastive,
                seconds=time.perf_counter() - started,
                effective_rank=_ranks(graph, z.detach(), rng) if _measures_rank(number, settings.num_epochs) else {},
            )
        )
        if on_epoch is not None:
            on_epoch(history[-1])

    with torch.no_grad():
        vectors = encoder(features, index).cpu().numpy()
    if not np.isfinite(vectors).all():
        raise TrainingError(
            "The trained embeddings hold values that are not finite. Lower learning_rate "
            f"(now {settings.learning_rate})."
        )
    return Trained(vectors, graph, features.detach(), encoder, decoder, tuple(history), str(device))


def choose_device(asked: str | None) -> torch.device:
    """Give the asked-for device, or the best one present: CUDA, then CPU.

    Raises ConfigError for a device that is unknown, absent, or lacks the sparse products that attention needs.
    """
    if asked is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = asked.partition(":")[0]
    if kind not in DEVICES:
        raise ConfigError(f"device is {asked!r}; expected {' or '.join(DEVICES)}, or nothing for the best one present.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device is {asked!r}, but torch {torch.__version__} sees no CUDA device. Use device=cpu.")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if asked not in (kind, *(f"{kind}:{i}" for i in range(count))):
        raise ConfigError(f"device is {asked!r}; of {kind} there are {count}, so expected {kind} or {kind}:0.")
    return torch.device(asked)


class _Scored:
    """The embeddings of a step, scored piece by piece; gradients of all pieces are summed at the embeddings.

    One encoder pass then serves all micro-batches: mathematically the same as a pass for each of them.
    """

    def __init__(self, z: Float[Tensor, "nodes dim"]) -> None:
        self.z = z.detach()
        self.gradient = torch.zeros_like(self.z)

    def backward(self, loss_of: Callable[[Float[Tensor, "rows dim"]], Tensor], rows: Tensor, weight: float) -> float:
        """Back-propagate weight × loss of these rows, into the decoder and into the summed gradient."""
        rows = rows.to(self.z.device)
        z = self.z[rows].requires_grad_()
        loss = loss_of(z)
        (weight * loss).backward()  # type: ignore[no-untyped-call]  # torch stub
        if z.grad is not None:
            self.gradient.index_add_(0, rows, z.grad)
        return float(loss.detach())


def _rows(batch: FactBatch) -> Tensor:
    return torch.from_numpy(np.concatenate([batch.source, batch.target, batch.other_sources, batch.other_targets]))


def _link_loss(z: Float[Tensor, "rows dim"], batch: FactBatch, decoder: DistMult) -> Tensor:
    sizes = [len(batch.source), len(batch.target), len(batch.other_sources), len(batch.other_targets)]
    source, target, other_sources, other_targets = torch.split(z, sizes)
    forward = decoder.project(source, batch.relation)
    backward = decoder.project(target, batch.relation)
    true_score = (forward * target).sum(1)
    target_also_true = torch.from_numpy(batch.target_also_true).to(z.device)
    source_also_true = torch.from_numpy(batch.source_also_true).to(z.device)
    return ranking_loss(true_score, forward @ other_targets.T, target_also_true) + ranking_loss(
        true_score, backward @ other_sources.T, source_also_true
    )


def _score_facts(
    scored: _Scored,
    decoder: DistMult,
    sampler: FactSampler,
    chosen: list[Int[np.ndarray, " _"]],
    weights: list[float],
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Back-propagate the link loss of a step; give it, and the mean over the drug–disease relations alone."""
    link = treatment = 0.0
    for batch in sampler.micro_batches(chosen, rng):
        weight = weights[batch.relation] * batch.share
        loss = scored.backward(partial(_link_loss, batch=batch, decoder=decoder), _rows(batch), weight)
        link += weight * loss
        if batch.relation in sampler.treatment_like:
            treatment += batch.share * loss / len(sampler.treatment_like)
    return link, treatment if sampler.treatment_like else float("nan")


def _contrast(
    scored: _Scored, graph: Graph, alike: dict[str, sp.csr_matrix], weight: float, rng: np.random.Generator
) -> float:
    """Back-propagate the contrastive loss of a step; give its mean over the node types that have one."""
    total = 0.0
    for node_type, matrix in alike.items():
        size = matrix.shape[0]
        nodes = np.sort(rng.choice(size, min(size, CONTRASTIVE_NODES), replace=False))
        similar = torch.from_numpy(matrix[nodes][:, nodes].toarray()).to(scored.z.device)
        rows = torch.from_numpy(nodes + graph.rows_of(node_type).start)
        loss = scored.backward(partial(contrastive_loss, similar=similar), rows, weight / len(alike))
        total += loss / len(alike)
    return total


def _features(
    graph: Graph, settings: EmbedSettings, seed: int, generator: torch.Generator, device: torch.device
) -> Tensor:
    size = (graph.num_nodes, settings.feature_dim)
    if settings.features == "svd":
        return torch.from_numpy(svd_features(graph, settings.feature_dim, seed=seed)).to(device)
    if settings.features == "constant":
        return torch.full(size, FEATURE_RMS, device=device)
    return nn.Parameter((FEATURE_RMS * torch.randn(size, generator=generator)).to(device))


def _dropout(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    if share == 0:
        return x
    keep = torch.rand(x.shape, generator=generator).ge_(share).div_(1 - share)
    return x * keep.to(x.device)


def _rate(step: int, num_steps: int) -> float:
    """Share of the peak learning rate: a linear warm-up, a plateau, and a linear fall to a twentieth."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    left = (num_steps - step) / (DECAY_SHARE * num_steps)
    return warm_up * max(0.05, min(1.0, left))


def _relation_weights(graph: Graph, settings: EmbedSettings) -> list[float]:
    """Equal weight for every relation that has facts to score, more for drug–disease relations; they sum to one."""
    treatment_like = set(graph.drug_disease_relations())
    weights = [
        (settings.treatment_weight if r in treatment_like else 1.0)
        * (fact.shape[1] > 1)  # a single fact is never scored
        for r, fact in enumerate(graph.facts)
    ]
    return [weight / sum(weights) for weight in weights]


def _similar_nodes(graph: Graph, settings: EmbedSettings) -> dict[str, sp.csr_matrix]:
    if settings.contrastive_weight == 0:
        return {}
    found = {
        node_type: gene_sharing(graph, node_type, threshold=settings.similarity_threshold)
        for node_type in (graph.roles.disease, graph.roles.drug)
        if node_type in graph.node_types
    }
    return {node_type: matrix for node_type, matrix in found.items() if matrix.nnz}


def _measures_rank(number: int, num_epochs: int) -> bool:
    return number == num_epochs or number % max(1, num_epochs // 10) == 0


def _ranks(graph: Graph, z: Tensor, rng: np.random.Generator) -> dict[str, float]:
    """Effective rank of each node type, on a sample of its nodes."""
    ranks = {}
    for node_type in graph.node_types:
        rows = graph.rows_of(node_type)
        size = rows.stop - rows.start
        sample = rows.start + rng.choice(size, min(size, RANK_NODES), replace=False)
        ranks[node_type] = float(effective_rank(z[torch.from_numpy(sample)].cpu().numpy()))
    return ranks


def _check_finite(epoch: int, learning_rate: float, **losses: float) -> None:
    for name, value in losses.items():
        if not np.isfinite(value):
            raise TrainingError(
                f"The {name} loss is {value} in epoch {epoch}. Nothing was saved. Lower learning_rate "
                f"(now {learning_rate})."
            )
