"""The innermost steps of the fused attention as plain Numba loops: what its vector instructions are measured against.

They take the arguments of `embed.attention.vectors` and give the same numbers; `last` is not used, since nothing is
asked for ahead of time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, no_type_check

from numba import njit

from rxweave.embed.attention import loops
from rxweave.embed.attention.loops import ARITHMETIC, number


@njit(fastmath=ARITHMETIC, inline="always")
@no_type_check
def dots(heads, dim, vector, table, part, columns, first, count, column_from, last, out):
    """out[i, h] = vector[h] · row(i)[h], for the edges i < count."""
    for i in range(count):
        row = table[columns[first + i] - column_from, part]
        for head in range(heads):
            total = vector[0] * 0
            for j in range(head * dim, head * dim + dim):
                total += vector[j] * number(row[j])
            out[i, head] = total


@njit(fastmath=ARITHMETIC, inline="always")
@no_type_check
def weighted_sum(heads, dim, weights, offset, table, part, columns, first, count, column_from, last, out):
    """out[h] += Σ weights[i, offset + h] · row(i)[h] over the edges i < count; four edges for each visit of `out`."""
    for i in range(0, count - 3, 4):
        row0, row1 = table[columns[first + i] - column_from, part], table[columns[first + i + 1] - column_from, part]
        row2, row3 = (
            table[columns[first + i + 2] - column_from, part],
            table[columns[first + i + 3] - column_from, part],
        )
        for head in range(heads):
            w0, w1 = weights[i, offset + head], weights[i + 1, offset + head]
            w2, w3 = weights[i + 2, offset + head], weights[i + 3, offset + head]
            for j in range(head * dim, head * dim + dim):
                out[j] += w0 * number(row0[j]) + w1 * number(row1[j]) + w2 * number(row2[j]) + w3 * number(row3[j])
    for i in range(count - count % 4, count):
        row = table[columns[first + i] - column_from, part]
        for head in range(heads):
            weight = weights[i, offset + head]
            for j in range(head * dim, head * dim + dim):
                out[j] += weight * number(row[j])


@njit(fastmath=ARITHMETIC, inline="always")
@no_type_check
def times_matrix(heads, dim, together, table, part, rows, first, weight, out):
    """out[i, h] = (table[rows[first + i], part] of head h) · weight[h] for i < together."""
    for i in range(together):
        row = table[rows[first + i], part]
        for head in range(heads):
            at = head * dim
            into = out[i, at : at + dim]
            into[:] = weight[head, 0, 0] * 0
            for k in range(0, dim, 4):  # a head's size is a multiple of 8
                x0, x1, x2, x3 = (
                    number(row[at + k]), number(row[at + k + 1]), number(row[at + k + 2]), number(row[at + k + 3]),
                )  # fmt: skip
                w0, w1, w2, w3 = weight[head, k], weight[head, k + 1], weight[head, k + 2], weight[head, k + 3]
                for j in range(dim):
                    into[j] += x0 * w0[j] + x1 * w1[j] + x2 * w2[j] + x3 * w3[j]


def put_in_place() -> None:
    """Have this process's fused attention run on the plain loops, from now on, without keeping the compiled code.

    To be called before anything is compiled. What is on disk stays that of the vector instructions: Numba knows a
    compiled function by its own code, not by that of the functions it calls.
    """
    setattr(loops, "njit", partial(_not_kept, njit))  # noqa: B010  # a name that loops does not export
    for step in (dots, weighted_sum, times_matrix):
        setattr(loops, step.__name__, step)


def _not_kept(compile_with: Callable[..., Any], **options: Any) -> Any:
    return compile_with(**options | {"cache": False})
