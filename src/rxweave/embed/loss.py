"""What training minimises: rank true ends above false ones, and keep nodes that share genes together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def ranking_loss(
    true_score: Float[Tensor, " facts"],
    false_scores: Float[Tensor, "facts negatives"],
    also_true: Bool[Tensor, "facts negatives"],
) -> Float[Tensor, ""]:
    """Give the mean cross-entropy of picking the true end among shared negatives.

    A negative that is in truth another known end (`also_true`) is left out of the sum. Against one negative per
    fact this ranks far better on the side with many candidates, because every fact competes with many ends at once
    (Sun et al. 2019; Ruffinelli et al. 2020 compare losses).
    """
    competing = torch.cat([true_score[:, None], false_scores.masked_fill(also_true, -torch.inf)], 1)
    return (competing.logsumexp(1) - true_score).mean()


def contrastive_loss(
    z: Float[Tensor, "nodes dim"], similar: Bool[Tensor, "nodes nodes"], *, temperature: float = 0.2
) -> Float[Tensor, ""]:
    """Give InfoNCE with cosine: each node should find its similar nodes among all the others (Oord et al. 2018).

    A node with several similar nodes averages over them (Khosla et al. 2020, "out"); a node with none does not
    count; with none at all the loss is zero. `similar` must be False on its diagonal.
    """
    has_similar = similar.any(1)
    if not bool(has_similar.any()):
        return z.sum() * 0.0
    unit = F.normalize(z, dim=1)
    logit = unit @ unit.T / temperature
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    log_share = logit - logit.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    per_node = -(log_share * similar).sum(1)[has_similar] / similar.sum(1)[has_similar]
    return per_node.mean()
