from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import laplacian
from sklearn.metrics.pairwise import euclidean_distances

from rxweave.graph.build import Graph
from rxweave.kg.tables import Relation
from rxweave.validate.links import (
    dirichlet_energy,
    dirichlet_per_layer,
    mean_over_relations,
    measure_relation,
    uniformity,
)

BINDS = Relation("drug", "binds", "gene")
LIKE = Relation("gene", "like", "gene", symmetric=True)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def block_facts(rng: np.random.Generator, groups: int = 10, per_group: int = 12) -> np.ndarray:
    """Sources 0–119 and targets 120–239 in groups; facts join the members of a group."""
    size = groups * per_group
    group = np.arange(size) // per_group
    source, target = np.nonzero((group[:, None] == group) & (rng.random((size, size)) < 0.7))
    return np.stack([source, target + size])


def test_vectors_that_follow_the_facts_tell_them_apart_and_random_ones_do_not(rng: np.random.Generator) -> None:
    fact = block_facts(rng)
    centres = rng.normal(size=(10, 16))
    known = unit(np.tile(np.repeat(centres, 12, axis=0), (2, 1)) + 0.3 * rng.normal(size=(240, 16)))
    found = measure_relation(known, BINDS, fact, rng)
    assert found.cosine_auroc > 0.95
    assert found.probe_auroc > 0.95
    assert found.alignment < 0.4 < found.chance_alignment
    assert found.degree_prior_auroc == pytest.approx(0.5, abs=0.06)
    random = measure_relation(unit(rng.normal(size=(240, 16))), BINDS, fact, rng)
    assert random.cosine_auroc == pytest.approx(0.5, abs=0.08)
    assert random.probe_auroc == pytest.approx(0.5, abs=0.08)
    assert random.alignment == pytest.approx(2, abs=0.1)


def test_alignment_is_the_mean_squared_distance_of_ends(rng: np.random.Generator) -> None:
    fact = block_facts(rng)[:, :200]
    vectors = unit(rng.normal(size=(240, 5)))
    expected = np.mean(np.linalg.norm(vectors[fact[0]] - vectors[fact[1]], axis=1) ** 2)
    assert measure_relation(vectors, BINDS, fact, rng).alignment == pytest.approx(expected, rel=1e-5)


def test_the_probe_reads_what_a_plain_cosine_cannot(rng: np.random.Generator) -> None:
    """Ends agree in the first half of the dimensions and oppose each other in the second."""
    fact = block_facts(rng)
    centres = np.repeat(rng.normal(size=(10, 16)), 12, axis=0)
    opposed = np.concatenate([centres, centres * np.repeat([1, -1], 8)])
    found = measure_relation(unit(opposed + 0.2 * rng.normal(size=(240, 16))), BINDS, fact, rng)
    assert found.cosine_auroc < 0.65
    assert found.probe_auroc > 0.9


def test_degrees_alone_tell_nothing_even_in_a_graph_of_hubs(rng: np.random.Generator) -> None:
    """The comparison pairs have the degrees of the facts: that is what makes the prior 0.5."""
    popular = rng.lognormal(0, 1.2, 200)
    source = rng.choice(200, 3000, p=popular / popular.sum())
    target = 200 + rng.choice(200, 3000, p=popular / popular.sum())
    fact = np.unique(np.stack([source, target]), axis=1)
    found = measure_relation(unit(rng.normal(size=(400, 8))), BINDS, fact, rng)
    assert found.degree_prior_auroc == pytest.approx(0.5, abs=0.12)


def test_symmetric_facts_are_held_against_pairs_of_the_same_type(rng: np.random.Generator) -> None:
    size = 120
    group = np.arange(size) // 12
    source, target = np.nonzero(np.triu(group[:, None] == group, 1))
    vectors = unit(np.eye(10)[group] + 0.2 * rng.normal(size=(size, 10)))
    found = measure_relation(vectors, LIKE, np.stack([source, target]), rng)
    assert found.cosine_auroc > 0.95
    assert found.num_sampled == len(source)


