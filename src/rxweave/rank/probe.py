"""What any vectors say of treatment: a weighted product fitted on some treatments, and what it ranks of the others.

It stands in for a decoder where embeddings come without one.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from jaxtyping import Float, Float32

from rxweave.errors import InputError
from rxweave.graph.pairs import Pairs

PENALTY = 0.3
"""Ridge penalty, as a share of each product's variance over all pairs; .1 to 10 rank alike."""


def probe_scores(
    drugs: Float32[np.ndarray, "drugs dim"], diseases: Float32[np.ndarray, "diseases dim"], train: Pairs
) -> Float32[np.ndarray, "drugs diseases"]:
    """Give Σ_i w_i · drug_i · disease_i of every pair, with one weight per dimension as a DistMult decoder has.

    Vectors are scaled to length 1. The weights are Fisher's linear discriminant (1936) with a ridge, of the products
    of the training pairs against those of all pairs. The latter need not be formed: their mean is that of the drugs
    times that of the diseases, their second moments are (AᵀA) ∘ (BᵀB) / (drugs · diseases). There are no terms of one
    end alone: by them random vectors could learn by heart how many treatments each end has. Raises InputError
    without a training pair.
    """
    if not len(train):
        raise InputError("There is no treatment to fit a probe on.")
    a, b = _unit(drugs), _unit(diseases)
    drug, disease = train.T
    mean = a.mean(axis=0) * b.mean(axis=0)
    covariance = (a.T @ a) * (b.T @ b) / (len(a) * len(b)) - np.outer(mean, mean)
    weights = _discriminant(covariance, (a[drug] * b[disease]).mean(axis=0) - mean)
    return np.asarray((a * weights) @ b.T, np.float32)


def _discriminant(
    covariance: Float[np.ndarray, "dim dim"], apart: Float[np.ndarray, " dim"]
) -> Float[np.ndarray, " dim"]:
    """(C + λ diag C)⁻¹ d; a dimension without variance gets next to no weight."""
    variance = covariance.diagonal()
    if variance.max() <= 0:
        return np.zeros_like(apart)
    ridge = covariance + np.diag(PENALTY * np.maximum(variance, 1e-6 * variance.max()))
    return np.asarray(scipy.linalg.solve(ridge, apart, assume_a="pos"))


def _unit(vectors: Float32[np.ndarray, "nodes dim"]) -> Float[np.ndarray, "nodes dim"]:
    exact = vectors.astype(np.float64)
    length = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.asarray(exact / np.where(length > 0, length, 1))
