"""Exact attention through sparse matrix products: memory grows with edges + nodes × dims, never edges × dims.

One head at a time: the logits are a sampled dense product on the pattern of the index, the weighted sums a sparse
times dense product, and the relation matrices act on the receiving side, where one row stands for all edges of a
relation into a node. The backward pass keeps only queries, keys, values and a log-sum-exp per node, and computes
the rest again, as FlashAttention does (Dao et al. 2022): nothing of pairs × dims outlives its head.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rxweave.embed.attention.index import MessageIndex


def attend_csr(
    index: MessageIndex,
    query_key_value: Float[Tensor, "nodes 3 heads dim"],
    to_key: Float[Tensor, "relations heads dim dim"],
    to_message: Float[Tensor, "relations heads dim dim"],
) -> Float[Tensor, "nodes heads dim"]:
    """Give each node Σ softmax(q W_key[r] · k) v W_message[r] over its incoming edges, on CPU or CUDA.

    The softmax of a node runs over ALL its incoming edges, all relations together (Hu et al. 2020, eq. 3); a node
    without edges receives zeros. float32, float64, or bfloat16 queries, keys and values with float32 matrices.
    """
    result: Tensor = _CsrAttention.apply(  # type: ignore[no-untyped-call]  # torch's stub has no types
        query_key_value, to_key, to_message, index
    )
    return result


class _CsrAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query_key_value: Tensor, to_key: Tensor, to_message: Tensor, index: MessageIndex) -> Tensor:
        nodes, _, heads, dim = query_key_value.shape
        received = to_key.new_empty(nodes, heads, dim)
        log_total = to_key.new_empty(heads, nodes)
        for head in range(heads):
            query, key, value = _one_head(query_key_value, head, to_key.dtype)
            logit = _products(index, _ask(index, query, to_key[:, head]), key)
            log_total[head] = _log_sum_exp_per_node(index, logit)
            share = _softmax(index, logit, log_total[head])
            gathered = _matrix(index, share) @ value
            received_here = torch.zeros_like(query)
            for r, rows, node in _relation_blocks(index):
                received_here.index_add_(0, node, gathered[rows] @ to_message[r, head])
            received[:, head] = received_here
        ctx.index = index
        ctx.save_for_backward(query_key_value, to_key, to_message, log_total)
        return received

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (d_received,) = grads
        index: MessageIndex = ctx.index
        query_key_value, to_key, to_message, log_total = ctx.saved_tensors
        d_query_key_value = torch.empty_like(query_key_value, dtype=to_key.dtype)
        d_to_key, d_to_message = torch.zeros_like(to_key), torch.zeros_like(to_message)
        for head in range(query_key_value.shape[2]):
            query, key, value = _one_head(query_key_value, head, to_key.dtype)
            d_received_here = d_received[:, head].contiguous()
            asked = _ask(index, query, to_key[:, head])
            share = _softmax(index, _products(index, asked, key), log_total[head])
            gathered = _matrix(index, share) @ value

            d_gathered = torch.empty_like(gathered)
            for r, rows, node in _relation_blocks(index):
                d_block = d_received_here.index_select(0, node)
                torch.mm(d_block, to_message[r, head].T, out=d_gathered[rows])
                d_to_message[r, head] = gathered[rows].T @ d_block
            d_query_key_value[:, 2, head] = _to_sources(index, share, d_gathered)

            # Σ share · dshare over the edges of a node, without touching them: dO · O summed over its pairs.
            along = query.new_zeros(index.num_nodes)
            along.index_add_(0, index.pair_node, (d_gathered * gathered).sum(1))
            d_logit = _products(index, d_gathered, value)
            d_logit.sub_(_to_edges(index, along)).mul_(share)

            d_query_key_value[:, 1, head] = _to_sources(index, d_logit, asked)
            d_asked = _matrix(index, d_logit) @ key
            d_query = torch.zeros_like(query)
            for r, rows, node in _relation_blocks(index):
                d_query.index_add_(0, node, d_asked[rows] @ to_key[r, head].T)
                d_to_key[r, head] = query.index_select(0, node).T @ d_asked[rows]
            d_query_key_value[:, 0, head] = d_query
        return d_query_key_value.to(query_key_value.dtype), d_to_key, d_to_message, None


def _one_head(
    query_key_value: Float[Tensor, "nodes 3 heads dim"], head: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = (query_key_value[:, part, head].to(dtype).contiguous() for part in range(3))
    return query, key, value


def _relation_blocks(index: MessageIndex) -> Iterator[tuple[int, slice, Tensor]]:
    """Each relation that has pairs, its rows, and the node that receives in each row (every node once)."""
    for r, (start, stop) in enumerate(pairwise(index.relation_rows)):
        if stop > start:
            yield r, slice(start, stop), index.pair_node[start:stop]


def _ask(
    index: MessageIndex, query: Float[Tensor, "nodes dim"], to_key: Float[Tensor, "relations dim dim"]
) -> Float[Tensor, "pairs dim"]:
    """The query of each pair: that of its node, times the matrix of its relation."""
    asked = query.new_empty(index.num_pairs, query.shape[1])
    for r, rows, node in _relation_blocks(index):
        torch.mm(query.index_select(0, node), to_key[r], out=asked[rows])
    return asked


def _products(
    index: MessageIndex, left: Float[Tensor, "pairs dim"], right: Float[Tensor, "nodes dim"]
) -> Float[Tensor, " edges"]:
    """left[row] · right[source] for every edge."""
    pattern = _matrix(index, left.new_zeros(index.num_edges))
    products: Tensor = torch.sparse.sampled_addmm(pattern, left, right.t(), beta=0.0).values()
    return products


def _log_sum_exp_per_node(index: MessageIndex, logit: Float[Tensor, " edges"]) -> Float[Tensor, " nodes"]:
    bounds = index.row_start.long()
    highest_of_row = torch.segment_reduce(logit, "max", offsets=bounds, unsafe=True)
    highest = logit.new_full((index.num_nodes,), -torch.inf)
    highest.scatter_reduce_(0, index.pair_node, highest_of_row, "amax")
    highest.clamp_(min=torch.finfo(logit.dtype).min)  # a node without edges: keep -inf out of the arithmetic
    weight = (logit - _to_edges(index, highest)).exp_()
    total_of_row = torch.segment_reduce(weight, "sum", offsets=bounds, unsafe=True)
    total = torch.zeros_like(highest).index_add_(0, index.pair_node, total_of_row)
    return highest + total.log()


def _softmax(
    index: MessageIndex, logit: Float[Tensor, " edges"], log_total: Float[Tensor, " nodes"]
) -> Float[Tensor, " edges"]:
    """Turn logits into attention shares, in place."""
    return logit.sub_(_to_edges(index, log_total)).exp_()


def _to_edges(index: MessageIndex, per_node: Float[Tensor, " nodes"]) -> Float[Tensor, " edges"]:
    """Give every edge the value of the node it enters."""
    return per_node[index.pair_node].index_select(0, index.edge_row)


def _matrix(index: MessageIndex, values: Float[Tensor, " edges"]) -> Tensor:
    """The pairs × nodes matrix with these values."""
    return _sparse(index.row_start, index.source, values, (index.num_pairs, index.num_nodes))


def _to_sources(
    index: MessageIndex, values: Float[Tensor, " edges"], of_pair: Float[Tensor, "pairs dim"]
) -> Float[Tensor, "nodes dim"]:
    """Give each node the sum, over the edges that leave it, of value × what stands at the edge's row."""
    by_sender = values.index_select(0, index.to_sender_order)
    matrix = _sparse(index.sender_start, index.sender_row, by_sender, (index.num_senders, index.num_pairs))
    return of_pair.new_zeros(index.num_nodes, of_pair.shape[1]).index_add_(0, index.sender_node, matrix @ of_pair)


def _sparse(start: Int[Tensor, " _"], column: Int[Tensor, " _"], values: Tensor, size: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():
        # torch calls its CSR tensors beta; the products used here are tested against autograd.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(start, column, values, size=size, check_invariants=False)
