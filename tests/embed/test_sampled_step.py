"""Training on drawn neighbours: the gradient of the whole graph when all are drawn, the same guards and resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import SEED, SETTINGS

from rxweave.config import EmbedSettings
from rxweave.embed import sampled_step
from rxweave.embed.attention import build_index
from rxweave.embed.attention.choose import Choice
from rxweave.embed.history import Epoch
from rxweave.embed.neighbours import IncomingEdges
from rxweave.embed.objective import Losses, Objective, ScoredEmbeddings
from rxweave.embed.place import Place
from rxweave.embed.ranks import Ranks
from rxweave.embed.sampled_step import MicroBatch, add_micro_batch, draw_micro_batches, take_sampled_step
from rxweave.embed.state import TrainingState, initial_state
from rxweave.embed.step import Setup, add_gradient
from rxweave.embed.train import train
from rxweave.errors import ConfigError, TrainingError
from rxweave.graph.build import Graph
from rxweave.settings import settings_from

SAMPLED = SETTINGS.but(batching="sampled", num_neighbours=3, batch_facts=200, accumulation_steps=3)
CPU = torch.device("cpu")


def made(graph: Graph, settings: EmbedSettings) -> tuple[Setup[IncomingEdges], TrainingState]:
    edges = IncomingEdges.of(graph)
    choices = Choice("csr", "a test's"), Choice("fp32", "a test's")
    setup = Setup(graph, settings, edges, Objective(graph, settings), CPU, graph.degrees > 0, *choices)
    state = initial_state(
        graph, settings, seed=0, num_relations=edges.num_relations, device=CPU, attention="csr", precision="fp32"
    )
    return setup, state


def in_float64(state: TrainingState) -> TrainingState:
    state.encoder.double()
    state.decoder.double()
    features = state.features.detach().double()
    state.features = torch.nn.Parameter(features) if state.features.requires_grad else features
    return state


def gradients(state: TrainingState) -> dict[str, torch.Tensor]:
    found = {name: weight.grad.clone() for name, weight in state.weights().items() if weight.grad is not None}
    state.optimiser.zero_grad()
    for weight in state.weights().values():
        weight.grad = None
    return found


@pytest.mark.parametrize("features", ["svd", "learned"])
def test_with_all_neighbours_the_gradient_is_that_of_the_whole_graph(small_graph: Graph, features: str) -> None:
    """Micro-batches, each on its own part of the graph, against one pass over all of it with the same facts hidden."""
    settings = SAMPLED.but(num_neighbours=-1, dropout=0, features=features)
    setup, state = made(small_graph, settings)
    in_float64(state)
    objective, batches = setup.objective, draw_micro_batches(setup, np.random.default_rng(0))
    hidden = np.concatenate([batch.hidden for batch in batches])
    parts = [add_micro_batch(setup, state, 0, replace(batch, hidden=hidden)) for batch in batches]
    sampled = gradients(state)

    def score(scored: ScoredEmbeddings) -> Losses:
        link = treatment = contrastive = 0.0
        for batch in batches:
            rng = np.random.default_rng(batch.seed)
            facts = list(objective.sampler.micro_batch(batch.facts, batch.sizes, rng))
            found = objective.score_facts(scored, state.decoder, facts)
            link, treatment = link + found[0], treatment + found[1]
            contrastive += objective.contrast(scored, objective.draw_alike(rng), share=batch.share)
        return Losses(link, treatment, contrastive)

    mask = np.zeros(small_graph.num_facts, bool)
    mask[hidden] = True
    whole = add_gradient(settings, state, state.features, build_index(small_graph).without(mask), score)
    expected = gradients(state)
    assert sampled.keys() == expected.keys() == state.weights().keys()
    assert ("features" in expected) == (features == "learned")
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(sampled[name], gradient, rtol=1e-8, atol=1e-12)
    assert sum(part.link for part in parts) == pytest.approx(whole.link)
    assert sum(part.treatment for part in parts) == pytest.approx(whole.treatment)
    assert sum(part.contrastive for part in parts) == pytest.approx(whole.contrastive)


def test_a_micro_batch_does_not_see_the_facts_it_scores(small_graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, state = made(small_graph, SAMPLED)
    parts, original = [], sampled_step.sample_part

    def kept(*arguments: object, **named: object) -> object:
        parts.append(original(*arguments, **named))
        return parts[-1]

    monkeypatch.setattr(sampled_step, "sample_part", kept)
    batches = draw_micro_batches(setup, np.random.default_rng(0))
    for batch in batches:
        add_micro_batch(setup, state, 0, batch)
    assert len(batches) == len(parts) == 3
    first = np.cumsum([0, *(fact.shape[1] for fact in small_graph.facts)])
    for batch, part in zip(batches, parts, strict=True):
        scored = np.concatenate([at + facts for at, facts in zip(first, batch.facts, strict=False)])
        assert len(scored) > 50
        for hop in part.hops:
            assert not np.isin(hop.index.edge_fact.numpy(), scored).any()
            assert hop.index.num_edges > 0
        ends = np.concatenate(small_graph.facts, axis=1)[:, scored]
        assert np.isin(ends, part.seeds).all()
    # Others' facts may carry messages: otherwise every micro-batch would lose what the whole step hides.
    assert np.isin(parts[0].hops[0].index.edge_fact.numpy(), batches[1].hidden).any()


def test_a_micro_batch_gives_the_same_gradient_whoever_ran_before(small_graph: Graph) -> None:
    setup, state = made(small_graph, SAMPLED)
    batches = draw_micro_batches(setup, np.random.default_rng(0))
    assert len({batch.seed for batch in batches}) == 3

    def alone(batch: MicroBatch) -> dict[str, torch.Tensor]:
        add_micro_batch(setup, state, 0, batch)
        return gradients(state)

    forth, back = [alone(batch) for batch in batches], [alone(batch) for batch in reversed(batches)]
    for one, other in zip(forth, reversed(back), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_gradients_of_all_ranks_add_up_to_that_of_one_process(
    small_graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three micro-batches on two ranks, and on five, of which two have none."""
    setup, state = made(small_graph, SAMPLED)
    monkeypatch.setattr(sampled_step, "update", lambda *arguments: None)
    monkeypatch.setattr(Ranks, "sum_gradients", lambda *arguments: None)  # added up below
    monkeypatch.setattr(Ranks, "sum", lambda self, values: list(values))
    whole, _ = take_sampled_step(setup, state, 0)
    expected = gradients(state)
    for size in (2, 5):
        link, found = 0.0, dict.fromkeys(expected, torch.zeros(()))
        for rank in range(size):
            setup_here, state = made(small_graph, SAMPLED)
            losses, _ = take_sampled_step(replace(setup_here, ranks=Ranks(Place(rank, size))), state, 0)
            link += losses.link
            for name, gradient in gradients(state).items():
                found[name] = found[name] + gradient
        assert link == pytest.approx(whole.link)
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_it_learns_nearly_as_fast_as_on_the_whole_graph(small_graph: Graph) -> None:
    settings = SAMPLED.but(num_epochs=12, learning_rate=0.01, num_neighbours=(4, 2))
    fallen = {}
    for batching in ("sampled", "full"):
        history = train(small_graph, settings.but(batching=batching), seed=SEED).history
        fallen[batching] = history[0].link - history[-1].link
        assert set(history[-1].effective_rank) == set(small_graph.node_types)
    assert fallen["full"] > 0.2
    assert fallen["sampled"] > 0.7 * fallen["full"]


