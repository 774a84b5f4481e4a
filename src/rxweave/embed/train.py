"""The training loop: every edge in every epoch, facts hidden from the messages while they are scored.

It reads top to bottom. What a step minimises is in `step.py`, what is watched in `guards.py`, what can be resumed in
`checkpoint.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from rxweave import __version__
from rxweave.config import EmbedSettings
from rxweave.embed.attention import MessageIndex, build_index
from rxweave.embed.attention.choose import Choice, choose_attention, choose_precision
from rxweave.embed.checkpoint import Checkpoint, Identity, Made
from rxweave.embed.decoder import DistMult
from rxweave.embed.device import choose_device
from rxweave.embed.feature_file import FileFeatures, read_feature_file
from rxweave.embed.guards import collapsing_types, new_warnings
from rxweave.embed.held_out import HeldOut, best_epoch, check_feature_file, check_held_out, held_out_mrr
from rxweave.embed.hgt import HGT
from rxweave.embed.history import UNKNOWN, Epoch
from rxweave.embed.interruptions import OutOfMemoryError, deferred_ctrl_c, memory_for
from rxweave.embed.keeper import CheckpointKeeper, find_on_all
from rxweave.embed.measures import TypeMeasures, is_due, measure_types
from rxweave.embed.memory import give_back_holes
from rxweave.embed.memory_fit import check_memory
from rxweave.embed.memory_plan import MemoryPlan, plan_memory
from rxweave.embed.neighbours import IncomingEdges
from rxweave.embed.objective import Losses, Objective
from rxweave.embed.ranks import RankError, Ranks, joined
from rxweave.embed.sampled_step import embed_by_layer, take_sampled_step
from rxweave.embed.state import TrainingState, initial_state
from rxweave.embed.step import Setup, embed, take_step
from rxweave.embed.usage import memory_now, memory_peak
from rxweave.errors import CollapseError, ConfigError, InputError
from rxweave.graph.build import Graph

__all__ = ["Epoch", "Trained", "choose_device", "train"]

TakeStep = Callable[[Setup[Any], TrainingState, int], tuple[Losses, float]]
EmbedAll = Callable[..., Float32[np.ndarray, "nodes dim"]]
WAYS: dict[str, tuple[TakeStep, EmbedAll]] = {
    "full": (take_step, embed),
    "sampled": (take_sampled_step, embed_by_layer),
}
"""How a step is taken, and how all nodes are embedded, by `batching`."""

_log = logging.getLogger("rxweave")


T = TypeVar("T")


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
    attention: Choice
    precision: Choice
    memory: MemoryPlan
    """What was predicted before it began."""
    from_file: FileFeatures | None = None
    """What `feature_file` gave, beside the identity of each node; it is part of `features`."""


def train(
    graph: Graph,
    settings: EmbedSettings,
    *,
    seed: int,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_note: Callable[[str], None] = _log.info,
    on_warning: Callable[[str], None] = _log.warning,
    checkpoint: Path | None = None,
    resume: bool | None = None,
    held_out: HeldOut | None = None,
) -> Trained:
    """Train embeddings of every node of a graph; pass the TRAINING graph, since everything in it is learnt from.

    The same graph, settings and seed give the same result on one machine's CPU, interrupted or not: the state is
    saved to the file `checkpoint`, if given, every `checkpoint_every` epochs, at the end, and when training ends early
    (Ctrl-C waits for the end of the epoch). `resume` None goes on from that file if it is of this very training, and
    puts it aside if not; True insists on it; False starts anew. `held_out` treatments, which the graph must not hold,
    are ranked now and then; under early_stopping they decide when training ends and which weights are kept.

    Started by torchrun, the ranks share the scoring of facts and all give the same result, which is that of one process
    but for rounding; the first alone tells and saves.

    Raises InputError for a graph without two facts of one relation, ConfigError for a device that cannot be used,
    MemoryPlanError for a training that would not fit it, CheckpointError for a checkpoint that cannot be resumed,
    TrainingError when a value is not finite, memory runs out or another rank fails, and CollapseError under
    on_collapse=stop.
    """
    if held_out is not None:
        check_held_out(graph, held_out)
    elif settings.early_stopping is not None:
        raise ConfigError(
            f"early_stopping is {settings.early_stopping}, and no treatments are held out to measure by: this training "
            "learns from all facts. Use `rxweave run`, or choose num_epochs and leave early_stopping unset."
        )
    if graph.num_facts == 0:
        raise InputError(f"{graph.name} has {graph.num_nodes:,} nodes and no fact between them: nothing to learn.")
    if max(fact.shape[1] for fact in graph.facts) < 2:
        raise InputError(
            f"No relation of {graph.name} has two facts ({graph.num_facts} facts of {len(graph.relations)} relations): "
            "while one is scored it is hidden, and nothing would be left to learn it from. Give a larger graph."
        )
    device = choose_device(settings.device)
    identity = Identity.of(graph, settings, seed, None if held_out is None else held_out.pairs)
    keeper = CheckpointKeeper(checkpoint, identity, settings.checkpoint_every)
    tell = Listeners(on_epoch or _silent, on_note, on_warning)
    with joined(device) as ranks:
        if not ranks.place.first:
            tell, keeper.writes = Listeners(_silent, _silent, _silent), False
        ranks.check_same(identity, device)
        saved = find_on_all(keeper, ranks, resume=resume, say=tell.note)
        # In the precision that it will go on in; attention is chosen anew in either case.
        plan = plan_memory(
            graph,
            settings,
            device=device,
            precision=None if saved is None else saved.made.precision,
            counted=0 if saved is None else sum(tensor.nbytes for tensor in saved.tensors.values()),
        )
        tell.note(plan.told())
        check_memory(plan, graph, settings)
        from_file = _read_features(settings, graph, held_out)
        for note in () if from_file is None else from_file.notes:
            tell.note(note)
        setup, state = _prepare(graph, settings, seed, device, ranks, held_out, saved, from_file)
        attention, precision = setup.attention, setup.precision
        keeper.made = Made(__version__, attention.name, precision.name)
        if saved is not None and saved.made != keeper.made:
            tell.note(saved.made.told_beside(keeper.made))
        del saved  # its tensors, of which a GPU has copies by now
        tell.note(
            f"Attention: {attention.name} on {device} ({attention.reason}), {precision.name} ({precision.reason})."
        )
        with deferred_ctrl_c(tell.note) as stop_asked:
            if state.history:  # a training that is resumed may have ended so before
                _stop_if_collapsing(setup, state, keeper)
            while not _finished(setup, state):
                epoch = _epoch_or_save(setup, state, keeper)
                state.close(epoch)
                if settings.early_stopping is not None and best_epoch(state.history, graph.roles) == epoch.number:
                    state.keep_best()
                tell.epoch(epoch)
                for warning in epoch.warnings.values():
                    tell.warning(warning)
                keeper.save_if_due(state, tell.warning, at_end=_finished(setup, state))
                _stop_if_collapsing(setup, state, keeper)
                if _meet(partial(ranks.any, stop_asked()), state, keeper):
                    told = ranks.first_does(partial(keeper.save, state))
                    tell.note(f"Stopped after epoch {epoch.number} of {settings.num_epochs}. {told}")
                    raise KeyboardInterrupt
        if state.best:
            best = best_epoch(state.history, graph.roles)
            tell.note(
                f"Ended after epoch {len(state.history)}; kept: epoch {best}, the best rank of held-out treatments."
            )
            state.go_back_to_best()
        _, embed_all = WAYS[settings.batching]
        return Trained(
            embed_all(setup, state, after=len(state.history)),
            graph,
            state.features.detach(),
            state.encoder,
            state.decoder,
            tuple(state.history),
            str(device),
            attention,
            precision,
            plan,
            from_file,
        )


@dataclass(frozen=True)
class Listeners:
    """Who is told of epochs, of what a reader should know, and of what may spoil the result."""

    epoch: Callable[[Epoch], None]
    note: Callable[[str], None]
    warning: Callable[[str], None]


def _silent(_: object) -> None:
    """What other ranks than the first tell of their training, which is the same one."""


def _read_features(settings: EmbedSettings, graph: Graph, held_out: HeldOut | None) -> FileFeatures | None:
    """The vectors of `feature_file`, if there is one, with what is known of where they are from."""
    if settings.feature_file is None:
        return None
    path = Path(settings.feature_file)
    made = None if held_out is None else check_feature_file(path, held_out, graph)
    features = read_feature_file(path, graph)
    return features if made is None else replace(features, notes=(*features.notes, made))


def _prepare(
    graph: Graph,
    settings: EmbedSettings,
    seed: int,
    device: torch.device,
    ranks: Ranks,
    held_out: HeldOut | None,
    saved: Checkpoint | None,
    from_file: FileFeatures | None,
) -> tuple[Setup[Any], TrainingState]:
    """Give what stays the same and what changes while training, as they are at its start or were saved."""
    with memory_for("preparing the graph", "limit_nodes, or leave out node types with include_node_types"):
        index: MessageIndex | IncomingEdges
        index = IncomingEdges.of(graph) if settings.batching == "sampled" else build_index(graph).to(device)
        attention = choose_attention(
            settings.attention,
            device=device.type,
            num_edges=index.num_edges,
            head_dim=settings.hidden_dim // settings.num_heads,
        )
        precision = choose_precision(settings.precision, device=device.type, num_edges=index.num_edges)
        if saved is not None and saved.made.precision != precision.name:  # what it learnt in, it goes on in
            precision = Choice(saved.made.precision, "as in the checkpoint")
        state = initial_state(
            graph,
            settings,
            seed=seed,
            num_relations=index.num_relations,
            device=device,
            attention=attention.name,
            precision=precision.name,
            features=None if saved is None else saved.features,
            from_file=from_file,
        )
        objective = Objective(graph, settings, precision.name, ranks.place)
    if saved is not None:
        saved.restore(state)
    ranks.spread([state.features, *state.weights().values()])
    give_back_holes()
    active = graph.degrees > 0
    return Setup(graph, settings, index, objective, device, active, attention, precision, ranks, held_out), state


def _epoch_or_save(setup: Setup[Any], state: TrainingState, keeper: CheckpointKeeper) -> Epoch:
    """Give the record of the next epoch; when memory runs out or another rank fails, save what there is first."""
    try:
        return _epoch(setup, state)
    except (OutOfMemoryError, RankError) as error:
        shortage = type(error)(str(error))
    # Out here: the handler keeps alive the very tensors that took the memory.
    raise type(shortage)(f"{shortage} {keeper.save(state)}".strip())


def _meet(meeting: Callable[[], T], state: TrainingState, keeper: CheckpointKeeper) -> T:
    """Give what the ranks agree on after an epoch; when one of them is lost, save what there is first."""
    try:
        return meeting()
    except RankError as error:
        raise RankError(f"{error} {keeper.save(state)}".strip()) from None


def _stop_if_collapsing(setup: Setup[Any], state: TrainingState, keeper: CheckpointKeeper) -> None:
    """Raise CollapseError, on every rank, under on_collapse=stop."""
    stops = setup.settings.on_collapse == "stop"
    mine = collapsing_types(state.history, setup.graph.roles) if stops else []
    types = _meet(partial(setup.ranks.decided, mine), state, keeper)
    if types:
        raise CollapseError(
            f"Stopped after epoch {len(state.history)}, since on_collapse=stop and {' and '.join(types)} embeddings "
            f"are collapsing. {keeper.save(state)} To train on all the same: --on-collapse warn."
        )


def _finished(setup: Setup[Any], state: TrainingState) -> bool:
    """Whether training is over: all epochs done, or too many without a better held-out score.

    That is asked where it was measured: between two measurements nothing is known of how it goes.
    """
    number, patience = len(state.history), setup.settings.early_stopping
    if number >= setup.settings.num_epochs or patience is None:
        return number >= setup.settings.num_epochs
    best = best_epoch(state.history, setup.graph.roles)
    return best is not None and not np.isnan(state.history[-1].held_out) and number - best >= patience


def _epoch(setup: Setup[Any], state: TrainingState) -> Epoch:
    """Take the steps of an epoch, measure what is due, and give its record; out of memory, `state` may be saved."""
    settings, number = setup.settings, len(state.history) + 1
    take, embed_all = WAYS[settings.batching]
    first = len(state.history) * settings.steps_per_epoch
    started, streams = time.perf_counter(), state.random_streams()
    try:
        steps = [take(setup, state, first + i) for i in range(settings.steps_per_epoch)]
        measures, held_out, stepped = TypeMeasures(), UNKNOWN, time.perf_counter()
        if is_due(number, settings.num_epochs, settings.measure_every):
            give_back_holes()  # of the steps; an epoch that measures would otherwise be the one where memory peaks
            vectors = embed_all(setup, state, after=number)
            with memory_for("measuring embeddings", f"embedding_dim (now {settings.embedding_dim})"):
                measures = measure_types(setup.graph, vectors, setup.active)
            if setup.held_out is not None:
                with memory_for("ranking held-out treatments", "limit_nodes: every drug is scored for every disease"):
                    held_out = held_out_mrr(vectors, state.decoder, setup.graph, setup.held_out)
            # One history on all ranks, since it decides when to stop; other processors may measure other last bits.
            measures, held_out = setup.ranks.decided((measures, held_out))
            del vectors
            give_back_holes()
    except (OutOfMemoryError, RankError):
        state.rewind(streams)
        raise
    ended = time.perf_counter()
    link, treatment, contrastive = np.mean([(s.link, s.treatment, s.contrastive) for s, _ in steps], axis=0).tolist()
    epoch = Epoch(
        number=number,
        link=link,
        treatment=treatment,
        contrastive=contrastive,
        total=link + settings.contrastive_weight * contrastive,
        seconds=ended - started,
        measuring_seconds=ended - stepped if measures.effective_rank else 0.0,
        **vars(measures),
        held_out=held_out,
        gradient_norm=max(norm for _, norm in steps),
        learning_rate=state.optimiser.param_groups[0]["lr"],
        memory=memory_now(setup.device),
        peak_memory=memory_peak(setup.device),
    )
    return replace(epoch, warnings=new_warnings([*state.history, epoch], settings))
