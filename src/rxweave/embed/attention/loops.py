"""The loops of the fused CPU attention, compiled by Numba for one number of heads, one head size, one arithmetic.

A table is (rows, parts, heads·dim): one row holds all heads, so that one index look-up serves them all, and `part`
says which of the row's vectors is meant. Tables of 16-bit integers hold bfloat16; everything is computed in `real`.

Products with rows and weighted sums of rows, the innermost steps over edges, are in `vectors`. In the other loops
the compiler turns an inner loop over one head into vector instructions because its length is a constant, and four
rows per turn keep sums in registers that would otherwise be read and written once per row. Each thread owns a range
of rows with its share of the edges: no two write to one place, and the result does not depend on timing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import no_type_check

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

from rxweave.embed.attention.vectors import dots, rows_together, times_matrix, weighted_sum

# Sums may be reordered and fused; NaN and infinity keep their meaning, since the guards of training rely on it.
ARITHMETIC = {"reassoc", "contract", "arcp", "nsz", "afn"}
NEVER = -1e30
"""The highest logit of a node that nothing has reached yet; finite, so that no ∞ − ∞ can arise."""


@dataclass(frozen=True)
class Loops:
    """The compiled loops for one shape; what each does is said in `loops_for`."""

    transform: Callable[..., None]
    copy: Callable[..., None]
    receive: Callable[..., None]
    receive_backward: Callable[..., None]
    send_backward: Callable[..., None]
    outer: Callable[..., None]


@no_type_check  # Numba compiles these functions: it wants bare signatures, and no wrapper of a type checker
def number(value):
    """A table's entry as a number; bfloat16 is the upper half of a float32."""
    raise NotImplementedError


@overload(number, inline="always")
@no_type_check
def _number_of(value):
    if isinstance(value, types.Integer):
        return lambda value: np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)
    return lambda value: value


