"""The decoder's scores: which relations count, how much each, and that nothing is changed on the way."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from pair_graphs import BINDS, EASED_BY, HARMS, TREATS, graph_of, vectors_of

from rxweave.config import EmbedSettings
from rxweave.embed.attention.choose import Choice
from rxweave.embed.decoder import DistMult
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.embed.memory_plan import plan_memory
from rxweave.embed.train import Trained
from rxweave.embed.treatment_scores import WEIGHTS_KEY, scores_as_told, told_weights
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.kg.tables import Roles
from rxweave.rank.decoder_scores import decoder_scores

DIM = 6
SIZES = {"drug": 4, "disease": 3, "gene": 2}


def graph_with(num_treats: int, num_eased_by: int) -> Graph:
    """Two relations mean treatment, written in opposite directions; two others do not."""
    pairs = [(drug, disease) for drug in range(4) for disease in range(3)]
    facts = {
        HARMS: pairs[:4],
        TREATS: pairs[:num_treats],
        EASED_BY: [(disease, drug) for drug, disease in pairs[::-1][:num_eased_by]],
        BINDS: [(0, 0), (1, 1)],
    }
    return replace(graph_of(SIZES, facts), roles=Roles("drug", "disease", "gene", treats=("treats", "eased by")))


def trained_on(graph: Graph, *, log_scale: float = 0.0) -> Trained:
    """A decoder of random weights; `log_scale` is that of the relation "eased by"."""
    generator = torch.Generator().manual_seed(1)
    decoder = DistMult(len(graph.relations), DIM, generator=generator)
    with torch.no_grad():
        decoder.log_scale[graph.relations.index(EASED_BY)] = log_scale
    shape = HGTShape(tuple(graph.type_offsets.tolist()), 1, 4, 4, DIM, 1, 1)
    encoder = HGT(shape, generator=generator)
    vectors = vectors_of(graph, dim=DIM)
    features = torch.zeros(graph.num_nodes, 4)
    asked = Choice("csr", "asked for"), Choice("fp32", "asked for")
    return Trained(vectors, graph, features, encoder, decoder, (), "cpu", *asked, plan_memory(graph, EmbedSettings()))


def logits(trained: Trained, relation: int) -> np.ndarray:
    """DistMult by its definition: exp(scale) Σ_i drug_i · r_i · disease_i."""
    graph = trained.graph
    drugs, diseases = (trained.vectors[graph.rows_of(end)].astype(float) for end in ("drug", "disease"))
    weights = trained.decoder.relation[relation].detach().double().numpy()
    scale = np.exp(float(trained.decoder.log_scale[relation].detach()))
    return scale * np.einsum("ai,bi,i->ab", drugs, diseases, weights)


def standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


@pytest.mark.parametrize(("num_treats", "num_eased_by", "counts"), [(5, 0, TREATS), (0, 5, EASED_BY)])
def test_one_relation_gives_its_logits_in_either_direction(num_treats: int, num_eased_by: int, counts) -> None:
    graph = graph_with(num_treats, num_eased_by)
    trained = trained_on(graph, log_scale=0.7)
    scores = decoder_scores(trained, graph)
    assert scores.shape == (4, 3)
    np.testing.assert_allclose(scores, logits(trained, graph.relations.index(counts)), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("num_treats", "num_eased_by", "counts"), [(6, 1, TREATS), (1, 2, EASED_BY)])
def test_a_relation_with_one_fact_has_no_say(num_treats: int, num_eased_by: int, counts) -> None:
    graph = graph_with(num_treats, num_eased_by)
    trained = trained_on(graph)
    expected = logits(trained, graph.relations.index(counts))
    np.testing.assert_allclose(decoder_scores(trained, graph), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("log_scale", [0.0, 6.0])
def test_several_relations_weigh_by_their_facts_whatever_their_scale(log_scale: float) -> None:
    graph = graph_with(6, 2)
    trained = trained_on(graph, log_scale=log_scale)
    treats, eased = (logits(trained, graph.relations.index(relation)) for relation in (TREATS, EASED_BY))
    expected = 0.75 * standardised(treats) + 0.25 * standardised(eased)
    np.testing.assert_allclose(decoder_scores(trained, graph), expected, atol=1e-5)


def test_a_relation_that_scores_all_pairs_alike_adds_nothing() -> None:
    graph = graph_with(6, 2)
    trained = trained_on(graph)
    with torch.no_grad():
        trained.decoder.relation[graph.relations.index(EASED_BY)] = 0
    expected = 0.75 * standardised(logits(trained, graph.relations.index(TREATS)))
    np.testing.assert_allclose(decoder_scores(trained, graph), expected, atol=1e-5)


def test_scoring_leaves_the_trained_decoder_as_it_is() -> None:
    graph = graph_with(6, 2)
    trained = trained_on(graph)
    before = deepcopy(trained.decoder.state_dict())
    moved: list[DistMult] = []

    class Watched(DistMult):
        """Tells whether it is brought to the CPU: a module is moved in place."""

        def cpu(self) -> DistMult:
            moved.append(self)
            return super().cpu()

    trained.decoder.__class__ = Watched
    decoder_scores(trained, graph)
    assert moved == []
    for name, tensor in trained.decoder.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(("num_treats", "num_eased_by"), [(0, 0), (1, 1)])
def test_a_graph_whose_treatments_were_never_scored_in_training_is_refused(num_treats: int, num_eased_by: int) -> None:
    graph = graph_with(num_treats, num_eased_by)
    said = rf"no treatment relation with at least 2 facts.*treats→ disease \({num_treats} facts\), disease –eased by"
    with pytest.raises(InputError, match=said):
        decoder_scores(trained_on(graph), graph)


def test_a_graph_without_a_treatment_relation_is_refused() -> None:
    graph = graph_of(SIZES, {HARMS: [(0, 0), (1, 1)], EASED_BY: [(0, 0), (1, 1)]})
    trained = trained_on(graph)
    with pytest.raises(InputError, match="there is none at all"):
        decoder_scores(trained, graph)
    with pytest.raises(InputError, match="there is none at all"):
        scores_as_told(trained.vectors, {WEIGHTS_KEY: "{}"}, graph)


def test_embeddings_with_their_weights_score_as_the_decoder_does() -> None:
    for numbers in ((8, 0), (8, 3)):
        trained = trained_on(graph_with(*numbers), log_scale=0.7)
        told = {WEIGHTS_KEY: told_weights(trained.decoder, trained.graph)}
        np.testing.assert_array_equal(
            scores_as_told(trained.vectors, told, trained.graph), decoder_scores(trained, trained.graph)
        )


@pytest.mark.parametrize(
    "told", [{}, {WEIGHTS_KEY: "no JSON"}, {WEIGHTS_KEY: '{"drug –binds→ gene": [1, 2]}'}, {WEIGHTS_KEY: "[1]"}]
)
def test_embeddings_without_these_weights_are_refused(told: dict[str, str]) -> None:
    trained = trained_on(graph_with(8, 0))
    with pytest.raises(InputError, match="do not say how their decoder scores"):
        scores_as_told(trained.vectors, told, trained.graph)


def test_weights_of_another_width_are_refused() -> None:
    trained = trained_on(graph_with(8, 0))
    told = {WEIGHTS_KEY: told_weights(trained.decoder, trained.graph)}
    with pytest.raises(InputError, match=f"are not {DIM + 1} numbers wide"):
        scores_as_told(np.ones((trained.graph.num_nodes, DIM + 1), np.float32), told, trained.graph)
