"""Exact attention in fused Triton kernels, for CUDA: each edge is gathered and used, never written.

1. Relation matrices act on the receiving side, on dense blocks of pairs: `asked` = query × W_key[r], one row a pair.
2. A program takes one pair, loops over its edges in blocks, and keeps an online softmax in registers: highest logit,
   Σ weight, Σ weight · value, for all heads at once, since keys and values of a node lie side by side.
3. Pairs of more than `longest_piece` edges are cut, so that no program runs long; further pieces lie behind the rows.
4. The pieces of a node are joined into one log-sum-exp per node and head, and every piece is scaled to it; then the
   further pieces are added to the first, in order, and W_message[r] turns each pair's sum into its message.
5. Backward (as Dao et al. 2022) computes shares again from the log-sum-exp, twice: by pair, for the gradients of
   queries and matrices, and by sender, for those of keys and values.

No two programs add to one number, and the relations of a node are added one after another: the same input gives the
same bits. The kernels are in `fused_cuda_kernels`, imported when first used: without triton, this module still imports.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rxweave.embed.attention.index import MessageIndex
from rxweave.errors import ConfigError

LAUNCH = {"num_warps": 4, "enable_fp_fusion": True}
"""a × b + c in one rounding; said aloud because Triton 3.9 warns that its default will change."""

TILE = 4096
"""Numbers in one edges × heads × dim block: 32 registers for each of the 128 threads of a program."""


def available() -> bool:
    """Say whether `attend_fused_cuda` runs here."""
    return why_unavailable() is None


def why_unavailable() -> str | None:
    """Give the reason why `attend_fused_cuda` does not run here, or None when it does."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed (on Linux it comes with the CUDA builds of torch)"
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    if torch.version.hip is not None:
        return "torch is built for ROCm, on which these kernels have not been tried"
    if torch.cuda.get_device_capability() < (8, 0):
        return f"{torch.cuda.get_device_name()} is older than compute capability 8.0, the first that Triton supports"
    return None


def attend_fused_cuda(
    index: MessageIndex,
    query_key_value: Float[Tensor, "nodes 3 heads dim"],
    to_key: Float[Tensor, "relations heads dim dim"],
    to_message: Float[Tensor, "relations heads dim dim"],
) -> Float[Tensor, "nodes heads dim"]:
    """Give each node Σ softmax(q W_key[r] · k) v W_message[r] over its incoming edges, on an NVIDIA GPU.

    The softmax of a node runs over ALL its incoming edges, all relations together (Hu et al. 2020, eq. 3); a node
    without edges receives zeros. float32, float64, or bfloat16 for what is stored per node; what is made on the way,
    and all arithmetic, is then float32, and the result has the wider type of node table and matrices. Relation matrices
    are multiplied by torch: in full precision unless you have switched TF32 on (`torch.backends.cuda.matmul`), which
    is off by default.

    Besides inputs, output and gradients it holds two tensors of pairs × heads × dim forward and four backward, never
    one of edges × anything. The first call compiles the kernels; Triton caches them on disk. Raises ConfigError for
    tensors that are not on a GPU.
    """
    heads, dim = query_key_value.shape[2:]
    return attend_in_blocks(index, query_key_value, to_key, to_message, blocks=choose_blocks(heads, dim))


@dataclass(frozen=True)
class Blocks:
    """How much of the work one program holds at a time; all but `longest_piece` are powers of two."""

    edges: int
    heads: int
    dim: int
    longest_piece: int
    """Edges after which a row is cut, and another program takes over."""