@njit(cache=True)
@no_type_check
def _share(start, first, last, thread, threads):
    """Where a thread's rows begin, when the edges of rows first … last are shared out evenly."""
    if thread == threads:
        return last  # the search below would leave out rows without edges at the end
    edges = start[last] - start[first]
    return first + np.searchsorted(start[first:last], start[first] + edges * thread // threads)


CHUNK = 64
"""Edges whose keys and values are visited twice in a row in the backward pass: few enough to stay in the cache."""


@cache
@no_type_check
def loops_for(heads: int, dim: int, real: type) -> Loops:
    """Give the loops for `heads` heads of `dim` numbers (a multiple of 8), computing in `real`.

    Compiled when first called with arrays of some type, and kept on disk: seconds once, then fractions of one.
    """
    width = heads * dim
    zero = real(0)
    never = real(NEVER)
    together = rows_together(dim)

    @njit(parallel=True, fastmath=ARITHMETIC, cache=True, boundscheck=False)
    def transform(x, x_part, x_rows, weight, y, y_part, y_rows, add, threads):
        """y[y_rows[i]] = x[x_rows[i]] · weight, head by head; added to what is there if `add`."""
        rows = len(x_rows)
        for thread in prange(threads):
            got = np.empty((together, width), real)
            first, last = rows * thread // threads, rows * (thread + 1) // threads
            for row in range(first, last, together):
                count = min(together, last - row)
                if count == together:
                    times_matrix(heads, dim, together, x, x_part, x_rows, row, weight, got)
                else:
                    for k in range(count):
                        times_matrix(heads, dim, 1, x, x_part, x_rows, row + k, weight, got[k:])
                for k in range(count):
                    out = y[y_rows[row + k], y_part]
                    if add:
                        for j in range(width):
                            out[j] += got[k, j]
                    else:
                        for j in range(width):
                            out[j] = got[k, j]

    @njit(parallel=True, fastmath=ARITHMETIC, cache=True, boundscheck=False)
    def copy(x, x_part, x_rows, y, y_part, y_rows, add, threads):
        """y[y_rows[i]] = x[x_rows[i]]; added to what is there if `add`."""
        for i in prange(len(x_rows)):
            got, out = x[x_rows[i], x_part], y[y_rows[i], y_part]
            if add:
                for j in range(width):
                    out[j] += number(got[j])
            else:
                for j in range(width):
                    out[j] = number(got[j])

    @njit(parallel=True, fastmath=ARITHMETIC, cache=True, boundscheck=False)
    def receive(
        start, first, last, column, column_from, asked, table, key, value, node, gathered, highest, total, received,
        longest, threads
    ):  # fmt: skip
        """Forward pass of rows first … last of one relation.

        gathered[row] becomes Σ exp(logit − highest) · value, and the node's running maximum, total and received
        vector are brought to the same maximum (online softmax: Milakov & Gimelshein 2018).
        """
        end_of_columns = len(column) - 1
        for thread in prange(threads):
            weight = np.empty((longest, heads), real)
            peak = np.empty(heads, real)
            mass = np.empty(heads, real)
            my_first = _share(start, first, last, thread, threads)
            my_last = _share(start, first, last, thread + 1, threads)
            for row in range(my_first, my_last):
                begin, count = start[row], start[row + 1] - start[row]
                into = gathered[row - first, 0]
                for j in range(width):
                    into[j] = zero
                if count == 0:
                    continue
                q = asked[row - first, 0]
                dots(heads, dim, q, table, key, column, begin, count, column_from, end_of_columns, weight)
                for head in range(heads):
                    peak[head] = never
                    mass[head] = zero
                for e in range(count):
                    for head in range(heads):
                        peak[head] = max(peak[head], weight[e, head])
                t = node[row - first]
                old, so_far = highest[t], received[t]
                for head in range(heads):
                    new = max(old[head], peak[head])
                    shrink = math.exp(old[head] - new)
                    total[t, head] *= shrink
                    old[head] = new
                    for j in range(head * dim, head * dim + dim):
                        so_far[j] *= shrink
                for e in range(count):
                    for head in range(heads):
                        weight[e, head] = math.exp(weight[e, head] - old[head])
                        mass[head] += weight[e, head]
                for head in range(heads):
                    total[t, head] += mass[head]
                weighted_sum(
                    heads, dim, weight, 0, table, value, column, begin, count, column_from, end_of_columns, into
                )

    @njit(parallel=True, fastmath=ARITHMETIC, cache=True, boundscheck=False)
    def receive_backward(
        start, first, last, column, column_from, asked, d_gathered, table, key, value, node, log_total, along, shares,
        d_asked, gathered, wants_gathered, threads
    ):  # fmt: skip
        """Backward pass by row: each edge's [share | d_logit] into `shares`, and per row d_asked and gathered."""
        end_of_columns = len(column) - 1
        for thread in prange(threads):
            logit = np.empty((CHUNK, heads), real)
            slope = np.empty((CHUNK, heads), real)
            my_first = _share(start, first, last, thread, threads)
            my_last = _share(start, first, last, thread + 1, threads)
            for row in range(my_first, my_last):
                q, d_out = asked[row - first, 0], d_gathered[row - first, 0]
                d_q, into = d_asked[row - first, 0], gathered[row - first, 0]
                for j in range(width):
                    d_q[j] = zero
                    into[j] = zero
                t = node[row - first]
                scale, mean = log_total[t], along[t]
                for begin in range(start[row], start[row + 1], CHUNK):
                    count = min(CHUNK, start[row + 1] - begin)
                    dots(heads, dim, q, table, key, column, begin, count, column_from, end_of_columns, logit)
                    dots(heads, dim, d_out, table, value, column, begin, count, column_from, end_of_columns, slope)
                    kept = shares[begin - start[first] : begin - start[first] + count]
                    for e in range(count):
                        for head in range(heads):
                            share = math.exp(logit[e, head] - scale[head])
                            kept[e, head] = share
                            kept[e, heads + head] = share * (slope[e, head] - mean[head])
                    weighted_sum(
                        heads, dim, kept, heads, table, key, column, begin, count, column_from, end_of_columns, d_q
                    )
                    if wants_gathered:
                        weighted_sum(
                            heads, dim, kept, 0, table, value, column, begin, count, column_from, end_of_columns, into
                        )

    @njit(parallel=True, fastmath=ARITHMETIC, cache=True, boundscheck=False)
    def send_backward(
        start, first, last, row_of, place_of, first_row, first_edge, shares, asked, d_gathered, d_table, d_key, d_value,
        rows, threads
    ):  # fmt: skip
        """Backward pass by sender: adds Σ d_logit · asked to a key's gradient, Σ share · d_gathered to a value's."""
        end_of_rows = len(row_of) - 1
        for thread in prange(threads):
            weight = np.empty((CHUNK, 2 * heads), real)
            my_first = _share(start, first, last, thread, threads)
            my_last = _share(start, first, last, thread + 1, threads)
            for sender in range(my_first, my_last):
                to_key, to_value = d_table[rows[sender - first], d_key], d_table[rows[sender - first], d_value]
                for begin in range(start[sender], start[sender + 1], CHUNK):
                    count = min(CHUNK, start[sender + 1] - begin)
                    for e in range(count):
                        kept = shares[place_of[begin + e] - first_edge]
                        for k in range(2 * heads):
                            weight[e, k] = kept[k]
                    weighted_sum(
                        heads, dim, weight, heads, asked, 0, row_of, begin, count, first_row, end_of_rows, to_key
                    )
                    weighted_sum(
                        heads, dim, weight, 0, d_gathered, 0, row_of, begin, count, first_row, end_of_rows, to_value
                    )

    @njit(parallel=True, fastmath=ARITHMETIC, cache=True, boundscheck=False)
    def outer(x, x_part, x_rows, y, y_part, y_rows, sums, threads):
        """sums[thread, head] = Σ over its rows of x[x_rows[i]]ᵀ · y[y_rows[i]], head by head."""
        rows = len(x_rows)
        for thread in prange(threads):
            first, last = rows * thread // threads, rows * (thread + 1) // threads
            for head in range(heads):
                for i in range(dim):
                    for j in range(dim):
                        sums[thread, head, i, j] = zero
            for row in range(first, last, 4):
                r1, r2, r3 = min(row + 1, last - 1), min(row + 2, last - 1), min(row + 3, last - 1)
                use1, use2, use3 = real(row + 1 < last), real(row + 2 < last), real(row + 3 < last)
                x0, x1 = x[x_rows[row], x_part], x[x_rows[r1], x_part]
                x2, x3 = x[x_rows[r2], x_part], x[x_rows[r3], x_part]
                y0, y1 = y[y_rows[row], y_part], y[y_rows[r1], y_part]
                y2, y3 = y[y_rows[r2], y_part], y[y_rows[r3], y_part]
                for head in range(heads):
                    at = head * dim
                    for i in range(dim):
                        into = sums[thread, head, i]
                        a0, a1 = number(x0[at + i]), number(x1[at + i]) * use1
                        a2, a3 = number(x2[at + i]) * use2, number(x3[at + i]) * use3
                        for j in range(dim):
                            b0, b1 = number(y0[at + j]), number(y1[at + j])
                            b2, b3 = number(y2[at + j]), number(y3[at + j])
                            into[j] += a0 * b0 + a1 * b1 + a2 * b2 + a3 * b3

    return Loops(transform, copy, receive, receive_backward, send_backward, outer)
