"""The compiled loop of path counts for single pairs; apart, since Numba takes its time to load."""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float32, Int


def row_products(
    indptr: Int[np.ndarray, " bounds"],
    indices: Int[np.ndarray, " entries"],
    data: Float32[np.ndarray, " entries"],
    row: Int[np.ndarray, " pairs"],
    turned: Float32[np.ndarray, "columns inner"],
    column: Int[np.ndarray, " pairs"],
) -> Float32[np.ndarray, " pairs"]:
    """Give single elements, at (row, column), of the product of a CSR matrix and a dense one given transposed.

    Summed in float32 and in the order of the entries, as SciPy does: the bits are those of the whole product.
    """
    out = np.empty(len(row), np.float32)
    _row_products(indptr, indices, data, row, turned, column, out)
    return out


@numba.njit(nogil=True, cache=True)
@no_type_check  # Numba compiles it: it wants a bare signature, and no wrapper of a type checker
def _row_products(indptr, indices, data, row, turned, column, out):
    for p in range(len(row)):
        total = np.float32(0.0)
        values = turned[column[p]]
        for k in range(indptr[row[p]], indptr[row[p] + 1]):
            total += data[k] * values[indices[k]]
        out[p] = total
