"""What a step minimises: nodes without facts have no say in it, and the contrastive loss moves similar nodes only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_training import SEED, SETTINGS

from rxweave.embed.attention import build_index
from rxweave.embed.features import svd_features
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.embed.loss import contrastive_loss
from rxweave.embed.objective import Objective, ScoredEmbeddings
from rxweave.embed.train import train
from rxweave.graph.build import Graph


@pytest.fixture(scope="module")
def with_isolated(small_graph: Graph) -> Graph:
    """The small graph without any fact of five of its diseases."""
    isolated = np.arange(small_graph.num_nodes)[small_graph.rows_of("disease")][:5]
    keep = {r: ~np.isin(fact, isolated).any(axis=0) for r, fact in enumerate(small_graph.facts)}
    graph = small_graph.keep_facts(keep)
    assert (graph.degrees[isolated] == 0).all()
    return graph


def test_relations_weigh_alike_or_by_their_facts(small_graph: Graph) -> None:
    counts = np.array([fact.shape[1] for fact in small_graph.facts], float)
    counts[counts == 1] = 0
    doubled = np.where(np.isin(np.arange(len(counts)), small_graph.drug_disease_relations()), 2.0, 1.0)
    for balance, expected in ((1.0, doubled * (counts > 0)), (0.0, doubled * counts), (0.5, doubled * counts**0.5)):
        found = Objective(small_graph, SETTINGS.but(relation_balance=balance)).weights
        np.testing.assert_allclose(found, expected / expected.sum())


def embeddings_at_the_start(graph: Graph) -> torch.Tensor:
    """What an untrained encoder makes of the features of training."""
    index = build_index(graph)
    shape = HGTShape(tuple(graph.type_offsets.tolist()), index.num_relations, 16, 16, 32, 2, 4)
    encoder = HGT(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        vectors: torch.Tensor = encoder(torch.from_numpy(svd_features(graph, 16, seed=0)), index)
    return vectors


def test_a_node_without_facts_gets_no_contrastive_gradient(with_isolated: Graph) -> None:
    """Its embedding is a zero vector, along whose direction the gradient would be of the order of 1e12."""
    z = embeddings_at_the_start(with_isolated)
    isolated = torch.from_numpy(with_isolated.degrees == 0)
    diseases = with_isolated.rows_of("disease")
    assert isolated[diseases].sum() >= 5
    assert (z[isolated] == 0).all()

    objective = Objective(with_isolated, SETTINGS)
    assert set(objective.alike) == {"disease", "drug"}
    scored = ScoredEmbeddings(z)
    loss = objective.contrast(scored, objective.draw_alike(np.random.default_rng(0)))
    assert 0 < loss < 10
    assert (scored.gradient[isolated] == 0).all()
    assert (scored.gradient[diseases] != 0).any()
    assert scored.gradient.norm() < 10

    # With them it would be as bad as that: the case is the one meant.
    everyone = z[diseases].clone().requires_grad_()
    contrastive_loss(everyone, torch.from_numpy(objective.alike["disease"].toarray())).backward()
    assert everyone.grad is not None
    assert everyone.grad.norm() > 1e6


def test_a_training_with_isolated_nodes_has_gradients_of_moderate_length(with_isolated: Graph) -> None:
    history = train(with_isolated, SETTINGS.but(num_epochs=3), seed=SEED).history
    assert all(0 < epoch.gradient_norm < 100 for epoch in history)


def test_the_contrastive_loss_touches_drugs_and_diseases_only(small_graph: Graph) -> None:
    scored = ScoredEmbeddings(embeddings_at_the_start(small_graph))
    objective = Objective(small_graph, SETTINGS)
    objective.contrast(scored, objective.draw_alike(np.random.default_rng(0)))
    moved = {t for t in small_graph.node_types if scored.gradient[small_graph.rows_of(t)].any()}
    assert moved == {"disease", "drug"}


def test_the_contrastive_gradient_grows_with_its_weight_and_without_one_there_is_none(small_graph: Graph) -> None:
    z = embeddings_at_the_start(small_graph)
    gradients, losses = [], []
    for weight in (0.25, 0.5):
        scored = ScoredEmbeddings(z)
        objective = Objective(small_graph, SETTINGS.but(contrastive_weight=weight))
        losses.append(objective.contrast(scored, objective.draw_alike(np.random.default_rng(0))))
        gradients.append(scored.gradient)
    assert losses[0] == losses[1]
    torch.testing.assert_close(gradients[1], 2 * gradients[0])
    scored = ScoredEmbeddings(z)
    objective = Objective(small_graph, SETTINGS.but(contrastive_weight=0))
    assert objective.contrast(scored, objective.draw_alike(np.random.default_rng(0))) == 0
    assert (scored.gradient == 0).all()


def test_relations_with_at_most_one_fact_weigh_nothing_and_the_others_sum_to_one(small_graph: Graph) -> None:
    facts = [fact[:, :1] if r == 0 else fact for r, fact in enumerate(small_graph.facts)]
    graph = replace(small_graph, facts=tuple(facts))
    weights = Objective(graph, SETTINGS).weights
    assert weights[0] == 0
    assert sum(weights) == pytest.approx(1)
    treatment = set(graph.drug_disease_relations()) - {0}
    others = set(range(len(weights))) - treatment - {0}
    assert treatment
    assert others
    assert {round(weights[r], 12) for r in treatment} == {round(2 * weights[r], 12) for r in others}
