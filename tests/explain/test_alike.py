"""The known treatments most like a pair: whose neighbours and whose vectors are most alike, and what they share."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from joined_graphs import BINDS, LINKED, SIZES, TREATS, joined_graph
from sklearn.metrics.pairwise import cosine_similarity

from rxweave.explain.alike import alike_treatments
from rxweave.graph.build import Graph
from rxweave.rank.paths import graph_steps, step_matrix


def known_of(graph: Graph) -> sp.csr_array:
    pairs = graph.pairs(("treats",))
    return sp.csr_array((np.ones(len(pairs), np.float32), pairs.T), shape=(SIZES["drug"], SIZES["disease"]))


def vectors_of(graph: Graph) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(graph.num_nodes, 6)).astype(np.float32)


def profiles_by_hand(graph: Graph, node_type: str) -> np.ndarray:
    """Columns weighted by rarity, each relation to length 1, side by side."""
    parts = []
    for step in graph_steps(graph):
        if step.source_type != node_type or {step.source_type, step.target_type} == {"drug", "disease"}:
            continue
        matrix = step_matrix(graph, step).toarray()
        weighted = matrix * np.log(len(matrix) / np.maximum(matrix.sum(axis=0), 1))
        length = np.linalg.norm(weighted, axis=1, keepdims=True)
        parts.append(np.divide(weighted, length, out=np.zeros_like(weighted), where=length > 0))
    return np.hstack(parts)


@pytest.mark.parametrize("seed", range(5))
def test_they_are_the_nearest_by_profile_and_by_embedding(seed: int) -> None:
    graph = joined_graph(seed, density=0.6)
    known, vectors, drug, disease = known_of(graph), vectors_of(graph), 1, 2
    found = alike_treatments(graph, known, drug, disease, vectors, top=2)
    for end, itself, node_type in (("drug", drug, "drug"), ("disease", disease, "disease")):
        mine = [each for each in found if each.other == end]
        treats = known.toarray()[:, disease] if end == "drug" else known.toarray()[drug]
        others = [i for i in np.flatnonzero(treats).tolist() if i != itself]
        of_type = vectors[graph.rows_of(node_type)]
        by = {
            "profile": cosine_similarity(profiles_by_hand(graph, node_type))[itself],
            "embedding": cosine_similarity(of_type - of_type.mean(axis=0))[itself],
        }
        expected = {i for cosine in by.values() for i in sorted(others, key=lambda i: -cosine[i])[:2]}
        numbers = [int(getattr(each, end).node_id.removeprefix(end)) for each in mine]
        assert set(numbers) == expected
        for each, number in zip(mine, numbers, strict=True):
            assert (each.profile, each.embedding) == pytest.approx(
                (by["profile"][number], by["embedding"][number]), abs=1e-5
            )
        assert [each.profile for each in mine] == sorted([each.profile for each in mine], reverse=True)


def test_shared_nodes_are_those_that_both_have_a_fact_with_the_rarest_first() -> None:
    graph = joined_graph(2, density=0.6)
    facts = {
        relation: set(map(tuple, fact.T.tolist())) for relation, fact in zip(graph.relations, graph.facts, strict=True)
    }
    rows = {key: row for row, key in enumerate(graph.nodes["node_key"])}
    for each in alike_treatments(graph, known_of(graph), 1, 2, None):
        assert each.embedding is None
        relation = BINDS if each.other == "drug" else LINKED
        ends = {"drug": 4 + 1, "disease": 2}[each.other], rows[getattr(each, each.other).node_key]
        shared = {target for source, target in facts[relation] if source == ends[0]}
        shared &= {target for source, target in facts[relation] if source == ends[1]}
        everyone = SIZES[each.other]
        count = {gene: sum(target == gene for _, target in facts[relation]) for gene in shared}
        telling = {gene for gene in shared if count[gene] < everyone}  # what all have tells nothing
        told = next((one for one in each.shared if one.relation == relation.name), None)
        assert (told.num_shared if told else 0) == len(telling)
        if told:
            named = [rows[node.node_key] for node in told.nodes]
            assert set(named) == telling
            assert [count[gene] for gene in named] == sorted(count[gene] for gene in named)


def test_the_pair_itself_and_what_is_not_known_are_never_named() -> None:
    graph = joined_graph(0, density=0.7)
    known = known_of(graph)
    drug, disease = graph.pairs((TREATS.name,))[0].tolist()
    for each in alike_treatments(graph, known, drug, disease, vectors_of(graph)):
        ends = int(each.drug.node_id.removeprefix("drug")), int(each.disease.node_id.removeprefix("disease"))
        assert ends != (drug, disease)
        assert known[ends] == 1
    assert alike_treatments(graph, sp.csr_array(known.shape, dtype=np.float32), drug, disease, None) == ()
