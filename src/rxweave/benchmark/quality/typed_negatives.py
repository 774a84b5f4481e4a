"""Negatives for PyKEEN's models: an end of a fact replaced by another node of the same type."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from pykeen.sampling import NegativeSampler
from torch import Tensor


class TypedNegatives(NegativeSampler):
    """Corrupts one end of a fact, either as often, by a draw among the other nodes of that end's type.

    Not PyKEEN's own pseudo-typed sampler, which draws among the ends that the relation's facts have: a drug without
    treatments would never be a negative, and to place those is the question. An end whose type has one node stays;
    the other is drawn then.
    """

    def __init__(self, *, type_offsets: Int[np.ndarray, " bounds"], **named: Any) -> None:
        """Take the graph's `type_offsets`: nodes of a type are one range of rows. The rest is PyKEEN's."""
        super().__init__(**named)
        self.register_buffer("offsets", torch.from_numpy(type_offsets.astype(np.int64)))

    def corrupt_batch(self, positive_batch: Int[Tensor, "*batch 3"]) -> Int[Tensor, "*batch negatives 3"]:
        """Give the negatives of each fact."""
        offsets: Tensor = self.offsets  # type: ignore[assignment]
        found = positive_batch.unsqueeze(-2).repeat_interleave(self.num_negs_per_pos, dim=-2)
        ends = found[..., ::2].contiguous()
        node_type = torch.searchsorted(offsets, ends, right=True) - 1
        others = offsets[node_type + 1] - offsets[node_type] - 1
        column = torch.randint(2, (*found.shape[:-1], 1), device=found.device)
        column = torch.where(others.gather(-1, column) > 0, column, 1 - column)
        old, first, num_others = (x.gather(-1, column) for x in (ends, offsets[node_type], others))
        # In float64 no product reaches its upper end; the last of the others stands for the node itself.
        drawn = first + (torch.rand(num_others.shape, dtype=torch.float64, device=found.device) * num_others).long()
        drawn += (drawn >= old) & (num_others > 0)
        return found.scatter(-1, 2 * column, drawn)
