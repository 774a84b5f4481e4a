"""One attention operator, several implementations that agree; `IMPLEMENTATIONS` lists them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from rxweave.embed.attention.csr import attend_csr
from rxweave.embed.attention.index import MessageIndex, build_index
from rxweave.embed.attention.reference import attend_reference

Attention = Callable[[MessageIndex, Tensor, Tensor, Tensor], Tensor]
"""(index, query_key_value, to_key, to_message) → what each node receives; shapes as in `attend_reference`."""

IMPLEMENTATIONS: dict[str, Attention] = {"csr": attend_csr, "reference": attend_reference}

__all__ = ["IMPLEMENTATIONS", "Attention", "MessageIndex", "attend_csr", "attend_reference", "build_index"]
