"""The fused loops: float32 and bfloat16 against float64, both places where a relation's matrices act, threads, NaN."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numba
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
    random_index,
    random_inputs,
)
from torch import Tensor

from rxweave.embed.attention import MessageIndex, attend_reference, build_index
from rxweave.embed.attention.fused_cpu import _relations, _Work, attend_fused_cpu
from rxweave.errors import ConfigError

# Each number of heads, head size and type is compiled once, for some 10 CPU-seconds, and kept on disk: most tests
# share (3, 8) and the properties' sizes.
HEADS = 3


def crowded_index(share_hidden: float = 0.0) -> MessageIndex:
    """Hubs on either side, so that relations have far fewer senders than rows, and the other way round."""
    rng = np.random.default_rng(4)

    def draw(num_sources: int, num_targets: int, facts: int) -> list[tuple[int, int]]:
        both = rng.integers(0, [num_sources, num_targets], (facts, 2))
        return [(int(s), int(t)) for s, t in np.unique(both, axis=0)]

    graph = graph_of(
        {"drug": 4, "gene": 150, "genome": 1},
        {
            BINDS: draw(4, 150, 400),
            INTERACTS: sorted({(min(pair), max(pair)) for pair in draw(150, 150, 900)}),
            REGULATES: draw(150, 12, 600),
            PART_OF: [(gene, 0) for gene in range(150)],
        },
    )
    return build_index(graph).without(rng.random(graph.num_facts) < share_hidden)


def relative_errors(got: list[Tensor], expected: list[Tensor]) -> list[float]:
    return [float((a.double() - b.double()).norm() / b.double().norm()) for a, b in zip(got, expected, strict=True)]


@pytest.mark.parametrize(
    ("heads", "dim", "share_hidden"),
    [
        (HEADS, 8, 0.0),
        (HEADS, 8, 0.6),
        (HEADS, 24, 0.0),
        (8, 32, 0.6),
        pytest.param(8, 64, 0.0, marks=pytest.mark.slow),
    ],
)
def test_float32_is_within_1e5_of_float64(heads: int, dim: int, share_hidden: float) -> None:
    """8 heads of 64 are twice as many numbers as the registers hold."""
    errors = errors_of(attend_fused_cpu, crowded_index(share_hidden), heads=heads, dim=dim, dtype=torch.float32)
    assert max(errors) < 1e-5, errors


@pytest.mark.parametrize(
    ("heads", "dim", "share_hidden"),
    [(HEADS, 8, 0.0), (HEADS, 8, 0.6), (HEADS, 24, 0.0), pytest.param(8, 32, 0.6, marks=pytest.mark.slow)],
)
def test_a_bfloat16_table_is_within_1e2_of_float64(heads: int, dim: int, share_hidden: float) -> None:
    index = crowded_index(share_hidden)
    inputs = random_inputs(index, heads, dim)
    rounded = [inputs[0].bfloat16().double(), *inputs[1:]]
    got = output_and_gradients(attend_fused_cpu, index, inputs, torch.bfloat16, matrix_dtype=torch.float32)
    to_rounded = relative_errors(got, output_and_gradients(attend_reference, index, rounded))
    to_exact = relative_errors(got, output_and_gradients(attend_reference, index, inputs))
    assert max(to_rounded[:1] + to_rounded[2:]) < 1e-5, to_rounded
    assert 1e-4 < to_rounded[1] < 1e-2  # this gradient is rounded, as the table is
    assert 1e-4 < max(to_exact) < 1e-2, to_exact


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_matrices_at_the_receivers_and_at_the_senders_give_the_same(dtype: torch.dtype) -> None:
    """Relation by relation: each one's own part of the gradients of the matrices."""
    index = crowded_index()
    at_senders = {relation.number: relation.at_senders for relation in _relations(index)}
    assert len(at_senders) == index.num_relations
    assert sorted(at_senders.values()) == [False] * 4 + [True] * 3
    inputs = random_inputs(index, HEADS, 8)
    got = output_and_gradients(attend_fused_cpu, index, inputs, dtype)
    expected = output_and_gradients(attend_reference, index, inputs)
    tolerance = 1e-9 if dtype == torch.float64 else 2e-5
    for relation in at_senders:
        errors = relative_errors([x[relation] for x in got[2:]], [x[relation] for x in expected[2:]])
        assert max(errors) < tolerance, (relation, errors)


