"""Communities: as good as another implementation's, the same for the same seed, numbered by size."""

from __future__ import annotations

import networkx as nx
import numpy as np
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from rxweave.cluster.leiden import by_size, communities, without_small


def weights_of(graph: nx.Graph) -> sp.csr_array:
    return nx.to_scipy_sparse_array(graph, nodelist=range(len(graph)), dtype=float, format="csr")


def test_modularity_is_no_lower_than_that_of_louvain() -> None:
    graph = nx.karate_club_graph()
    for _, _, facts in graph.edges(data=True):
        facts["weight"] = 1.0
    labels = communities(weights_of(graph), 1.0, seed=0)
    groups = [set(np.flatnonzero(labels == label).tolist()) for label in range(labels.max() + 1)]
    louvain = nx.community.louvain_communities(graph, seed=0)
    assert nx.community.modularity(graph, groups) >= nx.community.modularity(graph, louvain) - 1e-9


def test_planted_cliques_come_back_and_equal_seeds_agree() -> None:
    graph = nx.disjoint_union_all([nx.complete_graph(size) for size in (5, 9, 7)])
    graph.add_edges_from([(0, 5), (5, 14)])
    labels = communities(weights_of(graph), 1.0, seed=3)
    assert labels.tolist() == [2] * 5 + [0] * 9 + [1] * 7
    np.testing.assert_array_equal(labels, communities(weights_of(graph), 1.0, seed=3))


def test_a_node_without_edges_is_a_group_of_its_own() -> None:
    graph = nx.complete_graph(4)
    graph.add_node(4)
    assert communities(weights_of(graph), 1.0, seed=0).tolist() == [0, 0, 0, 0, 1]


def test_higher_resolutions_give_more_communities() -> None:
    graph = nx.connected_caveman_graph(12, 6)
    few, many = (communities(weights_of(graph), resolution, seed=0).max() for resolution in (0.05, 2.0))
    assert few < many


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_numbers_fall_with_size_and_groups_stay(labels: list[int]) -> None:
    found = by_size(np.array(labels))
    sizes = np.bincount(found)
    assert (np.diff(sizes) <= 0).all()
    assert len({*zip(labels, found.tolist(), strict=True)}) == len(sizes) == len(set(labels))
    large = without_small(found, 3)
    assert ((large >= 0) == (sizes[found] >= 3)).all()