def test_few_facts_and_complete_relations_are_undefined(rng: np.random.Generator) -> None:
    vectors = unit(rng.normal(size=(60, 4)))
    few = measure_relation(vectors, BINDS, np.stack([np.arange(19), np.arange(19) + 30]), rng)
    assert (few.num_sampled, np.isnan(few.probe_auroc)) == (0, True)
    every = np.stack([np.repeat(np.arange(10), 10), np.tile(np.arange(10), 10) + 30])
    assert np.isnan(measure_relation(vectors, BINDS, every, rng).cosine_auroc)


def test_the_mean_over_relations_leaves_out_those_without_a_value(rng: np.random.Generator) -> None:
    value, interval = mean_over_relations([0.6, np.nan, 0.8, 0.7], rng)
    assert value == pytest.approx(0.7)
    assert interval[0] <= value <= interval[1]
    assert np.isnan(mean_over_relations([np.nan], rng)[0])


def test_uniformity_of_two_opposed_points_one_point_and_many_directions(rng: np.random.Generator) -> None:
    opposed = np.float32([[1, 0], [-1, 0]])
    assert uniformity(opposed, rng) == pytest.approx(-8)
    assert uniformity(np.ones((30, 4), np.float32), rng) == pytest.approx(0, abs=1e-6)
    vectors = rng.normal(size=(200, 64)).astype(np.float32)
    squared = euclidean_distances(unit(vectors), squared=True)[np.triu_indices(200, 1)]
    assert uniformity(vectors, rng) == pytest.approx(np.log(np.exp(-2 * squared).mean()), rel=1e-4)
    assert uniformity(rng.normal(size=(500, 400)).astype(np.float32), rng) == pytest.approx(-4, abs=0.05)
    assert np.isnan(uniformity(np.zeros((5, 3), np.float32), rng))


def test_dirichlet_energy_is_the_trace_of_the_laplacian(small_graph: Graph, rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(small_graph.num_nodes, 7))
    source, target = np.concatenate(small_graph.facts, axis=1)
    adjacency = sp.csr_array(
        (np.ones(len(source)), (source, target)), shape=(small_graph.num_nodes, small_graph.num_nodes)
    )
    expected = np.trace(vectors.T @ laplacian((adjacency + adjacency.T).tocsr()) @ vectors) / small_graph.num_nodes
    assert dirichlet_energy(vectors, small_graph) == pytest.approx(expected)


def test_layers_that_are_smoothed_lose_their_share_whatever_their_scale(
    small_graph: Graph, rng: np.random.Generator
) -> None:
    """Averaging over neighbours again and again is over-smoothing; scale and type offsets must not hide or fake it."""
    source, target = np.concatenate(small_graph.facts, axis=1)
    size = (small_graph.num_nodes, small_graph.num_nodes)
    adjacency = sp.csr_array((np.ones(len(source)), (source, target)), shape=size)
    adjacency = adjacency + adjacency.T + sp.eye_array(size[0])
    mean = adjacency / np.asarray(adjacency.sum(axis=1))[:, None]
    states = [rng.normal(size=(size[0], 12))]
    for _ in range(3):
        states.append(mean @ states[-1])
    shares = dirichlet_per_layer(states, small_graph)
    assert shares[0] == pytest.approx(1, abs=0.03)
    assert shares[1] < 0.95
    assert shares[3] < shares[1]
    offsets = np.repeat(rng.normal(size=(len(small_graph.node_types), 12)), np.diff(small_graph.type_offsets), axis=0)
    moved = dirichlet_per_layer([100 * states[0] + 500 * offsets], small_graph)
    assert moved[0] == pytest.approx(1, abs=0.05)
    assert np.isnan(dirichlet_per_layer([np.ones((size[0], 3))], small_graph)[0])


def test_a_graph_without_facts_has_no_energy(small_graph: Graph) -> None:
    empty = replace(small_graph, facts=tuple(fact[:, :0] for fact in small_graph.facts))
    assert dirichlet_energy(np.ones((small_graph.num_nodes, 2)), empty) == 0
