"""Layer by layer, a block of nodes at a time, gives what one pass over the whole graph gives."""

from __future__ import annotations

import pytest
import torch
from attention_cases import PART_OF, graph_of, random_graph

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


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 2e-2)])
def test_a_node_with_more_edges_than_a_block_receives_them_in_pieces(
    small_graph: Graph, monkeypatch: pytest.MonkeyPatch, precision: str, tolerance: float
) -> None:
    monkeypatch.setattr(layerwise, "EDGES_AT_ONCE", 30)
    monkeypatch.setattr(layerwise, "ROWS", 7)
    encoder = encoder_for(small_graph, "csr", precision=precision)
    features = torch.randn(small_graph.num_nodes, 32, generator=torch.Generator().manual_seed(1))
    edges = IncomingEdges.of(small_graph)
    hubs = [rows for rows, is_hub in layerwise._edge_blocks(edges) if is_hub]
    relations = [sum(len(source) > 7 for source, _, _ in edges.into(hub)) for hub in hubs]
    assert 20 < len(hubs) < small_graph.num_nodes / 2
    assert max(relations) > 1, "no hub receives several pieces along several relations"
    found = layerwise.embed_layer_by_layer(encoder, features, edges)
    with torch.no_grad():
        whole = encoder(features, build_index(small_graph))
    torch.testing.assert_close(found, whole, rtol=tolerance, atol=tolerance)


def test_pieces_of_a_hub_that_comes_with_ever_larger_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layerwise, "EDGES_AT_ONCE", 100)
    monkeypatch.setattr(layerwise, "ROWS", 50)
    graph = graph_of({"gene": 300, "genome": 1}, {PART_OF: [(gene, 0) for gene in range(300)]})
    encoder = encoder_for(graph, "csr")
    for layer in encoder.layers:
        layer.prior.data *= 30  # logits of hundreds, past what exp can hold in float32
    features = torch.randn(graph.num_nodes, 32, generator=torch.Generator().manual_seed(1))
    features[:300] *= torch.linspace(0.1, 5, 300)[:, None]
    found = layerwise.embed_layer_by_layer(encoder, features, IncomingEdges.of(graph))
    with torch.no_grad():
        torch.testing.assert_close(found, encoder(features, build_index(graph)), rtol=1e-4, atol=1e-4)


def test_the_edges_of_a_hub_are_never_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layerwise, "EDGES_AT_ONCE", 1000)
    monkeypatch.setattr(layerwise, "ROWS", 500)
    leaves = 20_000
    graph = graph_of({"gene": leaves, "genome": 1}, {PART_OF: [(gene, 0) for gene in range(leaves)]})
    encoder, edges = encoder_for(graph, "csr"), IncomingEdges.of(graph)
    features = torch.randn(graph.num_nodes, 32, generator=torch.Generator().manual_seed(1))
    alive = highest = 0
    with torch.profiler.profile(profile_memory=True) as profile:
        found = layerwise.embed_layer_by_layer(encoder, features, edges)
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            highest = max(highest, alive)
    state = 4 * 32 * graph.num_nodes
    kept = 3 * state + found.nbytes  # states, keys and values
    assert kept <= highest < kept + 0.5 * state


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
    assert [i for rows, _ in blocks for i in range(rows.start, rows.stop)] == list(range(small_graph.num_nodes))
    sizes = [sum(len(source) for source, _, _ in edges.into(rows)) + rows.stop - rows.start for rows, _ in blocks]
    assert sum(sizes) == edges.num_edges + small_graph.num_nodes
    for size, (rows, is_hub) in zip(sizes, blocks, strict=True):
        assert is_hub == (size > 500)
        assert size <= 500 or rows.stop - rows.start == 1
    assert len(blocks) > 5
