"""Paths between a drug and a disease: all of them, no walk that is none, and the ranker's own count as their sum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joined_graphs import SIZES, joined_graph

from rxweave.explain.order import best_paths, between, way_of
from rxweave.explain.paths import PathsOfKind, Through, paths_of_pair
from rxweave.explain.walks import Toward, visits_twice, walks
from rxweave.graph.build import Graph
from rxweave.rank.paths import Metapath, Step, damped, graph_steps, metapaths, path_counts, step_matrix

seeds = st.integers(0, 10_000)


def matrices_of(graph: Graph, damping: float = 0.5) -> dict[Step, object]:
    return {step: damped(step_matrix(graph, step), damping) for step in graph_steps(graph)}


def found_in(graph: Graph, drug: int, disease: int, length: int = 3, **asked: object) -> list[PathsOfKind]:
    return paths_of_pair(matrices_of(graph), [(p, 0.1) for p in metapaths(graph, length)], drug, disease, **asked)


def walks_by_hand(graph: Graph, metapath: Metapath, drug: int, disease: int) -> dict[tuple[int, ...], float]:
    """Follow every fact, one after the other; the strength of a walk is the product of its degrees' roots."""
    so_far = {(drug,): 1.0}
    for step in metapath.steps:
        matrix = step_matrix(graph, step).toarray()
        out, into = matrix.sum(axis=1), matrix.sum(axis=0)
        so_far = {
            (*nodes, int(target)): strength * (out[nodes[-1]] * into[target]) ** -0.5
            for nodes, strength in so_far.items()
            for target in np.flatnonzero(matrix[nodes[-1]])
        }
    return {nodes: strength for nodes, strength in so_far.items() if nodes[-1] == disease}


def is_path(metapath: Metapath, nodes: tuple[int, ...]) -> bool:
    types = [metapath.steps[0].source_type, *(step.target_type for step in metapath.steps)]
    return len(set(zip(types, nodes, strict=True))) == len(nodes)


@settings(max_examples=12)
@given(seed=seeds, drug=st.integers(0, 3), disease=st.integers(0, 3))
def test_they_are_all_the_paths_that_following_every_fact_finds(seed: int, drug: int, disease: int) -> None:
    graph = joined_graph(seed)
    found = {kind.metapath: kind for kind in found_in(graph, drug, disease)}
    for metapath in metapaths(graph):
        expected = walks_by_hand(graph, metapath, drug, disease)
        paths = {nodes: strength for nodes, strength in expected.items() if is_path(metapath, nodes)}
        assert (metapath in found) == bool(expected)
        if not expected:
            continue
        kind = found[metapath]
        assert (kind.num_walks, kind.num_paths) == (len(expected), len(paths))
        assert kind.count == pytest.approx(sum(expected.values()), rel=1e-6)
        assert kind.strength == pytest.approx(sum(paths.values()), rel=1e-6)
        assert {tuple(nodes) for nodes in kind.nodes.tolist()} == set(paths)
        assert kind.strengths.tolist() == pytest.approx([paths[tuple(nodes)] for nodes in kind.nodes.tolist()])
        assert np.all(np.diff(kind.strengths) <= 0)


@settings(max_examples=12)
@given(seed=seeds, length=st.sampled_from([2, 3, 4]), at_once=st.sampled_from([1, 7, 10**6]))
def test_walks_sum_to_the_count_of_the_ranker_however_many_are_held(seed: int, length: int, at_once: int) -> None:
    graph = joined_graph(seed, density=0.25)
    matrices, paths = matrices_of(graph), metapaths(graph, length)
    for disease in range(SIZES["disease"]):
        toward = Toward(matrices, disease)
        for path, count in zip(paths, path_counts(matrices, paths, np.array([disease])), strict=True):
            for drug in range(SIZES["drug"]):
                strengths = [strength for _, strength in walks(path, drug, toward, at_once=at_once)]
                total = sum(float(strength.sum()) for strength in strengths)
                assert total == pytest.approx(float(count[drug, 0]), rel=1e-5, abs=1e-7)


