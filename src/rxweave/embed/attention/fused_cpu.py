"""Exact attention on the CPU in fused loops: every edge is visited once forward, twice backward, all heads together.

Relation by relation. Its matrices act where fewer rows stand: on the pairs that receive (queries in, sums out) or on
the senders (keys and values in), which gives the same sums. What is made for a relation lives in scratch sized to the
largest one; nothing of edges × dims or pairs × dims outlives its relation. The backward pass keeps queries, keys,
values, the result and a log-sum-exp per node, and computes the rest again, as FlashAttention does (Dao et al. 2022);
only [share, d_logit] of one relation's edges are written down, for the pass by sender.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from rxweave.embed.attention.index import MessageIndex
from rxweave.embed.attention.loops import NEVER, loops_for
from rxweave.errors import ConfigError

QUERY, KEY, VALUE = 0, 1, 2

ARITHMETIC = {torch.float32: torch.float32, torch.float64: torch.float64, torch.bfloat16: torch.float32}
"""The type of matrices, arithmetic and result, by that of queries, keys and values."""


def attend_fused_cpu(
    index: MessageIndex,
    query_key_value: Float[Tensor, "nodes 3 heads dim"],
    to_key: Float[Tensor, "relations heads dim dim"],
    to_message: Float[Tensor, "relations heads dim dim"],
) -> Float[Tensor, "nodes heads dim"]:
    """Give each node Σ softmax(q W_key[r] · k) v W_message[r] over its incoming edges, on the CPU.

    The softmax of a node runs over ALL its incoming edges, all relations together (Hu et al. 2020, eq. 3); a node
    without edges receives zeros. float32, float64, or bfloat16 queries, keys and values with float32 matrices,
    arithmetic and result. Raises ConfigError unless `dim` is a multiple of 8.
    """
    result: Tensor = _FusedAttention.apply(  # type: ignore[no-untyped-call]  # torch's stub has no types
        query_key_value, to_key, to_message, index
    )
    return result


class _FusedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query_key_value: Tensor, to_key: Tensor, to_message: Tensor, index: MessageIndex) -> Tensor:
        nodes, _, heads, dim = query_key_value.shape
        received = to_key.new_zeros(nodes, heads, dim)
        total = to_key.new_zeros(nodes, heads)
        highest = torch.full_like(total, NEVER)
        work = _Work(index, query_key_value, to_key, to_message)
        into = _table(received, 1)
        with _numba_threads(work.threads):
            for relation in work.relations:
                asked, keys = work.asked_and_keys(relation)
                gathered = work.scratch("gathered", relation.num_rows)
                work.loops.receive(
                    work.row_start, relation.rows.start, relation.rows.stop, keys.column, keys.first, asked, keys.table,
                    keys.key, keys.value, relation.nodes, gathered, highest.numpy(), total.numpy(), into[:, 0],
                    work.longest_row, work.threads,
                )  # fmt: skip
                weight = None if relation.at_senders else work.to_message[relation.number]
                work.move(gathered, 0, work.all, into, 0, relation.nodes, weight, add=True)
        total.clamp_(min=torch.finfo(total.dtype).tiny)
        received.div_(total[..., None])
        ctx.index = index
        ctx.save_for_backward(query_key_value, to_key, to_message, received, highest.add_(total.log_()))
        return received

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query_key_value, to_key, to_message, received, log_total = ctx.saved_tensors
        d_received = grads[0].contiguous()
        along = torch.einsum("nhd,nhd->nh", d_received, received)
        d_query_key_value = torch.zeros(query_key_value.shape, dtype=to_key.dtype)
        d_to_key, d_to_message = torch.zeros_like(to_key), torch.zeros_like(to_message)

        work = _Work(ctx.index, query_key_value, to_key, to_message)
        d_out, d_nodes, nodes = _table(d_received, 1), _table(d_query_key_value, 3), work.table
        with _numba_threads(work.threads):
            for relation in work.relations:
                r, at_senders = relation.number, relation.at_senders
                asked, keys = work.asked_and_keys(relation)
                d_gathered = work.scratch("d_gathered", relation.num_rows)
                weight = None if at_senders else work.from_message[r]
                work.move(d_out, 0, relation.nodes, d_gathered, 0, work.all, weight)

                d_asked = work.scratch("d_asked", relation.num_rows)
                gathered = work.scratch("gathered", relation.num_rows)
                shares = work.scratch("shares", relation.num_edges, width=2 * to_key.shape[1])[:, 0]
                work.loops.receive_backward(
                    work.row_start, relation.rows.start, relation.rows.stop, keys.column, keys.first, asked, d_gathered,
                    keys.table, keys.key, keys.value, relation.nodes, log_total.numpy(), along.numpy(), shares, d_asked,
                    gathered, not at_senders, work.threads,
                )  # fmt: skip
                weight = None if at_senders else work.from_key[r]
                work.move(d_asked, 0, work.all, d_nodes, QUERY, relation.nodes, weight, add=True)

                if at_senders:
                    d_keys = work.scratch("d_keys", relation.num_senders, parts=2)
                    d_keys[:] = 0
                    target = (d_keys, 0, 1, work.all)
                else:
                    target = (d_nodes, KEY, VALUE, relation.sources)
                work.loops.send_backward(
                    work.sender_start, relation.senders.start, relation.senders.stop, work.sender_row,
                    work.to_sender_order, relation.rows.start, relation.first_edge, shares, asked, d_gathered, *target,
                    work.threads,
                )  # fmt: skip
                if at_senders:
                    work.move(d_keys, 0, work.all, d_nodes, KEY, relation.sources, work.to_key[r], add=True)
                    work.move(d_keys, 1, work.all, d_nodes, VALUE, relation.sources, work.from_message[r], add=True)
                    d_to_key[r] = work.outer(d_keys, 0, work.all, nodes, KEY, relation.sources)
                    d_to_message[r] = work.outer(nodes, VALUE, relation.sources, d_keys, 1, work.all)
                else:
                    d_to_key[r] = work.outer(nodes, QUERY, relation.nodes, d_asked, 0, work.all)
                    d_to_message[r] = work.outer(gathered, 0, work.all, d_out, 0, relation.nodes)
        return d_query_key_value.to(query_key_value.dtype), d_to_key, d_to_message, None


@dataclass(frozen=True)
class _Relation:
    """One directed relation that has edges."""

    number: int
    rows: slice
    senders: slice
    first_edge: int
    num_edges: int
    nodes: Int64[np.ndarray, " rows"]
    """The node of each row: where messages arrive."""
    sources: Int64[np.ndarray, " senders"]
    """The node of each sender."""

    @property
    def num_rows(self) -> int:
        return int(self.rows.stop - self.rows.start)

    @property
    def num_senders(self) -> int:
        return int(self.senders.stop - self.senders.start)

    @property
    def at_senders(self) -> bool:
        """Whether the relation's matrices act on keys and values, being fewer rows, and not on queries and sums."""
        return self.num_senders < self.num_rows


