"""The losses by hand, against torch's own cross-entropy, and at their optimum."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from autograd_link_loss import ranking_loss

from rxweave.embed.loss import contrastive_loss


def test_ranking_loss_is_cross_entropy_when_nothing_else_is_true() -> None:
    generator = torch.Generator().manual_seed(0)
    true, false = torch.randn(5, generator=generator), torch.randn(5, 7, generator=generator)
    expected = F.cross_entropy(torch.cat([true[:, None], false], 1), torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(ranking_loss(true, false, torch.zeros(5, 7, dtype=torch.bool)), expected)


def test_a_negative_that_is_true_after_all_costs_nothing() -> None:
    true, false = torch.tensor([1.0]), torch.tensor([[50.0, 1.0]])
    also_true = torch.tensor([[True, False]])
    assert ranking_loss(true, false, also_true).item() == pytest.approx(math.log(2))


def test_contrastive_loss_by_hand() -> None:
    z = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])  # cosines: 1 between the first two, else 0
    similar = torch.zeros(3, 3, dtype=torch.bool)
    similar[0, 1] = True
    expected = -math.log(math.exp(1 / 0.2) / (math.exp(1 / 0.2) + math.exp(0)))
    assert contrastive_loss(z, similar, temperature=0.2).item() == pytest.approx(expected, rel=1e-5)


def test_contrastive_optimum_of_a_similar_pair_is_cosine_one() -> None:
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    similar = torch.zeros(6, 6, dtype=torch.bool)
    for a, b in ((0, 1), (2, 3), (4, 5)):
        similar[a, b] = similar[b, a] = True
    optimiser = torch.optim.Adam([z], lr=0.1)
    for _ in range(1500):
        optimiser.zero_grad()
        contrastive_loss(z, similar).backward()
        optimiser.step()
    unit = F.normalize(z.detach(), dim=1)
    assert (unit @ unit.T)[similar].min() > 0.99
    assert (unit @ unit.T)[~similar & ~torch.eye(6, dtype=torch.bool)].max() < 0.0


def test_contrastive_loss_without_similar_nodes_is_zero_with_zero_gradient() -> None:
    z = torch.randn(3, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = contrastive_loss(z, torch.zeros(3, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert not z.grad.any()
