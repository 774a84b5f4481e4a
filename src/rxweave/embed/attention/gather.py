"""Exact attention a few thousand edges at a time, in dense operations only: for Apple's MPS, and the last resort.

The edges of one relation are cut into chunks of at most `CHUNK_EDGES`, wherever that falls: inside a pair, inside a
node. A chunk gathers the keys and values of its edges and folds what it finds into running sums per node, rescaled
when a larger logit turns up (the online softmax of Milakov and Gimelshein 2018). Relation matrices act on the
receiving side and are linear, so a pair cut in two is simply two smaller pairs. The backward pass keeps one
log-sum-exp per node and head, and computes the rest again (Dao et al. 2022).

Memory: inputs, output and gradients, four scratch tensors of chunk × hidden, and a few more while a chunk has many
pairs; nothing grows with the number of edges but one small object per chunk. No sparse tensors, no
`segment_reduce` (MPS has neither), and no float64 unless the input is float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rxweave.embed.attention.index import MessageIndex

CHUNK_EDGES = 8192

QUERY, KEY, VALUE = range(3)


def attend_gather(
    index: MessageIndex,
    query_key_value: Float[Tensor, "nodes 3 heads dim"],
    to_key: Float[Tensor, "relations heads dim dim"],
    to_message: Float[Tensor, "relations heads dim dim"],
) -> Float[Tensor, "nodes heads dim"]:
    """Give each node Σ softmax(q W_key[r] · k) v W_message[r] over its incoming edges, on any device.

    The softmax of a node runs over ALL its incoming edges, all relations together (Hu et al. 2020, eq. 3); a node
    without edges receives zeros. float32, float64 (not on MPS), or bfloat16 for what is stored per node; arithmetic and
    sums are at least float32, and the result has the wider type of node table and matrices.

    On a CPU it took 2.1 times the CPU seconds of `csr` (float32, 8 heads of 32, 926,000 edges, one core). On MPS the
    order of the additions in `index_add_` is not fixed (pytorch issue 161029), so two runs with one seed agree to
    rounding only; on a CPU they are equal.
    """
    return attend_in_chunks(index, query_key_value, to_key, to_message, chunk_edges=CHUNK_EDGES)


def attend_in_chunks(
    index: MessageIndex,
    query_key_value: Float[Tensor, "nodes 3 heads dim"],
    to_key: Float[Tensor, "relations heads dim dim"],
    to_message: Float[Tensor, "relations heads dim dim"],
    *,
    chunk_edges: int,
) -> Float[Tensor, "nodes heads dim"]:
    """As `attend_gather`, with at most `chunk_edges` (≥ 1) edges at a time: results differ by rounding only."""
    result: Tensor = _ChunkedAttention.apply(  # type: ignore[no-untyped-call]  # torch's stub has no types
        query_key_value, to_key, to_message, index, cut_into_chunks(index, chunk_edges)
    )
    return result


@dataclass(frozen=True)
class Chunk:
    """Consecutive edges of one relation, and the pairs (rows of the index) they belong to."""

    relation: int
    rows: slice
    edges: slice


def cut_into_chunks(index: MessageIndex, chunk_edges: int) -> list[Chunk]:
    """Cut the edges of every relation into chunks of at most `chunk_edges` edges and `chunk_edges` + 1 rows.

    Rows are bounded too because hidden facts leave empty ones, which a chunk of few edges could span by the
    thousand. So each row is counted as one more item in front of its edges, and the items are cut evenly.
    """
    row_start = index.row_start.cpu().numpy().astype(np.int64)
    item_of_row = row_start + np.arange(len(row_start))
    chunks = []
    for relation, (first_row, last_row) in enumerate(pairwise(index.relation_rows)):
        items = np.arange(item_of_row[first_row], item_of_row[last_row] + chunk_edges, chunk_edges)
        row_at = np.clip(np.searchsorted(item_of_row, items) - 1, first_row, last_row - 1)
        edge_at = np.unique(np.clip(items - row_at - 1, row_start[row_at], row_start[row_at + 1]))
        row_from = np.searchsorted(row_start, edge_at[:-1], side="right") - 1
        row_to = np.searchsorted(row_start, edge_at[1:], side="left")
        for bounds in np.stack([row_from, row_to, edge_at[:-1], edge_at[1:]], axis=1).tolist():
            chunks.append(Chunk(relation, slice(*bounds[:2]), slice(*bounds[2:])))
    return chunks


class _ChunkedAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query_key_value: Tensor, to_key: Tensor, to_message: Tensor, index: MessageIndex, chunks: list[Chunk]
    ) -> Tensor:
        nodes, _, heads, dim = query_key_value.shape
        work = _Workspace.of(query_key_value, chunks)
        wide_to_key, wide_to_message = to_key.to(work.dtype), to_message.to(work.dtype)
        received = work.key.new_zeros(nodes, heads, dim)
        total = work.key.new_zeros(nodes, heads)
        # The lowest finite number instead of -inf: the difference of two of them is 0, not NaN.
        highest = torch.full_like(total, torch.finfo(work.dtype).min)
        for chunk in chunks:
            node, row, source = _places(index, chunk)
            asked = _transform(work.node_rows(node, QUERY), wide_to_key[chunk.relation])
            logit = work.products(work.gather_key(source), asked, row)
            old = highest[node]
            new = old.scatter_reduce(0, row[:, None].expand_as(logit), logit, "amax")
            weight = (logit - new[row]).exp_()
            shrink = (old - new).exp_()
            gathered = work.sum_per_row(work.gather_value(source), weight, row, len(node))
            # A node is in a chunk at most once: each relation has one row for it.
            received[node] = received[node] * shrink[..., None] + _transform(gathered, wide_to_message[chunk.relation])
            total[node] = (total[node] * shrink).index_add_(0, row, weight)
            highest[node] = new
        total[total == 0] = 1  # a node without edges has received zeros
        received /= total[..., None]
        ctx.index, ctx.chunks = index, chunks
        # `received` unrounded: the backward pass subtracts what it gives from numbers close to it.
        ctx.save_for_backward(query_key_value, to_key, to_message, received, highest + total.log())
        return received.to(torch.promote_types(query_key_value.dtype, to_key.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (d_received,) = grads
        index: MessageIndex = ctx.index
        chunks: list[Chunk] = ctx.chunks
        query_key_value, to_key, to_message, received, log_total = ctx.saved_tensors
        work = _Workspace.of(query_key_value, chunks)
        wide_to_key, wide_to_message = to_key.to(work.dtype), to_message.to(work.dtype)
        d_table = torch.zeros_like(work.table, dtype=work.dtype)
        d_to_key, d_to_message = torch.zeros_like(wide_to_key), torch.zeros_like(wide_to_message)
        # Σ share · dshare over the edges of a node, without touching them: what it received times its gradient.
        along = (d_received.to(work.dtype) * received).sum(-1)
        for chunk in chunks:
            r = chunk.relation
            node, row, source = _places(index, chunk)
            query = work.node_rows(node, QUERY)
            asked = _transform(query, wide_to_key[r])
            d_message = d_received[node].to(work.dtype)
            d_gathered = _transform(d_message, wide_to_message[r].transpose(1, 2))

            key, value = work.gather_key(source), work.gather_value(source)
            share = (work.products(key, asked, row) - log_total[node][row]).exp_()
            d_logit = (work.products(value, d_gathered, row) - along[node][row]).mul_(share)

            gathered = work.sum_per_row(value, share, row, len(node))
            d_asked = work.sum_per_row(key, d_logit, row, len(node))
            d_to_message[r] += torch.einsum("phd,phf->hdf", gathered, d_message)
            d_to_key[r] += torch.einsum("phd,phf->hdf", query, d_asked)
            d_query = _transform(d_asked, wide_to_key[r].transpose(1, 2))
            d_table.index_add_(0, node * 3 + QUERY, d_query.flatten(1))
            d_table.index_add_(0, source + KEY, work.scaled_rows(asked, d_logit, row))
            d_table.index_add_(0, source + VALUE, work.scaled_rows(d_gathered, share, row))
        d_query_key_value = d_table.view(query_key_value.shape).to(query_key_value.dtype)
        return d_query_key_value, d_to_key.to(to_key.dtype), d_to_message.to(to_message.dtype), None, None


def _places(
    index: MessageIndex, chunk: Chunk
) -> tuple[Int[Tensor, " rows"], Int[Tensor, " edges"], Int[Tensor, " edges"]]:
    """The node of each row; the row of each edge within the chunk; where its source starts in the table."""
    row = index.edge_row[chunk.edges].long() - chunk.rows.start
    return index.pair_node[chunk.rows], row, index.source[chunk.edges].long() * 3


def _transform(
    rows: Float[Tensor, "rows heads dim"], matrix: Float[Tensor, "heads dim dim"]
) -> Float[Tensor, "rows heads dim"]:
    return torch.bmm(rows.transpose(0, 1), matrix).transpose(0, 1)


@dataclass(frozen=True)
class _Workspace:
    """The node table and scratch tensors of one chunk, used again by the next.

    A CPU hands out fresh pages for each large tensor and pays for every one of them: ten times the cost of the
    gather itself. The table is the query, key and value of node n in rows 3n, 3n + 1 and 3n + 2, because
    `index_add_` is seven times slower on a slice that is not contiguous.
    """

    table: Float[Tensor, "table_rows hidden"]
    key: Float[Tensor, "edges heads dim"]
    value: Float[Tensor, "edges heads dim"]
    scratch: Float[Tensor, "edges heads dim"]

    @classmethod
    def of(cls, query_key_value: Tensor, chunks: list[Chunk]) -> _Workspace:
        nodes, _, heads, dim = query_key_value.shape
        largest = max((chunk.edges.stop - chunk.edges.start for chunk in chunks), default=0)
        dtype = torch.promote_types(query_key_value.dtype, torch.float32)
        scratch = [query_key_value.new_empty(largest, heads, dim, dtype=dtype) for _ in range(3)]
        return cls(query_key_value.reshape(nodes * 3, heads * dim), *scratch)

    @property
    def dtype(self) -> torch.dtype:
        return self.key.dtype

    def node_rows(self, node: Int[Tensor, " rows"], part: int) -> Float[Tensor, "rows heads dim"]:
        rows = self.table.index_select(0, node * 3 + part).to(self.dtype)
        return rows.view(-1, *self.key.shape[1:])

    def gather_key(self, source: Int[Tensor, " chunk"]) -> Float[Tensor, "chunk heads dim"]:
        return _select(self.table, source + KEY, out=self.key[: len(source)])

    def gather_value(self, source: Int[Tensor, " chunk"]) -> Float[Tensor, "chunk heads dim"]:
        return _select(self.table, source + VALUE, out=self.value[: len(source)])

    def products(
        self,
        of_edge: Float[Tensor, "chunk heads dim"],
        of_row: Float[Tensor, "rows heads dim"],
        row: Int[Tensor, " chunk"],
    ) -> Float[Tensor, "chunk heads"]:
        """of_edge[e] · of_row[row[e]] for every edge and head."""
        spread = _select(of_row.flatten(1), row, out=self.scratch[: len(row)])
        return spread.mul_(of_edge).sum(-1)

    def sum_per_row(
        self,
        of_edge: Float[Tensor, "chunk heads dim"],
        weight: Float[Tensor, "chunk heads"],
        row: Int[Tensor, " chunk"],
        num_rows: int,
    ) -> Float[Tensor, "rows heads dim"]:
        weighted = torch.mul(of_edge, weight[..., None], out=self.scratch[: len(row)])
        total = weighted.new_zeros(num_rows, weighted[0].numel())
        return total.index_add_(0, row, weighted.flatten(1)).view(-1, *self.key.shape[1:])

    def scaled_rows(
        self,
        of_row: Float[Tensor, "rows heads dim"],
        weight: Float[Tensor, "chunk heads"],
        row: Int[Tensor, " chunk"],
    ) -> Float[Tensor, "chunk hidden"]:
        """weight[e] of_row[row[e]] for every edge and head."""
        return _select(of_row.flatten(1), row, out=self.scratch[: len(row)]).mul_(weight[..., None]).flatten(1)


def _select(
    table: Float[Tensor, "rows hidden"], row: Int[Tensor, " chunk"], *, out: Float[Tensor, "chunk heads dim"]
) -> Float[Tensor, "chunk heads dim"]:
    """table[row], widened to the type of `out` and laid out there."""
    if table.dtype == out.dtype:
        torch.index_select(table, 0, row, out=out.view(len(row), -1))
        return out
    return out.copy_(table.index_select(0, row).view_as(out))