class Stop(Exception):
    """Ends a training from outside, at once."""


@pytest.mark.parametrize("changes", [{}, {"features": "learned", "steps_per_epoch": 2}], ids=["default", "learned"])
def test_a_resumed_training_ends_as_an_uninterrupted_one(
    small_graph: Graph, tmp_path: Path, changes: dict[str, object]
) -> None:
    path, settings = tmp_path / "training.safetensors", SAMPLED.but(num_epochs=3, accumulation_steps=2, **changes)

    def stop(epoch: Epoch) -> None:
        if epoch.number > 1:
            raise Stop

    whole = train(small_graph, settings, seed=SEED)
    with pytest.raises(Stop):
        train(small_graph, settings, seed=SEED, on_epoch=stop, checkpoint=path)
    resumed = train(small_graph, settings, seed=SEED, checkpoint=path, resume=True)
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)
    for name, weight in whole.encoder.state_dict().items():
        assert torch.equal(weight, resumed.encoder.state_dict()[name]), name
    assert [epoch.link for epoch in resumed.history] == [epoch.link for epoch in whole.history]


def test_what_is_not_finite_is_named(small_graph: Graph) -> None:
    told = r"In step 2 \(epoch 1\) the link loss of .* is nan; first to be not finite: output of .*, of .*Lower"
    with pytest.raises(TrainingError, match=told):
        train(small_graph, SAMPLED.but(learning_rate=1e30, steps_per_epoch=2), seed=SEED)
    with pytest.raises(TrainingError, match=r"After epoch 1 not all is finite: .* Lower learning_rate"):
        train(small_graph, SAMPLED.but(learning_rate=1e30), seed=SEED)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("sample_part", r"while drawing neighbours .*Lower batch_facts \(now 200\), num_neighbours \(now 3\)"),
        ("embed_layer_by_layer", r"while embedding all nodes .*Lower hidden_dim"),
    ],
)
def test_memory_that_runs_out_leaves_a_checkpoint_and_says_what_to_lower(
    small_graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, told: str
) -> None:
    path, settings = tmp_path / "training.safetensors", SAMPLED.but(num_epochs=3)
    whole, original, calls = train(small_graph, settings, seed=SEED), getattr(sampled_step, broken), []

    def too_large(*arguments: object, **named: object) -> object:
        calls.append(arguments)
        if len(calls) == 3:
            raise MemoryError("no room")
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(sampled_step, broken, too_large)
        with pytest.raises(TrainingError, match=told):
            train(small_graph, settings, seed=SEED, checkpoint=path)
    resumed = train(small_graph, settings, seed=SEED, checkpoint=path)
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)


