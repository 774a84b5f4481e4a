"""Attention a chunk at a time: exact wherever it cuts, small, and made of what MPS can do."""

from __future__ import annotations

from functools import cache, partial
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from attention_cases import BINDS, errors_of, graph_of, output_and_gradients, random_index, random_inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from rxweave.embed.attention import build_index
from rxweave.embed.attention.gather import attend_gather, attend_in_chunks, cut_into_chunks

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 1e-2}
SIZES = [(1, 8), (3, 24), (2, 40)]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("heads", "dim"), SIZES)
@pytest.mark.parametrize("share_hidden", [0.0, 0.5, 0.95])
def test_gather_agrees_with_autograd(dtype: torch.dtype, heads: int, dim: int, share_hidden: float) -> None:
    index = random_index(0, share_hidden=share_hidden, drugs=30, genes=40, facts=200)
    assert max(errors_of(attend_gather, index, heads=heads, dim=dim, dtype=dtype)) < TOLERANCE[dtype]


def test_a_bfloat16_table_with_float32_matrices_loses_nothing_on_the_way() -> None:
    index = random_index(0, drugs=30, genes=40, facts=200)
    output, d_table, *d_matrices = errors_of(
        attend_gather, index, heads=3, dim=24, dtype=torch.bfloat16, matrix_dtype=torch.float32
    )
    assert max(output, *d_matrices) < 1e-5
    assert 1e-4 < d_table < 1e-2  # this one is rounded, as the table is


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 70), st.sampled_from([0.0, 0.5, 0.97]))
def test_result_is_the_same_wherever_the_edges_are_cut(seed: int, chunk_edges: int, share_hidden: float) -> None:
    index = random_index(seed, share_hidden=share_hidden, facts=20)
    attend = partial(attend_in_chunks, chunk_edges=chunk_edges)
    assert max(errors_of(attend, index, heads=2, dim=8, dtype=torch.float64, seed=seed)) < 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 70), st.sampled_from([0.0, 0.5, 0.97]))
def test_chunks_hold_every_edge_once_and_stay_small(seed: int, chunk_edges: int, share_hidden: float) -> None:
    index = random_index(seed, share_hidden=share_hidden, facts=30)
    chunks = cut_into_chunks(index, chunk_edges)
    edges = [edge for chunk in chunks for edge in range(chunk.edges.start, chunk.edges.stop)]
    assert edges == list(range(index.num_edges))
    for chunk in chunks:
        assert 1 <= chunk.edges.stop - chunk.edges.start <= chunk_edges
        assert chunk.rows.stop - chunk.rows.start <= chunk_edges + 1
        row = index.edge_row[chunk.edges]
        assert chunk.rows.start == row[0]
        assert chunk.rows.stop == row[-1] + 1
        first_row, last_row = list(pairwise(index.relation_rows))[chunk.relation]
        assert first_row <= chunk.rows.start < chunk.rows.stop <= last_row


def test_a_chunk_never_spans_many_empty_rows() -> None:
    """All facts of 998 of 1,000 receiving nodes are hidden, and the other two stand far apart."""
    graph = graph_of({"drug": 1, "gene": 1000}, {BINDS: [(0, gene) for gene in range(1000)]})
    hidden = np.ones(1000, bool)
    hidden[[0, 999]] = False
    index = build_index(graph).without(hidden)
    assert max(chunk.rows.stop - chunk.rows.start for chunk in cut_into_chunks(index, 8)) <= 9
    assert max(errors_of(partial(attend_in_chunks, chunk_edges=8), index, heads=1, dim=8, dtype=torch.float64)) < 1e-9


def test_two_runs_on_a_cpu_give_the_same_bits() -> None:
    index = random_index(1, drugs=30, genes=40, facts=300)
    first, second = (
        output_and_gradients(attend_gather, index, random_inputs(index, 2, 16), torch.float32) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_huge_logits_do_not_overflow() -> None:
    index = random_index(2, drugs=30, genes=40, facts=300)
    inputs = random_inputs(index, 2, 8)
    inputs[0][:, :2] *= 1e3
    for tensor in output_and_gradients(partial(attend_in_chunks, chunk_edges=7), index, inputs, torch.float32):
        assert torch.isfinite(tensor).all()


def test_a_graph_without_facts_gives_zeros() -> None:
    index = build_index(graph_of({"drug": 2, "gene": 3}, {BINDS: []}))
    for tensor in output_and_gradients(attend_gather, index, random_inputs(index, 2, 8), torch.float32):
        assert tensor.numel()
        assert (tensor == 0).all()


class Recorder(TorchDispatchMode):
    """Notes every operation and the size of the largest tensor that one of them gave."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: set[str] = set()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations.add(func.name().removeprefix("aten::"))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


def recorded(*, drugs: int, facts: int, chunk_edges: int, dtype: torch.dtype = torch.float32) -> tuple[Recorder, int]:
    """A forward and a backward pass of one head of 16, and the number of edges they went over."""
    rng = np.random.default_rng(0)
    pairs = np.stack(np.divmod(rng.choice(drugs * drugs, facts, replace=False), drugs), axis=1)
    index = build_index(graph_of({"drug": drugs, "gene": drugs}, {BINDS: pairs.tolist()}))
    assert len(index.edge_row) == index.num_edges  # the index writes them out when first asked, for all that use them
    leaves = [x.to(dtype).requires_grad_() for x in random_inputs(index, 1, 16)]
    with Recorder() as recorder:
        attend_in_chunks(index, *leaves, chunk_edges=chunk_edges).sum().backward()
    return recorder, index.num_edges


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_no_tensor_grows_with_the_edges(dtype: torch.dtype) -> None:
    nodes, hidden, chunk = 2 * 150, 16, 512
    recorder, edges = recorded(drugs=150, facts=15_000, chunk_edges=chunk, dtype=dtype)
    assert recorder.largest <= max(nodes * 3 * hidden, (chunk + 1) * hidden)
    assert recorder.largest < edges  # not even one number per edge


@cache
def runs_on_mps() -> dict[str, bool]:
    """Whether each operation has an MPS kernel or is made of others, by the list that torch is generated from."""
    yaml = pytest.importorskip("yaml")
    listed = files("torchgen").joinpath("packaged/ATen/native/native_functions.yaml").read_text(encoding="utf-8")
    entries = {entry["func"].partition("(")[0]: entry for entry in yaml.load(listed, yaml.CSafeLoader)}

    def runs(name: str) -> bool:
        entry = entries[name]
        if "structured_delegate" in entry:
            return runs(entry["structured_delegate"])
        devices = {key.strip() for keys in entry.get("dispatch", {}) for key in keys.split(",")}
        return not devices or bool(devices & {"MPS", "CompositeExplicitAutograd", "CompositeImplicitAutograd"})

    return {name: runs(name) for name in entries}


def test_every_operation_has_an_mps_kernel() -> None:
    recorder, _ = recorded(drugs=20, facts=100, chunk_edges=16)
    assert {"index_select.out", "index_add_", "bmm", "scatter_reduce.two"} <= recorder.operations
    assert not runs_on_mps()["segment_reduce"]  # the list tells them apart
    missing = {name for name in recorder.operations if not runs_on_mps()[name]}
    assert missing == set()
