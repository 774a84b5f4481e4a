"""What keeps nodes that share genes together; the loss that ranks true ends is in `link_loss`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


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
