"""The Triton attention: in Triton's interpreter where there is no GPU, and for real where there is one.

The interpreter runs the same kernels on CPU tensors with numpy, program by program (milliseconds each, so the graphs
are tiny). It must be chosen before triton is imported: hence a process of its own. That the compiler accepts the
kernels, which it cannot show, is a slow test of its own, for GPUs that need not be there.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from attention_cases import BINDS, errors_of, graph_of, output_and_gradients, random_index, random_inputs
from hypothesis import given, settings
from hypothesis import strategies as st

from rxweave.embed.attention import build_index
from rxweave.embed.attention.fused_cuda import (
    TILE,
    Blocks,
    attend_fused_cuda,
    attend_in_blocks,
    available,
    choose_blocks,
    cut_rows,
    why_unavailable,
)
from rxweave.errors import ConfigError

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
needs_gpu = pytest.mark.skipif(not available(), reason=f"fused_cuda cannot run: {why_unavailable()}")

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 1e-2}


@dataclass(frozen=True)
class Case:
    """A graph, the size of a head, and how the work is cut; `blocks` None is what `choose_blocks` says."""

    heads: int
    dim: int
    dtype: torch.dtype
    blocks: Blocks | None = None
    share_hidden: float = 0.0
    facts: int = 8
    matrix_dtype: torch.dtype | None = None

    def __str__(self) -> str:
        cut = "chosen" if self.blocks is None else f"pieces of {self.blocks.longest_piece}"
        return f"{self.heads}x{self.dim}-{self.dtype}-{cut}-{self.share_hidden:.0%} hidden"

    def errors(self, device: str) -> list[float]:
        index = random_index(3, share_hidden=self.share_hidden, facts=self.facts)
        attend = attend_fused_cuda if self.blocks is None else partial(attend_in_blocks, blocks=self.blocks)
        return errors_of(
            attend,
            index,
            heads=self.heads,
            dim=self.dim,
            dtype=self.dtype,
            matrix_dtype=self.matrix_dtype,
            device=device,
        )


# Pieces of 2 edges cut nearly every row; blocks of 2 heads leave padding in the last block of 3 heads.
CUT = Blocks(edges=2, heads=2, dim=32, longest_piece=2)
UNEVEN = Blocks(edges=4, heads=4, dim=8, longest_piece=3)
CASES = [
    Case(1, 8, torch.float64),
    Case(3, 24, torch.float64, CUT),
    Case(3, 8, torch.float64, UNEVEN, share_hidden=0.5),
    Case(2, 16, torch.float64, share_hidden=0.95),
    Case(8, 32, torch.float32),
    Case(2, 40, torch.float32),
    Case(2, 64, torch.bfloat16),
    Case(3, 24, torch.bfloat16, CUT),
]


@pytest.fixture(scope="module")
def interpreter() -> Iterator[ProcessPoolExecutor]:
    """A process in which Triton interprets kernels; this one is left as it was."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            patch.setenv("OMP_NUM_THREADS", "1")
            pool.submit(why_unavailable).result()  # starts the process
        yield pool


@needs_triton
@pytest.mark.parametrize("case", CASES, ids=str)
def test_interpreted_kernels_agree_with_autograd(case: Case, interpreter: ProcessPoolExecutor) -> None:
    assert max(interpreter.submit(case.errors, "cpu").result()) < TOLERANCE[case.dtype]


BFLOAT16_TABLE = Case(3, 8, torch.bfloat16, UNEVEN, matrix_dtype=torch.float32)


def check_that_only_the_table_is_rounded(errors: list[float]) -> None:
    output, d_table, *d_matrices = errors
    assert max(output, *d_matrices) < 1e-5
    assert 1e-4 < d_table < 1e-2


@needs_triton
def test_interpreted_kernels_round_nothing_but_the_table(interpreter: ProcessPoolExecutor) -> None:
    check_that_only_the_table_is_rounded(interpreter.submit(BFLOAT16_TABLE.errors, "cpu").result())


def largest_number_of_a_graph_without_facts(device: str) -> float:
    index = build_index(graph_of({"drug": 2, "gene": 3}, {BINDS: []})).to(device)
    tensors = output_and_gradients(attend_fused_cuda, index, random_inputs(index, 2, 8), torch.float32)
    return max(float(tensor.abs().max()) for tensor in tensors)


@needs_triton
def test_interpreted_kernels_give_zeros_without_facts(interpreter: ProcessPoolExecutor) -> None:
    assert interpreter.submit(largest_number_of_a_graph_without_facts, "cpu").result() == 0


def all_finite_with_huge_logits(device: str) -> bool:
    index = random_index(3).to(device)
    inputs = random_inputs(index, 2, 8)
    inputs[0][:, :2] *= 1e3
    tensors = output_and_gradients(partial(attend_in_blocks, blocks=UNEVEN), index, inputs, torch.float32)
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


@needs_triton
def test_interpreted_kernels_do_not_overflow_on_huge_logits(interpreter: ProcessPoolExecutor) -> None:
    assert interpreter.submit(all_finite_with_huge_logits, "cpu").result()


KERNELS = (
    "attend_piece",
    "log_sum_exp_of_node",
    "add_further_pieces",
    "receive_backward_piece",
    "send_backward_piece",
)


