from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from pair_graphs import random_graph

from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.rank.shared_genes import adamic_adar, common_neighbours


def without_gene_links(graph: Graph) -> Graph:
    """Genes then touch drugs and diseases only, by one fact each: degree and number of neighbours are the same."""
    kept = [r for r, rel in enumerate(graph.relations) if rel.source_type != rel.target_type and "gene" in (
        rel.source_type, rel.target_type)]  # fmt: skip
    return replace(graph, relations=tuple(graph.relations[r] for r in kept), facts=tuple(graph.facts[r] for r in kept))


@pytest.mark.parametrize("seed", range(3))
def test_both_agree_with_networkx(seed: int) -> None:
    graph = without_gene_links(random_graph(seed, drugs=9, diseases=7, genes=12))
    theirs = nx.Graph()
    theirs.add_nodes_from(range(graph.num_nodes))
    for source, target in graph.facts:
        theirs.add_edges_from(zip(source.tolist(), target.tolist(), strict=True))
    drugs, diseases = graph.rows_of("drug"), graph.rows_of("disease")
    ours, weighted = common_neighbours(graph), adamic_adar(graph)
    assert ours.dtype == weighted.dtype == np.float32
    for i, drug in enumerate(range(drugs.start, drugs.stop)):
        for j, disease in enumerate(range(diseases.start, diseases.stop)):
            assert ours[i, j] == len(list(nx.common_neighbors(theirs, drug, disease)))
            (_, _, expected), *_ = nx.adamic_adar_index(theirs, [(drug, disease)])
            assert weighted[i, j] == pytest.approx(expected, rel=1e-5)


def test_a_graph_without_genes_is_refused() -> None:
    graph = random_graph(0)
    with pytest.raises(InputError, match="no type of genes"):
        common_neighbours(replace(graph, roles=replace(graph.roles, gene=None)))
