"""How large the part of a graph is that a micro-batch of batching=sampled draws: expected from degrees, drawing none.

It follows `sampled_step.py` and `neighbours.py`. Which nodes are drawn is taken as independent from relation to
relation, so a part is called a little too large where the same nodes stand in many relations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from rxweave.config import EmbedSettings
from rxweave.embed.memory_shape import Flow, GraphShape
from rxweave.embed.objective import CONTRASTIVE_NODES


@dataclass(frozen=True)
class HopSize:
    """The sizes of one `neighbours.Hop`."""

    known: int
    """Nodes whose state is known before the round."""
    kept: int
    """Nodes whose state is wanted after it."""
    flows: tuple[Flow, ...]

    @property
    def edges(self) -> int:
        return sum(flow.edges for flow in self.flows)

    @property
    def rows(self) -> int:
        """Pairs and senders."""
        return sum(flow.pairs + flow.senders for flow in self.flows)


def drawn_part(shape: GraphShape, settings: EmbedSettings) -> list[HopSize]:
    """Give the hops of a micro-batch's part, the first layer's first."""
    sizes = np.maximum(np.array(shape.type_sizes, np.float64), 1)
    wanted, met = _seeds(shape, settings)
    hops: list[HopSize] = []
    for most in settings.neighbours_of_layers:
        share = wanted / sizes
        missed, met_next, flows = 1 - share, met.copy(), []
        for r, relation in enumerate(shape.relations):
            seen = (1 - shape.scored(relation, settings) / max(relation.facts, 1)) * (1 - settings.edge_dropout)
            kinds, degrees = (
                (relation.source_kind, relation.target_kind),
                (relation.source_degrees, relation.target_degrees),
            )
            for sender, receiver in ((0, 1),) if relation.symmetric else ((0, 1), (1, 0)):
                kind, receiving, sending = kinds[receiver], degrees[receiver], degrees[sender]
                # Nodes wanted for their facts in this very relation are those that have many.
                by_facts = receiving.met(met[r, receiver]) / sizes[kind]
                others = float(1 - (1 - share[kind]) / max(1 - by_facts, 1e-9))
                rows, edges = receiving.capped(most, met=float(met[r, receiver]), others=max(0.0, others))
                drawn = edges * seen / max(sending.facts, 1)
                reached = sending.met(drawn)
                missed[kinds[sender]] *= 1 - reached / sizes[kinds[sender]]
                ends = [0, 1] if relation.symmetric else [sender]
                met_next[r, ends] = 1 - (1 - met[r, ends]) * (1 - min(drawn, 1.0))
                flows.append(Flow(round(edges * seen), round(rows), round(reached)))
        known = sizes * (1 - missed)
        hops.append(HopSize(round(known.sum()), round(wanted.sum()), tuple(flows)))
        wanted, met = known, met_next
    return hops[::-1]


def _seeds(
    shape: GraphShape, settings: EmbedSettings
) -> tuple[Float[np.ndarray, " types"], Float[np.ndarray, "relations ends"]]:
    """Give the nodes of each type that a micro-batch scores, and the share of each relation's facts that are among it.

    Nodes are ends of its facts, negatives, and those of the contrastive term.
    """
    sizes = np.array(shape.type_sizes, np.float64)
    missed, met = np.ones(len(sizes)), np.zeros((len(shape.relations), 2))

    def draw(kind: int, nodes: float) -> None:
        missed[kind] *= 1 - min(1.0, nodes / max(sizes[kind], 1))

    for r, relation in enumerate(shape.relations):
        facts = shape.scored(relation, settings)
        if not facts:
            continue
        met[r] = facts / relation.facts
        draw(relation.source_kind, relation.source_degrees.met(facts / relation.facts))
        if not relation.symmetric:  # else both ends are in the degrees of either
            draw(relation.target_kind, relation.target_degrees.met(facts / relation.facts))
        for kind, nodes in zip((relation.source_kind, relation.target_kind), relation.negatives(settings), strict=True):
            draw(kind, float(nodes))
    if settings.contrastive_weight:
        for kind, size, shared in zip(shape.alike_kinds, shape.alike_types, shape.gene_meetings, strict=True):
            if shared:
                draw(kind, float(min(size, CONTRASTIVE_NODES)))
    return sizes * (1 - missed), met
