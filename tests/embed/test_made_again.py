"""Queries, keys and values are not kept for the backward pass, and gradients are the same to the last bit."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from rxweave.config import EmbedSettings
from rxweave.embed import hgt, step
from rxweave.embed.attention import build_index
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.embed.made_again import made_again
from rxweave.embed.train import train
from rxweave.graph.build import Graph


class Squared(torch.autograd.Function):
    """x ** 2, saving x as an operation of its own would."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * grads[0]


def test_it_is_made_in_the_backward_pass_and_only_what_was_named() -> None:
    weight = torch.arange(6.0).reshape(2, 3).requires_grad_()
    calls: list[bool] = []

    def make() -> Tensor:
        calls.append(torch.is_grad_enabled())
        return 3 * weight

    tripled, other = 3 * weight, 5 * weight
    with made_again(tripled, make):
        total = (Squared.apply(tripled) + Squared.apply(other)).sum()
    assert calls == []
    total.backward()
    assert calls == [False]
    torch.testing.assert_close(weight.grad, (18 + 50) * weight.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("attention", ["csr", "reference", "fused_cpu", "gather"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_encoder_keeps_less_and_its_gradients_are_the_same(
    small_graph: Graph, monkeypatch: pytest.MonkeyPatch, attention: str, precision: str
) -> None:
    index = build_index(small_graph)
    shape = HGTShape(
        tuple(small_graph.type_offsets.tolist()), index.num_relations, feature_dim=24, hidden_dim=24, num_heads=3
    )
    features = torch.randn(small_graph.num_nodes, 24, generator=torch.Generator().manual_seed(1))

    def gradients() -> list[Tensor]:
        encoder = HGT(shape, generator=torch.Generator().manual_seed(0), attention=attention, precision=precision)
        encoder(features, index).square().sin().sum().backward()
        return [weight.grad for weight in encoder.parameters()]

    ours = gradients()
    monkeypatch.setattr(hgt, "made_again", lambda tensor, make: nullcontext())
    for mine, kept in zip(ours, gradients(), strict=True):
        assert torch.equal(mine, kept)


def test_queries_keys_and_values_of_no_layer_outlive_its_forward_pass(
    small_graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = build_index(small_graph)
    shape = HGTShape(
        tuple(small_graph.type_offsets.tolist()), index.num_relations, feature_dim=32, hidden_dim=32, num_heads=4
    )
    encoder = HGT(shape, generator=torch.Generator().manual_seed(0))
    features = torch.ones(small_graph.num_nodes, 32)

    def kept() -> int:
        """Bytes of tensors that a forward pass leaves alive, by torch's own count."""
        with torch.profiler.profile(profile_memory=True) as profile:
            result = encoder(features, index)
        del result
        events = profile.profiler.kineto_results.events()
        return sum(event.nbytes() for event in events if event.name() == "[memory]")

    ours = kept()
    monkeypatch.setattr(hgt, "made_again", lambda tensor, make: nullcontext())
    wide = small_graph.num_nodes * 3 * 32 * 4
    assert kept() - ours == pytest.approx(shape.num_layers * wide, rel=0.15)


def test_memory_is_given_back_after_the_losses_and_between_layers(
    small_graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the contrastive term, before the layers' gradients, and once between each two layers."""
    for layers, expected in ((1, 2), (3, 4)):
        calls: list[None] = []
        monkeypatch.setattr(step, "give_back_holes", lambda calls=calls: calls.append(None))
        settings = EmbedSettings(
            device="cpu", num_epochs=1, hidden_dim=16, feature_dim=16, embedding_dim=32, num_heads=2, num_layers=layers
        )
        train(small_graph, settings, seed=0)
        assert len(calls) == expected * settings.steps_per_epoch
        # Of drawn neighbours only the last hop's nodes are in every layer's state: no moment between layers to tell.
        calls.clear()
        sampled = settings.but(batching="sampled", accumulation_steps=2)
        train(small_graph, sampled, seed=0)
        assert len(calls) == 2 * settings.steps_per_epoch
