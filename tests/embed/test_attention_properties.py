"""What holds for every attention, whichever way it computes: `IMPLEMENTATIONS` says which there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from attention_cases import (
    BINDS,
    INTERACTS,
    PART_OF,
    REGULATES,
    errors_of,
    graph_of,
    output_and_gradients,
    random_graph,
    random_index,
    random_inputs,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rxweave.embed.attention import IMPLEMENTATIONS, build_index
from rxweave.embed.attention.fused_cuda import why_unavailable
from rxweave.graph.build import Graph

HEADS = 3
DIMS = [8, 24]
"""As few as tell a full register from one that is not: `fused_cpu` is compiled anew for each, and each type."""


@pytest.fixture(params=IMPLEMENTATIONS, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    """Each registered implementation that can run on this machine."""
    if request.param == "fused_cuda" and (reason := why_unavailable()):
        pytest.skip(f"fused_cuda: {reason}")
    return str(request.param)


@pytest.fixture(scope="module")
def attend(name: str) -> Callable[..., Tensor]:
    return IMPLEMENTATIONS[name]


@pytest.fixture(scope="module")
def device(name: str) -> str:
    return "cuda" if name == "fused_cuda" else "cpu"


@cache
def special_graphs() -> dict[str, Graph]:
    ring = [(gene, (gene + 1) % 6) for gene in range(6)]
    many = [(drug, 0) for drug in range(20_000)]
    return {
        "an isolated node": graph_of({"drug": 3, "gene": 7}, {BINDS: [(0, 0), (1, 0), (1, 3)], REGULATES: ring}),
        "an empty relation": graph_of({"drug": 3, "gene": 6}, {REGULATES: ring, BINDS: [], INTERACTS: [(0, 1)]}),
        "only empty relations": graph_of({"drug": 3, "gene": 6}, {REGULATES: [], BINDS: []}),
        "20,000 edges into one node": graph_of({"drug": 20_000, "gene": 3}, {BINDS: [*many, (5, 1)]}),
        "a type of one node": graph_of(
            {"drug": 1, "gene": 6, "genome": 1}, {BINDS: [(0, 4)], PART_OF: [(gene, 0) for gene in range(6)]}
        ),
        "one relation": graph_of({"gene": 6}, {REGULATES: [*ring, (0, 3), (2, 2)]}),
        "one symmetric relation": graph_of({"gene": 6}, {INTERACTS: [(0, 1), (0, 2), (1, 2), (3, 3)]}),
    }


@pytest.mark.parametrize(
    ("case", "dim"),
    # The reference copies a matrix for every edge: the largest graph is for the smallest of them.
    [(case, dim) for case in special_graphs() for dim in DIMS if dim == 8 or not case.startswith("20,000")],
)
def test_special_graphs_match_the_reference(case: str, dim: int, attend: Callable[..., Tensor], device: str) -> None:
    index = build_index(special_graphs()[case])
    assert max(errors_of(attend, index, heads=HEADS, dim=dim, dtype=torch.float64, device=device)) < 1e-9


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), dim=st.sampled_from(DIMS), hidden=st.sampled_from([0.0, 0.3, 0.9]))
def test_random_graphs_match_the_reference(
    attend: Callable[..., Tensor], device: str, seed: int, dim: int, hidden: float
) -> None:
    index = random_index(seed, share_hidden=hidden, facts=25)
    assert max(errors_of(attend, index, heads=HEADS, dim=dim, dtype=torch.float64, device=device, seed=seed)) < 1e-9


@pytest.mark.parametrize("dim", DIMS)
def test_float32_is_within_1e5_of_float64(dim: int, attend: Callable[..., Tensor], device: str) -> None:
    index = random_index(0, drugs=100, genes=120, facts=2000)
    assert max(errors_of(attend, index, heads=HEADS, dim=dim, dtype=torch.float32, device=device)) < 1e-5


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), dim=st.sampled_from(DIMS))
def test_permuting_nodes_within_types_permutes_outputs_and_gradients(
    attend: Callable[..., Tensor], device: str, seed: int, dim: int
) -> None:
    graph = random_graph(seed, facts=25)
    rng = np.random.default_rng(seed)
    new_row = np.concatenate(
        [
            rng.permutation(np.arange(*bounds))
            for bounds in zip(graph.type_offsets, graph.type_offsets[1:], strict=False)
        ]
    )
    permuted = replace(graph, facts=tuple(new_row[fact] for fact in graph.facts))
    index, permuted_index = build_index(graph).to(device), build_index(permuted).to(device)
    table, *matrices = random_inputs(index, HEADS, dim, seed=seed)
    weight = torch.randn(table.shape[0], HEADS, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    old_row = torch.from_numpy(np.argsort(new_row))

    plain = output_and_gradients(attend, index, [table, *matrices], weight=weight)
    moved = output_and_gradients(attend, permuted_index, [table[old_row], *matrices], weight=weight[old_row])
    plain[0], plain[1] = plain[0][old_row], plain[1][old_row]
    for expected, got in zip(plain, moved, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)


def test_an_isolated_node_receives_zeros_and_sends_no_gradient(attend: Callable[..., Tensor], device: str) -> None:
    graph = special_graphs()["an isolated node"]
    index = build_index(graph).to(device)
    alone = torch.from_numpy(graph.degrees == 0)
    output, d_table, _, _ = output_and_gradients(attend, index, random_inputs(index, HEADS, 8))
    assert alone.sum() == 2  # a drug and a gene
    assert (output[alone] == 0).all()
    assert (d_table[alone] == 0).all()
    assert (output[~alone] != 0).any(dim=2).all()


def test_matrices_of_an_empty_relation_get_no_gradient(attend: Callable[..., Tensor], device: str) -> None:
    index = build_index(special_graphs()["an empty relation"]).to(device)
    empty = torch.tensor(index.relation_rows).diff() == 0
    _, _, d_to_key, d_to_message = output_and_gradients(attend, index, random_inputs(index, HEADS, 8))
    assert empty.tolist() == [False, False, True, True, False]
    assert (d_to_key[empty] == 0).all()
    assert (d_to_message[empty] == 0).all()
    assert (d_to_message[~empty] != 0).any()


def test_bfloat16_tables_are_within_one_percent_of_float64(
    name: str, attend: Callable[..., Tensor], device: str
) -> None:
    """Stored in bfloat16, computed in float32: what is lost is the rounding of queries, keys and values."""
    index = build_index(random_graph(3, facts=30)).to(device)
    inputs = [x.to(device) for x in random_inputs(index, HEADS, 16)]
    inputs[0] = inputs[0].bfloat16().double()
    exact = output_and_gradients(IMPLEMENTATIONS["reference"], index, inputs)
    stored = output_and_gradients(attend, index, inputs, torch.bfloat16, matrix_dtype=torch.float32)
    for got, expected in zip(stored, exact, strict=True):
        assert (got.double() - expected).norm() <= 1e-2 * expected.norm(), name
