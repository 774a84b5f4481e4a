"""Small graphs, inputs and the comparison with `attend_reference` that the tests of every attention share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import torch
from torch import Tensor

from rxweave.embed.attention import MessageIndex, attend_reference, build_index
from rxweave.graph.build import Graph
from rxweave.kg.tables import Relation, Roles

BINDS = Relation("drug", "binds", "gene")
INTERACTS = Relation("gene", "interacts", "gene", symmetric=True)
REGULATES = Relation("gene", "regulates", "gene")
PART_OF = Relation("gene", "part of", "genome")

ROLES = Roles("drug", "disease", "gene", treats=("treats",))

Facts = dict[Relation, list[tuple[int, int]]]
"""Facts of each relation, both ends numbered within their types."""


def graph_of(sizes: dict[str, int], facts: Facts) -> Graph:
    """A graph of nameless nodes: attention looks at numbers only."""
    node_types = tuple(sorted(sizes))
    offsets = np.concatenate([[0], np.cumsum([sizes[t] for t in node_types])]).astype(np.int64)
    start = dict(zip(node_types, offsets[:-1].tolist(), strict=True))
    arrays = tuple(
        np.array(pairs, np.int64).reshape(-1, 2).T + np.array([[start[r.source_type]], [start[r.target_type]]])
        for r, pairs in facts.items()
    )
    return Graph("cases", pl.DataFrame(), node_types, offsets, tuple(facts), arrays, ROLES)


def random_graph(seed: int, *, drugs: int = 5, genes: int = 7, facts: int = 12) -> Graph:
    """Every kind of relation (one without facts), a type of one node, a self-loop, and a drug without any fact."""
    rng = np.random.default_rng(seed)

    def draw(num_sources: int, num_targets: int) -> list[tuple[int, int]]:
        both = rng.integers(0, [num_sources, num_targets], (facts, 2))
        return [(int(s), int(t)) for s, t in np.unique(both, axis=0)]

    interacts = sorted({(min(pair), max(pair)) for pair in [*draw(genes, genes), (0, 0)]})
    return graph_of(
        {"drug": drugs, "gene": genes, "genome": 1},
        {
            BINDS: draw(drugs - 1, genes),  # the last drug stays alone
            REGULATES: [],
            INTERACTS: interacts,
            PART_OF: [(gene, 0) for gene in range(genes)],
        },
    )


def random_inputs(index: MessageIndex, heads: int, dim: int, *, seed: int = 0) -> list[Tensor]:
    """Query, key and value of every node and both matrices of every relation, so that logits are of the order of 1."""
    generator = torch.Generator().manual_seed(seed)
    per_node, per_relation = (index.num_nodes, 3, heads, dim), (index.num_relations, heads, dim, dim)
    query_key_value, to_key, to_message = (
        torch.randn(size, generator=generator, dtype=torch.float64) for size in (per_node, per_relation, per_relation)
    )
    return [query_key_value, to_key / dim, to_message / dim**0.5]


def output_and_gradients(
    attend: Callable[..., Tensor],
    index: MessageIndex,
    inputs: list[Tensor],
    dtype: torch.dtype = torch.float64,
    *,
    matrix_dtype: torch.dtype | None = None,
    weight: Tensor | None = None,
) -> list[Tensor]:
    """What the operator gives, and the gradients of its three inputs, all on the device of the index.

    The node table has `dtype`, the matrices `matrix_dtype` (`dtype` if None); `weight` is the gradient of the output.
    """
    matrix_dtype = matrix_dtype or dtype
    dtypes = [dtype, matrix_dtype, matrix_dtype]
    leaves = [
        x.detach().to(index.source.device, d, copy=True).requires_grad_() for x, d in zip(inputs, dtypes, strict=True)
    ]
    output = attend(index, *leaves)
    if weight is None:
        weight = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).reshape(output.shape).bfloat16()
    output.backward(weight.to(output))
    gradients = [leaf.grad for leaf in leaves]
    assert [tensor.dtype for tensor in [output, *gradients]] == [torch.promote_types(dtype, matrix_dtype), *dtypes]
    return [output.detach(), *gradients]


def errors_of(
    attend: Callable[..., Tensor],
    index: MessageIndex,
    *,
    heads: int,
    dim: int,
    dtype: torch.dtype,
    matrix_dtype: torch.dtype | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> list[float]:
    """‖got - expected‖ / ‖expected‖ of the output and the three gradients, expected being `attend_reference` in
    float64 on the same inputs, rounded to their types. A tensor whose norm is below 1 (all shares 1, say, and so no
    gradient to the queries) is compared with 1.
    """
    rounded = [dtype, matrix_dtype or dtype, matrix_dtype or dtype]
    inputs = [x.to(d).double() for x, d in zip(random_inputs(index, heads, dim, seed=seed), rounded, strict=True)]
    expected = output_and_gradients(attend_reference, index, inputs)
    got = output_and_gradients(attend, index.to(device), inputs, dtype, matrix_dtype=matrix_dtype)
    return [float((a.cpu().double() - b).norm() / b.norm().clamp(min=1)) for a, b in zip(got, expected, strict=True)]


def random_index(seed: int, *, share_hidden: float = 0.0, **sizes: int) -> MessageIndex:
    """The index of a random graph, without a share of its facts."""
    graph = random_graph(seed, **sizes)
    return build_index(graph).without(np.random.default_rng(seed).random(graph.num_facts) < share_hidden)
