"""The Triton kernels of `fused_cuda`; importing this needs triton, so only that module does, when it runs.

A program owns one piece of the sorted edges (of a pair when receiving, of a sender when sending) and nobody else
writes what it writes: no atomics, so the same input gives the same bits. A block is edges × heads × dim; its
heads and dim are padded to powers of two and masked. Sums are held in the type of the buffers they end in (float32,
or float64 for float64 input). There is no `tl.dot`: a row meets an edge once, so there is no matrix product here to
lose precision to TF32.
"""

# To a type checker Triton's language is not Python: kernels take pointers, and triton ships no types.
# mypy: ignore-errors

from __future__ import annotations

from typing import no_type_check  # keeps the shape checks of the tests off code that Triton reads as text

import triton
import triton.language as tl

LOWEST = tl.constexpr(-3.0e38)  # in place of -inf: the difference of two of them is 0, not NaN


@triton.jit
@no_type_check
def places_in_row(HEADS: tl.constexpr, DIM: tl.constexpr, BLOCK_HEADS: tl.constexpr, BLOCK_DIM: tl.constexpr):
    """The heads of this program, and where they lie in a row of heads × dim; what is padding is False in the masks."""
    head = tl.program_id(1) * BLOCK_HEADS + tl.arange(0, BLOCK_HEADS)
    dim = tl.arange(0, BLOCK_DIM)
    place = head[:, None] * DIM + dim[None, :]
    return head, head < HEADS, place, (head < HEADS)[:, None] & (dim < DIM)[None, :]


