"""Graphs whose nodes stand in another order are the same graphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rxweave.benchmark.node_order import NodeOrder, checked_order, reordered
from rxweave.embed.attention import attend_csr, build_index
from rxweave.errors import ConfigError
from rxweave.graph.build import Graph


def named_facts(graph: Graph) -> list[set[tuple[str, str]]]:
    keys = graph.nodes["node_key"].to_numpy()
    return [set(zip(keys[source], keys[target], strict=True)) for source, target in graph.facts]


@pytest.mark.parametrize("order", ["key", "degree", "rcm"])
def test_every_fact_stays_between_the_same_nodes(small_graph: Graph, order: NodeOrder) -> None:
    found = reordered(small_graph, order)
    assert named_facts(found) == named_facts(small_graph)
    assert (found.node_types, found.type_offsets.tolist()) == (
        small_graph.node_types,
        small_graph.type_offsets.tolist(),
    )
    for node_type in found.node_types:
        assert set(found.nodes["node_type"][found.rows_of(node_type)]) == {node_type}


def test_by_degree_the_most_linked_come_first(small_graph: Graph) -> None:
    found = reordered(small_graph, "degree")
    for node_type in found.node_types:
        assert (np.diff(found.degrees[found.rows_of(node_type)]) <= 0).all()


def test_by_cuthill_mckee_linked_nodes_come_near_each_other(small_graph: Graph, rng: np.random.Generator) -> None:
    """A ring whose nodes stand in no order: afterwards no link spans more than two places."""
    within = next(r for r, relation in enumerate(small_graph.relations) if relation.source_type == relation.target_type)
    rows = small_graph.rows_of(small_graph.relations[within].source_type)
    around = rng.permutation(np.arange(rows.start, rows.stop))
    facts = [np.empty((2, 0), np.int64) for _ in small_graph.facts]
    facts[within] = np.stack([around, np.roll(around, 1)])
    ring = replace(small_graph, facts=tuple(facts))
    assert np.abs(np.subtract(*ring.facts[within])).max() > 10
    assert np.abs(np.subtract(*reordered(ring, "rcm").facts[within])).max() == 2


@pytest.mark.parametrize("order", ["degree", "rcm"])
def test_attention_gives_every_node_the_same(small_graph: Graph, order: NodeOrder) -> None:
    found = reordered(small_graph, order)
    there = small_graph.nodes.with_row_index("was").join(
        found.nodes.with_row_index("now"), on="node_key", maintain_order="left"
    )
    now = torch.from_numpy(there["now"].to_numpy().astype(np.int64))
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(small_graph.num_nodes, 3, 2, 8, generator=generator, dtype=torch.float64)
    index, other = build_index(small_graph), build_index(found)
    matrices = torch.randn(2, index.num_relations, 2, 8, 8, generator=generator, dtype=torch.float64) / 3
    moved = torch.empty_like(table)
    moved[now] = table
    expected = attend_csr(index, table, *matrices)
    torch.testing.assert_close(attend_csr(other, moved, *matrices)[now], expected)


def test_an_order_that_there_is_not_is_refused_with_the_closest_one() -> None:
    with pytest.raises(ConfigError, match=r"no node order 'degre'.*'degree'"):
        checked_order("degre")
