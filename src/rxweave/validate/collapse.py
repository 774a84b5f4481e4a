"""Have the embeddings collapsed? Measured per node type and over all types, seeded, beside random vectors."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from rxweave.embed.likeness import has_twin, unit_rows
from rxweave.embed.spectrum import effective_rank, numerical_rank
from rxweave.embed.store import Embeddings
from rxweave.errors import ConfigError
from rxweave.validate.geometry import (
    NORMAL_95,
    UNDEFINED,
    Cosines,
    Interval,
    Spread,
    mean_cosine_interval,
    measure_cosines,
    measure_spread,
    rankme_interval,
)
from rxweave.validate.intervals import HALVES, SpreadIntervals, bootstrap_mean, share_interval, spread_intervals
from rxweave.validate.neighbours import Neighbours, Purity, measure_neighbours, type_purity
from rxweave.validate.twins import has_near_twin, shares_vector_with_another_kind

__all__ = [
    "CollapseReport",
    "OverallReport",
    "TypeReport",
    "effective_rank",
    "measure_collapse",
    "numerical_rank",
]

NEIGHBOUR_NODES = 2000
"""Nodes of a type among which hubs are sought: every pair of them is compared."""


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
    spread_intervals: SpreadIntervals
    duplicate_rate: float
    """Share of active nodes with a twin of their type closer than 1e-6 of the root mean square length, 0 to 1. Sees
    merged ids and constant features; not whether the graph itself has the twins (`structural_duplicate_rate`)."""
    duplicate_interval: Interval
    near_duplicate_rate: float
    """Share of sampled nodes with a cosine above 0.999 to an active node of their type, or an exact twin, 0 to 1. Sees
    twins that rounding or noise keeps apart; not vectors that differ in length alone."""
    near_duplicate_interval: Interval
    across_type_twin_rate: float
    """Share of active nodes whose vector is, bit for bit, that of a node of another type, 0 to 1, which nothing in a
    graph explains. Sees tables joined on ids that collide between types; not vectors that are merely close."""
    across_type_twin_interval: Interval
    zero_vectors: int
    neighbours: Neighbours
    """On at most 2,000 of the sampled nodes."""
    purity: Purity
    random_cosines: Cosines
    """What the same measures say of as many normally distributed random vectors of the same length."""
    random_spread: Spread
    random_neighbours: Neighbours


@dataclass(frozen=True)
class OverallReport:
    """The measures over all types together, each sampled node weighted by the active nodes it stands for."""

    num_active: int
    mean_cosine: float
    """Over all pairs of nodes, whatever their types."""
    mean_cosine_interval: Interval
    across_type_cosine: float
    """Over all pairs of nodes of two different types; NaN for a single type."""
    spread: Spread
    components_90_interval: Interval


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
    drawn = [_Drawn(embeddings, node_type, usable, seed, max_nodes) for node_type in embeddings.node_types]
    kinds = np.unique(embeddings.nodes["node_type"].to_numpy(), return_inverse=True)[1]
    strangers = shares_vector_with_another_kind(embeddings.vectors, kinds) & usable
    purities = type_purity([draw.sample for draw in drawn], np.random.default_rng(seed))
    controls = {num: _measure_random(num, embeddings.dim, seed) for num in {len(draw.sample) for draw in drawn}}
    reports = [
        _measure_type(draw, embeddings.vectors[draw.rows], strangers[draw.rows], purity, controls[len(draw.sample)])
        for draw, purity in zip(drawn, purities, strict=True)
    ]
    samples = [draw.sample for draw in drawn]
    matrix = _cosine_matrix(samples)
    return CollapseReport(
        dim=embeddings.dim,
        seed=seed,
        max_nodes=max_nodes,
        types=tuple(reports),
        cosine_matrix=matrix,
        overall=_measure_overall(reports, samples, matrix, np.random.default_rng(seed)),
    )


class _Drawn:
    """The active nodes of a type, and a sample of them that does not depend on the other types."""

    def __init__(
        self, embeddings: Embeddings, node_type: str, usable: Bool[np.ndarray, " nodes"], seed: int, at_most: int
    ) -> None:
        self.node_type = node_type
        self.rng = np.random.default_rng([seed, zlib.crc32(node_type.encode())])
        of_type = embeddings.of_type(node_type)
        self.num_nodes = len(of_type)
        self.rows = of_type[usable[of_type]]
        self.picked = _draw(len(self.rows), at_most, self.rng)
        self.sample = embeddings.vectors[self.rows[self.picked]]


@dataclass(frozen=True)
class _Control:
    """Measures of random vectors."""

    cosines: Cosines
    spread: Spread
    neighbours: Neighbours


def _draw(num: int, at_most: int, rng: np.random.Generator) -> Int[np.ndarray, " sampled"]:
    return np.sort(rng.choice(num, at_most, replace=False)) if num > at_most else np.arange(num)


def _measure_random(num: int, dim: int, seed: int) -> _Control:
    rng = np.random.default_rng([seed, num])
    vectors = rng.standard_normal((num, dim), dtype=np.float32)
    neighbours = measure_neighbours(vectors[:NEIGHBOUR_NODES], rng)
    return _Control(measure_cosines(vectors), measure_spread(vectors), neighbours)


def _measure_type(
    drawn: _Drawn,
    vectors: Float32[np.ndarray, "active dim"],
    stranger: Bool[np.ndarray, " active"],
    purity: Purity,
    control: _Control,
) -> TypeReport:
    sample = drawn.sample
    twin = has_twin(vectors)
    near = (has_near_twin(vectors, drawn.picked) | twin[drawn.picked]).astype(np.float64)
    return TypeReport(
        node_type=drawn.node_type,
        num_nodes=drawn.num_nodes,
        num_active=len(vectors),
        num_sampled=len(sample),
        cosines=measure_cosines(sample),
        mean_cosine_interval=mean_cosine_interval(sample),
        spread=measure_spread(sample),
        rankme_interval=rankme_interval(sample),
        spread_intervals=spread_intervals(sample, drawn.rng),
        duplicate_rate=float(twin.mean()) if len(twin) else UNDEFINED,
        duplicate_interval=share_interval(int(twin.sum()), len(twin)),
        near_duplicate_rate=float(near.mean()) if len(near) else UNDEFINED,
        near_duplicate_interval=bootstrap_mean(near, drawn.rng),
        across_type_twin_rate=float(stranger.mean()) if len(stranger) else UNDEFINED,
        across_type_twin_interval=share_interval(int(stranger.sum()), len(stranger)),
        zero_vectors=int((~vectors.any(axis=1)).sum()),
        neighbours=measure_neighbours(sample[_draw(len(sample), NEIGHBOUR_NODES, drawn.rng)], drawn.rng),
        purity=purity,
        random_cosines=control.cosines,
        random_spread=control.spread,
        random_neighbours=control.neighbours,
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
    rng: np.random.Generator,
) -> OverallReport:
    directed = np.array([report.num_active - report.zero_vectors for report in reports], np.float64)
    pairs = np.outer(directed, directed)
    np.fill_diagonal(pairs, directed * (directed - 1))
    across = pairs * (1 - np.eye(len(reports)))
    each = [report.num_active / max(report.num_sampled, 1) for report in reports]
    weights = np.repeat(np.array(each), [report.num_sampled for report in reports])
    everything = np.concatenate(samples)
    mean = _weighted_mean(matrix, pairs)
    # Halves of each type, drawn without replacement: see `half_samples`.
    halves = [[rng.permutation(sample)[: (len(sample) + 1) // 2] for sample in samples] for _ in range(HALVES)]
    reach = NORMAL_95 * float(np.std([_weighted_mean(_cosine_matrix(half), pairs) for half in halves], ddof=1))
    return OverallReport(
        num_active=sum(report.num_active for report in reports),
        mean_cosine=mean,
        mean_cosine_interval=(max(mean - reach, -1.0), min(mean + reach, 1.0)),
        across_type_cosine=_weighted_mean(matrix, across),
        spread=measure_spread(everything, weights),
        components_90_interval=spread_intervals(everything, rng, weights).components_90,
    )


def _weighted_mean(matrix: Float[np.ndarray, "types types"], pairs: Float[np.ndarray, "types types"]) -> float:
    """Mean of the cells that are defined, each weighing by its pairs of nodes."""
    weight = np.where(np.isnan(matrix), 0, pairs)
    return float((weight * np.nan_to_num(matrix)).sum() / weight.sum()) if weight.any() else UNDEFINED
