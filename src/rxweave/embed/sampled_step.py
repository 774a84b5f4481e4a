"""One optimiser step on neighbours drawn for its facts, for graphs whose states do not all fit in memory at once.

Its micro-batches are independent of one another: each has facts and a seed of its own, fixed before the first of them
is run, and an encoder pass of its own on its own part of the graph. Their gradients add up to that of the step.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int

from rxweave.embed.finite import bad_parameter, bad_rows
from rxweave.embed.interruptions import memory_for
from rxweave.embed.layerwise import embed_layer_by_layer
from rxweave.embed.neighbours import IncomingEdges, sample_part
from rxweave.embed.objective import Losses, ScoredEmbeddings, dropout
from rxweave.embed.state import TrainingState
from rxweave.embed.step import Setup, add_gradient, calmer, not_finite_told, sum_gradients, update, wide
from rxweave.errors import TrainingError


@dataclass(frozen=True)
class MicroBatch:
    """What a micro-batch scores, and all that is random about it: whoever runs it, whenever, gets the same gradient."""

    facts: list[Int[np.ndarray, " _"]]
    """Facts of each relation."""
    sizes: list[int]
    """Facts of each relation in the whole step."""
    hidden: Int[np.ndarray, " hidden"]
    """Facts hidden from its messages, its own among them, numbered relation after relation."""
    share: float
    """Share of the step's contrastive loss."""
    seed: int


def take_sampled_step(setup: Setup[IncomingEdges], state: TrainingState, number: int) -> tuple[Losses, float]:
    """Take optimiser step `number` (0, 1, …); give its losses and the length of its gradient before clipping.

    Every rank runs micro-batches of its own. Raises TrainingError, with the tensor and the relation, for a value that
    is not finite, and OutOfMemoryError.
    """
    place = setup.ranks.place
    ours = draw_micro_batches(setup, state.rng)[place.rank :: place.size]
    losses = [astuple(add_micro_batch(setup, state, number, micro_batch)) for micro_batch in ours]
    with not_finite_told(setup, state, number):
        norm = sum_gradients(setup, state)
    update(setup.settings, state, number, norm)
    return Losses(*setup.ranks.sum(np.array(losses).reshape(-1, 3).sum(0).tolist())), norm


def draw_micro_batches(setup: Setup[IncomingEdges], rng: np.random.Generator) -> list[MicroBatch]:
    """Draw the micro-batches of a step; nothing else of the step draws from `rng`."""
    sampler = setup.objective.sampler
    chosen = sampler.hide(rng)
    parts = sampler.cut(chosen)
    seeds = rng.integers(2**63, size=len(parts)).tolist()
    sizes = [len(facts) for facts in chosen]
    return [
        MicroBatch(part, sizes, sampler.numbers(part), 1 / len(parts), seed)
        for part, seed in zip(parts, seeds, strict=True)
    ]


def add_micro_batch(setup: Setup[IncomingEdges], state: TrainingState, number: int, micro_batch: MicroBatch) -> Losses:
    """Add the gradient of a micro-batch of step `number` to that of every weight; give its part of the losses.

    Raises TrainingError and OutOfMemoryError as `take_sampled_step` does.
    """
    settings, objective = setup.settings, setup.objective
    rng = np.random.default_rng(micro_batch.seed)
    with memory_for("drawing neighbours", wide(settings)):
        batches = list(objective.sampler.micro_batch(micro_batch.facts, micro_batch.sizes, rng))
        alike = objective.draw_alike(rng)
        nodes = [*(batch.nodes for batch in batches), *alike.values()]
        if not nodes:  # fewer facts to score than micro-batches
            return Losses(0.0, 0.0 if objective.sampler.treatment_like else float("nan"), 0.0)
        seeds = np.concatenate(nodes)
        most, share = settings.neighbours_of_layers, settings.edge_dropout
        part = sample_part(setup.index, seeds, most, micro_batch.hidden, rng, edge_dropout=share)
        hops = [hop.to(setup.device) for hop in part.hops]
        features = state.features[torch.from_numpy(part.nodes).to(setup.device)]
        features = dropout(features, settings.dropout, torch.Generator().manual_seed(micro_batch.seed))

    def score(scored: ScoredEmbeddings) -> Losses:
        among_seeds = (batch.among(part.seeds) for batch in batches)
        link, treatment = objective.score_facts(scored, state.decoder, among_seeds)
        return Losses(link, treatment, objective.contrast(scored, alike, share=micro_batch.share, rows=part.seeds))

    with not_finite_told(setup, state, number, features, hops):
        return add_gradient(settings, state, features, hops, score)


def embed_by_layer(
    setup: Setup[IncomingEdges], state: TrainingState, *, after: int
) -> Float32[np.ndarray, "nodes dim"]:
    """Give the embedding of every node after an epoch, from all of its edges; TrainingError for NaN."""
    with memory_for("embedding all nodes", f"hidden_dim (now {setup.settings.hidden_dim}), or embedding_dim"):
        vectors = embed_layer_by_layer(state.encoder, state.features.detach(), setup.index)
    problem = bad_rows(setup.graph, vectors)
    if problem is not None:
        where = bad_parameter(setup.graph, state.encoder, state.decoder, state.features) or problem
        raise TrainingError(f"After epoch {after} not all is finite: {where}. {calmer(setup.settings)}")
    return vectors.numpy()
