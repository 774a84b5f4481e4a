"""Held-out treatments while training: their score by hand, when training ends, what is kept, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import SEED, SETTINGS

from rxweave.embed import train as training
from rxweave.embed.decoder import DistMult
from rxweave.embed.held_out import HeldOut, best_epoch, check_held_out, held_out_mrr
from rxweave.embed.history import Epoch
from rxweave.embed.train import Trained, train
from rxweave.embed.treatment_scores import treatment_scores
from rxweave.errors import ConfigError, LeakError
from rxweave.graph.build import Graph
from rxweave.graph.split import Split, random_split, training_graph
from rxweave.kg.tables import Roles

ROLES = Roles(drug="drug", disease="disease", gene="gene", treats=("treats",), contraindicated=())
STOPPING = SETTINGS.but(early_stopping=2, num_epochs=12)


@pytest.fixture(scope="module")
def split(small_graph: Graph) -> Split:
    return random_split(small_graph, seed=0)


@pytest.fixture(scope="module")
def held_out(split: Split) -> HeldOut:
    return HeldOut(split.valid, split.known)


def scripted(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> None:
    """Have each epoch measured, with these held-out scores."""
    left = iter(scores)
    monkeypatch.setattr(training, "is_due", lambda number, num_epochs, every: True)
    monkeypatch.setattr(training, "held_out_mrr", lambda *_: next(left))


def test_training_is_not_ended_between_two_measurements(
    small_graph: Graph, split: Split, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is measured after epochs 4, 8 and 12, and patience is 2: at 6 nothing is known that was not known at 4."""
    graph = training_graph(small_graph, split)
    scores = iter([0.1, 0.2, 0.15, 0.9])
    monkeypatch.setattr(training, "held_out_mrr", lambda *_: next(scores))
    stopped = train(graph, STOPPING.but(num_epochs=16, measure_every=4), seed=SEED, held_out=held_out)
    measured = [(epoch.number, epoch.held_out) for epoch in stopped.history if not np.isnan(epoch.held_out)]
    assert measured == [(4, 0.1), (8, 0.2), (12, 0.15)]
    assert len(stopped.history) == 12


def test_the_score_is_that_of_filtered_ranks_counted_by_hand(
    small_graph: Graph, split: Split, held_out: HeldOut, rng: np.random.Generator
) -> None:
    graph = training_graph(small_graph, split)
    vectors = rng.standard_normal((graph.num_nodes, 16)).astype(np.float32)
    decoder = DistMult(len(graph.relations), 16, generator=torch.Generator().manual_seed(0))
    scores = treatment_scores(vectors, decoder, graph)
    known = set(map(tuple, split.known.tolist()))
    found = []
    for drug, disease in split.valid.tolist():
        others = [d for d in range(scores.shape[1]) if (drug, d) not in known]
        found.append(1 / (1 + sum(scores[drug, d] > scores[drug, disease] for d in others)))
        others = [d for d in range(scores.shape[0]) if (d, disease) not in known]
        found.append(1 / (1 + sum(scores[d, disease] > scores[drug, disease] for d in others)))
    assert held_out_mrr(vectors, decoder, graph, held_out) == pytest.approx(np.mean(found))


def test_measuring_changes_nothing_that_is_learnt(small_graph: Graph, split: Split, held_out: HeldOut) -> None:
    graph = training_graph(small_graph, split)
    plain = train(graph, SETTINGS, seed=SEED)
    measured = train(graph, SETTINGS, seed=SEED, held_out=held_out)
    np.testing.assert_array_equal(plain.vectors, measured.vectors)
    assert 0 < measured.history[-1].held_out < 1
    assert np.isnan(plain.history[-1].held_out)


