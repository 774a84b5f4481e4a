"""Attention in plain autograd: short, slow, with tensors of edges × dims. The other implementations must agree."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rxweave.embed.attention.index import MessageIndex


def attend_reference(
    index: MessageIndex,
    query_key_value: Float[Tensor, "nodes 3 heads dim"],
    to_key: Float[Tensor, "relations heads dim dim"],
    to_message: Float[Tensor, "relations heads dim dim"],
) -> Float[Tensor, "nodes heads dim"]:
    """Give each node Σ softmax(q W_key[r] · k) v W_message[r] over its incoming edges; for small graphs and tests.

    The softmax of a node runs over ALL its incoming edges, all relations together (Hu et al. 2020, eq. 3).
    """
    query, key, value = query_key_value.to(to_key.dtype).unbind(1)
    row, source = index.edge_row.long(), index.source.long()
    receiver = index.pair_node[row]
    bounds = torch.tensor(index.relation_rows, device=row.device)
    relation = torch.repeat_interleave(bounds.diff())[row]
    asked = torch.einsum("ehd,ehdf->ehf", query[receiver], to_key[relation])
    logit = (asked * key[source]).sum(-1)
    highest = logit.new_full((index.num_nodes, logit.shape[1]), -torch.inf)
    highest = highest.scatter_reduce(0, receiver[:, None].expand_as(logit), logit.detach(), "amax")
    weight = (logit - highest[receiver]).exp()
    total = torch.zeros_like(highest).index_add(0, receiver, weight)
    share = weight / total[receiver]
    message = torch.einsum("ehd,ehdf->ehf", share.unsqueeze(-1) * value[source], to_message[relation])
    return torch.zeros_like(query).index_add(0, receiver, message)