def choose_blocks(heads: int, dim: int) -> Blocks:
    """Give block sizes that fit the registers: all heads if they do, and as many edges as fill `TILE` numbers.

    256 edges a piece keep the longest program within ten times the mean (a graph shaped like PrimeKG: 29 edges a pair,
    up to 13,578), and cost at most edges / 256 further rows. Sizes were checked for registers, not tuned for speed.
    """
    padded_dim = _power_of_two(dim)
    padded_heads = min(_power_of_two(heads), max(1, TILE // (8 * padded_dim)))
    edges = min(32, max(1, TILE // (padded_heads * padded_dim)))
    return Blocks(edges=edges, heads=padded_heads, dim=padded_dim, longest_piece=256)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def attend_in_blocks(
    index: MessageIndex,
    query_key_value: Float[Tensor, "nodes 3 heads dim"],
    to_key: Float[Tensor, "relations heads dim dim"],
    to_message: Float[Tensor, "relations heads dim dim"],
    *,
    blocks: Blocks,
) -> Float[Tensor, "nodes heads dim"]:
    """As `attend_fused_cuda`, with block sizes of your choice: results differ by rounding only."""
    if not (query_key_value.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"):
        raise ConfigError(
            f"The fused_cuda attention was given tensors on {query_key_value.device}; it needs a CUDA device. "
            "Choose another attention, or move model and index to the GPU."
        )
    with torch.cuda.device(query_key_value.get_device()):  # -1, which changes nothing, in Triton's interpreter
        result: Tensor = _FusedAttention.apply(  # type: ignore[no-untyped-call]  # torch's stub has no types
            query_key_value.contiguous(), to_key, to_message, index, blocks
        )
    return result


@dataclass(frozen=True)
class Pieces:
    """Rows cut into pieces of bounded length: piece i < rows is the first of row i, further pieces lie behind."""

    row: Int[Tensor, " pieces"]
    begin: Int[Tensor, " pieces"]
    end: Int[Tensor, " pieces"]
    long_row: Int[Tensor, " long_rows"]
    further_start: Int[Tensor, " long_bounds"]
    """Further pieces of `long_row[i]`: `further_start[i]:further_start[i + 1]`, in the order of their edges."""


def cut_rows(start: Int[Tensor, " bounds"], longest: int) -> Pieces:
    """Cut rows, row i being `start[i]:start[i + 1]`, into pieces of at most `longest`; an empty row is one piece."""
    first, after = start[:-1], start[1:]
    further = (after - first - 1).clamp(min=0) // longest
    every_row = torch.arange(len(first), device=start.device, dtype=start.dtype)
    row_of_further = torch.repeat_interleave(every_row, further)
    before = torch.cumsum(further, 0) - further
    nth = torch.arange(len(row_of_further), device=start.device) - before[row_of_further] + 1
    row = torch.cat([every_row, row_of_further])
    begin = torch.cat([first, first[row_of_further] + nth.to(start.dtype) * longest])
    long_row = torch.nonzero(further).flatten()
    further_start = torch.nn.functional.pad(torch.cumsum(further[long_row], 0), (1, 0)) + len(first)
    return Pieces(row, begin, torch.minimum(begin + longest, after[row]), long_row, further_start)


class _FusedAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query_key_value: Tensor, to_key: Tensor, to_message: Tensor, index: MessageIndex, blocks: Blocks
    ) -> Tensor:
        from rxweave.embed.attention import fused_cuda_kernels as kernels

        nodes, _, heads, dim = query_key_value.shape
        number = torch.promote_types(query_key_value.dtype, torch.float32)
        pieces = cut_rows(index.row_start, blocks.longest_piece)
        asked = _per_pair(index, query_key_value[:, 0], to_key)
        highest = query_key_value.new_empty(len(pieces.row), heads, dtype=number)
        total = torch.empty_like(highest)
        weighted = query_key_value.new_empty(len(pieces.row), heads, dim, dtype=number)
        _launch(
            kernels.attend_piece,
            blocks,
            (asked, query_key_value, index.source, pieces.row, pieces.begin, pieces.end, highest, total, weighted),
        )

        node_of_piece = index.pair_node[pieces.row]
        piece_in_order = torch.argsort(node_of_piece, stable=True)
        every_node = torch.arange(nodes + 1, device=node_of_piece.device)
        node_start = torch.searchsorted(node_of_piece[piece_in_order], every_node)
        log_total = highest.new_empty(nodes, heads)
        kernels.log_sum_exp_of_node[(nodes,)](
            highest,
            total,
            piece_in_order,
            node_start,
            log_total,
            HEADS=heads,
            BLOCK_PIECES=16,
            BLOCK_HEADS=_power_of_two(heads),
            **{**LAUNCH, "num_warps": 1},
        )

        weighted *= (highest - log_total[node_of_piece]).exp_()[..., None]
        gathered = _join(kernels, pieces, weighted)
        received = weighted.new_zeros(nodes, heads, dim)
        for r, rows, node in _relation_blocks(index.relation_rows, index.pair_node):
            received.index_add_(0, node, _transform(gathered[rows], to_message[r]))
        ctx.index, ctx.blocks = index, blocks
        # `received` unrounded: the backward pass subtracts what it gives from numbers close to it.
        ctx.save_for_backward(query_key_value, to_key, to_message, received, log_total)
        return received.to(torch.promote_types(query_key_value.dtype, to_key.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from rxweave.embed.attention import fused_cuda_kernels as kernels

        (d_received,) = grads
        index: MessageIndex = ctx.index
        blocks: Blocks = ctx.blocks
        query_key_value, to_key, to_message, received, log_total = ctx.saved_tensors
        nodes, _, heads, dim = query_key_value.shape
        asked = _per_pair(index, query_key_value[:, 0], to_key)
        d_gathered = _per_pair(index, d_received, to_message.transpose(2, 3))
        # Σ share · dshare over the edges of a node, without touching them: what it received times its gradient.
        along = (d_received.to(log_total.dtype) * received).sum(-1)
        shared = (asked, d_gathered, log_total[index.pair_node], along[index.pair_node], query_key_value)

        by_row = cut_rows(index.row_start, blocks.longest_piece)
        gathered = log_total.new_empty(len(by_row.row), heads, dim)
        d_asked = torch.empty_like(gathered)
        _launch(
            kernels.receive_backward_piece,
            blocks,
            (*shared, index.source, by_row.row, by_row.begin, by_row.end, gathered, d_asked),
        )
        gathered, d_asked = _join(kernels, by_row, gathered), _join(kernels, by_row, d_asked)
        d_query_key_value = log_total.new_zeros(nodes, 3, heads, dim)
        d_to_key, d_to_message = torch.zeros_like(to_key), torch.zeros_like(to_message)
        for r, rows, node in _relation_blocks(index.relation_rows, index.pair_node):
            d_query_key_value[:, 0].index_add_(0, node, _transform(d_asked[rows], to_key[r].transpose(1, 2)))
            d_to_key[r] = _outer(query_key_value[:, 0][node], d_asked[rows])
            d_to_message[r] = _outer(gathered[rows], d_received[node])
        del gathered, d_asked

        by_sender = cut_rows(index.sender_start, blocks.longest_piece)
        node_of_piece = index.sender_node[by_sender.row]
        d_key_value = log_total.new_empty(len(by_sender.row), 2, heads, dim)
        _launch(
            kernels.send_backward_piece,
            blocks,
            (*shared, index.sender_row, node_of_piece, by_sender.begin, by_sender.end, d_key_value),
        )
        d_key_value = _join(kernels, by_sender, d_key_value)
        for _, senders, node in _relation_blocks(index.relation_senders, index.sender_node):
            d_query_key_value[:, 1:].index_add_(0, node, d_key_value[senders])
        return d_query_key_value.to(query_key_value.dtype), d_to_key, d_to_message, None, None


def _launch(kernel: Any, blocks: Blocks, arguments: tuple[Tensor, ...]) -> None:
    """Run one program per piece and block of heads; the last argument is a buffer of pieces × … × heads × dim."""
    pieces, (heads, dim) = len(arguments[-1]), arguments[-1].shape[-2:]
    if pieces == 0:
        return
    kernel[(pieces, -(-heads // blocks.heads))](
        *arguments,
        HEADS=heads,
        DIM=dim,
        BLOCK_EDGES=blocks.edges,
        BLOCK_HEADS=blocks.heads,
        BLOCK_DIM=blocks.dim,
        **LAUNCH,
    )


def _join(kernels: Any, pieces: Pieces, sums: Float[Tensor, "pieces ..."]) -> Float[Tensor, "rows ..."]:
    """Add up the pieces of every row, in place, and give the rows."""
    num_further = int(pieces.further_start[-1] - pieces.further_start[0])
    if num_further:
        width, block = sums[0].numel(), 256
        kernels.add_further_pieces[(len(pieces.long_row), -(-width // block))](
            sums, pieces.long_row, pieces.further_start, WIDTH=width, BLOCK_WIDTH=block, **LAUNCH
        )
    return sums[: len(sums) - num_further]


def _relation_blocks(bounds: tuple[int, ...], node: Int[Tensor, " rows"]) -> Iterator[tuple[int, slice, Tensor]]:
    """Each relation that has rows, these rows, and the node of each: every node once, so `index_add_` keeps order."""
    for r, (start, stop) in enumerate(pairwise(bounds)):
        if stop > start:
            yield r, slice(start, stop), node[start:stop]


def _per_pair(
    index: MessageIndex, of_node: Float[Tensor, "nodes heads dim"], matrix: Float[Tensor, "relations heads dim dim"]
) -> Float[Tensor, "pairs heads dim"]:
    """of_node[n] × matrix[r] for the pair of every relation r and node n."""
    result = _wide(of_node[:0]).new_empty(index.num_pairs, *of_node.shape[1:])
    for r, rows, node in _relation_blocks(index.relation_rows, index.pair_node):
        result[rows] = _transform(of_node[node], matrix[r])
    return result


def _transform(
    rows: Float[Tensor, "rows heads dim"], matrix: Float[Tensor, "heads dim dim"]
) -> Float[Tensor, "rows heads dim"]:
    return torch.bmm(_wide(rows).transpose(0, 1), _wide(matrix)).transpose(0, 1)


def _outer(
    left: Float[Tensor, "rows heads dim"], right: Float[Tensor, "rows heads dim"]
) -> Float[Tensor, "heads dim dim"]:
    """Σ left[row]ᵀ right[row], head by head: the gradient of a matrix."""
    return torch.bmm(_wide(left).permute(1, 2, 0), _wide(right).transpose(0, 1))


def _wide(tensor: Tensor) -> Tensor:
    """The tensor in the precision of arithmetic: at least float32."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
