"""Attention along single edges: that of the reference operator, which works on the whole graph at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from joined_graphs import joined_graph

from rxweave.embed.attention import build_index
from rxweave.embed.attention.index import directed_edges
from rxweave.embed.attention.reference import attend_reference
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.explain.attention import Message, attention_along, directed_relation
from rxweave.graph.build import Graph

HIDDEN, HEADS = 8, 2


@pytest.fixture(scope="module")
def graph() -> Graph:
    return joined_graph(4, density=0.5)


@pytest.fixture(scope="module")
def encoder(graph: Graph) -> HGT:
    offsets = tuple(graph.type_offsets.tolist())
    shape = HGTShape(offsets, build_index(graph).num_relations, 8, HIDDEN, 8, 2, HEADS)
    made = HGT(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in made.layers:
            layer.prior.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(1))
            layer.query_key_value.bias.normal_(generator=torch.Generator().manual_seed(2))
    return made


@pytest.fixture(scope="module")
def states(graph: Graph, encoder: HGT) -> list[np.ndarray]:
    features = torch.randn(graph.num_nodes, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return [state.numpy() for state in encoder.states(features, build_index(graph))]


def messages_of(graph: Graph) -> list[Message]:
    return [
        Message(relation, int(source), int(target))
        for relation, edges in enumerate(directed_edges(graph))
        for source, target in zip(edges[0], edges[1], strict=True)
    ]


@torch.no_grad()
def of_reference(encoder: HGT, states: list[np.ndarray], graph: Graph, number: int, sender: int) -> np.ndarray:
    """What every node attends to one sender, relation by relation, the mean over heads.

    The operator is given values that are 1 at the sender and 0 elsewhere, and message matrices that let a single
    relation through: what arrives is the share.
    """
    layer, index = encoder.layers[number], build_index(graph)
    x = torch.from_numpy(states[number])
    query_key_value = layer.query_key_value(x, index.type_offsets).view(len(x), 3, HEADS, -1).clone()
    query_key_value[:, 2] = 0.0
    query_key_value[sender, 2] = 1.0
    scale = layer.prior / (HIDDEN // HEADS) ** 0.5
    to_key = layer.to_key.transpose(2, 3) * scale[..., None, None]
    found = []
    for relation in range(index.num_relations):
        to_message = torch.zeros_like(to_key)
        to_message[relation] = torch.eye(HIDDEN // HEADS)
        found.append(attend_reference(index, query_key_value, to_key, to_message).mean(dim=(1, 2)).numpy())
    return np.stack(found)


def test_shares_are_those_of_the_reference_in_every_layer(graph: Graph, encoder: HGT, states: list[np.ndarray]) -> None:
    messages = messages_of(graph)
    shares, even = attention_along(encoder, states, graph, messages)
    for number in range(2):
        for sender in (0, 5, graph.num_nodes - 1):
            expected = of_reference(encoder, states, graph, number, sender)
            mine = [place for place, message in enumerate(messages) if message.source == sender]
            assert mine
            for place in mine:
                message = messages[place]
                assert shares[place, number] == pytest.approx(expected[message.relation, message.target], abs=1e-6)
    targets = np.array([message.target for message in messages])
    for target in np.unique(targets):
        np.testing.assert_allclose(shares[targets == target].sum(axis=0), 1, rtol=1e-5)
        np.testing.assert_allclose(even[targets == target], 1 / (targets == target).sum())


def test_directions_are_numbered_as_the_encoder_numbers_them(graph: Graph) -> None:
    edges = list(directed_edges(graph))
    for number, (relation, (source, target)) in enumerate(zip(graph.relations, graph.facts, strict=True)):
        for inverse in (False, True):
            found = edges[directed_relation(graph, number, inverse=inverse)]
            there = set(zip(found[0].tolist(), found[1].tolist(), strict=True))
            ends = (target, source) if inverse else (source, target)
            assert set(zip(*map(np.ndarray.tolist, ends), strict=True)) <= there, relation


def test_an_edge_that_is_not_there_is_refused(graph: Graph, encoder: HGT, states: list[np.ndarray]) -> None:
    absent = next(
        Message(0, 4 + drug, disease)
        for drug in range(4)
        for disease in range(4)
        if [4 + drug, disease] not in graph.facts[0].T.tolist() and disease in graph.facts[0][1]
    )
    with pytest.raises(ValueError, match="no edge from 4 to 0 along directed relation 0"):
        attention_along(encoder, states, graph, [absent])
