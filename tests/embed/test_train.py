"""Training: it learns, repeats itself exactly, sums micro-batches rightly, and stops on what is not finite."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from autograd_link_loss import batch_rows, link_loss

from rxweave.config import EmbedSettings
from rxweave.embed import train as training
from rxweave.embed.attention import build_index
from rxweave.embed.batches import FactSampler
from rxweave.embed.decoder import DistMult
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.embed.objective import ScoredEmbeddings
from rxweave.embed.spectrum import effective_rank, numerical_rank
from rxweave.errors import ConfigError, InputError, TrainingError
from rxweave.graph.build import Graph

SMALL = EmbedSettings(
    embedding_dim=64,
    hidden_dim=32,
    feature_dim=32,
    num_heads=4,
    num_epochs=6,
    learning_rate=0.003,
    num_negatives=16,
)


def test_the_loss_falls_and_the_history_tells(small_graph: Graph) -> None:
    told = []
    settings = SMALL.but(num_epochs=20)
    trained = training.train(small_graph, settings, seed=0, on_epoch=told.append)
    assert told == list(trained.history)
    assert [epoch.number for epoch in told] == list(range(1, 21))
    assert told[-1].link < 0.9 * told[0].link
    assert told[-1].treatment < told[0].treatment
    assert told[0].total == pytest.approx(told[0].link + 0.5 * told[0].contrastive)
    assert set(told[-1].effective_rank) == set(small_graph.node_types)
    assert trained.vectors.shape == (small_graph.num_nodes, 64)
    assert numerical_rank(trained.vectors) > 33  # more than hidden_dim + 1


@pytest.mark.parametrize("features", ["svd", "learned"])
def test_same_seed_same_vectors_other_seed_others(small_graph: Graph, features: str) -> None:
    settings = SMALL.but(num_epochs=3, features=features)
    first, again, other = (training.train(small_graph, settings, seed=seed).vectors for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_training_leaves_the_global_generators_alone(small_graph: Graph) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    training.train(small_graph, SMALL.but(num_epochs=1), seed=0)
    torch.testing.assert_close(torch.rand(3), expected)


def test_constant_features_collapse_and_an_identity_does_not(small_graph: Graph) -> None:
    ranks = {}
    for features in ("svd", "constant"):
        vectors = training.train(small_graph, SMALL.but(features=features), seed=0).vectors
        ranks[features] = effective_rank(vectors[small_graph.rows_of("pathway")])
    assert ranks["constant"] < 2
    assert ranks["svd"] > 5 * ranks["constant"]


def test_one_encoder_pass_for_all_micro_batches_equals_a_pass_for_each(small_graph: Graph) -> None:
    """Gradients summed at the embeddings are the gradients of separate passes, to rounding."""
    settings = SMALL.but(accumulation_steps=3, edge_sample_size=20)
    index = build_index(small_graph)
    shape = HGTShape(tuple(small_graph.type_offsets.tolist()), index.num_relations, 32, 32, 64, 2, 4)
    encoder = HGT(shape, generator=torch.Generator().manual_seed(0), attention="csr").double()
    decoder = DistMult(len(small_graph.relations), 64, generator=torch.Generator().manual_seed(1)).double()
    features = torch.randn(small_graph.num_nodes, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    sampler, rng = FactSampler(small_graph, settings), np.random.default_rng(0)
    batches = list(sampler.micro_batches(sampler.hide(rng), rng))
    parameters = [*encoder.parameters(), *decoder.parameters()]

    def gradients() -> list[torch.Tensor]:
        found = [parameter.grad.clone() for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        return found

    z = encoder(features, index)
    scored = ScoredEmbeddings(z)
    for batch in batches:
        scored.backward(partial(link_loss, batch=batch, decoder=decoder), batch_rows(batch), batch.share, "the loss")
    z.backward(scored.gradient)
    shared = gradients()
    for batch in batches:
        loss = link_loss(encoder(features, index)[batch_rows(batch)], batch, decoder)
        (batch.share * loss).backward()
    for got, expected in zip(shared, gradients(), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-10)


def test_hidden_facts_do_not_reach_the_messages(small_graph: Graph) -> None:
    """Embeddings of a step are the same whether or not the facts that it scores exist."""
    sampler = FactSampler(small_graph, SMALL)
    hidden = sampler.hidden_mask(sampler.hide(np.random.default_rng(0)), np.random.default_rng(1))
    keep, first = {}, 0
    for r, fact in enumerate(small_graph.facts):
        keep[r] = ~hidden[first : first + fact.shape[1]]
        first += fact.shape[1]
    index = build_index(small_graph)
    shape = HGTShape(tuple(small_graph.type_offsets.tolist()), index.num_relations, 32, 32, 64, 2, 4)
    encoder = HGT(shape, generator=torch.Generator().manual_seed(0), attention="csr")
    features = torch.randn(small_graph.num_nodes, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(
            encoder(features, index.without(hidden)),
            encoder(features, build_index(small_graph.keep_facts(keep))),
            rtol=1e-4,
            atol=1e-5,
        )


def test_a_loss_that_is_not_finite_stops_training_and_says_what_to_do(small_graph: Graph) -> None:
    told = r"In step 2 \(epoch 1\) the link loss of .* is nan; first to be not finite: output of .*Lower learning_rate"
    with pytest.raises(TrainingError, match=told):
        training.train(small_graph, SMALL.but(learning_rate=1e30, steps_per_epoch=2), seed=0)
    with pytest.raises(TrainingError, match=r"After epoch 1 not all is finite: .* Lower learning_rate"):
        training.train(small_graph, SMALL.but(learning_rate=1e30), seed=0)


def test_relations_without_facts_weigh_nothing(small_graph: Graph) -> None:
    empty = replace(small_graph, facts=(np.empty((2, 0), np.int64), *small_graph.facts[1:]))
    trained = training.train(empty, SMALL.but(num_epochs=1), seed=0)
    assert np.isfinite(trained.vectors).all()


@pytest.mark.parametrize("device", ["gpu", "cpu:1"])
def test_a_device_that_cannot_be_used_is_refused(small_graph: Graph, device: str) -> None:
    with pytest.raises(ConfigError, match=f"device is '{device}'.*expected cpu"):
        training.train(small_graph, SMALL.but(device=device), seed=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_an_absent_cuda_device_is_said_to_be_absent(small_graph: Graph) -> None:
    with pytest.raises(ConfigError, match=r"sees no CUDA device\. Use device=cpu"):
        training.train(small_graph, SMALL.but(device="cuda"), seed=0)


def test_a_graph_without_facts_is_refused(small_graph: Graph) -> None:
    empty = replace(small_graph, facts=tuple(fact[:, :0] for fact in small_graph.facts))
    with pytest.raises(InputError, match="no fact between them"):
        training.train(empty, SMALL, seed=0)


def test_a_graph_without_two_facts_of_a_relation_is_refused(small_graph: Graph) -> None:
    single = replace(small_graph, facts=tuple(fact[:, :1] for fact in small_graph.facts))
    with pytest.raises(InputError, match=r"No relation of .* has two facts"):
        training.train(single, SMALL, seed=0)


@pytest.mark.gpu
@pytest.mark.parametrize("batching", ["full", "sampled"])
def test_on_cuda_the_same_seed_gives_the_same_bits(small_graph: Graph, batching: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    settings = SMALL.but(device="cuda", attention="fused_cuda", batching=batching)
    one, two = (training.train(small_graph, settings, seed=0).vectors for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.gpu
def test_cuda_gives_the_vectors_of_the_cpu(small_graph: Graph) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    cpu, cuda = (training.train(small_graph, SMALL.but(device=device), seed=0).vectors for device in ("cpu", "cuda"))
    np.testing.assert_allclose(cuda, cpu, atol=2e-2)
