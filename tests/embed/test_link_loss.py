"""The link loss with its gradient written by hand against the same loss through autograd."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from autograd_link_loss import batch_rows, link_loss
from torch import Tensor

from rxweave.config import EmbedSettings
from rxweave.embed import link_loss as by_hand
from rxweave.embed.batches import FactBatch, FactSampler
from rxweave.embed.decoder import DistMult
from rxweave.embed.link_loss import add_link_gradient
from rxweave.graph.build import Graph

NODES, DIM, RELATIONS = 30, 12, 3
SHARE = 0.37


def batch_of(seed: int, *, facts: int = 23, negatives: int = 9, ends: int = 8, nodes: int = NODES) -> FactBatch:
    """Facts between few nodes, so that a node stands in many of them, at both ends, and among the negatives twice."""
    rng = np.random.default_rng(seed)
    source, target = rng.integers(0, ends, (2, facts))
    other_sources, other_targets = rng.integers(0, nodes, (2, negatives))
    other_sources[:2], other_targets[-2:] = source[0], target[0]
    also_true = rng.random((2, facts, negatives)) < 0.3
    also_true[0, 0] = True  # a fact with no other end to compete with
    return FactBatch(1, 1.0, source, target, other_sources, other_targets, also_true[0], also_true[1])


def test_rows_are_added_alike_however_a_device_adds_them() -> None:
    rows = torch.tensor([3, 0, 3, 3, 1])
    x = torch.arange(10.0).view(5, 2)
    expected = torch.tensor([[2.0, 3.0], [8.0, 9.0], [0.0, 0.0], [10.0, 13.0]])
    to = torch.zeros(4, 2)
    by_hand.add_rows(to, rows, x)
    assert torch.equal(to, expected)
    as_on_cuda = torch.zeros(4, 2).index_put_((rows,), x, accumulate=True)
    assert torch.equal(as_on_cuda, expected)


def embeddings(nodes: int = NODES, dim: int = DIM) -> Tensor:
    return torch.randn(nodes, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def decoder_of(dtype: torch.dtype, relations: int = RELATIONS, dim: int = DIM) -> DistMult:
    """Scores of the order of 1, and a scale that is not that of the start."""
    decoder = DistMult(relations, dim, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.no_grad():
        decoder.relation *= 6
        decoder.log_scale += torch.linspace(-0.5, 0.5, relations, dtype=dtype)
    return decoder


def ours(z: Tensor, batch: FactBatch, decoder: DistMult, compute: torch.dtype | None = None) -> list[Tensor]:
    """The loss and SHARE × its gradients of the embeddings, the relations' weights and their scales."""
    gradient = torch.zeros_like(z)
    weights = decoder.weights(batch.relation)
    loss, d_weights = add_link_gradient(z, gradient, weights.detach(), batch, SHARE, compute)
    weights.backward(d_weights)
    return [torch.tensor(loss, dtype=torch.float64), gradient, decoder.relation.grad, decoder.log_scale.grad]


def through_autograd(z: Tensor, batch: FactBatch, decoder: DistMult) -> list[Tensor]:
    z = z.clone().requires_grad_()
    loss = link_loss(z[batch_rows(batch)], batch, decoder)
    (SHARE * loss).backward()
    return [loss.detach(), z.grad, decoder.relation.grad, decoder.log_scale.grad]


def relative_errors(got: list[Tensor], expected: list[Tensor]) -> list[float]:
    return [float((a.double() - b).norm() / b.norm()) for a, b in zip(got, expected, strict=True)]


