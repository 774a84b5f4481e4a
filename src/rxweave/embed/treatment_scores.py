"""What the embeddings say of treatment on their own, through the decoder they were trained with."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from rxweave.embed.decoder import DistMult
from rxweave.errors import InputError
from rxweave.graph.build import Graph

FEWEST_FACTS = 2
"""Training never scores the only fact of a relation (`FactSampler.hide`): its decoder weights stay random."""

WEIGHTS_KEY = "treatment_weights"
"""Where the metadata of embeddings keep the decoder's weights of the treatment relations: JSON, by relation."""


def treatment_scores(
    vectors: Float32[np.ndarray, "nodes dim"], decoder: DistMult, graph: Graph
) -> Float32[np.ndarray, "drugs diseases"]:
    """Give the decoder's score of treatment for every pair, from the relations that mean treatment.

    It is the honest test of the embeddings: no degrees, no paths. `graph` is the graph they were trained on. Only
    relations with at least 2 facts in it count. One gives its logits as they are. Of several, each is first brought
    to mean 0 and standard deviation 1 over all pairs, since their scales differ freely, and then weighs by its
    number of facts. The decoder stays as it is, on its device. Raises InputError when no relation is left.
    """
    with torch.no_grad():
        weights = {r: decoder.weights(r).cpu() for r in scored_relations(graph)}
    return _scores(vectors, weights, graph)


def told_weights(decoder: DistMult, graph: Graph) -> str:
    """Give the decoder's weights of the treatment relations, for the metadata of embeddings; see `scores_as_told`."""
    with torch.no_grad():
        weights = {str(graph.relations[r]): decoder.weights(r).cpu().tolist() for r in scored_relations(graph)}
    return json.dumps(weights)


def scores_as_told(
    vectors: Float32[np.ndarray, "nodes dim"], metadata: Mapping[str, str], graph: Graph
) -> Float32[np.ndarray, "drugs diseases"]:
    """Give `treatment_scores` of embeddings whose metadata hold the decoder's weights.

    Raises InputError when they do not, or are of other relations or another width, and when no relation is left.
    """
    relations = scored_relations(graph)
    try:
        told: dict[str, list[float]] = json.loads(metadata[WEIGHTS_KEY])
        weights = {r: torch.tensor(told[str(graph.relations[r])]) for r in relations}
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"These embeddings do not say how their decoder scores the treatments of {graph.name} ({WEIGHTS_KEY} in "
            "the metadata of the Parquet file). Embed again with this rxweave, or leave the feature group decoder out."
        ) from error
    width = vectors.shape[1]
    if any(weight.shape != (width,) for weight in weights.values()):
        raise InputError(f"The {WEIGHTS_KEY} of these embeddings are not {width} numbers wide. Embed again.")
    return _scores(vectors, weights, graph)


def _scores(
    vectors: Float32[np.ndarray, "nodes dim"], weights: Mapping[int, Float32[Tensor, " dim"]], graph: Graph
) -> Float32[np.ndarray, "drugs diseases"]:
    # Copies: an array that was read from a file may not be writable, which torch warns of.
    drugs = torch.tensor(vectors[graph.rows_of(graph.roles.drug)])
    diseases = torch.tensor(vectors[graph.rows_of(graph.roles.disease)])
    num_facts = scored_relations(graph)
    total = torch.zeros(len(drugs), len(diseases))
    for r, weight in weights.items():
        # DistMult is symmetric in its ends, so the direction in which the relation is written does not matter.
        scores = (drugs * weight) @ diseases.T
        if len(weights) > 1:
            _standardise(scores)
        total.add_(scores, alpha=num_facts[r] / sum(num_facts.values()))
    return total.numpy()


def scored_relations(graph: Graph) -> dict[int, int]:
    """Give the treatment relations that training on this graph can score, and their numbers of facts.

    Raises InputError when there is none: better asked before training than after.
    """
    weights = {r: graph.facts[r].shape[1] for r in _treating(graph) if graph.facts[r].shape[1] >= FEWEST_FACTS}
    if not weights:
        there = ", ".join(f"{graph.relations[r]} ({graph.facts[r].shape[1]} facts)" for r in _treating(graph))
        raise InputError(
            f"{graph.name} has no treatment relation with at least {FEWEST_FACTS} facts to train on, so its decoder "
            f"never learnt to score treatment: {there or 'there is none at all'}. Hold out fewer pairs, or use a "
            "graph with more treatments."
        )
    return weights


def _treating(graph: Graph) -> list[int]:
    return [r for r in graph.drug_disease_relations() if graph.relations[r].name in graph.roles.treats]


def _standardise(scores: Tensor) -> None:
    """Bring a matrix to mean 0 and standard deviation 1 in place; a constant one becomes zero."""
    deviation, mean = torch.std_mean(scores, correction=0)
    scores.sub_(mean)
    if deviation > 0:
        scores.div_(deviation)
