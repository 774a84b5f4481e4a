from __future__ import annotations

import numpy as np
import pytest
from embeddings_made import embeddings_of, gaussian, on_nodes_of
from sklearn.metrics.pairwise import cosine_similarity

from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.validate.inspect import inspect_type, neighbour_overlap


def test_nearest_neighbours_are_those_of_the_cosine_nearest_first() -> None:
    drugs = gaussian(60, 8)
    given = embeddings_of(drug=drugs, gene=gaussian(40, 8, 1))
    found = inspect_type(given, "drug", num_nodes=4, num_neighbours=3)
    cosine = cosine_similarity(drugs)
    np.fill_diagonal(cosine, -1)
    assert len(found.nearest) == 4
    for near in found.nearest:
        row = int(near[0].first.node_key.split("|")[1])
        expected = np.argsort(-cosine[row])[:3]
        assert [int(pair.second.node_key.split("|")[1]) for pair in near] == expected.tolist()
        assert [pair.cosine for pair in near] == pytest.approx(cosine[row][expected], abs=1e-5)
        assert near[0].shared is None
        assert near[0].first.num_facts is None


def test_planted_twins_are_named_each_pair_once() -> None:
    drugs = gaussian(50, 8)
    drugs[[7, 30]] = drugs[[3, 41]]
    found = inspect_type(embeddings_of(drug=drugs), "drug")
    named = {frozenset((pair.first.name, pair.second.name)) for pair in found.twins}
    assert named == {frozenset(("drug|3", "drug|7")), frozenset(("drug|30", "drug|41"))}
    assert all(pair.cosine == pytest.approx(1) for pair in found.twins)


def test_without_twins_the_closest_pairs_are_shown() -> None:
    drugs = gaussian(50, 8)
    cosine = cosine_similarity(drugs)[np.triu_indices(50, 1)]
    found = inspect_type(embeddings_of(drug=drugs), "drug", num_twins=2)
    assert [pair.cosine for pair in found.twins] == pytest.approx(np.sort(cosine)[:-3:-1], abs=1e-5)


def neighbours_of(graph: Graph, node: int) -> set[tuple[int, bool, int]]:
    found = set()
    for r, (source, target) in enumerate(graph.facts):
        found |= {(r, True, int(t)) for t in target[source == node]}
        found |= {(r, graph.relations[r].symmetric, int(s)) for s in source[target == node]}
    return found


def test_overlap_is_the_jaccard_index_of_neighbours_with_their_relations(small_graph: Graph) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, small_graph.num_nodes, (2, 40))
    expected = []
    for one, other in zip(first, second, strict=True):
        mine, theirs = neighbours_of(small_graph, one), neighbours_of(small_graph, other)
        expected.append(len(mine & theirs) / len(mine | theirs) if mine | theirs else np.nan)
    assert neighbour_overlap(small_graph, first, second) == pytest.approx(expected, nan_ok=True)


def test_twins_that_share_the_fewest_neighbours_come_first(small_graph: Graph) -> None:
    vectors = gaussian(small_graph.num_nodes, 16)
    rows = small_graph.rows_of("gene/protein")
    active = [row for row in range(rows.start, rows.stop) if small_graph.degrees[row] > 0][:6]
    vectors[active[1::2]] = vectors[active[::2]]
    found = inspect_type(on_nodes_of(small_graph, vectors), "gene/protein", graph=small_graph)
    assert len(found.twins) == 3
    shared = [pair.shared for pair in found.twins]
    assert shared == sorted(shared)
    for pair in found.twins:
        assert pair.first.num_facts == small_graph.degrees[small_graph.nodes["node_key"].index_of(pair.first.node_key)]


def test_nodes_without_facts_are_passed_over(small_graph: Graph) -> None:
    drugs = small_graph.rows_of("drug")
    lonely = small_graph.keep_facts({r: (fact != drugs.start).all(axis=0) for r, fact in enumerate(small_graph.facts)})
    vectors = gaussian(small_graph.num_nodes, 8)
    vectors[drugs.start + 1] = vectors[drugs.start]
    twins = inspect_type(on_nodes_of(small_graph, vectors), "drug", graph=lonely, num_twins=100).twins
    key = small_graph.nodes["node_key"][drugs.start]
    assert key not in {node.node_key for pair in twins for node in (pair.first, pair.second)}


def test_one_node_alone_has_no_neighbours_and_an_unknown_type_is_named() -> None:
    given = embeddings_of(drug=gaussian(1, 4), gene=np.zeros((5, 4)) + gaussian(5, 4))
    assert inspect_type(given, "drug").nearest == ()
    assert inspect_type(given, "gene", num_nodes=50, num_neighbours=50).nearest[0][-1].cosine <= 1
    with pytest.raises(InputError, match="'genes' is not in these embeddings"):
        inspect_type(given, "genes")