@dataclass(frozen=True)
class _Keys:
    """Where the loops find keys and values: row `column[edge] - first` of `table`, parts `key` and `value`."""

    table: np.ndarray
    key: int
    value: int
    column: np.ndarray
    first: int


class _Work:
    """The arrays of one pass as the loops want them, and scratch that all relations share."""

    def __init__(self, index: MessageIndex, query_key_value: Tensor, to_key: Tensor, to_message: Tensor) -> None:
        _, _, heads, dim = query_key_value.shape
        if dim % 8:
            raise ConfigError(
                f"fused_cpu takes heads of 8, 16, 24 … numbers, and these have {dim} (hidden_dim {heads * dim} over "
                f"{heads} heads). Choose another hidden_dim or num_heads, or attention=csr."
            )
        if {to_key.dtype, to_message.dtype} != {ARITHMETIC.get(query_key_value.dtype)}:
            raise TypeError(
                f"fused_cpu got {query_key_value.dtype} queries, keys and values with {to_key.dtype} and "
                f"{to_message.dtype} matrices; expected float32 or float64 throughout, or bfloat16 with float32."
            )
        self.width = heads * dim
        self.table = _table(query_key_value, 3)
        self.to_key, self.to_message = to_key.contiguous().numpy(), to_message.contiguous().numpy()
        self.from_key, self.from_message = (x.transpose(2, 3).contiguous().numpy() for x in (to_key, to_message))
        self.loops = loops_for(heads, dim, self.to_key.dtype.type)
        self.threads = _threads()
        self.row_start, self.sender_start = index.row_start.numpy(), index.sender_start.numpy()
        self.source, self.edge_sender = index.source.numpy(), index.edge_sender.numpy()
        self.sender_row, self.to_sender_order = index.sender_row.numpy(), index.to_sender_order.numpy()
        self.longest_row = int(np.diff(self.row_start).max(initial=0))
        self.relations = list(_relations(index))
        most = max((max(rel.num_rows, rel.num_senders) for rel in self.relations), default=0)
        self.all = np.arange(most)
        self._scratch: dict[str, np.ndarray] = {}

    def scratch(self, name: str, rows: int, *, parts: int = 1, width: int | None = None) -> np.ndarray:
        """An array (rows, parts, width) with whatever was left in it."""
        size = (rows, parts, width or self.width)
        kept = self._scratch.get(name)
        if kept is None or kept.size < math.prod(size):
            kept = self._scratch[name] = np.empty(math.prod(size), self.to_key.dtype)
        return kept[: math.prod(size)].reshape(size)

    def move(
        self,
        x: np.ndarray,
        x_part: int,
        x_rows: np.ndarray,
        y: np.ndarray,
        y_part: int,
        y_rows: np.ndarray,
        weight: np.ndarray | None,
        *,
        add: bool = False,
    ) -> None:
        """y[y_rows] = x[x_rows] · weight (unchanged when None), added to what is there if `add`; rows pair up."""
        count = min(len(x_rows), len(y_rows))
        ends = (y, y_part, y_rows[:count], add, self.threads)
        if weight is None:
            self.loops.copy(x, x_part, x_rows[:count], *ends)
        else:
            self.loops.transform(x, x_part, x_rows[:count], weight, *ends)

    def outer(
        self, x: np.ndarray, x_part: int, x_rows: np.ndarray, y: np.ndarray, y_part: int, y_rows: np.ndarray
    ) -> Tensor:
        """Σ x[x_rows]ᵀ · y[y_rows], head by head."""
        count = min(len(x_rows), len(y_rows))
        sums = np.empty((self.threads, *self.to_key.shape[1:]), self.to_key.dtype)
        self.loops.outer(x, x_part, x_rows[:count], y, y_part, y_rows[:count], sums, self.threads)
        return torch.from_numpy(sums.sum(0))

    def asked_and_keys(self, relation: _Relation) -> tuple[np.ndarray, _Keys]:
        """What each row asks for, and the keys and values it is compared with."""
        r = relation.number
        asked = self.scratch("asked", relation.num_rows)
        if not relation.at_senders:
            self.move(self.table, QUERY, relation.nodes, asked, 0, self.all, self.to_key[r])
            return asked, _Keys(self.table, KEY, VALUE, self.source, 0)
        self.move(self.table, QUERY, relation.nodes, asked, 0, self.all, None)
        keys = self.scratch("keys", relation.num_senders, parts=2)
        self.move(self.table, KEY, relation.sources, keys, 0, self.all, self.from_key[r])
        self.move(self.table, VALUE, relation.sources, keys, 1, self.all, self.to_message[r])
        return asked, _Keys(keys, 0, 1, self.edge_sender, relation.senders.start)


