"""Embeddings of every node from all of its edges, layer by layer, a block of nodes at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rxweave.embed.hgt import HGT, HGTLayer
from rxweave.embed.neighbours import IncomingEdges, hop, marked
from rxweave.embed.rowwise import ROWS, normalise, typed_linear

EDGES_AT_ONCE = 131_072
"""Edges of a block, each node counting as one more; a *hub*, which receives more, is a block of its own."""


@torch.no_grad()
def embed_layer_by_layer(
    encoder: HGT, features: Float[Tensor, "nodes features"], edges: IncomingEdges
) -> Float[Tensor, "nodes embedding"]:
    """Give, on the CPU, the embeddings that `encoder(features, index)` gives on the whole graph.

    Held at a time, on the CPU: of every node its features, its state in one layer, its key and value there (in the
    encoder's precision), and its embedding so far. On the encoder's device: a block of nodes, the edges that enter
    them (`EDGES_AT_ONCE`), and what these carry; of a hub, a piece of its edges at a time. Never the states of two
    layers, nor an index of the whole graph.
    """
    states = torch.cat([_input(encoder, features, rows, edges.type_offsets) for rows in _row_blocks(len(features))])
    total = encoder.output_bias.cpu().repeat(len(states), 1)
    widths = [states.shape[1]] * (len(encoder.layers) + 1)
    parts = torch.split(encoder.output_weight.to(encoder.compute or states.dtype), widths, 1)
    _add_mapped(total, states, parts[0])
    for layer, part in zip(encoder.layers, parts[1:], strict=True):
        assert isinstance(layer, HGTLayer)
        _pass_messages(layer, states, edges)
        _add_mapped(total, states, part)
    for rows in _row_blocks(len(total)):
        total[rows] = normalise(total[rows])[0]
    return total


def _input(
    encoder: HGT, features: Float[Tensor, "nodes features"], rows: slice, type_offsets: tuple[int, ...]
) -> Float[Tensor, "rows hidden"]:
    block = features[rows]
    if encoder.input is not None:
        block = encoder.input(block.to(encoder.output_weight.device), _offsets_within(rows, type_offsets))
    return block.cpu()


def _pass_messages(layer: HGTLayer, states: Float[Tensor, "nodes hidden"], edges: IncomingEdges) -> None:
    """Replace each state by that after a round of messages."""
    nodes, hidden = states.shape
    maps, offsets = layer.query_key_value, edges.type_offsets
    device, heads = maps.weight.device, layer.num_heads
    carried = states.new_empty(nodes, 2 * hidden, dtype=layer.compute or states.dtype)
    for rows in _row_blocks(nodes):
        weight, bias = maps.weight[:, hidden:], maps.bias[:, hidden:]
        x = states[rows].to(device)
        carried[rows] = typed_linear(x, weight, bias, _offsets_within(rows, offsets), layer.compute).cpu()
    for rows, is_hub in _edge_blocks(edges):
        if is_hub:
            states[rows] = _after_messages_to_hub(layer, states[rows].to(device), carried, edges, rows).cpu()
            continue
        incoming = list(edges.into(rows))
        receivers = np.arange(rows.start, rows.stop)
        known = marked(nodes, receivers, *(source for source, _, _ in incoming))
        block = hop(incoming, known, receivers, offsets).to(device)
        x = states[rows].to(device)
        asked = typed_linear(x, maps.weight[:, :hidden], maps.bias[:, :hidden], block.type_offsets, layer.compute)
        query_key_value = asked.new_zeros(len(known), 3 * hidden)
        query_key_value[:, hidden:] = carried[torch.from_numpy(known)].to(device)
        query_key_value[block.kept, :hidden] = asked
        received = layer.receive(query_key_value.view(len(known), 3, heads, -1), block.index)
        states[rows] = layer.update(x, received.index_select(0, block.kept), block.type_offsets).cpu()


def _after_messages_to_hub(
    layer: HGTLayer,
    x: Float[Tensor, "1 hidden"],
    carried: Float[Tensor, "nodes two_hidden"],
    edges: IncomingEdges,
    hub: slice,
) -> Float[Tensor, "1 hidden"]:
    """Give the state of one node after its messages, `ROWS` of them at a time.

    The sums are rescaled whenever a larger logit turns up (Milakov & Gimelshein 2018), so that no array grows with the
    number of edges; relation matrices are linear, so each piece goes through its own.
    """
    maps, heads, hidden = layer.query_key_value, layer.num_heads, x.shape[1]
    offsets = _offsets_within(hub, edges.type_offsets)
    asked = typed_linear(x, maps.weight[:, :hidden], maps.bias[:, :hidden], offsets, layer.compute)
    query = asked.view(heads, -1).to(x.dtype)
    query_maps = layer.query_maps()
    highest, total = x.new_full((heads, 1), -torch.inf), x.new_zeros(heads, 1)
    received = torch.zeros_like(query)
    for relation, (sources, _, _) in enumerate(edges.into(hub)):
        asks = torch.einsum("hd,hde->he", query, query_maps[relation])
        for piece in _row_blocks(len(sources)):
            sent = carried[torch.from_numpy(sources[piece])].to(x.device).view(piece.stop - piece.start, 2, heads, -1)
            key, value = (part.to(x.dtype) for part in sent.unbind(1))
            logit = torch.einsum("hd,ehd->he", asks, key)
            before, highest = highest, torch.maximum(highest, logit.amax(1, keepdim=True))
            weight, rescaled = (logit - highest).exp_(), (before - highest).exp_()
            message = torch.einsum("he,ehd,hdf->hf", weight, value, layer.to_message[relation])
            received = received * rescaled + message
            total = total * rescaled + weight.sum(1, keepdim=True)
    return layer.update(x, (received / total).view(1, hidden), offsets)


def _add_mapped(
    total: Float[Tensor, "nodes embedding"], states: Float[Tensor, "nodes hidden"], part: Float[Tensor, "out hidden"]
) -> None:
    for rows in _row_blocks(len(states)):
        total[rows] += (states[rows].to(part.device, part.dtype) @ part.T).to("cpu", total.dtype)


def _row_blocks(num_nodes: int) -> Iterator[slice]:
    for first in range(0, num_nodes, ROWS):
        yield slice(first, min(first + ROWS, num_nodes))


def _edge_blocks(edges: IncomingEdges) -> Iterator[tuple[slice, bool]]:
    """Nodes in order, as many at a time as receive `EDGES_AT_ONCE` edges; or one that alone receives more: a hub."""
    degree = 1 + np.bincount(edges.pair_node, np.diff(edges.row_start), edges.num_nodes).astype(np.int64)
    up_to = np.cumsum(degree)
    first = 0
    while first < edges.num_nodes:
        before = up_to[first] - degree[first]
        last = max(first + 1, int(np.searchsorted(up_to, before + EDGES_AT_ONCE, side="right")))
        yield slice(first, last), bool(degree[first] > EDGES_AT_ONCE)
        first = last


def _offsets_within(rows: slice, type_offsets: tuple[int, ...]) -> tuple[int, ...]:
    """Type offsets of a block of rows, counted from its first."""
    return tuple(min(max(offset, rows.start), rows.stop) - rows.start for offset in type_offsets)
