"""One attention operator, several implementations that agree; `IMPLEMENTATIONS` lists them, `choose` picks one."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from rxweave.embed.attention.csr import attend_csr
from rxweave.embed.attention.gather import attend_gather
from rxweave.embed.attention.index import MessageIndex, build_index
from rxweave.embed.attention.reference import attend_reference

Attention = Callable[[MessageIndex, Tensor, Tensor, Tensor], Tensor]
"""(index, query_key_value, to_key, to_message) → what each node receives; shapes as in `attend_reference`."""


def _fused_cpu(index: MessageIndex, query_key_value: Tensor, to_key: Tensor, to_message: Tensor) -> Tensor:
    from rxweave.embed.attention.fused_cpu import attend_fused_cpu  # imports Numba: slow to load

    return attend_fused_cpu(index, query_key_value, to_key, to_message)


def _fused_cuda(index: MessageIndex, query_key_value: Tensor, to_key: Tensor, to_message: Tensor) -> Tensor:
    from rxweave.embed.attention.fused_cuda import attend_fused_cuda  # imports Triton, which few machines have

    return attend_fused_cuda(index, query_key_value, to_key, to_message)


IMPLEMENTATIONS: dict[str, Attention] = {
    "fused_cpu": _fused_cpu,
    "fused_cuda": _fused_cuda,
    "csr": attend_csr,
    "gather": attend_gather,
    "reference": attend_reference,
}

__all__ = [
    "IMPLEMENTATIONS",
    "Attention",
    "MessageIndex",
    "attend_csr",
    "attend_gather",
    "attend_reference",
    "build_index",
]
