"""The link loss of a batch written plainly, for autograd: what `rxweave.embed.link_loss` computes by hand."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rxweave.embed.batches import FactBatch
from rxweave.embed.decoder import DistMult


def batch_rows(batch: FactBatch) -> Tensor:
    """Give the nodes whose embeddings a batch needs, in the order in which `link_loss` takes them."""
    return torch.from_numpy(np.concatenate([batch.source, batch.target, batch.other_sources, batch.other_targets]))


def link_loss(z: Float[Tensor, "rows dim"], batch: FactBatch, decoder: DistMult) -> Tensor:
    """Give the ranking loss of a batch from both sides; `z` are the embeddings of `batch_rows`."""
    sizes = [len(batch.source), len(batch.target), len(batch.other_sources), len(batch.other_targets)]
    source, target, other_sources, other_targets = torch.split(z, sizes)
    forward = decoder.project(source, batch.relation)
    backward = decoder.project(target, batch.relation)
    true_score = (forward * target).sum(1)
    target_also_true = torch.from_numpy(batch.target_also_true).to(z.device)
    source_also_true = torch.from_numpy(batch.source_also_true).to(z.device)
    return ranking_loss(true_score, forward @ other_targets.T, target_also_true) + ranking_loss(
        true_score, backward @ other_sources.T, source_also_true
    )


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
