"""The bilinear member of the ranker: treatment as a product of what is known of the drug and of the disease.

Kernel ridge regression over all pairs at once, with the kernel of a pair the product of that of its drugs and that of
its diseases (Kronecker regularised least squares; van Laarhoven, Nabuurs & Marchiori 2011 for drugs and their
targets). With few numbers for each node it is solved exactly in one step, and scores a matrix of pairs as a product of
two thin matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Float32, Int
from scipy.sparse.linalg import LinearOperator, eigsh

from rxweave.graph.build import Graph
from rxweave.graph.pairs import End, Pairs
from rxweave.rank.neighbours import centred_unit
from rxweave.rank.profiles import profile_steps, profiles, whole_profile

Sides = tuple[Float32[np.ndarray, "drugs _"], Float32[np.ndarray, "diseases _"]]
"""Vectors of all drugs and of all diseases."""

DENSE = 2_048
"""Rows or columns up to which a profile's Gram matrix is decomposed whole: seconds, and 34 MB."""


@dataclass(frozen=True, eq=False)
class Even:
    """Brings the values of every node of one end to mean 0 and deviation 1 over the nodes of the other end.

    Where an end is held out whole, its nodes to be ranked had no treatment to be fitted to, and their values are
    smaller by much than those of nodes that had: on one scale such a node would stand behind all others.
    """

    end: End
    means: Float[np.ndarray, " nodes"]
    deviations: Float[np.ndarray, " nodes"]
    """1 where a node's values are all alike."""

    @staticmethod
    def of(end: End, own: Float32[np.ndarray, "nodes dim"], others: Float32[np.ndarray, "others dim"]) -> Even:
        """Measure the values that the factors of the end's `own` nodes have with those of the others, forming none."""
        mean = others.mean(axis=0, dtype=np.float64)
        centred = others - mean
        spread = centred.T @ centred / len(others)
        deviations = np.sqrt(np.maximum(np.einsum("ni,ni->n", own @ spread, own), 0.0))
        deviations[deviations <= 1e-6 * deviations.max(initial=0.0)] = 1.0
        return Even(end, own @ mean, deviations)


@dataclass(frozen=True, eq=False)
class Bilinear:
    """Fitted factors: the value of a pair is the product of its drug's and its disease's."""

    drugs: Float32[np.ndarray, "drugs dim"]
    diseases: Float32[np.ndarray, "diseases dim"]
    deviation: float
    """Standard deviation of the value over all pairs, greater than 0."""
    even: Even | None = None
    """None: one deviation for all, and the mean stays."""

    def scores(self, pairs: Pairs) -> Float[np.ndarray, " pairs"]:
        """Give arcsinh(value / deviation) of each pair: few values are large, and those by orders of magnitude."""
        # Pair by pair: a matrix product's last bits would hang on the block.
        value = np.einsum("pd,pd->p", self.drugs[pairs[:, 0]], self.diseases[pairs[:, 1]], dtype=np.float64)
        found: Float[np.ndarray, " pairs"] = np.arcsinh(self._scaled(value, pairs[:, 0], pairs[:, 1]))
        return found

    def matrix(self, diseases: Int[np.ndarray, " block"]) -> Float32[np.ndarray, "drugs block"]:
        """Give the same of all drugs with these diseases, fast; equal to `scores` but for rounding."""
        value = self._scaled(self.drugs @ self.diseases[diseases].T, np.arange(len(self.drugs))[:, None], diseases)
        found: Float32[np.ndarray, "drugs block"] = np.asarray(value, np.float32)
        np.arcsinh(found, out=found)
        return found

    def _scaled(
        self, value: Float[np.ndarray, "*pairs"], drugs: Int[np.ndarray, "*_"], diseases: Int[np.ndarray, "*_"]
    ) -> Float[np.ndarray, "*pairs"]:
        if self.even is None:
            return value / self.deviation
        nodes = drugs if self.even.end == "drug" else diseases
        found: Float[np.ndarray, "*pairs"] = (value - self.even.means[nodes]) / self.even.deviations[nodes]
        return found


def side_vectors(
    graph: Graph,
    vectors: Float[np.ndarray, "nodes dim"] | None,
    inputs: Sequence[str],
    *,
    dim: int,
    seed: int,
) -> Sides:
    """Give what the bilinear member knows of each drug and each disease of a TRAINING graph.

    Of the `inputs`, "profiles" are the `dim` strongest directions of `profiles.whole_profile`, without any
    drug–disease fact; "embeddings" are `vectors`, in the graph's node order, centred within their type and of length 1,
    zero for nodes without facts. Both weigh alike where there are both.
    """
    sides = []
    for role in (graph.roles.drug, graph.roles.disease):
        parts: list[Float[np.ndarray, "nodes _"]] = []
        if "profiles" in inputs:
            profile = whole_profile(profiles(graph, role, profile_steps(graph, role)))
            if profile is not None:
                parts.append(strongest_directions(profile, dim, seed=seed))
        if vectors is not None and "embeddings" in inputs:
            rows = graph.rows_of(role)
            parts.append(centred_unit(vectors[rows], graph.degrees[rows] > 0)[0])
        count = graph.num_of(role)
        joined = np.concatenate([np.empty((count, 0)), *parts], axis=1) / np.sqrt(max(1, len(parts)))
        sides.append(joined.astype(np.float32))
    return sides[0], sides[1]


