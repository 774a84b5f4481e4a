"""The sparse attention against plain autograd, and the index it runs on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from rxweave.embed.attention import MessageIndex, attend_csr, attend_reference, build_index
from rxweave.graph.build import Graph

HEADS, DIM = 2, 4


def random_inputs(index: MessageIndex, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Query, key and value of every node, and the two matrices of every relation."""
    generator = torch.Generator().manual_seed(0)
    per_node, per_relation = (index.num_nodes, 3, HEADS, DIM), (index.num_relations, HEADS, DIM, DIM)
    return [
        torch.randn(size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for size in (per_node, per_relation, per_relation)
    ]


def output_and_gradients(attend, index: MessageIndex, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    inputs = random_inputs(index, dtype)
    output = attend(index, *inputs)
    weight = torch.linspace(-1, 1, output.numel(), dtype=dtype).reshape(output.shape)
    (output * weight).sum().backward()
    return [output.detach(), *(x.grad for x in inputs)]


def hidden(graph: Graph, share: float) -> np.ndarray:
    return np.random.default_rng(1).random(graph.num_facts) < share


@pytest.mark.parametrize("share_hidden", [0.0, 0.5, 0.999])
def test_csr_agrees_with_autograd_in_float64(small_graph: Graph, share_hidden: float) -> None:
    index = build_index(small_graph).without(hidden(small_graph, share_hidden))
    ours = output_and_gradients(attend_csr, index)
    reference = output_and_gradients(attend_reference, index)
    for got, expected in zip(ours, reference, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)


def test_csr_in_float32_is_within_1e5_of_float64(small_graph: Graph) -> None:
    index = build_index(small_graph)
    ours = output_and_gradients(attend_csr, index, torch.float32)
    reference = output_and_gradients(attend_reference, index)
    for got, expected in zip(ours, reference, strict=True):
        assert (got.double() - expected).norm() / expected.norm() < 1e-5


def unchanged(index: MessageIndex, dtype: torch.dtype) -> Tensor:
    """Relation matrices that pass messages on as they are."""
    return torch.eye(DIM, dtype=dtype).expand(index.num_relations, HEADS, DIM, DIM)


def test_huge_logits_do_not_overflow(small_graph: Graph) -> None:
    index = build_index(small_graph)
    query_key_value, to_key, _ = (x.detach() for x in random_inputs(index, torch.float32))
    value = query_key_value[:, 2].clone()
    query_key_value *= 1e3
    query_key_value[:, 2] = value
    output = attend_csr(index, query_key_value, to_key, unchanged(index, torch.float32))
    assert torch.isfinite(output).all()
    assert output.abs().max() <= value.abs().max() * (1 + 1e-5)  # a weighted mean stays inside its values


def test_shares_of_a_node_sum_to_one_over_all_relations(small_graph: Graph) -> None:
    index = build_index(small_graph).without(hidden(small_graph, 0.99))
    query_key_value, to_key, _ = (x.detach() for x in random_inputs(index))
    query_key_value[:, 2] = 1.0
    received = attend_csr(index, query_key_value, to_key, unchanged(index, torch.float64))
    linked = torch.zeros(index.num_nodes, dtype=torch.bool)
    linked[index.pair_node[index.edge_row.long()]] = True
    assert not linked.all()
    torch.testing.assert_close(received[linked], torch.ones_like(received[linked]))
    assert (received[~linked] == 0).all()


def test_index_holds_every_fact_in_both_directions(small_graph: Graph) -> None:
    index = build_index(small_graph)
    edges = set(zip(index.source.tolist(), index.pair_node[index.edge_row.long()].tolist(), strict=True))
    for source, target in small_graph.facts:
        for a, b in zip(source.tolist(), target.tolist(), strict=True):
            assert (a, b) in edges
            assert (b, a) in edges
    assert index.num_edges == 2 * small_graph.num_facts  # the demo has no self-loop
    types = len(small_graph.relations) * 2 - sum(rel.symmetric for rel in small_graph.relations)
    assert index.num_relations == types


def test_without_equals_an_index_built_without_those_facts(small_graph: Graph) -> None:
    mask = hidden(small_graph, 0.4)
    first, keep = 0, {}
    for r, fact in enumerate(small_graph.facts):
        keep[r] = ~mask[first : first + fact.shape[1]]
        first += fact.shape[1]
    masked = build_index(small_graph).without(mask)
    rebuilt = build_index(small_graph.keep_facts(keep))
    assert masked.num_edges == rebuilt.num_edges
    for got, expected in zip(
        output_and_gradients(attend_csr, masked), output_and_gradients(attend_csr, rebuilt), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)
