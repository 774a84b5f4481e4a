"""The innermost steps of the fused attention, as vector instructions and as plain loops, against numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np
import pytest
from numba import njit

from rxweave.benchmark import plain_steps
from rxweave.embed.attention import vectors
from rxweave.embed.attention.vectors import REGISTERS, rows_together

ROWS, PARTS, COLUMN_FROM = 12, 3, 1000


@dataclass(frozen=True)
class Shape:
    """Heads and their size, the type of the arithmetic, and whether the table holds bfloat16."""

    heads: int
    dim: int
    real: type = np.float32
    bfloat16: bool = False
    plain: bool = False
    """Whether they are computed by the plain loops of the benchmark."""

    @property
    def steps(self) -> ModuleType:
        return plain_steps if self.plain else vectors

    @property
    def width(self) -> int:
        return self.heads * self.dim

    def __str__(self) -> str:
        kind = f"{'bfloat16-' if self.bfloat16 else ''}{self.real.__name__}{'-plain' if self.plain else ''}"
        return f"{self.heads}x{self.dim}-{kind}"

    def table(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A table (rows, parts, width), and its numbers as float64."""
        numbers = rng.standard_normal((ROWS, PARTS, self.width)).astype(self.real)
        if not self.bfloat16:
            return numbers, numbers.astype(np.float64)
        halves = (numbers.view(np.uint32) >> 16).astype(np.uint16)
        return halves, (halves.astype(np.uint32) << 16).view(np.float32).astype(np.float64)

    @property
    def tolerance(self) -> float:
        return 1e-12 if self.real is np.float64 else 1e-5


SHAPES = [
    Shape(1, 8),
    Shape(3, 24),  # vectors of 8, not 16
    Shape(5, 64),  # four heads fill the registers, the fifth goes alone
    Shape(1, 16 * REGISTERS + 16),  # a head wider than the registers
    Shape(3, 24, bfloat16=True),
    Shape(5, 64, bfloat16=True),
    Shape(7, 24, np.float64),  # five and two
    Shape(3, 24, plain=True),
    Shape(2, 32, bfloat16=True, plain=True),
]


@cache
def compiled(shape: Shape) -> tuple[Callable[..., None], Callable[..., None]]:
    heads, dim = shape.heads, shape.dim
    dots, weighted_sum = shape.steps.dots, shape.steps.weighted_sum

    @njit
    def run_dots(vector, table, part, columns, first, count, column_from, out):
        dots(heads, dim, vector, table, part, columns, first, count, column_from, len(columns) - 1, out)

    @njit
    def run_sum(weights, offset, table, part, columns, first, count, column_from, out):
        last = len(columns) - 1
        weighted_sum(heads, dim, weights, offset, table, part, columns, first, count, column_from, last, out)

    return run_dots, run_sum


@cache
def compiled_map(shape: Shape, together: int) -> Callable[..., None]:
    heads, dim = shape.heads, shape.dim
    times_matrix = shape.steps.times_matrix

    @njit
    def run(table, part, rows, first, weight, out):
        times_matrix(heads, dim, together, table, part, rows, first, weight, out)

    return run


def edges(rng: np.random.Generator) -> np.ndarray:
    """Rows of 40 edges, counted from COLUMN_FROM, some of them more than once."""
    return (COLUMN_FROM + rng.integers(0, ROWS, 40)).astype(np.int32)


SPANS = [(0, 40), (0, 0), (3, 1), (5, 20), (39, 1), (31, 9)]
"""First edge and number of edges: all, none, one, some, the last one, the last ones."""


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dots_are_the_products_of_each_head(shape: Shape, rng: np.random.Generator) -> None:
    run, _ = compiled(shape)
    table, numbers = shape.table(rng)
    columns = edges(rng)
    vector = rng.standard_normal(shape.width).astype(shape.real)
    for part in range(PARTS):
        for first, count in SPANS:
            out = np.full((50, shape.heads + 2), 7, shape.real)  # wider and longer than is written
            run(vector, table, part, columns, first, count, COLUMN_FROM, out)
            rows = numbers[columns[first : first + count] - COLUMN_FROM, part].reshape(count, shape.heads, shape.dim)
            expected = np.einsum("hd,ehd->eh", vector.astype(np.float64).reshape(shape.heads, -1), rows)
            np.testing.assert_allclose(
                out[:count, : shape.heads], expected, rtol=shape.tolerance, atol=10 * shape.tolerance
            )
            assert (out[count:] == 7).all()
            assert (out[:, shape.heads :] == 7).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_weighted_sums_are_added_head_by_head(shape: Shape, rng: np.random.Generator) -> None:
    _, run = compiled(shape)
    table, numbers = shape.table(rng)
    columns = edges(rng)
    weights = rng.standard_normal((40, 2 * shape.heads)).astype(shape.real)
    start = rng.standard_normal(shape.width).astype(shape.real)
    for part in range(PARTS):
        for first, count in SPANS:
            for offset in (0, shape.heads):
                out = start.copy()
                run(weights, offset, table, part, columns, first, count, COLUMN_FROM, out)
                rows = numbers[columns[first : first + count] - COLUMN_FROM, part]
                mine = weights[:count, offset : offset + shape.heads].astype(np.float64)
                added = np.einsum("eh,ehd->hd", mine, rows.reshape(count, shape.heads, shape.dim)).ravel()
                np.testing.assert_allclose(out, start + added, rtol=shape.tolerance, atol=50 * shape.tolerance)


