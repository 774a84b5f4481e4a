"""Where NaN and infinity came from: which tensor, and which relation or node type of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from rxweave.embed.attention import MessageIndex
from rxweave.embed.decoder import DistMult
from rxweave.embed.hgt import HGT
from rxweave.embed.neighbours import Hop
from rxweave.graph.build import Graph


class NotFiniteError(ArithmeticError):
    """A value of a step is NaN or infinite; the message names the value."""


def check_finite(value: float, what: str) -> None:
    """Raise NotFiniteError, naming `what`, unless the value is a finite number."""
    if not torch.isfinite(torch.tensor(value)):
        raise NotFiniteError(f"{what} is {value}")


def bad_parameter(graph: Graph, encoder: HGT, decoder: DistMult, features: Tensor) -> str | None:
    """Name the first weight that is not finite, and the relation or node type it belongs to; None if all are."""
    return _first_bad(graph, "parameter", _named(encoder, decoder, features))


def bad_gradient(graph: Graph, encoder: HGT, decoder: DistMult, features: Tensor) -> str | None:
    """Name the first gradient that is not finite, as `bad_parameter` does."""
    gradients = ((name, tensor.grad) for name, tensor in _named(encoder, decoder, features))
    return _first_bad(graph, "gradient of", ((name, grad) for name, grad in gradients if grad is not None))


def bad_activation(graph: Graph, encoder: HGT, features: Tensor, messages: MessageIndex | Sequence[Hop]) -> str | None:
    """Run the encoder once more and name the first of its parts whose output is not finite."""
    found: list[str] = []
    told = partial(_told_of_rows, graph, messages)

    def look(name: str) -> Callable[[nn.Module, tuple[object, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: Tensor) -> None:
            if not found and not bool(torch.isfinite(output).all()):
                found.append(told(name, output))

        return hook

    hooks = [part.register_forward_hook(look(f"encoder.{name}")) for name, part in encoder.named_modules() if name]
    try:
        with torch.no_grad():
            output = encoder(features, messages)
    finally:
        for hook in hooks:
            hook.remove()
    if not found and not bool(torch.isfinite(output).all()):
        found.append(told("encoder", output))
    return found[0] if found else None


def bad_rows(graph: Graph, vectors: Tensor) -> str | None:
    """Name the node type of the first vector that is not finite, and how many values are not; None if all are."""
    return None if bool(torch.isfinite(vectors).all()) else _told(graph, "", "embeddings", vectors)


def _named(encoder: HGT, decoder: DistMult, features: Tensor) -> Iterable[tuple[str, Tensor]]:
    yield "features", features
    for part, module in (("encoder", encoder), ("decoder", decoder)):
        for name, parameter in module.named_parameters():
            yield f"{part}.{name}", parameter


def _first_bad(graph: Graph, kind: str, tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    for name, tensor in tensors:
        if not bool(torch.isfinite(tensor).all()):
            return _told(graph, kind, name, tensor)
    return None


def _told(graph: Graph, kind: str, name: str, tensor: Tensor) -> str:
    """`parameter encoder.layers.0.to_key, of drug –indication→ disease: 3 of 1,024 values`."""
    bad = ~torch.isfinite(tensor.detach())
    first = int(bad.flatten(1).any(1).nonzero()[0]) if tensor.dim() > 1 else int(bad.nonzero()[0])
    owner = _owner(graph, name, len(tensor), first)
    count = f"{int(bad.sum()):,} of {bad.numel():,} values"
    return f"{kind} {name}".strip() + (f", of {owner}" if owner else "") + f": {count}"


def _told_of_rows(graph: Graph, messages: MessageIndex | Sequence[Hop], name: str, output: Tensor) -> str:
    """As `_told`, of rows that may be a part of the graph's: as many as one of the messages counts."""
    counted = [messages] if isinstance(messages, MessageIndex) else [m for hop in messages for m in (hop.index, hop)]
    offsets = next(each.type_offsets for each in counted if each.type_offsets[-1] == len(output))
    return _told(replace(graph, type_offsets=np.array(offsets)), "output of", name, output)


def _owner(graph: Graph, name: str, length: int, row: int) -> str | None:
    """Whose row this is: weights are stacked by relation or by node type, vectors by node."""
    if name.startswith("decoder."):
        return str(graph.relations[row])
    if length == graph.num_nodes:
        return next(t for t in graph.node_types if row < graph.rows_of(t).stop)
    if name.rpartition(".")[2] in ("to_key", "to_message", "prior"):
        return directed_relations(graph)[row]
    return graph.node_types[row] if length == len(graph.node_types) else None


def directed_relations(graph: Graph) -> list[str]:
    """Name the relations of a message index in its order: each, followed by its inverse unless it is symmetric."""
    names = []
    for relation in graph.relations:
        names += [str(relation)] if relation.symmetric else [str(relation), f"the inverse of {relation}"]
    return names
