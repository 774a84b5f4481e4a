from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxweave.errors import ConfigError
from rxweave.graph.build import Graph
from rxweave.graph.sample import _shares, limit_nodes


def facts_by_key(graph: Graph) -> set[tuple[str, str, str]]:
    keys = graph.nodes["node_key"].to_numpy()
    return {
        (keys[source], str(relation), keys[target])
        for relation, fact in zip(graph.relations, graph.facts, strict=True)
        for source, target in fact.T
    }


def test_types_keep_their_shares_and_facts_are_those_between_the_kept(small_graph: Graph) -> None:
    sample = limit_nodes(small_graph, 100, seed=1)
    assert sample.num_nodes == sample.nodes.height == 100
    assert sample.node_types == small_graph.node_types
    for node_type in sample.node_types:
        rows = sample.rows_of(node_type)
        assert set(sample.nodes["node_type"][rows.start : rows.stop]) == {node_type}
        assert abs(sample.num_of(node_type) - small_graph.num_of(node_type) / 4) <= 1
    kept = set(sample.nodes["node_key"])
    assert facts_by_key(sample) == {fact for fact in facts_by_key(small_graph) if fact[0] in kept and fact[2] in kept}
    assert sample.num_facts > 0


def test_the_sample_depends_on_the_seed_alone(small_graph: Graph) -> None:
    first, again, other = (limit_nodes(small_graph, 100, seed=seed) for seed in (1, 1, 2))
    assert first.nodes.equals(again.nodes)
    assert all(np.array_equal(a, b) for a, b in zip(first.facts, again.facts, strict=True))
    assert not first.nodes.equals(other.nodes)


def test_every_node_is_as_likely_as_another_of_its_type(small_graph: Graph) -> None:
    rows = small_graph.rows_of("disease")
    keys = small_graph.nodes["node_key"][rows.start : rows.stop]
    hits = np.zeros(len(keys))
    for seed in range(300):
        hits += keys.is_in(limit_nodes(small_graph, 200, seed=seed).nodes["node_key"].implode()).to_numpy()
    share = limit_nodes(small_graph, 200, seed=0).num_of("disease") / len(keys)
    spread = np.sqrt(300 * share * (1 - share))
    assert np.abs(hits - 300 * share).max() < 5 * spread


def test_a_limit_the_graph_does_not_reach_changes_nothing(small_graph: Graph) -> None:
    assert limit_nodes(small_graph, small_graph.num_nodes, seed=0) is small_graph


def test_fewer_nodes_than_types_are_refused(small_graph: Graph) -> None:
    num_types = len(small_graph.node_types)
    assert limit_nodes(small_graph, num_types, seed=0).num_nodes == num_types
    with pytest.raises(ConfigError, match=f"limit_nodes is {num_types - 1}.*Ask for {num_types} nodes"):
        limit_nodes(small_graph, num_types - 1, seed=0)


@pytest.mark.parametrize(
    ("sizes", "limit", "expected"),
    [
        ([60, 30, 10], 10, [6, 3, 1]),
        ([50, 50], 3, [2, 1]),
        ([1000, 1, 1], 10, [8, 1, 1]),
        ([1000, 0, 5], 2, [1, 0, 1]),
        ([5, 5, 5], 3, [1, 1, 1]),
        ([97, 2, 1], 50, [48, 1, 1]),
        ([7, 7, 7], 8, [3, 3, 2]),
    ],
)
def test_shares_by_hand(sizes: list[int], limit: int, expected: list[int]) -> None:
    assert _shares(np.array(sizes), limit).tolist() == expected


@given(sizes=st.lists(st.integers(0, 500), min_size=1, max_size=8).filter(any), data=st.data())
def test_shares_add_up_and_no_type_vanishes_or_grows(sizes: list[int], data: st.DataObject) -> None:
    present = sum(size > 0 for size in sizes)
    limit = data.draw(st.integers(present, sum(sizes)))
    shares = _shares(np.array(sizes), limit)
    assert shares.sum() == limit
    assert all(min(size, 1) <= share <= size for size, share in zip(sizes, shares, strict=True))