@pytest.mark.parametrize("wrong", [0, (3, 2, 1), (-2,), ()])
def test_numbers_of_neighbours_that_make_no_sense_are_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="num_neighbours"):
        EmbedSettings(num_neighbours=wrong)


def test_one_number_of_neighbours_is_that_of_every_layer() -> None:
    assert EmbedSettings(num_neighbours=5, num_layers=3).neighbours_of_layers == (5, 5, 5)
    assert EmbedSettings(num_neighbours=(5, 2)).neighbours_of_layers == (5, 2)
    assert settings_from({}, ["embed.num_neighbours=10,-1"]).embed.neighbours_of_layers == (10, -1)


def test_as_few_facts_as_asked_for_are_scored(small_graph: Graph) -> None:
    draw: Callable[[EmbedSettings], list[MicroBatch]] = lambda settings: draw_micro_batches(  # noqa: E731
        made(small_graph, settings)[0], np.random.default_rng(0)
    )
    for batch in draw(SAMPLED):
        assert 0 < sum(map(len, batch.facts)) <= 200
    assert all(max(map(len, batch.facts)) == 2 for batch in draw(SAMPLED.but(edge_sample_size=2)))


def test_fewer_facts_to_score_than_micro_batches_are_learnt_from_all_the_same(small_graph: Graph) -> None:
    few = replace(small_graph, facts=tuple(fact[:, :6] for fact in small_graph.facts))
    settings = SETTINGS.but(batching="sampled", accumulation_steps=8, contrastive_weight=0.0, num_epochs=2)
    history = train(few, settings, seed=SEED).history
    assert len(history) == 2
    assert all(epoch.link > 0 for epoch in history)
