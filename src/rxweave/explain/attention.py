"""How much attention the encoder pays along given edges, worked out for the nodes they enter and no others.

An edge's attention is its share of the softmax over all edges that enter its node, of all relations (Hu et al. 2020,
eq. 3). Here it is computed plainly, one receiving node at a time, so that what is held is the edges into one node × the
width of a layer. Attention says where a node's message came from, not what the score would be without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from rxweave.embed.attention.index import Edges, directed_edges
from rxweave.embed.hgt import HGT, HGTLayer
from rxweave.explain.explanation import ExplainingPath, PathStep, StepAttention
from rxweave.explain.named import number_of
from rxweave.graph.build import Graph
from rxweave.kg.names import Node


@dataclass(frozen=True)
class Message:
    """A directed edge: from one node row to another, along a directed relation as `directed_edges` counts them."""

    relation: int
    source: int
    target: int


def directed_relation(graph: Graph, relation: int, *, inverse: bool) -> int:
    """Give the number of a relation's direction: a relation counts one, and its inverse one more unless symmetric."""
    first = sum(1 if each.symmetric else 2 for each in graph.relations[:relation])
    return first + (inverse and not graph.relations[relation].symmetric)


def with_attention(
    paths: Sequence[ExplainingPath],
    encoder: HGT,
    states: Sequence[Float32[np.ndarray, "nodes hidden"]],
    graph: Graph,
) -> tuple[ExplainingPath, ...]:
    """Give the same paths, each step with the attention along it, in both directions; see `attention_along`."""
    steps = list(dict.fromkeys(step for path in paths for step in path.steps))
    messages = [message for step in steps for message in _both_ways(graph, step)]
    shares, even = attention_along(encoder, states, graph, messages)
    found = {
        step: replace(
            step,
            attention=StepAttention(
                forward=tuple(shares[2 * i].tolist()),
                back=tuple(shares[2 * i + 1].tolist()),
                even_forward=float(even[2 * i]),
                even_back=float(even[2 * i + 1]),
            ),
        )
        for i, step in enumerate(steps)
    }
    return tuple(replace(path, steps=tuple(found[step] for step in path.steps)) for path in paths)


def _both_ways(graph: Graph, step: PathStep) -> tuple[Message, Message]:
    ends = step.source.node_type, step.target.node_type
    written = ends[::-1] if step.direction == "against" else ends
    number = next(
        r
        for r, relation in enumerate(graph.relations)
        if (relation.source_type, relation.name, relation.target_type) == (written[0], step.relation, written[1])
    )
    source, target = (_row(graph, node) for node in (step.source, step.target))
    against = step.direction == "against"
    return (
        Message(directed_relation(graph, number, inverse=against), source, target),
        Message(directed_relation(graph, number, inverse=not against), target, source),
    )


def _row(graph: Graph, node: Node) -> int:
    return int(graph.rows_of(node.node_type).start) + number_of(graph, node)


@torch.no_grad()
def attention_along(
    encoder: HGT,
    states: Sequence[Float32[np.ndarray, "nodes hidden"]],
    graph: Graph,
    messages: Sequence[Message],
) -> tuple[Float[np.ndarray, "messages layers"], Float[np.ndarray, " messages"]]:
    """Give the attention share of each message in each layer, the mean over heads; and the even share, 1 / edges in.

    `states` are what each layer starts from (`FinishedRun.layer_states`; one more, after the last, does no harm).
    Raises ValueError for a message along which the graph has no fact.
    """
    edges = list(directed_edges(graph))
    shares = np.empty((len(messages), len(encoder.layers)))
    even = np.empty(len(messages))
    for target in sorted({message.target for message in messages}):
        entering = [_sources(each, target) for each in edges]
        bounds = np.concatenate([[0], np.cumsum([len(sources) for sources in entering])])
        wanted = [place for place, message in enumerate(messages) if message.target == target]
        at = []
        for place in wanted:
            message = messages[place]
            found = np.flatnonzero(entering[message.relation] == message.source)
            if not len(found):
                raise ValueError(
                    f"no edge from {message.source} to {target} along directed relation {message.relation}"
                )
            at.append(bounds[message.relation] + found[0])
        even[wanted] = 1 / bounds[-1]
        for number, layer in enumerate(encoder.layers):
            assert isinstance(layer, HGTLayer)
            shares[wanted, number] = _of_node(layer, torch.from_numpy(states[number]), graph, entering, target)[at]
    return shares, even


def _sources(edges: Edges, target: int) -> np.ndarray:
    source, entered, _ = edges
    found: np.ndarray = source[entered == target]
    return found


def _of_node(
    layer: HGTLayer, x: Float[Tensor, "nodes hidden"], graph: Graph, entering: list[np.ndarray], target: int
) -> Float[np.ndarray, " edges"]:
    """The share of each edge into a node, relation by relation, the mean over heads."""
    hidden, heads = x.shape[1], layer.num_heads
    maps = layer.query_key_value
    own = _type_of(graph, target)
    query = (maps.weight[own, :hidden] @ x[target] + maps.bias[own, :hidden]).view(heads, -1)
    logits = []
    for relation, sources in enumerate(entering):
        if not len(sources):
            continue
        sent = _type_of(graph, int(sources[0]))  # all sources along a relation are of one type
        key = x[torch.from_numpy(sources)] @ maps.weight[sent, hidden : 2 * hidden].T
        key = (key + maps.bias[sent, hidden : 2 * hidden]).view(len(sources), heads, -1)
        asked = torch.einsum("hd,hfd->hf", query, layer.to_key[relation]) * layer.prior[relation, :, None]
        logits.append((key * asked).sum(2) / math.sqrt(key.shape[2]))
    shares: Float[np.ndarray, " edges"] = torch.cat(logits).softmax(0).mean(1).numpy()
    return shares


def _type_of(graph: Graph, row: int) -> int:
    return int(np.searchsorted(graph.type_offsets, row, side="right")) - 1
