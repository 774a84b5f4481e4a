"""A graph of PrimeKG's size and shape without PrimeKG: its node and relation counts, and degrees as skewed.

For measuring speed and memory where the real file is not at hand. Node and relation counts are those published for
PrimeKG (Chandak, Huang and Zitnik 2023). Everything else is a guess: who takes part in a relation, how skewed the
degrees are, and that popularity in one relation goes along with popularity in others. Nothing can be learnt from it
about drugs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from rxweave.errors import ConfigError
from rxweave.graph.build import Graph
from rxweave.kg.primekg import RELATIONS, ROLES
from rxweave.kg.published import PRIMEKG_ROWS, PUBLISHED
from rxweave.kg.tables import Relation

NODE_COUNTS = PUBLISHED["primekg"].nodes
"""Published node counts, 129,375 in all; types in the order in which `build_graph` numbers them."""

_ROOT = 0.25
"""The k-th most popular of the active nodes is drawn in proportion to (k + 5)^-0.75: a guess."""
_POPULARITY_NOISE = 1.0
"""Standard deviation of the log-normal factor by which a node's popularity differs between relations: a guess."""
_DENSEST = 0.5
"""Largest share of all possible pairs that may be facts; binds for drug_drug below a scale of about 1/12."""
_ROOM = 4
"""Pairs of active nodes for each fact, at least: among fewer, popular nodes would know everybody."""
_ONE_ISOLATED_IN = 100
"""Of each type, one node in so many has no fact: a guess."""
_FEWEST_NODES = 4


@dataclass(frozen=True)
class RelationShape:
    """How many facts a relation has, and how many nodes on each side take part in any."""

    relation: Relation
    num_facts: int
    """Each once, also where the relation is symmetric."""
    active_sources: int
    active_targets: int
    """Equal to `active_sources` for a symmetric relation, whose two sides are one."""


_ACTIVE = {
    "anatomy_anatomy": (1.0, 1.0),
    "anatomy_protein_absent": (0.02, 0.35),
    "anatomy_protein_present": (0.06, 0.70),
    "bioprocess_bioprocess": (1.0, 1.0),
    "bioprocess_protein": (0.45, 0.62),
    "cellcomp_cellcomp": (1.0, 1.0),
    "cellcomp_protein": (0.45, 0.66),
    "contraindication": (0.15, 0.07),
    "disease_disease": (1.0, 1.0),
    "disease_phenotype_negative": (0.04, 0.05),
    "disease_phenotype_positive": (0.45, 0.55),
    "disease_protein": (0.33, 0.31),
    "drug_drug": (0.55, 0.55),
    "drug_effect": (0.18, 0.20),
    "drug_protein": (0.85, 0.12),
    "exposure_bioprocess": (0.50, 0.01),
    "exposure_cellcomp": (0.05, 0.008),
    "exposure_disease": (0.60, 0.03),
    "exposure_exposure": (1.0, 1.0),
    "exposure_molfunc": (0.05, 0.003),
    "exposure_protein": (0.40, 0.03),
    "indication": (0.17, 0.08),
    "molfunc_molfunc": (1.0, 1.0),
    "molfunc_protein": (0.40, 0.62),
    "off-label use": (0.08, 0.04),
    "pathway_pathway": (1.0, 1.0),
    "pathway_protein": (0.80, 0.40),
    "phenotype_phenotype": (1.0, 1.0),
    "phenotype_protein": (0.05, 0.08),
    "protein_protein": (0.66, 0.66),
}
"""Shares of the source and target nodes that take part in a relation: guesses."""


def primekg_shaped(scale: float = 1.0, *, seed: int) -> Graph:
    """Give a synthetic graph with PrimeKG's node types, relations and roles, its counts times `scale`.

    At scale 1: 129,375 nodes of 10 types and 4,050,249 facts of 30 relations, each once; `build_index` makes
    8,100,498 directed edges of 50 directed relations of them. No fact stands twice and none joins a node to itself.
    Degrees follow a power law and are correlated between relations. Some nodes have no fact, as in a training graph
    (PrimeKG itself is one connected component). Names and ids are made up. The same scale and seed give the same
    graph. Raises ConfigError unless 0 < scale < infinity.
    """
    counts, shapes = node_counts(scale), relation_shapes(scale)
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(list(counts.values()))]).astype(np.int64)
    first_row = dict(zip(counts, offsets[:-1].tolist(), strict=True))
    popularity = {node_type: _popularity(count, rng) for node_type, count in counts.items()}
    facts = []
    for shape in shapes:
        ends = shape.relation.source_type, shape.relation.target_type
        source, target = _draw_facts(shape, popularity[ends[0]], popularity[ends[1]], rng)
        facts.append(np.stack([source + first_row[ends[0]], target + first_row[ends[1]]]))
    return Graph(
        name=f"PrimeKG-shaped, scale {scale:g}",
        nodes=_nodes(counts),
        node_types=tuple(counts),
        type_offsets=offsets,
        relations=tuple(shape.relation for shape in shapes),
        facts=tuple(facts),
        roles=ROLES,
    )