def strongest_directions(profile: sp.csr_array, dim: int, *, seed: int) -> Float[np.ndarray, "nodes _"]:
    """Give at most `dim` numbers for each row, whose inner products come closest to those of the rows themselves.

    A truncated SVD (Eckart & Young 1936) to rounding error, from the Gram matrix of the shorter side: whole up to
    `DENSE` rows or columns, else by Lanczos iterations (ARPACK; Lehoucq, Sorensen & Yang 1998) that `seed` starts. A
    randomised SVD is no faster for so many directions of so few nodes, and its error is another for every seed.
    """
    if profile.shape[1] <= dim:
        return np.asarray(profile.toarray(), np.float64)
    values = profile.astype(np.float64)
    tall = values.shape[0] > values.shape[1]
    wide = values.T.tocsr() if tall else values
    count = wide.shape[0]
    if count <= max(dim, DENSE):
        strengths, directions = np.linalg.eigh((wide @ wide.T).toarray())
    else:
        back = wide.T.tocsr()
        gram = LinearOperator((count, count), matvec=lambda x: wide @ (back @ x), dtype=np.float64)
        strengths, directions = eigsh(gram, k=dim, rng=np.random.default_rng(seed))
    strengths, directions = strengths[-dim:], directions[:, -dim:]
    found: Float[np.ndarray, "nodes _"] = values @ directions if tall else directions * np.sqrt(strengths.clip(min=0.0))
    return found


def fit_bilinear(sides: Sides, treated: Pairs, *, penalty: float, even: End | None = None) -> Bilinear | None:
    """Fit a value near 1 for the treatments and near 0 for all other pairs, ridge `penalty`; None without inputs.

    `even` names an end whose nodes are each put on one scale of their own (`Even`).

    With A and B the vectors of drugs and diseases, A = U·diag(a)·Pᵀ and B = V·diag(b)·Qᵀ their singular values, and Y
    the 0/1 matrix of treatments, the fitted values are U·[S / (S + penalty) ∘ UᵀYV]·Vᵀ with S = a²·(b²)ᵀ.
    """
    (u, a), (v, b) = (_directions(side) for side in sides)
    if len(a) == 0 or len(b) == 0 or len(treated) == 0:
        return None
    strength = np.outer(a**2, b**2)
    seen = np.einsum("pi,pj->ij", u[treated[:, 0]], v[treated[:, 1]], optimize=True)
    core = strength / (strength + penalty) * seen
    drugs, diseases = (u, v @ core.T) if len(a) <= len(b) else (u @ core, v)
    # The variance of U·C·Vᵀ over all pairs, from its factors' own moments.
    second = float(np.sum((drugs.T @ drugs) * (diseases.T @ diseases))) / (len(u) * len(v))
    first = float(drugs.mean(axis=0) @ diseases.mean(axis=0))
    deviation = np.sqrt(max(second - first**2, 0.0))
    factors = drugs.astype(np.float32), diseases.astype(np.float32)
    own_first = factors if even == "drug" else factors[::-1]
    return Bilinear(*factors, float(deviation) or 1.0, None if even is None else Even.of(even, *own_first))


def extended(
    factors: Float32[np.ndarray, "nodes dim"],
    vectors: Float32[np.ndarray, "nodes _"],
    alike: Float[np.ndarray, "new nodes"],
) -> Float32[np.ndarray, "new dim"]:
    """Give the factors of nodes that come after fitting, from their products with the `vectors` of those before.

    Factors are a linear map of the vectors, so new vectors are found from `alike` by least squares and mapped the same
    way (the out-of-sample extension of a kernel; Bengio et al. 2004).
    """
    known = vectors.astype(np.float64)
    back = np.linalg.pinv(known, rcond=1e-5)
    found: Float32[np.ndarray, "new dim"] = (alike @ back.T @ (back @ factors)).astype(np.float32)
    return found


def _directions(
    vectors: Float32[np.ndarray, "nodes dim"],
) -> tuple[Float[np.ndarray, "nodes rank"], Float[np.ndarray, " rank"]]:
    """Give the left singular vectors and singular values that are not noise."""
    left, singular, _ = np.linalg.svd(vectors.astype(np.float64), full_matrices=False)
    real = singular > 1e-6 * max(1.0, singular.max(initial=0.0))
    return left[:, real], singular[real]
