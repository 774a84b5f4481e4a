"""Measures of one set of vectors: how alike their directions are, and how many directions they use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from rxweave.embed.likeness import mean_cosine, row_lengths, unit_rows

Interval = tuple[float, float]
UNDEFINED = float("nan")

NOISE = 1e-7
"""Singular values below this share of the vectors' total norm are rounding of float32 (epsilon 1.2e-7), not
spread, and count as 0. Otherwise a type whose nodes share one point would show full-rank noise."""
REAL = 1e-5
"""A direction is real when its spread is above this share of the widest one: far above what rounding leaves
in a direction the layers cannot reach (about 1e-7), far below what training leaves in one they can."""
NORMAL_95 = 1.96


@dataclass(frozen=True)
class Cosines:
    """How alike the directions of the vectors are, over all pairs of different nodes.

    Vectors of length zero have no direction and are left out; NaN when fewer than two have one.
    """

    mean: float
    """Mean cosine, (‖Σu‖² − n) / n(n − 1) over unit vectors u, −1 to 1 (average self-similarity, Ethayarajh 2019). Sees
    a shared direction, also where all else is healthy; cannot see opposed bundles, nor tell a harmless common offset
    from collapse, nor that few dimensions are used (Rudman et al. 2022)."""
    centred_mean: float
    """The same after the mean vector is taken away, −1 to 1: what remains of likeness without a shared offset. Near 0
    for most vectors, good or bad, since centring makes them cancel: it sees one heavy bundle among few others."""
    p95: float
    """95th percentile of the cosines, −1 to 1. It sees two opposed bundles, whose cosines of 1 and −1 cancel in the
    mean; not a collapse of less than a twentieth of the pairs."""


@dataclass(frozen=True, eq=False)
class Spread:
    """How many directions the vectors use. "Centred": after the mean vector is taken away."""

    num_vectors: int
    dim: int
    rankme: float
    """exp(−Σ p ln p), p = σ / Σσ, of the singular values, not centred (Garrido et al. 2023): 1 to min(vectors, dim).
    Sees that few directions are used; a common mean lowers it as well, and vectors of pure noise have the highest."""
    centred_effective_rank: float
    """The same, centred (Roy & Vetterli 2007): 1 to min(vectors − 1, dim); 0 when all vectors are one point. Does not
    see a common mean; cannot see what the directions say."""
    participation_rank: float
    """(Σλ)² / Σλ² of the variances λ along the principal directions (Gao et al. 2017); 0 for one point. Weighs the
    widest directions most: healthy embeddings with one wide direction have a low one."""
    components_90: int
    """Principal components for 90 % of the centred variance, from the full spectrum, without a cap: 1 to min(vectors −
    1, dim), 0 for one point. Sees few wide directions; not the many narrow ones below the mark."""
    components_95: int
    """The same for 95 %."""
    real_dimensions: int
    """Centred directions whose spread exceeds 1e-5 of the widest, 0 to min(vectors − 1, dim). Sees dimensions that no
    layer fills (a map 256 → 512 has 257); not that real ones are hardly used."""
    dead_dimensions: int
    """Columns whose standard deviation is at most 1e-6 of the root mean square entry. The one measure that turns
    with the axes: vectors in a tilted plane have none; `real_dimensions` sees those."""
    common_mean_share: float
    """‖mean vector‖² / mean ‖vector‖², 0 to 1: what one shared offset holds of the vectors' size. Subtracting the
    mean would take it away; a high share without other faults is anisotropy, not collapse. NaN for zero vectors."""
    singular_values: Float[np.ndarray, " values"]
    """Of the centred vectors, largest first, rounding noise set to 0."""

    @property
    def isoscore(self) -> float:
        """IsoScore (Rudman et al. 2022), 0 (one direction) to 1 (all directions alike); NaN for one dimension.

        The paper's steps, rotation to the principal axes, variances scaled to the length of (1, …, 1), distance δ
        from it, ((n − δ²(n − √n))² / n − 1) / (n − 1), come to (participation rank − 1) / (dim − 1), which is
        computed here and tested against the steps. It cannot reach 1 with fewer vectors than dimensions: read it
        beside the random control.
        """
        return max(self.participation_rank - 1, 0.0) / (self.dim - 1) if self.dim > 1 else UNDEFINED

    @property
    def centred_rank_ratio(self) -> float:
        """The centred effective rank as a share of `rank_limit`, 0 to 1; NaN for fewer than two vectors."""
        return self.centred_effective_rank / self.rank_limit if self.rank_limit else UNDEFINED

    @property
    def rank_limit(self) -> int:
        """The most centred directions this many vectors can have: min(vectors − 1, dim)."""
        return max(min(self.num_vectors - 1, self.dim), 0)

    @property
    def rank_ratio(self) -> float:
        """RankMe as a share of `rank_limit`, 0 to about 1; NaN for fewer than two vectors."""
        return self.rankme / self.rank_limit if self.rank_limit else UNDEFINED


def measure_cosines(vectors: Float32[np.ndarray, "nodes dim"]) -> Cosines:
    """Measure how alike the directions are; the percentile takes nodes² × 4 bytes."""
    exact = vectors.astype(np.float64)
    size = float(np.sqrt((exact**2).sum() / max(len(exact), 1)))
    unit = unit_rows(vectors)
    p95 = UNDEFINED
    if len(unit) >= 2:
        cosine = unit @ unit.T
        p95 = float(np.quantile(cosine[np.tri(len(unit), k=-1, dtype=bool)], 0.95))
    centred = exact - exact.mean(axis=0) if len(exact) else exact
    return Cosines(mean=mean_cosine(exact), centred_mean=mean_cosine(centred, floor=NOISE * size), p95=p95)


def measure_spread(
    vectors: Float32[np.ndarray, "nodes dim"], weights: Float[np.ndarray, " nodes"] | None = None
) -> Spread:
    """Measure how many directions the vectors use; `weights` says how many nodes each stands for (else 1)."""
    num, dim = vectors.shape
    if num == 0:
        return Spread(0, dim, 0.0, 0.0, 0.0, 0, 0, 0, dim, UNDEFINED, np.zeros(0))
    weight = np.ones(num) if weights is None else weights
    root = np.sqrt(weight)[:, None]
    exact = vectors.astype(np.float64) * root
    size = float(np.linalg.norm(exact))
    rankme = rank_of_spectrum(_spectrum(exact, NOISE * size))
    mean = np.sqrt(weight) @ exact / weight.sum()
    exact -= root * mean
    deviation = np.linalg.norm(exact, axis=0)
    values = _spectrum(exact, NOISE * size)
    return Spread(
        num_vectors=num,
        dim=dim,
        rankme=rankme,
        centred_effective_rank=rank_of_spectrum(values),
        participation_rank=participation_rank(values),
        components_90=components_for(values, 0.90),
        components_95=components_for(values, 0.95),
        real_dimensions=int((values > REAL * values[0]).sum()),
        dead_dimensions=int((deviation <= 1e-6 * size / np.sqrt(dim)).sum()),
        common_mean_share=float(mean @ mean * weight.sum() / size**2) if size > 0 else UNDEFINED,
        singular_values=values,
    )


def rank_of_spectrum(values: Float[np.ndarray, " values"]) -> float:
    """Give exp of the entropy of the normalised singular values; 0 when all are 0."""
    positive = values[values > 0]
    share = positive / positive.sum() if len(positive) else positive
    return float(np.exp(-(share * np.log(share)).sum())) if len(positive) else 0.0


def participation_rank(values: Float[np.ndarray, " values"]) -> float:
    """Give (Σλ)² / Σλ² of the variances λ = σ²; 0 when all are 0."""
    variance = values**2
    return float(variance.sum() ** 2 / (variance**2).sum()) if variance.any() else 0.0


def components_for(values: Float[np.ndarray, " values"], share: float) -> int:
    """Give how many principal components hold at least `share` of the variance; 0 when there is none."""
    cumulative = np.cumsum(values**2)
    if not cumulative.any():
        return 0
    return int(np.searchsorted(cumulative, share * cumulative[-1]) + 1)


def mean_cosine_interval(vectors: Float32[np.ndarray, "nodes dim"]) -> Interval:
    """Give the 95 % interval of the mean cosine over the choice of nodes, by the jackknife (Tukey 1958).

    Leaving out node i changes ‖Σu‖² to ‖Σu − u_i‖², so that all n estimates come from one sum. NaN below 3
    vectors.
    """
    unit = unit_rows(vectors.astype(np.float64))
    num, total = len(unit), unit.sum(axis=0)
    if num < 3:
        return UNDEFINED, UNDEFINED
    without = (total @ total - 2 * unit @ total + 1 - (num - 1)) / ((num - 1) * (num - 2))
    reach = NORMAL_95 * float(np.sqrt((num - 1) / num * ((without - without.mean()) ** 2).sum()))
    value = mean_cosine(unit)
    return max(value - reach, -1.0), min(value + reach, 1.0)


def rankme_interval(vectors: Float32[np.ndarray, "nodes dim"]) -> Interval:
    """Give the 95 % interval of RankMe over the choice of nodes (infinitesimal jackknife, Jaeckel 1972).

    With weight w_i on node i, λ_k = Σ w_i (v_k·x_i)², so dσ_k/dw_i = (v_k·x_i)² / 2σ_k, and with p_k = σ_k /
    Σσ, dRankMe/dw_i = −RankMe / Σσ · Σ_k (ln p_k + H) dσ_k/dw_i. The variance is the sum of the squares over
    the nodes. Not a bootstrap: resampling with replacement repeats nodes, and repeated nodes look like
    collapse (with fewer nodes than dimensions the whole bootstrap distribution lies below the value itself).
    NaN below 3 vectors.
    """
    exact = vectors[row_lengths(vectors) > 0].astype(np.float64)
    num, dim = exact.shape
    if num < 3:
        return UNDEFINED, UNDEFINED
    if num <= dim:
        eigenvalues, left = np.linalg.eigh(exact @ exact.T)
    else:
        eigenvalues, right = np.linalg.eigh(exact.T @ exact)
    values = np.sqrt(np.maximum(eigenvalues, 0))
    real = values > NOISE * np.linalg.norm(exact)
    values = values[real]
    # (v_k·x_i)² / σ_k, from whichever singular vectors the smaller Gram matrix gave.
    moves = left[:, real] ** 2 * values if num <= dim else (exact @ right[:, real]) ** 2 / values
    share = values / values.sum()
    entropy = -float((share * np.log(share)).sum())
    influence = moves @ (np.log(share) + entropy) * (-0.5 * np.exp(entropy) / values.sum())
    reach = NORMAL_95 * float(np.sqrt(num / (num - 1) * (influence**2).sum()))
    value = float(np.exp(entropy))
    return max(value - reach, 1.0), min(value + reach, float(min(num, dim)))


def _spectrum(exact: Float[np.ndarray, "nodes dim"], floor: float) -> Float[np.ndarray, " values"]:
    """Singular values from the smaller Gram matrix: faster than an SVD, and exact to 1e-8 of the largest."""
    num, dim = exact.shape
    return _roots(np.linalg.eigvalsh(exact @ exact.T if num <= dim else exact.T @ exact), floor)


def _roots(eigenvalues: Float[np.ndarray, " values"], floor: float) -> Float[np.ndarray, " values"]:
    values = np.sqrt(np.maximum(eigenvalues[::-1], 0))
    return np.where(values > floor, values, 0.0)
