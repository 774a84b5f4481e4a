"""Layer by layer, a block of nodes at a time, gives what one pass over the whole graph gives."""

from __future__ import annotations

import pytest
import torch
from attention_cases import random_graph

from rxweave.embed import layerwise
from rxweave.embed.attention import build_index
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.embed.neighbours import IncomingEdges
from rxweave.graph.build import Graph


def encoder_for(graph: Graph, attention: str, *, feature_dim: int = 32, precision: str = "fp32") -> HGT:
    shape = HGTShape(tuple(graph.type_offsets.tolist()), build_index(graph).num_relations, feature_dim, 32, 64, 3, 4)
    generator = torch.Generator().manual_seed(0)
    encoder = HGT(shape, generator=generator, attention=attention, precision=precision)
    with torch.no_grad():
        for parameter in encoder.parameters():  # biases and gates start alike for all types
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return encoder


@pytest.mark.parametrize(
    ("attention", "at_once"), [("csr", 500), ("csr", 10**9), ("fused_cpu", 2000), ("gather", 2000)]
)
def test_layer_by_layer_equals_a_pass_over_the_whole_graph(
    small_graph: Graph, monkeypatch: pytest.MonkeyPatch, attention: str, at_once: int
) -> None:
    monkeypatch.setattr(layerwise, "EDGES_AT_ONCE", at_once)
    monkeypatch.setattr(layerwise, "ROWS", 150)
    encoder = encoder_for(small_graph, attention)
    features = torch.randn(small_graph.num_nodes, 32, generator=torch.Generator().manual_seed(1))
    before = features.clone()
    found = layerwise.embed_layer_by_layer(encoder, features, IncomingEdges.of(small_graph))
    with torch.no_grad():
        torch.testing.assert_close(found, encoder(features, build_index(small_graph)), rtol=1e-5, atol=1e-5)
    assert torch.equal(features, before)


def test_with_an_input_map_nodes_without_edges_and_relations_without_facts() -> None:
    graph = random_graph(1)
    encoder = encoder_for(graph, "csr", feature_dim=8)
    features = torch.randn(graph.num_nodes, 8, generator=torch.Generator().manual_seed(1))
    found = layerwise.embed_layer_by_layer(encoder, features, IncomingEdges.of(graph))
    with torch.no_grad():
        torch.testing.assert_close(found, encoder(features, build_index(graph)), rtol=1e-5, atol=1e-5)


def test_in_bfloat16_it_rounds_as_the_whole_graph_does(small_graph: Graph) -> None:
    encoder = encoder_for(small_graph, "csr", precision="bf16")
    features = torch.randn(small_graph.num_nodes, 32, generator=torch.Generator().manual_seed(1))
    found = layerwise.embed_layer_by_layer(encoder, features, IncomingEdges.of(small_graph))
    with torch.no_grad():
        torch.testing.assert_close(found, encoder(features, build_index(small_graph)), rtol=2e-2, atol=2e-2)


def test_blocks_hold_every_node_once_and_no_more_edges_than_asked_for(
    small_graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layerwise, "EDGES_AT_ONCE", 500)
    edges = IncomingEdges.of(small_graph)
    blocks = list(layerwise._edge_blocks(edges))
    assert [i for rows in blocks for i in range(rows.start, rows.stop)] == list(range(small_graph.num_nodes))
    sizes = [sum(len(source) for source, _, _ in edges.into(rows)) + rows.stop - rows.start for rows in blocks]
    assert sum(sizes) == edges.num_edges + small_graph.num_nodes
    assert all(size <= 500 or rows.stop - rows.start == 1 for size, rows in zip(sizes, blocks, strict=True))
    assert len(blocks) > 5
