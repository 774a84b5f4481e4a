"""The link loss of a batch of facts and its gradient, computed by hand a few rows at a time.

Autograd would keep and revisit a dozen arrays of facts × dims from main memory; here each group of facts stays in the
cache from its embeddings to their gradients. `tests/embed/autograd_link_loss.py` says the same plainly, for autograd.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rxweave.embed.batches import FactBatch

FACTS_AT_ONCE = 2048
"""Facts in a group: its arrays of facts × dims fit the last-level cache."""


def add_link_gradient(
    z: Float[Tensor, "nodes dim"],
    gradient: Float[Tensor, "nodes dim"],
    weights: Float[Tensor, " dim"],
    batch: FactBatch,
    share: float,
    compute: torch.dtype | None = None,
) -> tuple[float, Float[Tensor, " dim"]]:
    """Add to `gradient` that of share × the batch's link loss; give the loss and share × its gradient of `weights`.

    The loss is the mean cross-entropy of picking a fact's true end among shared negatives, summed over both sides; a
    negative that is in truth another known end is left out. Against one negative per fact this ranks far better on the
    side with many candidates, because every fact competes with many ends at once (Sun et al. 2019; Ruffinelli et al.
    2020 compare losses).

    `weights` are the relation's of DistMult. With `compute=torch.bfloat16` the products with the negatives take
    rounded inputs; sums, probabilities and gradients stay as z is.
    """
    compute = compute or z.dtype
    device = z.device
    negatives = torch.from_numpy(batch.other_targets).to(device), torch.from_numpy(batch.other_sources).to(device)
    others = [z.index_select(0, rows).to(compute) for rows in negatives]
    d_others = [torch.zeros(other.shape, dtype=z.dtype, device=device) for other in others]
    also_true = [torch.from_numpy(mask).to(device) for mask in (batch.target_also_true, batch.source_also_true)]
    d_weights = torch.zeros_like(weights)
    loss = z.new_zeros(())
    per_fact = share / len(batch.source)
    for first in range(0, len(batch.source), FACTS_AT_ONCE):
        facts = slice(first, first + FACTS_AT_ONCE)
        ends = [torch.from_numpy(rows[facts]).to(device) for rows in (batch.source, batch.target)]
        source, target = (z.index_select(0, rows) for rows in ends)
        asking = [source * weights, target * weights]  # the known end of a fact, as it asks for the other
        true = (asking[0] * target).sum(1)
        d_true = torch.zeros_like(true)
        d_asking = []
        for side in (0, 1):
            rounded = asking[side].to(compute)
            score = (rounded @ others[side].T).to(z.dtype)
            score.masked_fill_(also_true[side][facts], -torch.inf)
            total = torch.logaddexp(score.logsumexp(1), true)
            loss += (total - true).sum()
            d_score = score.sub_(total[:, None]).exp_().mul_(per_fact).to(compute)
            d_true += (true - total).exp_().sub_(1).mul_(per_fact)
            d_asking.append((d_score @ others[side]).to(z.dtype))
            d_others[side] += d_score.T @ rounded
        d_asking[0].addcmul_(target, d_true[:, None])
        d_weights += (d_asking[0] * source).sum(0) + (d_asking[1] * target).sum(0)
        add_rows(gradient, ends[0], d_asking[0].mul_(weights))
        add_rows(gradient, ends[1], d_asking[1].mul_(weights).addcmul_(asking[0], d_true[:, None]))
    for rows, d_other in zip(negatives, d_others, strict=True):
        add_rows(gradient, rows, d_other)
    return float(loss) / len(batch.source), d_weights


def add_rows(to: Float[Tensor, "nodes dim"], rows: Int[Tensor, " rows"], x: Float[Tensor, "rows dim"]) -> None:
    """Add each row of x to the row of `to` that it belongs to; repeated ones in the same order every time.

    That holds on CPU and CUDA; on MPS the order is not fixed (pytorch issue 161029).
    """
    if to.device.type == "cuda":
        to.index_put_((rows,), x, accumulate=True)  # it sorts first; there, `index_add_` adds in any order
    else:
        to.index_add_(0, rows, x)