@pytest.mark.parametrize("facts_at_once", [7, 2048])
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradients_are_those_of_autograd(
    seed: int, facts_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """23 facts in groups of 7 end with one of 2."""
    monkeypatch.setattr(by_hand, "FACTS_AT_ONCE", facts_at_once)
    z, batch = embeddings(), batch_of(seed)
    assert set(batch.source) & set(batch.target) & {*batch.other_sources, *batch.other_targets}
    expected = through_autograd(z, batch, decoder_of(torch.float64))
    errors = relative_errors(ours(z, batch, decoder_of(torch.float64)), expected)
    assert max(errors) < 1e-10, errors


def test_every_relation_of_a_graph_gives_the_loss_and_gradients_of_autograd(
    small_graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symmetric and directed relations, with the negatives and known ends that training draws."""
    monkeypatch.setattr(by_hand, "FACTS_AT_ONCE", 7)
    settings = EmbedSettings(num_negatives=16, num_treatment_negatives=40, edge_sample_size=30, accumulation_steps=1)
    sampler, rng = FactSampler(small_graph, settings), np.random.default_rng(2)
    z = embeddings(small_graph.num_nodes)
    relations = small_graph.relations
    assert {relation.symmetric for relation in relations} == {True, False}
    scored = set()
    for batch in sampler.micro_batches(sampler.hide(rng), rng):
        expected = through_autograd(z, batch, decoder_of(torch.float64, len(relations)))
        errors = relative_errors(ours(z, batch, decoder_of(torch.float64, len(relations))), expected)
        assert max(errors) < 1e-10, (relations[batch.relation], errors)
        scored.add(batch.relation)
    assert scored == set(range(len(relations)))


def test_the_gradient_is_added_to_what_is_there_and_the_embeddings_stay() -> None:
    z, batch = embeddings(), batch_of(0)
    before, weights = z.clone(), decoder_of(torch.float64).weights(1).detach()
    alone, added = torch.zeros_like(z), torch.full_like(z, 2.0)
    add_link_gradient(z, alone, weights, batch, SHARE)
    add_link_gradient(z, added, weights, batch, SHARE)
    torch.testing.assert_close(added, alone + 2, rtol=1e-12, atol=1e-12)
    assert torch.equal(z, before)


def test_the_gradient_grows_with_the_share_and_the_loss_does_not() -> None:
    z, batch = embeddings(), batch_of(0)
    weights = decoder_of(torch.float64).weights(1).detach()
    once, twice = torch.zeros_like(z), torch.zeros_like(z)
    loss, d_weights = add_link_gradient(z, once, weights, batch, 0.25)
    same_loss, d_weights_twice = add_link_gradient(z, twice, weights, batch, 0.5)
    assert loss == same_loss
    torch.testing.assert_close(twice, 2 * once)
    torch.testing.assert_close(d_weights_twice, 2 * d_weights)


def test_nodes_outside_the_batch_get_no_gradient() -> None:
    z, batch = embeddings(), batch_of(0)
    gradient = torch.zeros_like(z)
    add_link_gradient(z, gradient, decoder_of(torch.float64).weights(1).detach(), batch, SHARE)
    inside = set(batch_rows(batch).tolist())
    outside = [node for node in range(NODES) if node not in inside]
    assert outside
    assert (gradient[outside] == 0).all()


def test_facts_that_compete_with_nothing_cost_nothing() -> None:
    batch = batch_of(0)
    alone = replace(
        batch,
        source_also_true=np.ones_like(batch.source_also_true),
        target_also_true=np.ones_like(batch.target_also_true),
    )
    loss, gradient, *others = ours(embeddings(), alone, decoder_of(torch.float64))
    assert loss == 0
    assert all((x == 0).all() for x in (gradient, *others))


def test_float32_is_within_1e5_and_bfloat16_within_1e2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_hand, "FACTS_AT_ONCE", 100)
    z, batch = embeddings(400, 64), batch_of(0, facts=500, negatives=300, ends=80, nodes=400)
    decoders = [decoder_of(dtype, dim=64) for dtype in (torch.float64, torch.float32, torch.float32)]
    with torch.no_grad():
        for decoder in decoders:
            decoder.relation /= 3  # scores of the order of 1 in 64 dimensions too
    expected = through_autograd(z, batch, decoders[0])
    assert max(relative_errors(ours(z.float(), batch, decoders[1]), expected)) < 1e-5
    rounded = ours(z.float(), batch, decoders[2], torch.bfloat16)
    errors = relative_errors(rounded, expected)
    assert max(errors) < 1e-2, errors
    assert errors[1] > 1e-4  # it was rounded
    assert {x.dtype for x in rounded[1:]} == {torch.float32}


@pytest.mark.parametrize("facts_at_once", [7, 2048])
def test_a_value_that_is_not_a_number_reaches_the_loss(facts_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_hand, "FACTS_AT_ONCE", facts_at_once)
    z, batch = embeddings(), batch_of(0)
    z[batch.other_targets[-1]] = torch.nan
    loss, _, _, _ = ours(z, batch, decoder_of(torch.float64))
    assert torch.isnan(loss)