def _relations(index: MessageIndex) -> Iterator[_Relation]:
    nodes, sources, start = index.pair_node.numpy(), index.sender_node.numpy(), index.row_start.numpy()
    bounds = zip(pairwise(index.relation_rows), pairwise(index.relation_senders), strict=True)
    for number, (rows, senders) in enumerate(bounds):
        first_edge, past_edge = int(start[rows[0]]), int(start[rows[1]])
        if past_edge > first_edge:
            yield _Relation(
                number=number,
                rows=slice(*rows),
                senders=slice(*senders),
                first_edge=first_edge,
                num_edges=past_edge - first_edge,
                nodes=nodes[slice(*rows)],
                sources=sources[slice(*senders)],
            )


def _table(values: Tensor, parts: int) -> np.ndarray:
    """A tensor of nodes × … as the loops' table (nodes, parts, width), without copying; bfloat16 as its bits."""
    flat = values.detach().contiguous().view(len(values), parts, -1)
    if flat.dtype == torch.bfloat16:
        return flat.view(torch.int16).numpy().view(np.uint16)
    return flat.numpy()


def _threads() -> int:
    """How many threads the loops may take: torch's, as far as Numba has them.

    When Numba starts its threads it sets OpenMP's number of them, which is torch's too: that is put back.
    """
    of_torch = torch.get_num_threads()
    threads = min(of_torch, numba.get_num_threads())
    if torch.get_num_threads() != of_torch:
        torch.set_num_threads(of_torch)
    return threads


@contextmanager
def _numba_threads(threads: int) -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)
