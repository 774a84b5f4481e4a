"""Scores of facts from two embeddings and the relation between them: never one dot product for all relations."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class DistMult(nn.Module):
    """score(s, r, t) = Σ_i s_i · r_i · t_i, a vector of weights for each relation (Yang et al. 2015).

    With rows of unit variance (the encoder's LayerNorm) the start scale 0.04 gives logits of order one at 512
    dimensions; `log_scale` lets a relation sharpen or soften as a whole.
    """

    def __init__(self, num_relations: int, dim: int, *, generator: torch.Generator) -> None:
        super().__init__()
        start = 1 + 0.5 * torch.randn(num_relations, dim, generator=generator)
        self.relation = nn.Parameter(0.04 * start)
        self.log_scale = nn.Parameter(torch.zeros(num_relations))

    def project(self, z: Float[Tensor, "rows dim"], relation: int) -> Float[Tensor, "rows dim"]:
        """Give z · r: its dot product with an embedding at the other end is the score, from either side."""
        return z * self.weights(relation)

    def weights(self, relation: int) -> Float[Tensor, " dim"]:
        """Give r, the weights of a relation's score."""
        return self.relation[relation] * self.log_scale[relation].exp()

    def matrix(
        self, sources: Float[Tensor, "sources dim"], targets: Float[Tensor, "targets dim"], relation: int
    ) -> Float[Tensor, "sources targets"]:
        """Give the score of every source with every target."""
        return self.project(sources, relation) @ targets.T