def test_a_sender_or_a_row_whose_facts_are_all_hidden_is_passed_over() -> None:
    """All of a drug's facts and all facts into a gene are hidden; rows and senders stay in the index, empty."""
    pairs = [(drug, gene) for drug in range(3) for gene in range(70)]
    hidden = np.array([drug == 1 or gene in (0, 69) for drug, gene in pairs])
    index = build_index(graph_of({"drug": 3, "gene": 70}, {BINDS: pairs})).without(hidden)
    assert (index.row_start.diff() == 0).sum() == 3
    inputs = random_inputs(index, HEADS, 8)
    got = output_and_gradients(attend_fused_cpu, index, inputs)
    expected = output_and_gradients(attend_reference, index, inputs)
    assert max(relative_errors(got, expected)) < 1e-9
    alone = torch.tensor([1, 3, 72])
    assert (got[0][alone] == 0).all()
    assert (got[1][alone] == 0).all()


@pytest.fixture
def with_threads() -> Iterator[Callable[[int], None]]:
    """Set the number of threads; skipped, visibly, on a machine of one core."""
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("Numba has one thread on this machine")
    yield torch.set_num_threads
    torch.set_num_threads(1)


def test_one_thread_and_two_agree_and_each_gives_the_same_bits_again(with_threads: Callable[[int], None]) -> None:
    index = crowded_index(share_hidden=0.2)
    inputs = random_inputs(index, HEADS, 8)
    runs = []
    for threads in (1, 1, 2, 2):
        with_threads(threads)
        assert _Work(index, *inputs).threads == threads
        runs.append(output_and_gradients(attend_fused_cpu, index, inputs, torch.float32))
    one, one_again, two, two_again = runs
    for first, second in ((one, one_again), (two, two_again)):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert max(relative_errors(two, one)) < 1e-6


def test_more_threads_than_rows_do_no_harm(with_threads: Callable[[int], None]) -> None:
    """One row in one relation, and a relation with a single edge."""
    index = build_index(graph_of({"drug": 3, "gene": 1}, {BINDS: [(0, 0), (1, 0), (2, 0)], INTERACTS: [(0, 0)]}))
    with_threads(2)
    assert max(errors_of(attend_fused_cpu, index, heads=HEADS, dim=8, dtype=torch.float64)) < 1e-9


def test_the_callers_number_of_numba_threads_stays(with_threads: Callable[[int], None]) -> None:
    before = numba.get_num_threads()
    assert before >= 2
    index = random_index(0)
    output_and_gradients(attend_fused_cpu, index, random_inputs(index, HEADS, 8))  # on one thread, as torch has
    assert numba.get_num_threads() == before


