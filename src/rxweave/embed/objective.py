"""What a training step minimises: ranking of the hidden facts, and likeness of nodes that share genes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rxweave.config import EmbedSettings
from rxweave.embed.batches import FactBatch, FactSampler
from rxweave.embed.decoder import DistMult
from rxweave.embed.finite import check_finite
from rxweave.embed.hgt import COMPUTE
from rxweave.embed.link_loss import add_link_gradient
from rxweave.embed.loss import contrastive_loss
from rxweave.embed.place import ALONE, Place
from rxweave.embed.similarity import gene_sharing
from rxweave.graph.build import Graph

CONTRASTIVE_NODES = 2048


@dataclass(frozen=True)
class Losses:
    """The losses of a step, in nats; `treatment` is NaN without drug–disease relations."""

    link: float
    treatment: float
    contrastive: float


class ScoredEmbeddings:
    """The embeddings of a step, scored piece by piece; gradients of all pieces are summed at the embeddings.

    One encoder pass then serves all micro-batches: mathematically the same as a pass for each of them.
    """

    def __init__(self, z: Float[Tensor, "nodes dim"]) -> None:
        self.z = z.detach()
        self.gradient = torch.zeros_like(self.z)

    def backward(
        self, loss_of: Callable[[Float[Tensor, "rows dim"]], Tensor], rows: Tensor, weight: float, name: str
    ) -> float:
        """Back-propagate weight × loss of these rows, into the decoder and into the summed gradient.

        Raises NotFiniteError, with the name, for a loss that is not finite.
        """
        rows = rows.to(self.z.device)
        z = self.z[rows].requires_grad_()
        loss = loss_of(z)
        value = float(loss.detach())
        check_finite(value, name)
        (weight * loss).backward()  # type: ignore[no-untyped-call]  # torch stub
        if z.grad is not None:
            self.gradient.index_add_(0, rows, z.grad)
        return value


class Objective:
    """Which facts a step scores and what it minimises, on one graph.

    With several ranks every loss is this rank's part: their sum over ranks, and that of the gradients, is the whole.
    """

    def __init__(self, graph: Graph, settings: EmbedSettings, precision: str = "fp32", place: Place = ALONE) -> None:
        self.place = place
        self.compute = COMPUTE[precision]
        self.graph = graph
        self.settings = settings
        self.sampler = FactSampler(graph, settings, place)
        self.weights = _relation_weights(graph, settings)
        self.alike = _similar_nodes(graph, settings)
        # A node without facts has a zero vector, whose direction, and so its gradient, means nothing.
        linked = graph.degrees > 0
        self.linked = {t: np.flatnonzero(linked[graph.rows_of(t)]) for t in self.alike}

    def score_facts(
        self,
        scored: ScoredEmbeddings,
        decoder: DistMult,
        batches: Iterable[FactBatch],
    ) -> tuple[float, float]:
        """Back-propagate the link loss of batches; give it, and the mean over the drug–disease relations alone.

        What the batches of a whole step give sums to the loss of the step.
        """
        treatment_like = self.sampler.treatment_like
        link = treatment = 0.0
        for batch in batches:
            weight = self.weights[batch.relation] * batch.share
            weights = decoder.weights(batch.relation)
            loss, d_weights = add_link_gradient(
                scored.z, scored.gradient, weights.detach(), batch, weight, self.compute
            )
            check_finite(loss, f"the link loss of {self.graph.relations[batch.relation]}")
            weights.backward(d_weights)  # type: ignore[no-untyped-call]  # torch stub
            link += weight * loss
            if batch.relation in treatment_like:
                treatment += batch.share * loss / len(treatment_like)
        return link, treatment if treatment_like else float("nan")

    def draw_alike(self, rng: np.random.Generator) -> dict[str, Int[np.ndarray, " _"]]:
        """Draw the nodes that the contrastive loss looks at: rows of the graph, for each type that has one."""
        return {
            node_type: self.graph.rows_of(node_type).start
            + np.sort(rng.choice(linked, min(len(linked), CONTRASTIVE_NODES), replace=False))
            for node_type, linked in self.linked.items()
        }

    def for_this_rank(self, drawn: dict[str, Int[np.ndarray, " _"]]) -> dict[str, Int[np.ndarray, " _"]]:
        """Give the types whose contrastive loss is this rank's to compute."""
        turns = enumerate(drawn.items())
        return {node_type: nodes for turn, (node_type, nodes) in turns if turn % self.place.size == self.place.rank}

    def contrast(
        self,
        scored: ScoredEmbeddings,
        drawn: dict[str, Int[np.ndarray, " _"]],
        *,
        share: float = 1.0,
        rows: Int[np.ndarray, " rows"] | None = None,
    ) -> float:
        """Back-propagate `share` × the contrastive loss of drawn nodes; give that times its mean over types.

        `rows` are the graph's rows that are scored, ascending; by default all of them.
        """
        total = 0.0
        for node_type, nodes in drawn.items():
            among = nodes - self.graph.rows_of(node_type).start
            similar = torch.from_numpy(self.alike[node_type][among][:, among].toarray()).to(scored.z.device)
            loss = scored.backward(
                partial(contrastive_loss, similar=similar),
                torch.from_numpy(nodes if rows is None else np.searchsorted(rows, nodes)),
                share * self.settings.contrastive_weight / len(self.alike),
                f"the contrastive loss of {node_type}",
            )
            total += share * loss / len(self.alike)
        return total


def dropout(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Zero a share of the numbers and scale the others up; drawn on the CPU, so alike on every device."""
    if share == 0:
        return x
    keep = torch.rand(x.shape, generator=generator).ge_(share).div_(1 - share)
    return x * keep.to(x.device)


def _relation_weights(graph: Graph, settings: EmbedSettings) -> list[float]:
    """Equal weight for every relation that has facts to score, more for drug–disease relations; they sum to one.

    Under relation_balance b they are multiplied by the number of facts to the power 1 − b.
    """
    treatment_like = set(graph.drug_disease_relations())
    weights = [
        (settings.treatment_weight if r in treatment_like else 1.0)
        * (fact.shape[1] > 1)  # a single fact is never scored
        * fact.shape[1] ** (1 - settings.relation_balance)
        for r, fact in enumerate(graph.facts)
    ]
    return [weight / sum(weights) for weight in weights]


def _similar_nodes(graph: Graph, settings: EmbedSettings) -> dict[str, sp.csr_matrix]:
    if settings.contrastive_weight == 0:
        return {}
    found = {
        node_type: gene_sharing(graph, node_type, threshold=settings.similarity_threshold)
        for node_type in (graph.roles.disease, graph.roles.drug)
        if node_type in graph.node_types
    }
    return {node_type: matrix for node_type, matrix in found.items() if matrix.nnz}