def node_counts(scale: float) -> dict[str, int]:
    """Give the number of nodes of each type at a scale; at least 4, so that every relation can have facts."""
    if not 0 < scale < float("inf"):
        raise ConfigError(f"scale is {scale:g}; expected a number above 0: 1 is the size of PrimeKG, 0.125 an eighth.")
    return {node_type: max(_FEWEST_NODES, round(count * scale)) for node_type, count in NODE_COUNTS.items()}


def relation_shapes(scale: float) -> tuple[RelationShape, ...]:
    """Give the size of every relation at a scale, without drawing any fact; at least one fact each.

    Possible pairs shrink with the square of the scale and facts with the scale itself, so small graphs are denser:
    there, more nodes take part in a relation, and half of all pairs is the most that are facts.
    """
    counts = node_counts(scale)
    shapes = []
    for name, shares in _ACTIVE.items():
        source_type, target_type = RELATIONS[name]
        relation = Relation(source_type, name, target_type, symmetric=source_type == target_type)
        sizes = _linked(counts[source_type]), _linked(counts[target_type])
        num_facts = max(1, min(round(PRIMEKG_ROWS[name] / 2 * scale), int(_possible(sizes, relation) * _DENSEST)))
        active = _active(sizes, shares, relation, num_facts)
        shapes.append(RelationShape(relation, num_facts, *active))
    return tuple(shapes)


def num_directed_edges(scale: float) -> int:
    """Give the number of directed edges of the graph at a scale, without making it: two for each fact."""
    return 2 * sum(shape.num_facts for shape in relation_shapes(scale))


def _possible(sizes: tuple[int, int], relation: Relation) -> int:
    """Number of pairs that could be facts."""
    return sizes[0] * (sizes[0] - 1) // 2 if relation.symmetric else sizes[0] * sizes[1]


def _active(sizes: tuple[int, int], shares: tuple[float, float], relation: Relation, num_facts: int) -> tuple[int, int]:
    """How many nodes of each side take part: their share, or more where the facts would crowd among so few."""
    widening = 1.0
    while True:
        first, second = (
            min(size, max(2, round(widening * share * size))) for size, share in zip(sizes, shares, strict=True)
        )
        if (first, second) == sizes or _possible((first, second), relation) >= _ROOM * num_facts:
            break
        widening *= 1.25
    # A fact brings in one new node of either side at most, and two where both sides are one.
    most = 2 * num_facts if relation.symmetric else num_facts
    return min(first, most), min(second, most)


def _popularity(count: int, rng: np.random.Generator) -> Float[np.ndarray, " nodes"]:
    """Logarithm of each node's popularity: a power law, and none at all for the nodes that are to have no fact."""
    popularity: Float[np.ndarray, " nodes"] = -np.log(1.0 + rng.permutation(count))
    popularity[rng.permutation(count)[: count - _linked(count)]] = -np.inf
    return popularity


def _linked(count: int) -> int:
    """How many of so many nodes may have facts."""
    return count - count // _ONE_ISOLATED_IN


