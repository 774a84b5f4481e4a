"""The dense maps of the transformer, a block of rows at a time, each with a backward pass of its own.

Autograd's would keep an activation for every operation and make full-size temporaries; at PrimeKG size each of them
is 130 to 400 MB. These keep what cannot be computed again cheaply and work on `ROWS` rows at a time. With
`compute=torch.bfloat16` the matrix products take rounded inputs; their sums, and everything else, stay in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ROWS = 16384
"""Rows in a block: large enough for full speed of a matrix product, small enough for the cache."""


def typed_linear(
    x: Float[Tensor, "nodes in_dim"],
    weight: Float[Tensor, "types out_dim in_dim"],
    bias: Float[Tensor, "types out_dim"],
    type_offsets: tuple[int, ...],
    compute: torch.dtype | None = None,
) -> Float[Tensor, "nodes out_dim"]:
    """Give x W_t^T + b_t for each node, t being its type; rows `type_offsets[t]:type_offsets[t + 1]` are type t.

    The result is of type `compute`, by default that of x.
    """
    result: Tensor = _TypedLinear.apply(x, weight, bias, type_offsets, compute or x.dtype)  # type: ignore[no-untyped-call]  # torch stub
    return result


def gated_update(
    x: Float[Tensor, "nodes hidden"],
    received: Float[Tensor, "nodes hidden"],
    weight: Float[Tensor, "types hidden hidden"],
    bias: Float[Tensor, "types hidden"],
    share_new: Float[Tensor, " types"],
    type_offsets: tuple[int, ...],
    compute: torch.dtype | None = None,
) -> Float[Tensor, "nodes hidden"]:
    """Give (1 − s_t) x + s_t (gelu(received) W_t^T + b_t) for each node, t being its type (Hu et al. 2020, eq. 5).

    s_t is `share_new`, between 0 and 1.
    """
    result: Tensor = _GatedUpdate.apply(  # type: ignore[no-untyped-call]  # torch stub
        x, received, weight, bias, share_new, type_offsets, compute or x.dtype
    )
    return result


def normalised_map(
    states: Sequence[Float[Tensor, "nodes _"]],
    weight: Float[Tensor, "out_dim in_dim"],
    bias: Float[Tensor, " out_dim"],
    compute: torch.dtype | None = None,
) -> Float[Tensor, "nodes out_dim"]:
    """Give LayerNorm([state ‖ state ‖ …] W^T + b) without gain or offset, and without concatenating the states.

    The widths of the states add up to `in_dim`.
    """
    result: Tensor = _NormalisedMap.apply(weight, bias, compute or weight.dtype, *states)  # type: ignore[no-untyped-call]  # torch stub
    return result


def normalise(x: Float[Tensor, "rows dim"]) -> tuple[Float[Tensor, "rows dim"], Float[Tensor, "rows 1"]]:
    """Give each row less its mean and over its standard deviation, and the inverse of the latter; no gradient."""
    out, _, inverse_deviation = torch.native_layer_norm(x, x.shape[1:], None, None, 1e-5)
    return out, inverse_deviation


class _TypedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, offsets: tuple[int, ...], compute: torch.dtype
    ) -> Tensor:
        weight_rounded, bias_rounded = weight.to(compute), bias.to(compute)
        out = weight_rounded.new_empty(len(x), weight.shape[1])
        for t, rows in _blocks(offsets, compute, x.device):
            torch.addmm(bias_rounded[t], x[rows].to(compute), weight_rounded[t].T, out=out[rows])
        ctx.offsets, ctx.compute = offsets, compute
        ctx.save_for_backward(x, weight_rounded)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (d_out,) = grads
        x, weight = ctx.saved_tensors
        d_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        d_weight = torch.zeros(weight.shape, dtype=x.dtype, device=x.device)
        d_bias = torch.zeros(weight.shape[:2], dtype=x.dtype, device=x.device)
        for t, rows in _blocks(ctx.offsets, ctx.compute, x.device):
            d_block = d_out[rows]
            d_weight[t] += d_block.T @ x[rows].to(ctx.compute)
            d_bias[t] += d_block.sum(0, dtype=x.dtype)
            if d_x is not None:
                d_x[rows] = d_block @ weight[t]
        return d_x, d_weight, d_bias, None, None


class _GatedUpdate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        received: Tensor,
        weight: Tensor,
        bias: Tensor,
        share_new: Tensor,
        offsets: tuple[int, ...],
        compute: torch.dtype,
    ) -> Tensor:
        weight_rounded, bias_rounded = weight.to(compute), bias.to(compute)
        out = torch.empty_like(x)
        for t, rows in _blocks(offsets, compute, x.device):
            update = torch.addmm(bias_rounded[t], F.gelu(received[rows]).to(compute), weight_rounded[t].T)
            torch.lerp(x[rows], update.to(x.dtype), share_new[t], out=out[rows])
        ctx.offsets, ctx.compute = offsets, compute
        ctx.save_for_backward(x, received, weight_rounded, bias, share_new)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (d_out,) = grads
        x, received, weight, bias, share_new = ctx.saved_tensors
        d_x, d_received = torch.empty_like(x), torch.empty_like(received)
        d_weight = torch.zeros(weight.shape, dtype=x.dtype, device=x.device)
        d_bias, d_share = torch.zeros_like(bias), torch.zeros_like(share_new)
        for t, rows in _blocks(ctx.offsets, ctx.compute, x.device):
            activated = F.gelu(received[rows])
            d_block = d_out[rows]
            d_rounded = d_block.to(ctx.compute)
            d_activated = (d_rounded @ weight[t]).to(x.dtype)  # still to be scaled by the share
            of_bias = d_block.sum(0)
            # Σ d · (update − x), with the update's part folded back through the weight instead of computed again.
            d_share[t] += _dot(d_activated, activated) + of_bias @ bias[t] - _dot(d_block, x[rows])
            d_weight[t] += share_new[t] * (d_rounded.T @ activated.to(ctx.compute))
            d_bias[t] += share_new[t] * of_bias
            d_received[rows] = torch.ops.aten.gelu_backward(d_activated.mul_(share_new[t]), received[rows])
            torch.mul(d_block, 1 - share_new[t], out=d_x[rows])
        return d_x, d_received, d_weight, d_bias, d_share, None, None


class _NormalisedMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, compute: torch.dtype, *states: Tensor) -> Tensor:
        widths = [state.shape[1] for state in states]
        parts = torch.split(weight.to(compute), widths, 1)
        nodes = len(states[0])
        out = weight.new_empty(nodes, len(weight))
        inverse_deviation = weight.new_empty(nodes, 1)
        for _, rows in _blocks((0, nodes), compute, weight.device):
            mapped: Tensor = bias
            for state, part in zip(states, parts, strict=True):
                mapped = mapped + (state[rows].to(compute) @ part.T).to(weight.dtype)
            out[rows], inverse_deviation[rows] = normalise(mapped)
        ctx.compute = compute
        ctx.save_for_backward(out, inverse_deviation, *parts, *states)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (d_out,) = grads
        out, inverse_deviation, *saved = ctx.saved_tensors
        parts, states = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        wanted = ctx.needs_input_grad[3:]
        d_states = [torch.empty_like(state) if want else None for state, want in zip(states, wanted, strict=True)]
        d_parts = [torch.zeros(part.shape, dtype=out.dtype, device=out.device) for part in parts]
        d_bias = out.new_zeros(out.shape[1])
        for _, rows in _blocks((0, len(out)), ctx.compute, out.device):
            normalised, d_block = out[rows], d_out[rows]
            along = (d_block * normalised).mean(1, keepdim=True)
            d_mapped = (d_block - d_block.mean(1, keepdim=True)).addcmul_(normalised, along, value=-1)
            d_mapped.mul_(inverse_deviation[rows])
            d_bias += d_mapped.sum(0)
            d_rounded = d_mapped.to(ctx.compute)
            for state, d_state, part, d_part in zip(states, d_states, parts, d_parts, strict=True):
                d_part += d_rounded.T @ state[rows].to(ctx.compute)
                if d_state is not None:
                    d_state[rows] = (d_rounded @ part).to(d_state.dtype)
        return torch.cat(d_parts, 1), d_bias, None, *d_states


def _blocks(offsets: tuple[int, ...], compute: torch.dtype, device: torch.device) -> Iterator[tuple[int, slice]]:
    """Each type's number with up to `ROWS` of its rows at a time.

    Of rounded products on a CPU the last rows of a type come by powers of two: oneDNN compiles a product for each
    number of rows that it meets and keeps a thousand of them, 0.6 MB each, and drawn parts have ever other numbers.
    """
    by_powers = compute == torch.bfloat16 and device.type == "cpu"
    for t, (start, stop) in enumerate(pairwise(offsets)):
        first = start
        while first < stop:
            rows = min(ROWS, stop - first)
            rows = 1 << (rows.bit_length() - 1) if by_powers else rows
            yield t, slice(first, first + rows)
            first += rows


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.reshape(-1), b.reshape(-1))
