from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
from drug_graphs import (
    ABL1,
    ASPIRIN,
    DIABETES,
    FACTS,
    IMATINIB,
    INDICATION,
    LEUKEMIA,
    METFORMIN,
    NODES,
    PAIN,
    PDE6G,
    RELATIONS,
    facts_of,
    graph_of,
    kg_of,
)
from hypothesis import given
from hypothesis import strategies as st

from rxweave.errors import InputError
from rxweave.graph.build import build_graph


def test_nodes_are_numbered_by_type_and_every_row_describes_its_node() -> None:
    graph = graph_of(NODES, FACTS)
    assert graph.node_types == ("disease", "drug", "gene")
    assert graph.type_offsets.tolist() == [0, 3, 6, 8]
    assert graph.nodes["node_key"].to_list() == [
        *sorted([DIABETES, PAIN, LEUKEMIA]),
        *sorted([METFORMIN, ASPIRIN, IMATINIB]),
        *sorted([PDE6G, ABL1]),
    ]
    assert graph.nodes["node_type"][graph.rows_of("drug")].unique().to_list() == ["drug"]
    assert [graph.num_of(node_type) for node_type in graph.node_types] == [3, 3, 2]


def test_every_fact_of_the_table_is_in_the_arrays_and_nothing_else() -> None:
    graph = graph_of(NODES, FACTS)
    assert facts_of(graph) == sorted(FACTS)
    assert graph.num_facts == len(FACTS)
    assert graph.num_nodes == len(NODES)


def test_an_id_shared_by_a_disease_and_a_gene_stays_two_nodes() -> None:
    graph = graph_of(NODES, [(METFORMIN, "indication", DIABETES), (PDE6G, "interacts", ABL1)])
    degree = dict(zip(graph.nodes["node_key"].to_list(), graph.degrees.tolist(), strict=True))
    assert degree[DIABETES] == 1
    assert degree[PDE6G] == 1


@given(seed=st.integers(0, 2**32))
def test_the_graph_does_not_depend_on_the_order_of_rows(seed: int) -> None:
    shuffled_nodes, shuffled_facts = NODES.copy(), FACTS.copy()
    order = random.Random(seed)
    order.shuffle(shuffled_nodes)
    order.shuffle(shuffled_facts)
    graph, again = graph_of(NODES, FACTS), graph_of(shuffled_nodes, shuffled_facts)
    assert graph.nodes.equals(again.nodes)
    assert graph.node_types == again.node_types
    np.testing.assert_array_equal(graph.type_offsets, again.type_offsets)
    for one, other in zip(graph.facts, again.facts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_fact_of_an_undeclared_relation_is_refused_by_name() -> None:
    kg = kg_of(NODES, [*FACTS, (METFORMIN, "enzyme", ABL1)])
    with pytest.raises(InputError, match="enzyme"):
        build_graph(kg)


def test_a_fact_that_runs_against_its_declared_direction_is_refused() -> None:
    kg = kg_of(NODES, [(DIABETES, "indication", METFORMIN)])
    with pytest.raises(InputError, match="indication"):
        build_graph(kg)


def test_a_fact_of_a_node_that_is_not_there_is_refused_with_the_fact() -> None:
    kg = kg_of(NODES, [*FACTS, (METFORMIN, "indication", "disease|MONDO|404")])
    with pytest.raises(InputError, match=r"1 facts .*DB00331 –indication→ disease\|MONDO\|404"):
        build_graph(kg)


def test_a_declared_relation_without_facts_is_kept_empty() -> None:
    graph = graph_of(NODES, [(METFORMIN, "indication", DIABETES)])
    assert graph.relations == RELATIONS
    assert [fact.shape for fact in graph.facts] == [(2, 1), (2, 0), (2, 0), (2, 0), (2, 0)]


def test_degrees_count_every_fact_at_both_ends_and_a_self_loop_once() -> None:
    graph = graph_of(NODES, FACTS)
    degree = dict(zip(graph.nodes["node_key"].to_list(), graph.degrees.tolist(), strict=True))
    assert degree == {
        METFORMIN: 1,
        ASPIRIN: 3,
        IMATINIB: 2,
        DIABETES: 2,
        PAIN: 2,
        LEUKEMIA: 1,
        PDE6G: 1,
        ABL1: 3,
    }


def test_pairs_are_drug_first_and_distinct_whichever_way_the_relation_runs() -> None:
    graph = graph_of(NODES, FACTS)
    drugs = graph.nodes["node_key"][graph.rows_of("drug")].to_list()
    diseases = graph.nodes["node_key"][graph.rows_of("disease")].to_list()

    def keys(names: tuple[str, ...]) -> list[tuple[str, str]]:
        return [(drugs[drug], diseases[disease]) for drug, disease in graph.pairs(names).tolist()]

    assert keys(("treated by",)) == [(ASPIRIN, PAIN)]
    assert sorted(keys(("indication", "treated by"))) == sorted(
        [(METFORMIN, DIABETES), (ASPIRIN, PAIN), (IMATINIB, LEUKEMIA)]
    )
    assert graph.pairs(("no such relation",)).shape == (0, 2)
    assert graph.drug_disease_relations() == [0, 1, 2]


def test_keep_facts_drops_only_what_is_marked_in_the_named_relation() -> None:
    graph = graph_of(NODES, FACTS)
    kept = graph.keep_facts({RELATIONS.index(INDICATION): np.array([True, False, True])})
    gone = set(facts_of(graph)) - set(facts_of(kept))
    assert len(gone) == 1
    assert {relation for _, relation, _ in gone} == {"indication"}
    assert kept.nodes.equals(graph.nodes)


def test_an_unknown_node_type_is_refused_with_the_closest_name() -> None:
    with pytest.raises(InputError, match=r"'dieases' is not in handmade .*Closest: 'disease'"):
        graph_of(NODES, FACTS).rows_of("dieases")


def test_to_pyg_has_every_fact_in_both_directions_and_symmetric_ones_under_one_name() -> None:
    with warnings.catch_warnings():
        # Importing torch_geometric raises deprecation warnings of its own, which are not ours to mend.
        warnings.simplefilter("ignore")
        data = graph_of(NODES, FACTS).to_pyg()
    graph = graph_of(NODES, FACTS)
    assert {node_type: data[node_type].num_nodes for node_type in data.node_types} == {
        "disease": 3,
        "drug": 3,
        "gene": 2,
    }
    assert set(data.edge_types) == {
        ("drug", "indication", "disease"),
        ("disease", "rev_indication", "drug"),
        ("drug", "off-label use", "disease"),
        ("disease", "rev_off-label use", "drug"),
        ("disease", "treated by", "drug"),
        ("drug", "rev_treated by", "disease"),
        ("drug", "target", "gene"),
        ("gene", "rev_target", "drug"),
        ("gene", "interacts", "gene"),
    }
    names = {node_type: graph.nodes["node_key"][graph.rows_of(node_type)].to_list() for node_type in graph.node_types}
    found = [
        (names[source_type][source], relation, names[target_type][target])
        for source_type, relation, target_type in data.edge_types
        for source, target in data[source_type, relation, target_type].edge_index.T.tolist()
    ]
    expected = [
        *FACTS,
        *((target, f"rev_{relation}", source) for source, relation, target in FACTS if relation != "interacts"),
        (ABL1, "interacts", PDE6G),
    ]
    assert sorted(found) == sorted(expected)
    assert data.validate()
