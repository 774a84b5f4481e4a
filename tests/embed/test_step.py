"""What a step does with its settings: what it hides, drops, draws, pulls together and decays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from small_training import SEED, SETTINGS

from rxweave.config import EmbedSettings
from rxweave.embed import step
from rxweave.embed.attention import MessageIndex, build_index
from rxweave.embed.batches import FactBatch, FactSampler
from rxweave.embed.objective import Objective
from rxweave.embed.similarity import gene_sharing
from rxweave.embed.state import TrainingState, initial_state
from rxweave.embed.train import Trained, train
from rxweave.graph.build import Graph

Fact = tuple[int, int, int]
"""Relation, source and target."""


class Steps:
    """What the steps of a training passed messages on and scored."""

    def __init__(self) -> None:
        self.features: list[torch.Tensor] = []
        self.visible: list[np.ndarray] = []
        self.scored: list[set[Fact]] = []


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    kept = Steps()
    add_gradient, score_facts = step.add_gradient, Objective.score_facts

    def add(
        settings: EmbedSettings, state: TrainingState, features: torch.Tensor, messages: MessageIndex, *rest: object
    ) -> object:
        kept.features.append(features.detach().clone())
        kept.visible.append(np.unique(messages.edge_fact.numpy()))
        return add_gradient(settings, state, features, messages, *rest)

    def score(self: Objective, scored: object, decoder: object, batches: Iterable[FactBatch]) -> object:
        batches = list(batches)
        ends = [(b.relation, *ends) for b in batches for ends in zip(b.source.tolist(), b.target.tolist(), strict=True)]
        kept.scored.append(set(ends))
        return score_facts(self, scored, decoder, batches)

    monkeypatch.setattr(step, "add_gradient", add)
    monkeypatch.setattr(Objective, "score_facts", score)
    return kept


def facts_of(graph: Graph) -> list[Fact]:
    """Every fact, in the order by which they are numbered."""
    return [(r, *ends) for r, fact in enumerate(graph.facts) for ends in fact.T.tolist()]


def test_a_step_passes_messages_along_all_facts_but_those_that_it_scores(small_graph: Graph, steps: Steps) -> None:
    train(small_graph, SETTINGS.but(num_epochs=3, steps_per_epoch=2, edge_sample_size=100), seed=SEED)
    facts = facts_of(small_graph)
    assert len(set(facts)) == len(facts) == small_graph.num_facts
    assert len(steps.scored) == 6
    for visible, scored in zip(steps.visible, steps.scored, strict=True):
        seen = {facts[number] for number in visible}
        assert len(scored) > 500
        assert not seen & scored
        assert seen | scored == set(facts)
    assert steps.scored[0] != steps.scored[1]


def test_dropout_zeroes_a_share_of_the_features_and_scales_the_others(small_graph: Graph, steps: Steps) -> None:
    trained = train(small_graph, SETTINGS.but(num_epochs=3, dropout=0.25), seed=SEED)
    whole = trained.features != 0
    assert whole.float().mean() > 0.9
    for features in steps.features:
        dropped = (features == 0) & whole
        assert dropped.sum() / whole.sum() == pytest.approx(0.25, abs=0.03)
        torch.testing.assert_close(features[~dropped], (trained.features / 0.75)[~dropped])
    first, second, _ = (features == 0 for features in steps.features)
    assert (first != second).any()


def test_without_dropout_a_step_takes_the_features_as_they_are(small_graph: Graph, steps: Steps) -> None:
    trained = train(small_graph, SETTINGS.but(num_epochs=1, dropout=0), seed=SEED)
    assert torch.equal(steps.features[0], trained.features)


def test_weight_decay_takes_its_share_of_every_weight_beside_the_gradient(small_graph: Graph) -> None:
    """Decoupled, as Loshchilov & Hutter 2019: a step takes rate × decay of what the weight was."""
    none, some = (train(small_graph, SETTINGS.but(num_epochs=1, weight_decay=d), seed=SEED) for d in (0.0, 5.0))
    start = initial_state(
        small_graph,
        SETTINGS,
        seed=SEED,
        num_relations=build_index(small_graph).num_relations,
        device=torch.device("cpu"),
        attention="csr",
        precision="fp32",
    )
    taken = none.history[0].learning_rate * 5.0
    assert taken > 1e-4
    found = dict(some.encoder.named_parameters()) | dict(some.decoder.named_parameters())
    before = dict(start.encoder.named_parameters()) | dict(start.decoder.named_parameters())
    for name, weight in (dict(none.encoder.named_parameters()) | dict(none.decoder.named_parameters())).items():
        torch.testing.assert_close(found[name], weight - taken * before[name], rtol=1e-4, atol=1e-6)


def test_treatments_compete_with_negatives_of_their_own_number(small_graph: Graph) -> None:
    sampler = FactSampler(small_graph, SETTINGS.but(num_negatives=7, num_treatment_negatives=19))
    rng = np.random.default_rng(0)
    numbers: dict[bool, set[int]] = {True: set(), False: set()}
    for batch in sampler.micro_batches(sampler.hide(rng), rng):
        of_treatments = batch.relation in small_graph.drug_disease_relations()
        relation = small_graph.relations[batch.relation]
        for others, node_type in (
            (batch.other_sources, relation.source_type), (batch.other_targets, relation.target_type)
        ):  # fmt: skip
            rows = small_graph.rows_of(node_type)
            if rows.stop - rows.start > 19:
                numbers[of_treatments].add(len(others))
    assert numbers == {True: {19}, False: {7}}


def test_nodes_are_alike_from_the_threshold_on(small_graph: Graph) -> None:
    pairs = {}
    for threshold in (0.05, 0.3):
        alike = Objective(small_graph, SETTINGS.but(similarity_threshold=threshold)).alike
        expected = gene_sharing(small_graph, "disease", threshold=threshold)
        assert (alike["disease"] != expected).nnz == 0
        pairs[threshold] = alike["disease"].nnz
    assert 0 < pairs[0.3] < pairs[0.05]


def weights_of(trained: Trained) -> list[torch.Tensor]:
    return [*trained.encoder.parameters(), *trained.decoder.parameters()]


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": "fused_cpu", "precision": "bf16"},
        {"attention": "fused_cpu", "precision": "fp32"},
        {"attention": "fused_cpu", "precision": "bf16", "batching": "sampled", "num_neighbours": 3},
        {"attention": "gather", "features": "learned"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_the_same_seed_gives_the_same_bits_with_two_threads_stopped_or_not(
    small_graph: Graph, tmp_path, changes: dict[str, object]
) -> None:
    """As the large graphs are trained; what `auto` takes for small ones has such tests elsewhere."""
    settings = SETTINGS.but(**{"num_epochs": 4, "hidden_dim": 32, **changes})
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        one, two = (train(small_graph, settings, seed=SEED) for _ in range(2))
        path = tmp_path / "training.safetensors"

        def stop(epoch) -> None:
            if epoch.number == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(small_graph, settings, seed=SEED, checkpoint=path, on_epoch=stop)
        resumed = train(small_graph, settings, seed=SEED, checkpoint=path, resume=True)
    finally:
        torch.set_num_threads(before)
    assert (one.attention.name, one.precision.name) == (settings.attention, changes.get("precision", "fp32"))
    for other in (two, resumed):
        np.testing.assert_array_equal(other.vectors, one.vectors)
        assert all(map(torch.equal, weights_of(other), weights_of(one)))
