from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from rxweave.graph.build import Graph
from rxweave.kg.tables import Relation, Roles
from rxweave.validate.structure import structural_duplicate_rate


def make_graph(*facts: list[tuple[int, int]], symmetric: bool = False) -> Graph:
    """Four drugs (0 to 3) and three genes (4 to 6), with facts per relation."""
    keys = [f"n{i}" for i in range(7)]
    relations = tuple(Relation("drug", f"r{i}", "gene", symmetric) for i in range(len(facts)))
    return Graph(
        name="tiny",
        nodes=pl.DataFrame({"node_key": keys, "node_type": ["drug"] * 4 + ["gene"] * 3}),
        node_types=("drug", "gene"),
        type_offsets=np.array([0, 4, 7]),
        relations=relations,
        facts=tuple(np.array(pairs, np.int64).reshape(-1, 2).T for pairs in facts),
        roles=Roles("drug", "disease", "gene", ("treats",)),
    )


def test_nodes_with_the_same_neighbours_are_counted_among_those_with_facts() -> None:
    # Drugs 0 and 1 have genes 4 and 5; drug 2 has gene 4 only; drug 3 has none. Gene 6 has none.
    graph = make_graph([(0, 4), (0, 5), (1, 4), (1, 5), (2, 4)])
    assert structural_duplicate_rate(graph) == {"drug": pytest.approx(2 / 3), "gene": 0}


def test_the_relation_and_the_direction_tell_nodes_apart() -> None:
    same = make_graph([(0, 4), (1, 4)])
    assert structural_duplicate_rate(same)["drug"] == 1
    by_relation = make_graph([(0, 4)], [(1, 4)])
    assert structural_duplicate_rate(by_relation)["drug"] == 0
    one_way = make_graph([(0, 2), (2, 1)])
    assert structural_duplicate_rate(one_way)["drug"] == 0
    both_ways = make_graph([(0, 2), (1, 2)], symmetric=True)
    assert structural_duplicate_rate(both_ways)["drug"] == pytest.approx(2 / 3)


def test_a_symmetric_fact_reads_the_same_from_both_ends() -> None:
    # 0–2 and 1–2 are written with different ends first; symmetric, they mean the same for 0 and 1.
    graph = make_graph([(0, 2), (2, 1)], symmetric=True)
    assert structural_duplicate_rate(graph)["drug"] == pytest.approx(2 / 3)


def test_a_type_without_facts_has_no_duplicates() -> None:
    assert structural_duplicate_rate(make_graph([])) == {"drug": 0, "gene": 0}
