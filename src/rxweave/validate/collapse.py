"""Have the embeddings collapsed? Measured per node type and over all types, seeded, beside random vectors."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from rxweave.embed.spectrum import effective_rank, numerical_rank
from rxweave.embed.store import Embeddings
from rxweave.errors import ConfigError
from rxweave.validate.geometry import (
    UNDEFINED,
    Cosines,
    Interval,
    Spread,
    mean_cosine_interval,
    measure_cosines,
    measure_spread,
    rankme_interval,
    unit_rows,
)
from rxweave.validate.twins import has_near_twin, has_twin

__all__ = [
    "CollapseReport",
    "OverallReport",
    "TypeReport",
    "effective_rank",
    "measure_collapse",
    "numerical_rank",
]


@dataclass(frozen=True)
class TypeReport:
    """The measures of one node type."""

    node_type: str
    num_nodes: int
    num_active: int
    """Nodes that have edges (all, when the caller does not say): only these are measured."""
    num_sampled: int
    """Nodes behind cosines, spectrum and near twins; exact twins and zero vectors are sought in all."""
    cosines: Cosines
    mean_cosine_interval: Interval
    """95 % interval over the choice of nodes."""
    spread: Spread
    rankme_interval: Interval
    duplicate_rate: float
    """Share of active nodes with a twin of their type closer than 1e-6 of the root mean square length."""
    near_duplicate_rate: float
    """Share of sampled nodes with a cosine above 0.999 to an active node of their type, or an exact twin."""
    zero_vectors: int
    random_cosines: Cosines
    """What the same measures say of as many normally distributed random vectors of the same length."""
    random_spread: Spread


@dataclass(frozen=True)
class OverallReport:
    """The measures over all types together, each sampled node weighted by the active nodes it stands for."""

    num_active: int
    mean_cosine: float
    """Over all pairs of nodes, whatever their types."""
    across_type_cosine: float
    """Over all pairs of nodes of two different types; NaN for a single type."""
    spread: Spread


@dataclass(frozen=True, eq=False)
class CollapseReport:
    """Everything measured: per type (types sorted), type against type, and over all."""

    dim: int
    seed: int
    max_nodes: int
    types: tuple[TypeReport, ...]
    cosine_matrix: Float[np.ndarray, "types types"]
    """Mean cosine between nodes of two types, in the order of `types`; on the diagonal, of distinct nodes."""
    overall: OverallReport

    @property
    def node_types(self) -> tuple[str, ...]:
        return tuple(report.node_type for report in self.types)


def measure_collapse(
    embeddings: Embeddings,
    *,
    seed: int = 0,
    max_nodes: int = 3000,
    active: Bool[np.ndarray, " nodes"] | None = None,
) -> CollapseReport:
    """Measure how alike the vectors are and how many directions they use, per node type and over all.

    `max_nodes` nodes of each type are drawn (all, if it has no more), only from those marked `active` where
    given: nodes without edges have no embedding to speak of. The same seed gives the same report, and the
    draw in one type does not depend on the others. Raises ConfigError for `max_nodes` < 2 or a mask of wrong
    length.
    """
    if max_nodes < 2:
        raise ConfigError(f"max_nodes must be at least 2 to form a pair; got {max_nodes}.")
    if active is not None and len(active) != embeddings.num_nodes:
        raise ConfigError(f"active marks {len(active):,} nodes but there are {embeddings.num_nodes:,} vectors.")
    usable = np.ones(embeddings.num_nodes, bool) if active is None else active
    controls: dict[int, tuple[Cosines, Spread]] = {}
    reports, samples = [], []
    for node_type in embeddings.node_types:
        rng = np.random.default_rng([seed, zlib.crc32(node_type.encode())])
        rows = embeddings.of_type(node_type)
        vectors = embeddings.vectors[rows[usable[rows]]]
        picked = _draw(len(vectors), max_nodes, rng)
        if len(picked) not in controls:
            controls[len(picked)] = _measure_random(len(picked), embeddings.dim, seed)
        reports.append(_measure_type(node_type, len(rows), vectors, picked, controls[len(picked)]))
        samples.append(vectors[picked])
    matrix = _cosine_matrix(samples)
    return CollapseReport(
        dim=embeddings.dim,
        seed=seed,
        max_nodes=max_nodes,
        types=tuple(reports),
        cosine_matrix=matrix,
        overall=_measure_overall(reports, samples, matrix),
    )


def _draw(num: int, at_most: int, rng: np.random.Generator) -> Int[np.ndarray, " sampled"]:
    return np.sort(rng.choice(num, at_most, replace=False)) if num > at_most else np.arange(num)


def _measure_random(num: int, dim: int, seed: int) -> tuple[Cosines, Spread]:
    vectors = np.random.default_rng([seed, num]).standard_normal((num, dim), dtype=np.float32)
    return measure_cosines(vectors), measure_spread(vectors)


def _measure_type(
    node_type: str,
    num_nodes: int,
    vectors: Float32[np.ndarray, "active dim"],
    picked: Int[np.ndarray, " sampled"],
    control: tuple[Cosines, Spread],
) -> TypeReport:
    sample = vectors[picked]
    twin = has_twin(vectors)
    near = has_near_twin(vectors, picked) | twin[picked]
    return TypeReport(
        node_type=node_type,
        num_nodes=num_nodes,
        num_active=len(vectors),
        num_sampled=len(picked),
        cosines=measure_cosines(sample),
        mean_cosine_interval=mean_cosine_interval(sample),
        spread=measure_spread(sample),
        rankme_interval=rankme_interval(sample),
        duplicate_rate=float(twin.mean()) if len(twin) else UNDEFINED,
        near_duplicate_rate=float(near.mean()) if len(near) else UNDEFINED,
        zero_vectors=int((~vectors.any(axis=1)).sum()),
        random_cosines=control[0],
        random_spread=control[1],
    )


def _cosine_matrix(samples: list[Float32[np.ndarray, "_ dim"]]) -> Float[np.ndarray, "types types"]:
    """Mean cosine of type against type from the sums of unit vectors: s_a · s_b / (n_a n_b)."""
    sums, counts = [], []
    for sample in samples:
        unit = unit_rows(sample.astype(np.float64))
        sums.append(unit.sum(axis=0))
        counts.append(len(unit))
    total, count = np.array(sums), np.array(counts, np.float64)
    products, pairs = total @ total.T, np.outer(count, count)
    np.fill_diagonal(products, products.diagonal() - count)
    np.fill_diagonal(pairs, count * (count - 1))
    return np.where(pairs > 0, products / np.where(pairs > 0, pairs, 1), UNDEFINED)


def _measure_overall(
    reports: list[TypeReport],
    samples: list[Float32[np.ndarray, "_ dim"]],
    matrix: Float[np.ndarray, "types types"],
) -> OverallReport:
    directed = np.array([report.num_active - report.zero_vectors for report in reports], np.float64)
    pairs = np.outer(directed, directed)
    np.fill_diagonal(pairs, directed * (directed - 1))
    pairs[np.isnan(matrix)] = 0
    across = pairs * (1 - np.eye(len(reports)))
    known = np.nan_to_num(matrix)
    each = [report.num_active / max(report.num_sampled, 1) for report in reports]
    weights = np.repeat(np.array(each), [report.num_sampled for report in reports])
    return OverallReport(
        num_active=sum(report.num_active for report in reports),
        mean_cosine=float((pairs * known).sum() / pairs.sum()) if pairs.any() else UNDEFINED,
        across_type_cosine=float((across * known).sum() / across.sum()) if across.any() else UNDEFINED,
        spread=measure_spread(np.concatenate(samples), weights),
    )
