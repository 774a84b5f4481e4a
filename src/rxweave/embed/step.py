"""One optimiser step: hide facts, score them, check every value on the way, and learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from rxweave.config import EmbedSettings
from rxweave.embed.attention import MessageIndex
from rxweave.embed.attention.choose import Choice
from rxweave.embed.finite import NotFiniteError, bad_activation, bad_gradient, bad_parameter, bad_rows
from rxweave.embed.held_out import HeldOut
from rxweave.embed.interruptions import memory_for
from rxweave.embed.memory import give_back_holes
from rxweave.embed.neighbours import Hop, IncomingEdges
from rxweave.embed.objective import Losses, Objective, ScoredEmbeddings, dropout
from rxweave.embed.ranks import Ranks
from rxweave.embed.schedule import rate
from rxweave.embed.state import TrainingState
from rxweave.errors import TrainingError
from rxweave.graph.build import Graph

Messages = TypeVar("Messages", bound=MessageIndex | IncomingEdges)


@dataclass(frozen=True)
class Setup(Generic[Messages]):
    """What stays the same while a graph is trained on."""

    graph: Graph
    settings: EmbedSettings
    index: Messages
    objective: Objective
    device: torch.device
    active: Bool[np.ndarray, " nodes"]
    """Nodes that have facts."""
    attention: Choice
    precision: Choice
    ranks: Ranks = field(default_factory=Ranks)
    held_out: HeldOut | None = None
    """Treatments that the graph does not hold, to be ranked now and then."""


def take_step(setup: Setup[MessageIndex], state: TrainingState, number: int) -> tuple[Losses, float]:
    """Take optimiser step `number` (0, 1, …); give its losses and the length of its gradient before clipping.

    Raises TrainingError, with the tensor and the relation, for a value that is not finite, and OutOfMemoryError.
    """
    settings, sampler = setup.settings, setup.objective.sampler
    chosen = sampler.hide(state.rng)
    with memory_for("passing messages", wide(settings)):
        visible = setup.index.without(sampler.hidden_mask(chosen, state.rng))
        features = dropout(state.features, settings.dropout, state.generator)

    def score(scored: ScoredEmbeddings) -> Losses:
        objective = setup.objective
        link, treatment = objective.score_facts(scored, state.decoder, sampler.micro_batches(chosen, state.rng))
        alike = objective.for_this_rank(objective.draw_alike(state.rng))
        give_back_holes()
        return Losses(link, treatment, objective.contrast(scored, alike))

    with not_finite_told(setup, state, number, features, visible):
        losses = add_gradient(settings, state, features, visible, score)
        norm = sum_gradients(setup, state)
    update(settings, state, number, norm)
    return Losses(*setup.ranks.sum(astuple(losses))), norm


def add_gradient(
    settings: EmbedSettings,
    state: TrainingState,
    features: Float[Tensor, "nodes features"],
    messages: MessageIndex | Sequence[Hop],
    score: Callable[[ScoredEmbeddings], Losses],
) -> Losses:
    """Pass messages, score what they make, and add the gradient of the losses to that of every weight."""
    with memory_for("passing messages", wide(settings)):
        states = state.encoder.states(features, messages)
        # The output map gets leaves of its own, so that z and its gradient are gone before the layers' gradients come.
        held = [x.detach().requires_grad_(x.requires_grad) for x in states]
        z = state.encoder.output(held)
    scored = ScoredEmbeddings(z)
    with memory_for("scoring facts", many(settings)):
        losses = score(scored)
    with memory_for("passing gradients back", wide(settings)):
        z.backward(scored.gradient)  # type: ignore[no-untyped-call]  # torch stub
        del z, scored
        learnt = [x for x in states if x.requires_grad]
        gradients = [leaf.grad for leaf in held if leaf.requires_grad]
        # After the losses and after each layer, where memory would peak; elsewhere a step gained less than it paid.
        if isinstance(messages, MessageIndex):  # of hops, `states` are selections that no later layer started from
            for between in states[1:-1]:
                between.register_hook(lambda _: give_back_holes())  # type: ignore[no-untyped-call]  # torch stub
        del states, held
        give_back_holes()
        torch.autograd.backward(learnt, gradients)
    return losses


@contextmanager
def not_finite_told(
    setup: Setup[Any],
    state: TrainingState,
    number: int,
    features: Float[Tensor, "nodes features"] | None = None,
    messages: MessageIndex | Sequence[Hop] = (),
) -> Iterator[None]:
    """Turn a NotFiniteError of step `number` into a TrainingError with its origin and what to change.

    With features given, activations are looked into as well.
    """
    try:
        yield
    except NotFiniteError as error:
        where = _origin(setup, state, features, messages)
        settings = setup.settings
        raise TrainingError(
            f"In step {number + 1} (epoch {number // settings.steps_per_epoch + 1}) {error}"
            f"{f'; first to be not finite: {where}' if where else ''}. {calmer(settings)}"
        ) from None


def embed(setup: Setup[MessageIndex], state: TrainingState, *, after: int) -> Float32[np.ndarray, "nodes dim"]:
    """Give the embedding of every node after an epoch: no fact hidden, nothing dropped; TrainingError for NaN."""
    with torch.no_grad(), memory_for("embedding all nodes", wide(setup.settings)):
        vectors: Tensor = state.encoder(state.features, setup.index)
    problem = bad_rows(setup.graph, vectors)
    if problem is not None:
        raise TrainingError(
            f"After epoch {after} not all is finite: {_origin(setup, state, state.features, setup.index) or problem}. "
            f"{calmer(setup.settings)}"
        )
    return vectors.cpu().numpy()


def calmer(settings: EmbedSettings) -> str:
    """Say what to change when values explode."""
    clip = f"clip_norm (now {settings.clip_norm:g})" if settings.clip_norm else "clip_norm (now none; try 1)"
    return f"Lower learning_rate (now {settings.learning_rate:g}) or {clip}."


def sum_gradients(setup: Setup[Any], state: TrainingState) -> float:
    """Sum the gradient of every weight over ranks, and give its length; raises NotFiniteError."""
    with memory_for("passing gradients back", wide(setup.settings)):
        norm = _gradient_norm(state)
        if setup.ranks.place.size > 1:  # only now: what is not finite should be told by the rank where it was
            setup.ranks.sum_gradients(state.weights().values())
            norm = _gradient_norm(state)
    return norm


def _gradient_norm(state: TrainingState) -> float:
    gradients = [p.grad for p in state.weights().values() if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients))
    if not np.isfinite(norm):
        raise NotFiniteError(f"the gradient is {norm}")
    return norm


def update(settings: EmbedSettings, state: TrainingState, number: int, norm: float) -> None:
    """Take optimiser step `number` along the gradient, of length `norm`, and clear it."""
    with memory_for("updating the weights", wide(settings)):
        if settings.clip_norm is not None and norm > settings.clip_norm:
            torch.nn.utils.clip_grads_with_norm_(state.weights().values(), settings.clip_norm, torch.tensor(norm))
        for group in state.optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate(number, settings.num_epochs * settings.steps_per_epoch)
        state.whole = False
        state.optimiser.step()
        state.optimiser.zero_grad()


def _origin(
    setup: Setup[Any], state: TrainingState, features: Tensor | None, messages: MessageIndex | Sequence[Hop]
) -> str | None:
    """Find the tensor that was not finite first: a weight, else an activation, else a gradient."""
    parts = (setup.graph, state.encoder, state.decoder, state.features)
    activation = None if features is None else partial(bad_activation, setup.graph, state.encoder, features, messages)
    return bad_parameter(*parts) or (activation and activation()) or bad_gradient(*parts)


def wide(settings: EmbedSettings) -> str:
    """Say what to lower when states and messages do not fit."""
    if settings.batching == "sampled":
        return (
            f"batch_facts (now {settings.batch_facts:,}), num_neighbours (now "
            f"{','.join(map(str, settings.num_neighbours))}), num_treatment_negatives (now "
            f"{settings.num_treatment_negatives:,}) or hidden_dim (now {settings.hidden_dim})"
        )
    return (
        f"hidden_dim (now {settings.hidden_dim}) or num_layers (now {settings.num_layers}), or take a part of the "
        "graph with limit_nodes or include_node_types, or of its edges at a time with batching=sampled"
    )


def many(settings: EmbedSettings) -> str:
    """Say what to lower when the scores of facts do not fit."""
    if settings.batching == "sampled":
        return wide(settings)
    return (
        f"edge_sample_size (now {settings.edge_sample_size:,}), raising accumulation_steps (now "
        f"{settings.accumulation_steps}) as much to score as many facts (--preset memory_constrained does both), or "
        f"num_treatment_negatives (now {settings.num_treatment_negatives:,})"
    )
