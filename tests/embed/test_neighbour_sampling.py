"""Drawing neighbours: which edges, how many, how often each, and what a part of the graph is made of."""

from __future__ import annotations

import numpy as np
import pytest
from attention_cases import BINDS, INTERACTS, PART_OF, graph_of, random_graph

from rxweave.embed.attention import build_index
from rxweave.embed.attention.index import directed_edges
from rxweave.embed.neighbours import ALL, Hop, IncomingEdges, Part, sample_part
from rxweave.graph.build import Graph

NOTHING = np.empty(0, np.int64)


def edges_of(hop: Hop, known: np.ndarray) -> list[tuple[int, int, int, int]]:
    """(directed relation, source, target, fact) of every edge of a hop, in rows of the graph."""
    index = hop.index
    row, start = index.edge_row.numpy(), np.array(index.relation_rows)
    relation = np.searchsorted(start, row, side="right") - 1
    target = known[index.pair_node.numpy()[row]]
    return list(zip(relation, known[index.source.numpy()], target, index.edge_fact.numpy(), strict=True))


def known_before(part: Part, number: int) -> np.ndarray:
    """Rows of the graph that hop `number` counts."""
    known = part.nodes
    for hop in part.hops[:number]:
        known = known[hop.kept.numpy()]
    return known


def all_edges(graph: Graph) -> set[tuple[int, ...]]:
    relations = enumerate(directed_edges(graph))
    return {(r, *map(int, edge)) for r, edges in relations for edge in zip(*edges, strict=True)}


def test_the_rows_of_incoming_edges_are_the_pairs_of_the_message_index(small_graph: Graph) -> None:
    edges, index = IncomingEdges.of(small_graph), build_index(small_graph)
    assert edges.num_edges == index.num_edges
    np.testing.assert_array_equal(edges.relation_rows, index.relation_rows)
    np.testing.assert_array_equal(edges.pair_node, index.pair_node)
    np.testing.assert_array_equal(edges.row_start, index.row_start)
    facts = np.concatenate(small_graph.facts, axis=1)
    target = np.repeat(edges.pair_node, np.diff(edges.row_start))
    np.testing.assert_array_equal(np.sort([edges.source, target], axis=0), np.sort(facts[:, edges.fact], axis=0))


def test_a_hand_made_case() -> None:
    """Drugs 0, 1; genes 2, 3, 4; genome 5. From gene 3, one hop out: both drugs bind it, gene 4 interacts with it."""
    graph = graph_of(
        {"drug": 2, "gene": 3, "genome": 1},
        {BINDS: [(0, 1), (1, 1), (1, 2)], INTERACTS: [(1, 2), (1, 1)], PART_OF: [(0, 0), (1, 0)]},
    )
    part = sample_part(IncomingEdges.of(graph), np.array([3, 3]), [ALL], NOTHING, np.random.default_rng(0))
    assert part.seeds.tolist() == [3]
    assert part.nodes.tolist() == [0, 1, 3, 4, 5]
    (hop,) = part.hops
    assert hop.index.type_offsets == (0, 2, 4, 5)
    assert hop.type_offsets == (0, 0, 1, 1)
    assert hop.kept.tolist() == [2]
    # binds, its inverse, interacts (gene 3 with itself once), part of, its inverse
    expected = {(0, 0, 3, 0), (0, 1, 3, 1), (2, 4, 3, 3), (2, 3, 3, 4), (4, 5, 3, 6)}
    assert set(edges_of(hop, part.nodes)) == expected


@pytest.mark.parametrize("most", [1, 3, ALL])
def test_no_node_gets_more_than_asked_for_and_every_edge_is_one_of_the_graph(small_graph: Graph, most: int) -> None:
    edges, seeds = IncomingEdges.of(small_graph), np.arange(0, small_graph.num_nodes, 40)
    hidden = np.arange(0, small_graph.num_facts, 7)
    part = sample_part(edges, seeds, [most, 2], hidden, np.random.default_rng(1))
    there = all_edges(small_graph)
    assert len(part.hops) == 2
    for number, limit in ((1, most), (0, 2)):
        known, hop = known_before(part, number), part.hops[number]
        kept = set(known[hop.kept.numpy()].tolist())
        drawn = edges_of(hop, known)
        assert len(set(drawn)) == len(drawn)
        assert set(drawn) <= there
        assert not {fact for *_, fact in drawn} & set(hidden.tolist())
        assert {target for _, _, target, _ in drawn} <= kept
        assert {source for _, source, _, _ in drawn} | kept == set(known.tolist())
        degree: dict[tuple[int, int], int] = {}
        for relation, _, target, _ in drawn:
            degree[relation, target] = degree.get((relation, target), 0) + 1
        if limit == ALL:
            assert set(drawn) == {e for e in there if e[2] in kept and e[3] % 7}
        else:
            assert max(degree.values()) == limit
    np.testing.assert_array_equal(known_before(part, 2), seeds)


def test_every_edge_is_drawn_equally_often() -> None:
    """6,000 genes, each bound by the same 12 drugs of which it draws 5: 2,500 times each, to five deviations."""
    genes, drugs = 6000, 12
    facts = {BINDS: [(drug, gene) for gene in range(genes) for drug in range(drugs)]}
    edges = IncomingEdges.of(graph_of({"drug": drugs, "gene": genes, "genome": 1}, facts))
    part = sample_part(edges, drugs + np.arange(genes), [5], NOTHING, np.random.default_rng(0))
    drawn = np.bincount(part.hops[0].index.source.numpy())
    assert part.hops[0].index.row_start.diff().tolist() == [5] * genes
    assert np.abs(drawn - 2500).max() < 5 * np.sqrt(genes * 5 / 12 * 7 / 12)


def test_the_same_random_numbers_give_the_same_part(small_graph: Graph) -> None:
    edges = IncomingEdges.of(small_graph)
    one, again, other = (
        sample_part(edges, np.arange(20), [2, 2], NOTHING, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.nodes, again.nodes)
    assert [hop.index.source.tolist() for hop in one.hops] == [hop.index.source.tolist() for hop in again.hops]
    assert one.nodes.tolist() != other.nodes.tolist()


def test_edge_dropout_leaves_out_its_share(small_graph: Graph) -> None:
    edges, seeds = IncomingEdges.of(small_graph), np.arange(small_graph.num_nodes)
    (hop,) = sample_part(edges, seeds, [ALL], NOTHING, np.random.default_rng(0), edge_dropout=0.25).hops
    expected, deviation = 0.75 * edges.num_edges, np.sqrt(edges.num_edges * 0.25 * 0.75)
    assert abs(hop.index.num_edges - expected) < 5 * deviation


@pytest.mark.parametrize("seed", range(3))
def test_nodes_without_edges_and_relations_without_facts_are_no_trouble(seed: int) -> None:
    graph = random_graph(seed)
    part = sample_part(IncomingEdges.of(graph), np.arange(graph.num_nodes), [2, 2], NOTHING, np.random.default_rng(0))
    assert part.nodes.tolist() == list(range(graph.num_nodes))
    lone = sample_part(IncomingEdges.of(graph), np.array([4]), [2], NOTHING, np.random.default_rng(0))
    assert (lone.nodes.tolist(), lone.hops[0].index.num_edges) == ([4], 0)