def binary_sizes(capability: int, storage: str, cache: Path) -> dict[str, int]:
    """Compile every kernel for 3 heads of 24 and give the size of its machine code; needs ptxas, but no GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRITON_INTERPRET", raising=False)
        patch.setenv("TRITON_CACHE_DIR", str(cache))  # compiled anew, whatever was compiled before
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource

        from rxweave.embed.attention import fused_cuda_kernels as kernels

        blocks = choose_blocks(3, 24)
        sizes = {"HEADS": 3, "DIM": 24, "BLOCK_EDGES": blocks.edges, "BLOCK_HEADS": blocks.heads}
        sizes |= {"BLOCK_DIM": blocks.dim, "BLOCK_PIECES": 16, "WIDTH": 72, "BLOCK_WIDTH": 256}
        types = {"query_key_value": f"*{storage}", "source": "*i32", "sender_row": "*i32", "piece_row": "*i32"}
        types |= {"piece_begin": "*i32", "piece_end": "*i32", "piece_node": "*i64", "piece_in_order": "*i64"}
        types |= {"node_start": "*i64", "long_row": "*i64", "further_start": "*i64"}
        binaries = {}
        for name in KERNELS:
            kernel = getattr(kernels, name)
            constants = {(i,): sizes[a] for i, a in enumerate(kernel.arg_names) if a in sizes}
            signature = {a: "constexpr" if a in sizes else types.get(a, "*fp32") for a in kernel.arg_names}
            source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
            options = {"num_warps": 4, "enable_fp_fusion": True}
            compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
            binaries[name] = len(compiled.asm["cubin"])
        return binaries


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("storage", ["bf16", "fp32", "fp64"])
def test_kernels_compile_without_a_gpu(capability: int, storage: str, tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        sizes = pool.submit(binary_sizes, capability, storage, tmp_path).result()
    assert set(sizes) == set(KERNELS)
    assert min(sizes.values()) > 0


@needs_triton
def test_the_shape_checks_of_the_tests_leave_kernels_alone() -> None:
    """Triton looks names up in the globals of the function it is given; a wrapper would have those of its maker."""
    from rxweave.embed.attention import fused_cuda_kernels as kernels

    for name in KERNELS:
        assert getattr(kernels, name).fn.__globals__ is vars(kernels)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=12), st.integers(1, 7))
def test_pieces_cover_every_row_once_and_in_order(lengths: list[int], longest: int) -> None:
    start = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    pieces = cut_rows(start, longest)
    assert pieces.row[: len(lengths)].tolist() == list(range(len(lengths)))
    assert (pieces.end - pieces.begin).max() <= longest
    further_of = dict.fromkeys(range(len(lengths)), range(0))
    bounds = pieces.further_start.tolist()
    for i, row in enumerate(pieces.long_row.tolist()):
        further_of[row] = range(bounds[i], bounds[i + 1])
        assert (pieces.row[bounds[i] : bounds[i + 1]] == row).all()
    for row, further in further_of.items():
        covered = [e for p in (row, *further) for e in range(int(pieces.begin[p]), int(pieces.end[p]))]
        assert covered == list(range(int(start[row]), int(start[row + 1])))
    assert sum(map(len, further_of.values())) == len(pieces.row) - len(lengths)


@pytest.mark.parametrize("heads", [1, 3, 8, 16])
@pytest.mark.parametrize("dim", [8, 24, 32, 64, 128, 512])
def test_chosen_blocks_hold_a_head_and_fit_the_registers(heads: int, dim: int) -> None:
    blocks = choose_blocks(heads, dim)
    for size in (blocks.edges, blocks.heads, blocks.dim):
        assert size >= 1
        assert size & (size - 1) == 0
    assert blocks.dim >= dim
    assert blocks.edges * blocks.heads * blocks.dim <= TILE


def test_tensors_on_the_cpu_are_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    index = random_index(0)
    with pytest.raises(ConfigError, match=r"tensors on cpu; it needs a CUDA device\. Choose another attention"):
        attend_fused_cuda(index, *(x.float() for x in random_inputs(index, 1, 8)))


def test_the_reason_why_it_cannot_run_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert why_unavailable() == "torch sees no CUDA device"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.version, "hip", None)
    assert str(why_unavailable()).startswith("Tesla T4 is older than compute capability 8.0")
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert "ROCm" in str(why_unavailable())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "triton is not installed" in str(why_unavailable())
    assert not available()


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize(
    "case", [*CASES, *(Case(8, 32, dtype, facts=2000, share_hidden=0.1) for dtype in TOLERANCE)], ids=str
)
def test_kernels_on_a_gpu_agree_with_autograd(case: Case) -> None:
    assert max(case.errors("cuda")) < TOLERANCE[case.dtype]


@pytest.mark.gpu
@needs_gpu
def test_two_runs_on_a_gpu_give_the_same_bits() -> None:
    index = random_index(3, drugs=300, genes=300, facts=20_000).to("cuda")
    first, second = (
        output_and_gradients(attend_fused_cuda, index, random_inputs(index, 8, 32), torch.float32) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.gpu
@needs_gpu
def test_edge_cases_on_a_gpu() -> None:
    assert largest_number_of_a_graph_without_facts("cuda") == 0
    assert all_finite_with_huge_logits("cuda")
    check_that_only_the_table_is_rounded(BFLOAT16_TABLE.errors("cuda"))