def test_training_ends_when_the_score_stays_behind_and_keeps_the_best_weights(
    small_graph: Graph, split: Split, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = training_graph(small_graph, split)
    scripted(monkeypatch, [0.1, 0.2, 0.4, 0.3, 0.35, 0.9])
    notes: list[str] = []
    stopped = train(graph, STOPPING, seed=SEED, held_out=held_out, on_note=notes.append)
    assert [epoch.held_out for epoch in stopped.history] == [0.1, 0.2, 0.4, 0.3, 0.35]
    assert any("after epoch 5; kept: epoch 3" in note for note in notes)

    # The weights after the third epoch, copied while the same training runs once more.
    seen: dict[str, torch.Tensor] = {}
    keep_best = training.TrainingState.keep_best

    def remember(state: training.TrainingState) -> None:
        keep_best(state)
        if len(state.history) == 3:
            seen.update({name: parameter.detach().clone() for name, parameter in state.weights().items()})

    scripted(monkeypatch, [0.1, 0.2, 0.4, 0.3, 0.35])
    monkeypatch.setattr(training.TrainingState, "keep_best", remember)
    train(graph, STOPPING, seed=SEED, held_out=held_out)
    assert seen
    for name, parameter in stopped.encoder.named_parameters():
        torch.testing.assert_close(parameter.detach(), seen[f"encoder.{name}"], rtol=0, atol=0)


def test_a_resumed_training_keeps_the_same_weights(
    small_graph: Graph, split: Split, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop(epoch: Epoch) -> None:
        if epoch.number == 4:
            raise Stop

    graph, path = training_graph(small_graph, split), tmp_path / "checkpoint.safetensors"
    scripted(monkeypatch, [0.1, 0.2, 0.4, 0.3, 0.35])
    whole = train(graph, STOPPING, seed=SEED, held_out=held_out)
    scripted(monkeypatch, [0.1, 0.2, 0.4, 0.3])
    with pytest.raises(Stop):
        train(graph, STOPPING, seed=SEED, held_out=held_out, checkpoint=path, on_epoch=stop)
    scripted(monkeypatch, [0.3, 0.35])
    resumed = train(graph, STOPPING, seed=SEED, held_out=held_out, checkpoint=path, resume=True)
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)
    finished = train(graph, STOPPING, seed=SEED, held_out=held_out, checkpoint=path, resume=True)
    np.testing.assert_array_equal(finished.vectors, whole.vectors)


def epoch(number: int, score: float, rank: float = 50.0) -> Epoch:
    measures = {"effective_rank": {"drug": rank}, "rank_alarm": {"drug": 20.0}}
    return Epoch(number, 1.0, 1.0, 0.0, 1.0, 1.0, held_out=score, **measures)


@pytest.mark.parametrize(
    ("history", "best"),
    [
        ([epoch(1, 0.1), epoch(2, 0.3), epoch(3, 0.3), epoch(4, 0.2)], 2),
        ([epoch(1, 0.1), epoch(2, 0.9, rank=10.0), epoch(3, 0.2)], 3),
        ([epoch(1, 0.1, rank=10.0), epoch(2, 0.2, rank=10.0)], 2),
        ([epoch(1, float("nan"))], None),
    ],
    ids=["the first of equals", "not while collapsing", "unless all are", "none measured"],
)
def test_the_best_epoch(history: list[Epoch], best: int | None) -> None:
    assert best_epoch(history, ROLES) == best


def test_pairs_that_the_graph_joins_are_refused(small_graph: Graph, split: Split, held_out: HeldOut) -> None:
    check_held_out(training_graph(small_graph, split), held_out)
    with pytest.raises(LeakError, match="join a held-out pair, first 'synthetic drug"):
        train(small_graph, SETTINGS, seed=SEED, held_out=held_out)
    one = replace(held_out, pairs=split.train[:1])
    with pytest.raises(LeakError, match="1 facts in the training graph"):
        train(training_graph(small_graph, split), SETTINGS, seed=SEED, held_out=one)
    # A test pair in the training graph is found as well, though nothing is measured by it.
    one = replace(HeldOut.of(split), test=split.train[:1])
    with pytest.raises(LeakError, match="1 facts in the training graph"):
        train(training_graph(small_graph, split), SETTINGS, seed=SEED, held_out=one)


def test_early_stopping_without_held_out_treatments_is_refused(small_graph: Graph) -> None:
    with pytest.raises(ConfigError, match="no treatments are held out"):
        train(small_graph, STOPPING, seed=SEED)


def test_other_held_out_pairs_make_another_training_under_early_stopping(
    small_graph: Graph, split: Split, held_out: HeldOut, tmp_path: Path
) -> None:
    graph, path = training_graph(small_graph, split), tmp_path / "checkpoint.safetensors"
    other = HeldOut(split.test, split.known)
    notes: list[str] = []

    def trained(asked: HeldOut, settings: training.EmbedSettings) -> Trained:
        notes.clear()
        return train(graph, settings, seed=SEED, held_out=asked, checkpoint=path, on_note=notes.append)

    for settings, different in (
        (SETTINGS.but(num_epochs=2), False),
        (SETTINGS.but(num_epochs=2, early_stopping=9), True),
    ):
        trained(held_out, settings)
        trained(other, settings)
        assert any("held-out pairs" in note for note in notes) == different
        path.unlink()
