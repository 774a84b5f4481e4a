"""The same encoder made of PyTorch Geometric's `HGTConv`: the yardstick of the speed benchmark (extra `pyg`).

Two layers of `HGTConv` and our output head: a linear map of the features and of both layers' states together, then a
LayerNorm. `HGTConv` puts the relation matrices on the sending side; the sums, the number of weights and the sizes are
those of `rxweave.embed.hgt.HGT`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn import HGTConv

EdgeType = tuple[str, str, str]


class PatchedHGTConv(HGTConv):  # type: ignore[misc]  # torch_geometric has no types
    """`HGTConv` whose relation matrices are applied by one batched product per edge type; the outputs are the same.

    As shipped and without pyg-lib, it loops over heads × edge types slices of one tensor, whose backward pass fills a
    gradient of full size for every slice.
    """

    def _construct_src_node_feat(
        self,
        k_dict: dict[str, Float[Tensor, "_ heads dim"]],
        v_dict: dict[str, Float[Tensor, "_ heads dim"]],
        edge_index_dict: dict[EdgeType, Int[Tensor, "2 _"]],
    ) -> tuple[Float[Tensor, "rows heads dim"], Float[Tensor, "rows heads dim"], dict[EdgeType, int]]:
        to_key, to_value = self._per_edge_type(self.k_rel.weight), self._per_edge_type(self.v_rel.weight)
        keys, values, first_row, rows = [], [], {}, 0
        for edge_type in edge_index_dict:
            key, value = k_dict[edge_type[0]], v_dict[edge_type[0]]
            r = self.edge_types_map[edge_type]
            keys.append(_head_by_head(key, to_key[r]))
            values.append(_head_by_head(value, to_value[r]))
            first_row[edge_type] = rows
            rows += len(key)
        return torch.cat(keys), torch.cat(values), first_row

    def _per_edge_type(self, weight: Float[Tensor, "blocks dim dim"]) -> tuple[Float[Tensor, "heads dim dim"], ...]:
        # PyG numbers the blocks head by head: head * edge types + edge type.
        return weight.view(self.heads, len(self.edge_types), *weight.shape[1:]).unbind(1)


def _head_by_head(
    x: Float[Tensor, "nodes heads dim"], weight: Float[Tensor, "heads dim dim"]
) -> Float[Tensor, "nodes heads dim"]:
    return torch.bmm(x.transpose(0, 1), weight).transpose(0, 1)


class PyGEncoder(nn.Module):
    """Features of each node type and the edges of each edge type in, embeddings of each node type out."""

    def __init__(
        self,
        metadata: tuple[list[str], list[EdgeType]],
        *,
        hidden_dim: int,
        embedding_dim: int,
        num_layers: int,
        num_heads: int,
        patched: bool,
    ) -> None:
        super().__init__()
        conv = PatchedHGTConv if patched else HGTConv
        self.layers = nn.ModuleList(conv(hidden_dim, hidden_dim, metadata, heads=num_heads) for _ in range(num_layers))
        self.hidden_dim = hidden_dim
        head = nn.Linear(hidden_dim * (num_layers + 1), embedding_dim)
        self.output_weight, self.output_bias = head.weight, head.bias

    def forward(
        self, features: dict[str, Float[Tensor, "_ hidden"]], edges: dict[EdgeType, Int[Tensor, "2 _"]]
    ) -> dict[str, Float[Tensor, "_ embedding"]]:
        states = [features]
        for layer in self.layers:
            states.append(layer(states[-1], edges))
        weights = torch.split(self.output_weight, self.hidden_dim, 1)
        embeddings = {}
        for node_type in features:
            output: Tensor = self.output_bias
            for state, weight in zip(states, weights, strict=True):
                output = torch.addmm(output, state[node_type], weight.T)
            embeddings[node_type] = F.layer_norm(output, output.shape[1:])
        return embeddings