def test_the_first_loop_of_a_process_leaves_torch_its_number_of_threads() -> None:
    """Numba's threads and torch's are OpenMP's: where one is used, two would wait for each other spinning."""
    script = f"""
import torch
from attention_cases import output_and_gradients, random_index, random_inputs
from rxweave.embed.attention.fused_cpu import attend_fused_cpu
torch.set_num_threads(1)
index = random_index(0)
output_and_gradients(attend_fused_cpu, index, random_inputs(index, {HEADS}, 8))
print(torch.get_num_threads())
"""
    env = {name: value for name, value in os.environ.items() if not name.endswith("NUM_THREADS")}
    path = os.pathsep.join([str(Path(__file__).parent), env.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env={**env, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


@pytest.mark.parametrize("part", ["query", "key", "value"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_reaches_every_node_it_touches_and_no_other(part: str, bad: float) -> None:
    """Guards of training rely on it: drug 0 sends to genes 0 and 1 and receives from them; drug 1 has gene 2."""
    index = build_index(graph_of({"drug": 2, "gene": 3}, {BINDS: [(0, 0), (0, 1), (1, 2)]}))
    inputs = random_inputs(index, HEADS, 8)
    inputs[0][0, ["query", "key", "value"].index(part)] = bad
    expected = output_and_gradients(attend_reference, index, inputs)
    output, d_table, *d_matrices = output_and_gradients(attend_fused_cpu, index, inputs)
    touched = [0] if part == "query" else [2, 3]
    finite = torch.isfinite(output).flatten(1).all(1)
    assert finite.tolist() == [node not in touched for node in range(5)]
    torch.testing.assert_close(output[finite], expected[0][finite])
    assert not torch.isfinite(d_table).all()
    assert torch.isfinite(d_table[[1, 4]]).all()
    assert not all(torch.isfinite(gradient).all() for gradient in d_matrices)


@pytest.mark.parametrize("table", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_huge_logits_do_not_overflow(table: torch.dtype) -> None:
    index = crowded_index()
    matrix = torch.float64 if table == torch.float64 else torch.float32
    inputs = random_inputs(index, HEADS, 8)
    inputs[0][:, :2] *= 1e6
    inputs[2] = torch.eye(8, dtype=torch.float64).expand(inputs[2].shape)
    tensors = output_and_gradients(attend_fused_cpu, index, inputs, table, matrix_dtype=matrix)
    assert all(torch.isfinite(x).all() for x in tensors)
    largest_value = inputs[0][:, 2].abs().max()
    assert tensors[0].abs().max() <= largest_value * 1.01  # a weighted mean stays inside its values


@pytest.mark.parametrize("dim", [4, 12, 20])
def test_a_head_that_is_no_multiple_of_8_is_refused(dim: int) -> None:
    index = random_index(0)
    with pytest.raises(ConfigError, match=rf"8, 16, 24 … .* have {dim} \(hidden_dim {3 * dim} over 3 heads\)"):
        attend_fused_cpu(index, *random_inputs(index, HEADS, dim))


@pytest.mark.parametrize(
    ("table", "to_key", "to_message"),
    [
        (torch.float32, torch.float64, torch.float64),
        (torch.float64, torch.float32, torch.float32),
        (torch.bfloat16, torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.float32, torch.float32),
        (torch.float32, torch.float32, torch.float64),
    ],
)
def test_types_that_the_loops_would_misread_are_refused(
    table: torch.dtype, to_key: torch.dtype, to_message: torch.dtype
) -> None:
    index = random_index(0)
    inputs = [x.to(dtype) for x, dtype in zip(random_inputs(index, HEADS, 8), (table, to_key, to_message), strict=True)]
    with pytest.raises(TypeError, match=rf"got {table} .* with {to_key} and {to_message} matrices; expected float32"):
        attend_fused_cpu(index, *inputs)


def test_inputs_are_left_as_they_are_and_may_be_views() -> None:
    """A table that is not contiguous, as a slice of a wider one."""
    index = random_index(0)
    table, to_key, to_message = random_inputs(index, HEADS, 8)
    wide = torch.cat([table, table], dim=3)[..., :8]
    assert not wide.is_contiguous()
    kept = [x.clone() for x in (wide, to_key, to_message)]
    transposed = to_key.transpose(2, 3).contiguous().transpose(2, 3)
    torch.testing.assert_close(
        attend_fused_cpu(index, wide, transposed, to_message), attend_reference(index, table, to_key, to_message)
    )
    assert all(torch.equal(a, b) for a, b in zip((wide, to_key, to_message), kept, strict=True))


CACHED = """
import json, time, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, torch
from attention_cases import errors_of, random_index
from rxweave.embed.attention.fused_cpu import attend_fused_cpu
from rxweave.embed.attention.loops import loops_for

started = time.process_time()
errors = errors_of(attend_fused_cpu, random_index(0), heads=1, dim=8, dtype=torch.float32)
stats = [loop.stats for loop in vars(loops_for(1, 8, np.float32)).values()]
print(json.dumps({
    "error": max(errors),
    "hits": [sum(s.cache_hits.values()) for s in stats],
    "misses": [sum(s.cache_misses.values()) for s in stats],
    "seconds": time.process_time() - started,
}))
"""


@pytest.mark.slow
def test_a_second_process_takes_the_compiled_loops_from_disk(tmp_path: Path) -> None:
    def run() -> dict[str, object]:
        result = subprocess.run(
            [sys.executable, "-c", CACHED, str(Path(__file__).parent)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        told: dict[str, object] = json.loads(result.stdout)
        return told

    first, second = run(), run()
    assert first["error"] == second["error"] < 1e-5
    assert first["hits"] == second["misses"] == [0] * 6
    assert min(first["misses"]) >= 1
    assert first["misses"] == second["hits"]
    assert second["seconds"] < first["seconds"] / 2
