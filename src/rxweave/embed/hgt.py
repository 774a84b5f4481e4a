"""The Heterogeneous Graph Transformer (Hu et al. 2020) on a graph or parts of it, with an output of full rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rxweave.embed.attention import IMPLEMENTATIONS, MessageIndex
from rxweave.embed.made_again import made_again
from rxweave.embed.neighbours import Hop
from rxweave.embed.rowwise import gated_update, normalised_map, typed_linear

COMPUTE: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16}
"""What matrix products and attention take in, by precision; None leaves the type of the parameters."""


@dataclass(frozen=True)
class HGTShape:
    """Everything that fixes the sizes of an encoder's weights."""

    type_offsets: tuple[int, ...]
    """Rows of node type i: `type_offsets[i]:type_offsets[i + 1]`."""
    num_relations: int
    """Directed relations, as `MessageIndex.num_relations` counts them."""
    feature_dim: int = 256
    hidden_dim: int = 256
    """A multiple of `num_heads`."""
    embedding_dim: int = 512
    num_layers: int = 2
    num_heads: int = 8


class HGT(nn.Module):
    """Node features and a message index in, one embedding of `embedding_dim` per node out.

    The output is a linear map of [features ‖ layer 1 ‖ … ‖ layer L] followed by a row LayerNorm without weights: a
    last layer from hidden_dim alone could not have a rank above hidden_dim + 1, whatever embedding_dim says.
    """

    def __init__(
        self, shape: HGTShape, *, generator: torch.Generator, attention: str = "csr", precision: str = "fp32"
    ) -> None:
        super().__init__()
        self.shape = shape
        self.precision = precision
        self.compute = COMPUTE[precision]
        self.input = (
            None
            if shape.feature_dim == shape.hidden_dim
            else TypedLinear(len(shape.type_offsets) - 1, shape.feature_dim, shape.hidden_dim, generator)
        )
        self.layers = nn.ModuleList(HGTLayer(shape, generator, attention, precision) for _ in range(shape.num_layers))
        width = shape.hidden_dim * (shape.num_layers + 1)
        self.output_weight = nn.Parameter(_uniform(generator, shape.embedding_dim, width, fan_in=width))
        self.output_bias = nn.Parameter(torch.zeros(shape.embedding_dim))

    def forward(
        self, features: Float[Tensor, "nodes features"], messages: MessageIndex | Sequence[Hop]
    ) -> Float[Tensor, "receivers embedding"]:
        return self.output(self.states(features, messages))

    def states(
        self, features: Float[Tensor, "nodes features"], messages: MessageIndex | Sequence[Hop]
    ) -> list[Float[Tensor, "receivers hidden"]]:
        """Give what each layer starts from, and what the last one leaves.

        Every layer runs on the same index, or each on a hop of its own; states then narrow, hop by hop, to the nodes
        that the last hop keeps.
        """
        rounds = [messages] * len(self.layers) if isinstance(messages, MessageIndex) else messages
        first = rounds[0] if isinstance(rounds[0], MessageIndex) else rounds[0].index
        states = [features if self.input is None else self.input(features, first.type_offsets)]
        for layer, each in zip(self.layers, rounds, strict=True):
            after = layer(states[-1], each)
            if isinstance(each, Hop):
                states = [state.index_select(0, each.kept) for state in states]
            states.append(after)
        return states

    def output(self, states: list[Float[Tensor, "nodes hidden"]]) -> Float[Tensor, "nodes embedding"]:
        """Give the embeddings that the states of all layers make together."""
        return normalised_map(states, self.output_weight, self.output_bias, self.compute)


class HGTLayer(nn.Module):
    """One round of messages: attention over all incoming edges of a node, relation by relation transformed.

    As in Hu et al. 2020, with the relation matrices on the receiving side: logit = (q W_att) · k and message =
    (Σ share · v) W_msg, which is the same sum and needs transformed rows for the active pairs only.
    """

    def __init__(
        self, shape: HGTShape, generator: torch.Generator, attention: str = "csr", precision: str = "fp32"
    ) -> None:
        super().__init__()
        self.attend = IMPLEMENTATIONS[attention]
        self.compute = COMPUTE[precision]
        self.num_heads = shape.num_heads
        hidden, relations, heads = shape.hidden_dim, shape.num_relations, shape.num_heads
        head_dim = hidden // heads
        num_types = len(shape.type_offsets) - 1
        self.query_key_value = TypedLinear(num_types, hidden, 3 * hidden, generator)
        self.to_key = nn.Parameter(_uniform(generator, relations, heads, head_dim, head_dim, fan_in=head_dim))
        self.to_message = nn.Parameter(_uniform(generator, relations, heads, head_dim, head_dim, fan_in=head_dim))
        self.prior = nn.Parameter(torch.ones(relations, heads))
        self.output = TypedLinear(num_types, hidden, hidden, generator)
        self.skip = nn.Parameter(torch.ones(num_types))

    def forward(
        self, x: Float[Tensor, "nodes hidden"], messages: MessageIndex | Hop
    ) -> Float[Tensor, "receivers hidden"]:
        index = messages if isinstance(messages, MessageIndex) else messages.index

        def queries_keys_values() -> Tensor:
            projected: Tensor = self.query_key_value(x, index.type_offsets, self.compute)
            return projected.view(len(x), 3, self.num_heads, -1)

        # Three states wide, and one matrix product to make: kept by no layer but the one whose turn it is.
        query_key_value = queries_keys_values()
        with made_again(query_key_value, queries_keys_values):
            received = self.receive(query_key_value, index)
        before = x
        if isinstance(messages, Hop):
            before, received = x.index_select(0, messages.kept), received.index_select(0, messages.kept)
        return self.update(before, received, messages.type_offsets)

    def receive(
        self, query_key_value: Float[Tensor, "nodes 3 heads dim"], index: MessageIndex
    ) -> Float[Tensor, "nodes hidden"]:
        """Give the sum of the messages that each node receives."""
        return self.attend(index, query_key_value, self.query_maps(), self.to_message).flatten(1)

    def query_maps(self) -> Float[Tensor, "relations heads dim dim"]:
        """Give what turns queries into what they ask of a relation's keys; its prior and the usual scale are in it."""
        return self.to_key.transpose(2, 3) * (self.prior / math.sqrt(self.to_key.shape[-1]))[..., None, None]

    def update(
        self, x: Float[Tensor, "nodes hidden"], received: Float[Tensor, "nodes hidden"], type_offsets: tuple[int, ...]
    ) -> Float[Tensor, "nodes hidden"]:
        """Give the state of each node after it has received its messages."""
        output, share_new = self.output, torch.sigmoid(self.skip)
        return gated_update(x, received, output.weight, output.bias, share_new, type_offsets, self.compute)


class TypedLinear(nn.Module):
    """A linear map of its own for each node type; node rows are grouped by type."""

    def __init__(self, num_types: int, in_dim: int, out_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(_uniform(generator, num_types, out_dim, in_dim, fan_in=in_dim))
        self.bias = nn.Parameter(torch.zeros(num_types, out_dim))

    def forward(
        self, x: Float[Tensor, "nodes in_dim"], type_offsets: tuple[int, ...], compute: torch.dtype | None = None
    ) -> Float[Tensor, "nodes out_dim"]:
        return typed_linear(x, self.weight, self.bias, type_offsets, compute)


def _uniform(generator: torch.Generator, *size: int, fan_in: int) -> Tensor:
    """Uniform in ±sqrt(3 / fan_in): unit gain (LeCun et al. 1998)."""
    return (torch.rand(*size, generator=generator) * 2 - 1) * math.sqrt(3 / fan_in)