@triton.jit
@no_type_check
def attend_piece(
    asked,
    query_key_value,
    source,
    piece_row,
    piece_begin,
    piece_end,
    highest,
    total,
    weighted,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_EDGES: tl.constexpr,
    BLOCK_HEADS: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Online softmax over the edges of one piece: its highest logit, Σ weight and Σ weight · value against it."""
    WIDTH: tl.constexpr = HEADS * DIM
    number = total.dtype.element_ty
    piece = tl.program_id(0).to(tl.int64)
    head, head_there, place, there = places_in_row(HEADS, DIM, BLOCK_HEADS, BLOCK_DIM)
    row = tl.load(piece_row + piece).to(tl.int64)
    asks = tl.load(asked + row * WIDTH + place, mask=there, other=0.0).to(number)
    top = tl.full([BLOCK_HEADS], LOWEST, number)
    weights = tl.zeros([BLOCK_HEADS], number)
    values = tl.zeros([BLOCK_HEADS, BLOCK_DIM], number)
    end = tl.load(piece_end + piece)
    for first in range(tl.load(piece_begin + piece), end, BLOCK_EDGES):
        edge = first + tl.arange(0, BLOCK_EDGES)
        edge_there = edge < end
        node = tl.load(source + edge, mask=edge_there, other=0).to(tl.int64)
        at = (node * 3 * WIDTH)[:, None, None] + place[None, :, :]
        wanted = edge_there[:, None, None] & there[None, :, :]
        key = tl.load(query_key_value + WIDTH + at, mask=wanted, other=0.0).to(number)
        value = tl.load(query_key_value + 2 * WIDTH + at, mask=wanted, other=0.0).to(number)
        logit = tl.where(edge_there[:, None], tl.sum(key * asks[None, :, :], axis=2), LOWEST)
        new_top = tl.maximum(top, tl.max(logit, axis=0))
        shrink = tl.exp(top - new_top)
        weight = tl.where(edge_there[:, None], tl.exp(logit - new_top[None, :]), 0.0)
        weights = weights * shrink + tl.sum(weight, axis=0)
        values = values * shrink[:, None] + tl.sum(weight[:, :, None] * value, axis=0)
        top = new_top
    tl.store(highest + piece * HEADS + head, top, mask=head_there)
    tl.store(total + piece * HEADS + head, weights, mask=head_there)
    tl.store(weighted + piece * WIDTH + place, values, mask=there)


@triton.jit
@no_type_check
def log_sum_exp_of_node(
    highest,
    total,
    piece_in_order,
    node_start,
    log_total,
    HEADS: tl.constexpr,
    BLOCK_PIECES: tl.constexpr,
    BLOCK_HEADS: tl.constexpr,
):
    """Join the pieces of one node, all relations together; 0 for a node that has no edges."""
    number = total.dtype.element_ty
    node = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, BLOCK_HEADS)
    head_there = head < HEADS
    top = tl.full([BLOCK_HEADS], LOWEST, number)
    weights = tl.zeros([BLOCK_HEADS], number)
    end = tl.load(node_start + node + 1)
    for first in range(tl.load(node_start + node), end, BLOCK_PIECES):
        at = first + tl.arange(0, BLOCK_PIECES)
        piece = tl.load(piece_in_order + at, mask=at < end, other=0).to(tl.int64)
        place = piece[:, None] * HEADS + head[None, :]
        wanted = (at < end)[:, None] & head_there[None, :]
        tops = tl.load(highest + place, mask=wanted, other=LOWEST)
        new_top = tl.maximum(top, tl.max(tops, axis=0))
        found = tl.load(total + place, mask=wanted, other=0.0) * tl.exp(tops - new_top[None, :])
        weights = weights * tl.exp(top - new_top) + tl.sum(found, axis=0)
        top = new_top
    any_edge = weights > 0
    result = tl.where(any_edge, top + tl.log(tl.where(any_edge, weights, 1.0)), 0.0)
    tl.store(log_total + node * HEADS + head, result, mask=head_there)


@triton.jit
@no_type_check
def add_further_pieces(buffer, long_row, further_start, WIDTH: tl.constexpr, BLOCK_WIDTH: tl.constexpr):
    """Add the sums of the further pieces of one long row to that of its first, in order."""
    column = tl.program_id(1) * BLOCK_WIDTH + tl.arange(0, BLOCK_WIDTH)
    row = tl.load(long_row + tl.program_id(0)).to(tl.int64)
    end = tl.load(further_start + tl.program_id(0) + 1)
    added = tl.load(buffer + row * WIDTH + column, mask=column < WIDTH, other=0.0)
    for piece in range(tl.load(further_start + tl.program_id(0)), end):  # 64-bit, as `further_start` is
        added += tl.load(buffer + piece * WIDTH + column, mask=column < WIDTH, other=0.0)
    tl.store(buffer + row * WIDTH + column, added, mask=column < WIDTH)


@triton.jit
@no_type_check
def receive_backward_piece(
    asked,
    d_gathered,
    log_total_of_row,
    along_of_row,
    query_key_value,
    source,
    piece_row,
    piece_begin,
    piece_end,
    gathered,
    d_asked,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_EDGES: tl.constexpr,
    BLOCK_HEADS: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """What one piece of a pair receives: Σ share · value again, and Σ dlogit · key, the gradient of what it asked."""
    WIDTH: tl.constexpr = HEADS * DIM
    number = gathered.dtype.element_ty
    piece = tl.program_id(0).to(tl.int64)
    head, head_there, place, there = places_in_row(HEADS, DIM, BLOCK_HEADS, BLOCK_DIM)
    row = tl.load(piece_row + piece).to(tl.int64)
    asks = tl.load(asked + row * WIDTH + place, mask=there, other=0.0).to(number)
    d_values = tl.load(d_gathered + row * WIDTH + place, mask=there, other=0.0).to(number)
    log_total = tl.load(log_total_of_row + row * HEADS + head, mask=head_there, other=0.0)
    along = tl.load(along_of_row + row * HEADS + head, mask=head_there, other=0.0)
    values = tl.zeros([BLOCK_HEADS, BLOCK_DIM], number)
    d_asks = tl.zeros([BLOCK_HEADS, BLOCK_DIM], number)
    end = tl.load(piece_end + piece)
    for first in range(tl.load(piece_begin + piece), end, BLOCK_EDGES):
        edge = first + tl.arange(0, BLOCK_EDGES)
        edge_there = edge < end
        node = tl.load(source + edge, mask=edge_there, other=0).to(tl.int64)
        at = (node * 3 * WIDTH)[:, None, None] + place[None, :, :]
        wanted = edge_there[:, None, None] & there[None, :, :]
        key = tl.load(query_key_value + WIDTH + at, mask=wanted, other=0.0).to(number)
        value = tl.load(query_key_value + 2 * WIDTH + at, mask=wanted, other=0.0).to(number)
        logit = tl.sum(key * asks[None, :, :], axis=2)
        share = tl.where(edge_there[:, None], tl.exp(logit - log_total[None, :]), 0.0)
        d_logit = share * (tl.sum(value * d_values[None, :, :], axis=2) - along[None, :])
        values += tl.sum(share[:, :, None] * value, axis=0)
        d_asks += tl.sum(d_logit[:, :, None] * key, axis=0)
    tl.store(gathered + piece * WIDTH + place, values, mask=there)
    tl.store(d_asked + piece * WIDTH + place, d_asks, mask=there)


@triton.jit
@no_type_check
def send_backward_piece(
    asked,
    d_gathered,
    log_total_of_row,
    along_of_row,
    query_key_value,
    sender_row,
    piece_node,
    piece_begin,
    piece_end,
    d_key_value,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_EDGES: tl.constexpr,
    BLOCK_HEADS: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """What one piece of a sender sent: the gradients of its node's key and value, from the edges of that piece.

    The shares are computed once more from the two rows of each edge's pair, rather than stored and fetched in another
    order: those rows are needed here anyway.
    """
    WIDTH: tl.constexpr = HEADS * DIM
    number = d_key_value.dtype.element_ty
    piece = tl.program_id(0).to(tl.int64)
    head, head_there, place, there = places_in_row(HEADS, DIM, BLOCK_HEADS, BLOCK_DIM)
    own = tl.load(piece_node + piece).to(tl.int64) * 3 * WIDTH + place
    key = tl.load(query_key_value + WIDTH + own, mask=there, other=0.0).to(number)
    value = tl.load(query_key_value + 2 * WIDTH + own, mask=there, other=0.0).to(number)
    d_key = tl.zeros([BLOCK_HEADS, BLOCK_DIM], number)
    d_value = tl.zeros([BLOCK_HEADS, BLOCK_DIM], number)
    end = tl.load(piece_end + piece)
    for first in range(tl.load(piece_begin + piece), end, BLOCK_EDGES):
        edge = first + tl.arange(0, BLOCK_EDGES)
        edge_there = edge < end
        row = tl.load(sender_row + edge, mask=edge_there, other=0).to(tl.int64)
        at = (row * WIDTH)[:, None, None] + place[None, :, :]
        wanted = edge_there[:, None, None] & there[None, :, :]
        asks = tl.load(asked + at, mask=wanted, other=0.0).to(number)
        d_values = tl.load(d_gathered + at, mask=wanted, other=0.0).to(number)
        of_head = (row * HEADS)[:, None] + head[None, :]
        head_wanted = edge_there[:, None] & head_there[None, :]
        log_total = tl.load(log_total_of_row + of_head, mask=head_wanted, other=0.0)
        along = tl.load(along_of_row + of_head, mask=head_wanted, other=0.0)
        logit = tl.sum(asks * key[None, :, :], axis=2)
        share = tl.where(edge_there[:, None], tl.exp(logit - log_total), 0.0)
        d_logit = share * (tl.sum(d_values * value[None, :, :], axis=2) - along)
        d_value += tl.sum(share[:, :, None] * d_values, axis=0)
        d_key += tl.sum(d_logit[:, :, None] * asks, axis=0)
    tl.store(d_key_value + piece * 2 * WIDTH + place, d_key, mask=there)
    tl.store(d_key_value + piece * 2 * WIDTH + WIDTH + place, d_value, mask=there)
