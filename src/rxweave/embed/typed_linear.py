"""A linear map of its own for each node type, on rows that are grouped by type.

An autograd function because slicing and concatenating in autograd would allocate and zero a full-size gradient for
every type.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def typed_linear(
    x: Float[Tensor, "nodes in_dim"],
    weight: Float[Tensor, "types out_dim in_dim"],
    bias: Float[Tensor, "types out_dim"],
    type_offsets: tuple[int, ...],
) -> Float[Tensor, "nodes out_dim"]:
    """Give x W_t^T + b_t for each node, t being its type; rows `type_offsets[t]:type_offsets[t + 1]` are type t."""
    result: Tensor = _TypedLinear.apply(x, weight, bias, type_offsets)  # type: ignore[no-untyped-call]  # torch stub
    return result


class _TypedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, offsets: tuple[int, ...]) -> Tensor:
        out = x.new_empty(len(x), weight.shape[1])
        for t, (start, stop) in enumerate(pairwise(offsets)):
            torch.addmm(bias[t], x[start:stop], weight[t].T, out=out[start:stop])
        ctx.offsets = offsets
        ctx.save_for_backward(x, weight)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        (d_out,) = grads
        x, weight = ctx.saved_tensors
        d_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        d_weight = torch.empty_like(weight)
        d_bias = weight.new_empty(weight.shape[:2])
        for t, (start, stop) in enumerate(pairwise(ctx.offsets)):
            block = d_out[start:stop]
            torch.mm(block.T, x[start:stop], out=d_weight[t])
            torch.sum(block, 0, out=d_bias[t])
            if d_x is not None:
                torch.mm(block, weight[t], out=d_x[start:stop])
        return d_x, d_weight, d_bias, None
