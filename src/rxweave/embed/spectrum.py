"""How many directions a set of vectors really uses."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def singular_values(vectors: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, " values"]:
    """Give the singular values, largest first, in float64; min(rows, dim) of them."""
    return np.linalg.svd(np.asarray(vectors, np.float64), compute_uv=False)


def effective_rank(vectors: Float[np.ndarray, "rows dim"]) -> float:
    """Give RankMe: exp of the entropy of the normalised singular values (Garrido et al. 2023), not centred.

    From 1 (all rows along one line) to min(rows, dim) (all directions alike); 0 when every vector is zero.
    """
    values = singular_values(vectors)
    total = values.sum()
    if total == 0:
        return 0.0
    share = values[values > 0] / total
    return float(np.exp(-(share * np.log(share)).sum()))


def numerical_rank(vectors: Float[np.ndarray, "rows dim"]) -> int:
    """Give the number of singular values above rounding noise: largest × max(rows, dim) × float32 epsilon."""
    values = singular_values(vectors)
    noise = values[0] * max(vectors.shape) * np.finfo(np.float32).eps
    return int((values > noise).sum())