def test_a_fact_of_the_pair_itself_is_on_no_path() -> None:
    graph = joined_graph(3, density=0.9)
    treats = graph.facts[0]
    assert (treats.T == [4, 0]).all(axis=1).any(), "drug 0 treats disease 0"
    without = replace(graph, facts=(treats[:, ~(treats.T == [4, 0]).all(axis=1)], *graph.facts[1:]))
    for metapath in metapaths(graph):
        with_it, without_it = (
            {nodes for nodes in walks_by_hand(each, metapath, 0, 0) if is_path(metapath, nodes)}
            for each in (graph, without)
        )
        assert with_it == without_it
        others = [nodes for nodes in walks_by_hand(graph, metapath, 0, 0) if nodes not in with_it]
        assert all(visits_twice(metapath, np.array([nodes]))[0] for nodes in others)
    left_out = sum(kind.num_walks - kind.num_paths for kind in found_in(graph, 0, 0))
    assert left_out > sum(kind.num_walks - kind.num_paths for kind in found_in(without, 0, 0)) > 0


@settings(max_examples=12)
@given(seed=seeds, keep=st.integers(1, 6))
def test_the_best_few_are_the_first_of_all_and_ties_go_by_their_nodes(seed: int, keep: int) -> None:
    graph = joined_graph(seed, density=0.6)
    for few, every in zip(found_in(graph, 1, 2, keep=keep), found_in(graph, 1, 2), strict=True):
        rows = sorted(zip((-every.strengths).tolist(), every.nodes.tolist(), strict=True))[:keep]
        assert few.nodes.tolist() == [nodes for _, nodes in rows]


@settings(max_examples=12)
@given(seed=seeds, gene=st.integers(0, 4))
def test_through_a_node_are_the_paths_that_have_it_in_between(seed: int, gene: int) -> None:
    graph = joined_graph(seed)
    every = found_in(graph, 0, 1)
    for some, whole in zip(found_in(graph, 0, 1, through=Through("gene", gene)), every, strict=True):
        kept = [("gene", gene) in between(whole, row) for row in range(whole.num_paths)]
        assert some.nodes.tolist() == whole.nodes[np.array(kept, bool)].tolist()
        assert (some.num_chosen, some.num_paths, some.strength) == (sum(kept), whole.num_paths, whole.strength)


def test_weights_are_on_the_scale_of_the_rankers_features() -> None:
    for kind in found_in(joined_graph(1), 0, 1):
        if kind.num_paths == kind.num_walks == 1:
            assert kind.weights[0] == pytest.approx(np.arcsinh(kind.count / kind.mean))
        assert kind.shares.sum() == pytest.approx(1 if kind.num_paths else 0)


def order_by_hand(kinds: list[PathsOfKind], top: int) -> list[tuple[int, int]]:
    """Look at every path that is left, each time."""
    left = [(k, row) for k, kind in enumerate(kinds) for row in range(len(kind.strengths))]
    chosen: list[tuple[int, int]] = []
    while left and len(chosen) < top:
        values = []
        for k, row in left:
            same_way = sum(way_of(kinds[other]) == way_of(kinds[k]) for other, _ in chosen)
            uses = [sum(node in between(kinds[o], r) for o, r in chosen) for node in between(kinds[k], row)]
            values.append(kinds[k].weights[row] * 0.5 ** (same_way + max(uses)))
        chosen.append(left.pop(int(np.argmax(values))))
    return chosen


@settings(max_examples=10)
@given(seed=seeds)
def test_the_order_halves_a_path_for_each_before_it_of_its_way_or_through_its_node(seed: int) -> None:
    kinds = found_in(joined_graph(seed), 2, 1)
    found = [(next(i for i, kind in enumerate(kinds) if kind is each), row) for each, row in best_paths(kinds, 12)]
    assert found == order_by_hand(kinds, 12)
    assert len(set(found)) == len(found)
