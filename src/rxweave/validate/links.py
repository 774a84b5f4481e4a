"""Do the vectors know the graph's facts? Alignment, uniformity, a link probe beside the degree prior, smoothness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float, Float32, Float64, Int
from sklearn.metrics import roc_auc_score

from rxweave.embed.likeness import unit_rows
from rxweave.graph.build import Graph
from rxweave.kg.tables import Relation
from rxweave.validate.geometry import NOISE, UNDEFINED, Interval
from rxweave.validate.intervals import bootstrap_mean

MOST_FACTS = 2000
"""Facts of a relation that are looked at; more would only narrow the intervals."""
FEWEST_FACTS = 20
UNIFORMITY_NODES = 2000
PENALTY = 0.5
"""Ridge penalty of the probe, as a share of its rows, for products of variance 1."""


@dataclass(frozen=True)
class RelationLinks:
    """One relation's facts, on a sample, beside as many pairs that are no facts but have ends of the same degrees.

    The pairs join the source of one fact with the target of another, so that degrees alone cannot tell them from
    facts: the degree prior is near 0.5. The facts are those of the graph given, which the vectors may have been
    trained on: the AUROCs say what the vectors know, not what they can foresee.
    """

    relation: str
    num_facts: int
    num_sampled: int
    alignment: float
    """Mean squared distance of the two ends' unit vectors, 0 to 4 (Wang & Isola 2020): lower is closer. One point
    for all nodes gives 0, the best: never to be read alone, but beside the next."""
    chance_alignment: float
    """The same of the pairs that are no facts."""
    cosine_auroc: float
    """AUROC of the cosine, 0 to 1, chance 0.5: how often a fact's ends are closer than those of a pair that is no fact.
    Sees vectors that follow the graph; not relations whose ends lie apart in a way of their own (the next does)."""
    probe_auroc: float
    """AUROC of a weighted cosine, the weights fitted on half of the pairs and tested on the other half, both ways:
    what a bilinear decoder with one weight per dimension (DistMult) can read from the vectors."""
    degree_prior_auroc: float
    """AUROC of the product of the two ends' numbers of facts in this relation, 0 to 1 (the prior of Himmelstein et al.
    2017): what must be beaten. Near 0.5 by how the pairs are drawn."""


def measure_relation(
    unit: Float32[np.ndarray, "nodes dim"],
    relation: Relation,
    fact: Int[np.ndarray, "2 _"],
    rng: np.random.Generator,
) -> RelationLinks:
    """Measure one relation; `unit` has rows of length 1 (0 for nodes without a direction).

    NaN where there are fewer than 20 facts, or no other pairs to hold them against.
    """
    num_facts = fact.shape[1]
    if num_facts < FEWEST_FACTS:
        return RelationLinks(str(relation), num_facts, 0, *(UNDEFINED,) * 5)
    true = fact[:, rng.choice(num_facts, min(num_facts, MOST_FACTS), replace=False)]
    if relation.symmetric:
        true = np.where(rng.random(true.shape[1]) < 0.5, true, true[::-1])
    false = _no_facts(relation, fact, true.shape[1], len(unit), rng)
    if false.shape[1] < FEWEST_FACTS:
        return RelationLinks(str(relation), num_facts, true.shape[1], *(UNDEFINED,) * 5)
    source, target = np.concatenate([true, false], axis=1)
    is_fact = np.arange(len(source)) < true.shape[1]
    products = unit[source] * unit[target]
    apart = ((unit[source] - unit[target]) ** 2).sum(axis=1)
    degree = [np.bincount(ends, minlength=len(unit)) for ends in fact]
    if relation.symmetric:
        degree = [degree[0] + degree[1]] * 2
    return RelationLinks(
        relation=str(relation),
        num_facts=num_facts,
        num_sampled=true.shape[1],
        alignment=float(apart[is_fact].mean()),
        chance_alignment=float(apart[~is_fact].mean()),
        cosine_auroc=float(roc_auc_score(is_fact, products.sum(axis=1))),
        probe_auroc=_probe(products, is_fact, rng),
        degree_prior_auroc=float(roc_auc_score(is_fact, degree[0][source] * degree[1][target])),
    )


def _no_facts(
    relation: Relation, fact: Int[np.ndarray, "2 _"], wanted: int, num_nodes: int, rng: np.random.Generator
) -> Int[np.ndarray, "2 _"]:
    """Pairs of ends taken from two facts, no pair a fact or a node with itself."""
    sources, targets = (np.concatenate(fact),) * 2 if relation.symmetric else fact
    drawn = np.stack([rng.choice(sources, 2 * wanted), rng.choice(targets, 2 * wanted)])
    codes = fact[0] * num_nodes + fact[1]
    known = np.isin(drawn[0] * num_nodes + drawn[1], codes)
    if relation.symmetric:
        known |= np.isin(drawn[1] * num_nodes + drawn[0], codes)
    return drawn[:, ~known & (drawn[0] != drawn[1])][:, :wanted]


def _probe(
    products: Float32[np.ndarray, "pairs dim"], is_fact: Bool[np.ndarray, " pairs"], rng: np.random.Generator
) -> float:
    """AUROC of ridge regression on the products, fitted on one half, tested on the other, both ways, averaged.

    Pairs that share an end with a pair of the other half are not kept apart: the products of unrelated vectors
    carry no trace of one end alone that a linear map could use (random vectors stay at 0.5).
    """
    deviation = products.std(axis=0)
    scaled = products / np.where(deviation > 0, deviation, 1)
    half = rng.permutation(len(products)) % 2 == 0
    found = []
    for fitted in (half, ~half):
        centre = scaled[fitted].mean(axis=0)
        known, wanted = scaled[fitted] - centre, (is_fact[fitted] - is_fact[fitted].mean()).astype(np.float32)
        gram = known.T @ known
        gram[np.diag_indices_from(gram)] += PENALTY * len(known)
        weights = scipy.linalg.solve(gram, known.T @ wanted, assume_a="pos")
        found.append(float(roc_auc_score(is_fact[~fitted], (scaled[~fitted] - centre) @ weights)))
    return float(np.mean(found))


def mean_over_relations(values: Sequence[float], rng: np.random.Generator) -> tuple[float, Interval]:
    """Give the mean over relations that have a value, every relation alike, and its interval over the choice of
    relations.
    """
    known = np.array([value for value in values if not np.isnan(value)])
    return (float(known.mean()) if len(known) else UNDEFINED), bootstrap_mean(known, rng)


def uniformity(vectors: Float32[np.ndarray, "nodes dim"], rng: np.random.Generator) -> float:
    """Give log E exp(−2‖u − v‖²) over pairs of unit vectors (Wang & Isola 2020), on at most 2,000 nodes.

    From −4 in the limit of many dimensions and vectors spread evenly over the sphere (lower is more even) to 0 for
    one point. It sees points that crowd together; it hardly sees that few dimensions are used. NaN below 2 vectors
    with a direction.
    """
    unit = unit_rows(vectors)
    if len(unit) > UNIFORMITY_NODES:
        unit = unit[rng.choice(len(unit), UNIFORMITY_NODES, replace=False)]
    if len(unit) < 2:
        return UNDEFINED
    squared = np.maximum(2 - 2 * (unit @ unit.T)[np.tri(len(unit), k=-1, dtype=bool)].astype(np.float64), 0)
    return float(np.log(np.exp(-2 * squared).mean()))


def dirichlet_energy(vectors: Float[np.ndarray, "nodes dim"], graph: Graph) -> float:
    """Give Σ over facts of ‖x_source − x_target‖², divided by the number of nodes (Rusch et al. 2023), exactly.

    0 to ∞, in the square of the vectors' unit; the Laplacian is not normalised, so that only equal neighbours give
    0. It sees over-smoothing, where connected nodes become equal; not a collapse that leaves types apart.
    """
    total = 0.0
    for source, target in graph.facts:
        for start in range(0, len(source), 65_536):
            here = slice(start, start + 65_536)
            apart = vectors[source[here]] - vectors[target[here]]
            total += float(np.einsum("ij,ij->i", apart, apart).sum(dtype=np.float64))
    return total / max(graph.num_nodes, 1)


def dirichlet_per_layer(states: Sequence[Float[np.ndarray, "nodes _"]], graph: Graph) -> list[float]:
    """Give, for each layer's states, the Dirichlet energy as a share of that after shuffling each relation's ends.

    Scale-free and not moved by distances between types: 1 when connected nodes are no closer than any two nodes of
    their types and degrees, 0 when they are equal. A fall towards 0 from layer to layer is over-smoothing, which the
    energy itself cannot show when layers differ in scale. NaN for a layer whose nodes are one point.
    """
    return [_energy_share(state.astype(np.float64), graph) for state in states]


def _energy_share(state: Float64[np.ndarray, "nodes dim"], graph: Graph) -> float:
    squared = (state**2).sum(axis=1)
    shuffled = 0.0
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        ends = [np.bincount(end, minlength=graph.num_nodes).astype(np.float64) for end in (source, target)]
        if relation.symmetric:
            ends = [(ends[0] + ends[1]) / 2] * 2
        # Σ ‖x_s − x_t‖² over all n² pairings of sources and targets, divided by n.
        shuffled += float(sum(end @ squared for end in ends))
        shuffled -= 2 * float((ends[0] @ state) @ (ends[1] @ state)) / max(len(source), 1)
    noise = NOISE**2 * float(squared.sum())
    return dirichlet_energy(state, graph) * graph.num_nodes / shuffled if shuffled > noise else UNDEFINED