@pytest.mark.parametrize("shape", [Shape(3, 24), Shape(3, 24, bfloat16=True)], ids=str)
def test_rows_and_vectors_may_begin_anywhere_in_memory(shape: Shape, rng: np.random.Generator) -> None:
    """One number away from where vector instructions like to load."""
    run, _ = compiled(shape)
    table, numbers = shape.table(rng)
    shifted = np.empty(table.size + 1, table.dtype)[1:].reshape(table.shape)
    shifted[:] = table
    vector = rng.standard_normal(shape.width + 1).astype(shape.real)[1:]
    columns, out = edges(rng), np.empty((40, shape.heads), shape.real)
    run(vector, shifted, 1, columns, 0, 40, COLUMN_FROM, out)
    rows = numbers[columns - COLUMN_FROM, 1].reshape(40, shape.heads, shape.dim)
    expected = np.einsum("hd,ehd->eh", vector.astype(np.float64).reshape(shape.heads, -1), rows)
    np.testing.assert_allclose(out, expected, rtol=shape.tolerance, atol=10 * shape.tolerance)


@pytest.mark.parametrize("shape", [Shape(3, 24), Shape(3, 24, bfloat16=True)], ids=str)
def test_nan_and_infinity_keep_their_meaning(shape: Shape, rng: np.random.Generator) -> None:
    run_dots, run_sum = compiled(shape)
    table, _ = shape.table(rng)
    nan, infinity = (0x7FC0, 0x7F80) if shape.bfloat16 else (np.nan, np.inf)
    table[0, 0, 3], table[1, 0, shape.dim + 3] = nan, infinity
    columns = np.array([0, 1, 2], np.int32)
    out = np.empty((3, shape.heads), shape.real)
    run_dots(np.ones(shape.width, shape.real), table, 0, columns, 0, 3, 0, out)
    assert np.isnan(out).tolist() == [[True, False, False], [False] * 3, [False] * 3]
    assert np.isinf(out).tolist() == [[False] * 3, [False, True, False], [False] * 3]
    total = np.zeros(shape.width, shape.real)
    run_sum(np.ones((3, shape.heads), shape.real), 0, table, 0, columns, 0, 3, 0, total)
    assert np.flatnonzero(np.isnan(total)).tolist() == [3]
    assert np.flatnonzero(np.isinf(total)).tolist() == [shape.dim + 3]


MATRIX_SHAPES = [
    Shape(3, 24),
    Shape(2, 64, bfloat16=True),
    Shape(3, 24, np.float64),
    Shape(2, 32, bfloat16=True, plain=True),
]


@pytest.mark.parametrize("together", [1, 3, 8])
@pytest.mark.parametrize("shape", MATRIX_SHAPES, ids=str)
def test_rows_are_multiplied_by_the_matrix_of_each_head(shape: Shape, together: int, rng: np.random.Generator) -> None:
    run = compiled_map(shape, together)
    table, numbers = shape.table(rng)
    rows = rng.integers(0, ROWS, 20)
    weight = rng.standard_normal((shape.heads, shape.dim, shape.dim)).astype(shape.real)
    for part in range(PARTS):
        for first in (0, 5, 20 - together):
            out = np.full((together + 1, shape.width), 7, shape.real)
            run(table, part, rows, first, weight, out)
            x = numbers[rows[first : first + together], part].reshape(together, shape.heads, shape.dim)
            expected = np.einsum("rhi,hij->rhj", x, weight.astype(np.float64)).reshape(together, -1)
            np.testing.assert_allclose(out[:together], expected, rtol=shape.tolerance, atol=50 * shape.tolerance)
            assert (out[together:] == 7).all()


def test_as_many_rows_are_taken_together_as_registers_hold() -> None:
    assert [rows_together(dim) for dim in (8, 24, 32, 64, 128, 256, 512)] == [8, 8, 8, 4, 2, 1, 1]
