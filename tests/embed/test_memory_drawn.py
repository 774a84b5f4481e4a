"""The expected size of a drawn part against parts that were drawn, and degrees against their plain counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxweave.config import EmbedSettings
from rxweave.embed.batches import FactSampler
from rxweave.embed.memory_drawn import drawn_part
from rxweave.embed.memory_shape import Degrees, GraphShape
from rxweave.embed.neighbours import IncomingEdges, Part, sample_part
from rxweave.graph.build import Graph, build_graph
from rxweave.graph.primekg_shape import primekg_shaped
from rxweave.kg.demo import demo_kg


def drawn(graph: Graph, settings: EmbedSettings) -> Part:
    """Draw the part of a micro-batch without a contrastive term."""
    sampler, rng = FactSampler(graph, settings), np.random.default_rng(0)
    chosen = sampler.hide(rng)
    facts = sampler.cut(chosen)[0]
    batches = sampler.micro_batch(facts, [len(each) for each in chosen], rng)
    seeds = np.concatenate([batch.nodes for batch in batches])
    hidden, most = sampler.numbers(facts), settings.neighbours_of_layers
    return sample_part(IncomingEdges.of(graph), seeds, most, hidden, rng, edge_dropout=settings.edge_dropout)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_neighbours": (5, 2), "batch_facts": 512, "num_treatment_negatives": 64},
        {"num_neighbours": (-1,), "batch_facts": 300, "num_treatment_negatives": 10, "num_negatives": 2},
        {"edge_dropout": 0.5, "num_neighbours": (3,), "num_layers": 3},
    ],
)
@pytest.mark.parametrize("name", ["primekg", "demo"])
def test_a_part_is_about_as_large_as_expected(name: str, changes: dict[str, object]) -> None:
    graph = (
        primekg_shaped(0.05, seed=0) if name == "primekg" else build_graph(demo_kg(num_nodes=2000, num_edges=30_000))
    )
    settings = EmbedSettings(batching="sampled", contrastive_weight=0.0, **changes)
    part, expected = drawn(graph, settings), drawn_part(GraphShape.of(graph), settings)
    assert len(expected) == len(part.hops) == settings.num_layers
    for size, hop in zip(expected, part.hops, strict=True):
        assert size.known == pytest.approx(hop.index.num_nodes, rel=0.25)
        assert size.kept == pytest.approx(len(hop.kept), rel=0.25)
        # Without a cap the hubs decide, and those of one relation are hubs of others: fewer edges are expected.
        off = 0.35 if -1 in settings.num_neighbours else 0.25
        assert size.edges == pytest.approx(hop.index.num_edges, rel=off)
        assert size.rows == pytest.approx(hop.index.num_pairs + hop.index.num_senders, rel=0.25)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=300), st.floats(0.0, 1.0))
def test_degrees_are_those_of_the_nodes(nodes: list[int], share: float) -> None:
    found, degree = Degrees.of(np.array(nodes), 41), np.bincount(nodes, minlength=41)
    assert found.nodes == (degree > 0).sum()
    assert found.facts == pytest.approx(len(nodes))
    assert found.capped(-1) == pytest.approx((found.nodes, len(nodes)))
    assert found.capped(4) == pytest.approx((found.nodes, np.minimum(degree, 4).sum()))
    expected = 1 - (1 - share) ** degree
    assert found.met(share) == pytest.approx(expected.sum(), rel=0.01, abs=0.01)
    either = (1 - (1 - expected) / 2) * (degree > 0)
    of_either = either.sum(), (either * np.minimum(degree, 4)).sum()
    assert found.capped(4, met=share, others=0.5) == pytest.approx(of_either, rel=0.01, abs=0.01)
    assert found.met(1.0) == found.nodes


def test_a_thinned_graph_has_fewer_facts_and_nodes_with_facts() -> None:
    degrees = Degrees.of(np.repeat(np.arange(30), np.arange(1, 31)), 30)
    half = degrees.thinned(0.5)
    assert half.facts == pytest.approx(degrees.facts / 4, rel=0.1)
    assert half.nodes < degrees.nodes / 2
