"""What a step scores and hides: shares, types, and which negatives are true after all."""

from __future__ import annotations

import numpy as np
import pytest

from rxweave.config import EmbedSettings
from rxweave.embed.batches import FactSampler
from rxweave.graph.build import Graph

SETTINGS = EmbedSettings(edge_sample_size=50, accumulation_steps=3, num_negatives=16, num_treatment_negatives=32)


@pytest.fixture
def sampler(small_graph: Graph) -> FactSampler:
    return FactSampler(small_graph, SETTINGS)


def test_known_ends_among_negatives_match_brute_force(small_graph: Graph, sampler: FactSampler) -> None:
    rng = np.random.default_rng(0)
    seen = 0
    for batch in sampler.micro_batches(sampler.hide(rng), rng):
        rel, fact = small_graph.relations[batch.relation], small_graph.facts[batch.relation]
        true = set(zip(*fact.tolist(), strict=True))
        if rel.symmetric:
            true |= {(b, a) for a, b in true}
        for i, (source, target) in enumerate(zip(batch.source.tolist(), batch.target.tolist(), strict=True)):
            assert (source, target) in true
            expected = [(source, other) in true for other in batch.other_targets.tolist()]
            assert batch.target_also_true[i].tolist() == expected
            expected = [(other, target) in true for other in batch.other_sources.tolist()]
            assert batch.source_also_true[i].tolist() == expected
            seen += sum(expected)
    assert seen > 0


def test_negatives_have_the_type_of_the_end_they_replace(small_graph: Graph, sampler: FactSampler) -> None:
    rng = np.random.default_rng(0)
    for batch in sampler.micro_batches(sampler.hide(rng), rng):
        rel = small_graph.relations[batch.relation]
        for nodes, node_type in (
            (batch.other_sources, rel.source_type),
            (batch.other_targets, rel.target_type),
        ):
            rows = small_graph.rows_of(node_type)
            assert ((nodes >= rows.start) & (nodes < rows.stop)).all()
            assert len(np.unique(nodes)) == len(nodes)


def test_every_relation_is_scored_within_its_limits(small_graph: Graph, sampler: FactSampler) -> None:
    chosen = sampler.hide(np.random.default_rng(0))
    for facts, fact in zip(chosen, small_graph.facts, strict=True):
        assert len(facts) == min(150, int(fact.shape[1] * SETTINGS.masked_share))
        assert len(np.unique(facts)) == len(facts)
    mask = sampler.hidden_mask(chosen, np.random.default_rng(1))
    assert mask.sum() == sum(map(len, chosen))


def test_edge_dropout_leaves_out_a_share_of_the_other_facts(small_graph: Graph) -> None:
    sampler = FactSampler(small_graph, SETTINGS.but(edge_dropout=0.3))
    chosen = sampler.hide(np.random.default_rng(0))
    first, second = (sampler.hidden_mask(chosen, np.random.default_rng(seed)) for seed in (1, 2))
    scored = FactSampler(small_graph, SETTINGS).hidden_mask(chosen, np.random.default_rng(1))
    assert first[scored].all()
    assert 0.27 < first[~scored].mean() < 0.33
    assert (first != second).any()


def test_micro_batches_cover_the_chosen_facts_once(small_graph: Graph, sampler: FactSampler) -> None:
    rng = np.random.default_rng(0)
    chosen = sampler.hide(rng)
    shares, sizes = np.zeros(len(chosen)), np.zeros(len(chosen))
    for batch in sampler.micro_batches(chosen, rng):
        shares[batch.relation] += batch.share
        sizes[batch.relation] += len(batch.source)
    np.testing.assert_allclose(shares, 1)
    np.testing.assert_array_equal(sizes, [len(facts) for facts in chosen])
