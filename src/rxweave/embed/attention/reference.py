"""Attention in plain autograd: short, slow, with tensors of edges × dims. The other implementations must agree."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rxweave.embed.attention.index import MessageIndex


def attend_reference(
    index: MessageIndex,
    query: Float[Tensor, "heads nodes dim"],
    key: Float[Tensor, "heads nodes dim"],
    value: Float[Tensor, "heads nodes dim"],
    to_key: Float[Tensor, "relations heads dim dim"],
    to_message: Float[Tensor, "relations heads dim dim"],
) -> Float[Tensor, "heads nodes dim"]:
    """Give each node Σ softmax(q W_key[r] · k) v W_message[r] over its incoming edges; for small graphs and tests.

    The softmax of a node runs over ALL its incoming edges, all relations together (Hu et al. 2020, eq. 3).
    """
    row, source = index.edge_row.long(), index.source.long()
    receiver = index.pair_node[row]
    bounds = torch.tensor(index.relation_rows, device=row.device)
    relation = torch.repeat_interleave(bounds.diff())[row]
    asked = torch.einsum("hed,ehdf->hef", query[:, receiver], to_key[relation])
    logit = (asked * key[:, source]).sum(-1)
    highest = logit.new_full((len(logit), index.num_nodes), -torch.inf)
    highest = highest.scatter_reduce(1, receiver.expand_as(logit), logit.detach(), "amax")
    weight = (logit - highest[:, receiver]).exp()
    total = weight.new_zeros(len(logit), index.num_nodes).index_add(1, receiver, weight)
    share = weight / total[:, receiver]
    message = torch.einsum("hed,ehdf->hef", share.unsqueeze(-1) * value[:, source], to_message[relation])
    return torch.zeros_like(query).index_add(1, receiver, message)