def _draw_facts(
    shape: RelationShape,
    source_popularity: Float[np.ndarray, " sources"],
    target_popularity: Float[np.ndarray, " targets"],
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, " facts"], Int[np.ndarray, " facts"]]:
    """Draw the facts of a relation, sorted; every active node gets at least one."""
    symmetric, num_targets = shape.relation.symmetric, len(target_popularity)
    sources = _by_popularity(source_popularity, shape.active_sources, rng)
    targets = sources if symmetric else _by_popularity(target_popularity, shape.active_targets, rng)

    def keys(source: Int[np.ndarray, " _"], target: Int[np.ndarray, " _"]) -> Int[np.ndarray, " _"]:
        if symmetric:
            source, target = np.minimum(source, target), np.maximum(source, target)
        key: Int[np.ndarray, " _"] = source * num_targets + target
        return key

    cover = np.sort(keys(*(_pair_off(sources, rng) if symmetric else _match(sources, targets, rng))))
    more = np.empty(0, np.int64)
    wanted = shape.num_facts - len(cover)
    num_drawn = wanted + wanted // 4
    while len(more) < wanted:
        source, target = _popular_first(sources, num_drawn, rng), _popular_first(targets, num_drawn, rng)
        if symmetric:
            source, target = source[source != target], target[source != target]
        more = _distinct(np.concatenate([more, keys(source, target)]), but=cover)
        num_drawn = 2 * (wanted - len(more)) + 64
    facts = np.sort(np.concatenate([cover, rng.choice(more, wanted, replace=False, shuffle=False)]))
    return facts // num_targets, facts % num_targets


def _distinct(keys: Int[np.ndarray, " _"], *, but: Int[np.ndarray, " _"]) -> Int[np.ndarray, " _"]:
    """The distinct keys that are not among the sorted keys `but`, sorted; `np.unique` of numpy 2.4 is far slower."""
    ordered = np.sort(keys)
    fresh = np.ones(len(ordered), bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    fresh &= but[np.minimum(np.searchsorted(but, ordered), len(but) - 1)] != ordered
    distinct: Int[np.ndarray, " _"] = ordered[fresh]
    return distinct


def _by_popularity(
    popularity: Float[np.ndarray, " nodes"], num_active: int, rng: np.random.Generator
) -> Int[np.ndarray, " active"]:
    """The nodes that take part in a relation, the most popular first: much the same in every relation."""
    here = popularity + _POPULARITY_NOISE * rng.standard_normal(len(popularity))
    # Nodes without facts have no popularity and come last, behind every active one.
    order: Int[np.ndarray, " active"] = np.argsort(-here, kind="stable")[:num_active]
    return order


def _popular_first(
    nodes: Int[np.ndarray, " active"], num_drawn: int, rng: np.random.Generator
) -> Int[np.ndarray, " drawn"]:
    """Draw from nodes that stand in order of popularity, with replacement, by a power law of their place."""
    # Inverse of the distribution function of the continuous power law, cut off after the last node.
    least, most = 5.0**_ROOT, (len(nodes) + 5.0) ** _ROOT
    place = (least + (most - least) * rng.random(num_drawn)) ** (1 / _ROOT) - 5.0
    drawn: Int[np.ndarray, " drawn"] = nodes[np.minimum(place.astype(np.int64), len(nodes) - 1)]
    return drawn


def _match(
    sources: Int[np.ndarray, " sources"], targets: Int[np.ndarray, " targets"], rng: np.random.Generator
) -> tuple[Int[np.ndarray, " matched"], Int[np.ndarray, " matched"]]:
    """Give every node of both sides a partner: as many distinct pairs as the longer side has nodes."""
    if len(sources) < len(targets):
        target, source = _match(targets, sources, rng)
        return source, target
    extra = _popular_first(targets, len(sources) - len(targets), rng)
    return rng.permutation(sources), np.concatenate([targets, extra])


def _pair_off(
    nodes: Int[np.ndarray, " nodes"], rng: np.random.Generator
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Give every node of one side a partner: half as many distinct pairs as nodes, rounded up."""
    shuffled = rng.permutation(nodes)
    return shuffled[0::2], np.append(shuffled[1::2], shuffled[: len(nodes) % 2])


def _nodes(counts: dict[str, int]) -> pl.DataFrame:
    """The node table, sorted as `build_graph` sorts it; every name says that it is made up."""
    of_types = []
    for node_type, count in counts.items():
        number = pl.int_range(count, eager=True).cast(pl.String).str.zfill(7)
        of_types.append(pl.DataFrame({"node_id": number}).with_columns(node_type=pl.lit(node_type)))
    return pl.concat(of_types).select(
        node_key=pl.concat_str("node_type", pl.lit("synthetic"), "node_id", separator="|"),
        node_id="node_id",
        node_name=pl.concat_str(pl.lit("synthetic"), "node_type", "node_id", separator=" "),
        node_type="node_type",
        node_source=pl.lit("synthetic"),
    )
