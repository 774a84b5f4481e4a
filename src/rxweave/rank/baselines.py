"""Rankings that know no biology: what a model must beat before its numbers mean anything.

Every one gives a float32 score matrix, drugs × diseases, from training pairs or the training graph alone.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs

TIE_BREAK = 1e-3
"""Added to each number of treatments in `degree_prior`, so that zero times something is not always zero."""


def baseline_scores(training: Graph, train: Pairs) -> dict[str, Float32[np.ndarray, "drugs diseases"]]:
    """Give every baseline by name, from the training graph and the training pairs of one split."""
    size = training.num_of(training.roles.drug), training.num_of(training.roles.disease)
    return {
        "degree prior": degree_prior(train, *size),
        "drug popularity": drug_popularity(train, *size),
        "disease popularity": disease_popularity(train, *size),
        "graph degrees": graph_degree_prior(training),
    }


def degree_prior(train: Pairs, num_drugs: int, num_diseases: int) -> Float32[np.ndarray, "drugs diseases"]:
    """Give (treatments of the drug + ε) × (treatments of the disease + ε), ε = TIE_BREAK.

    For sparse data the product is, up to a factor, the probability that two nodes of these degrees are joined
    when all joins are shuffled and the degrees kept: the prior probability of Himmelstein et al. (2017,
    "Systematic integration of biomedical knowledge prioritizes drugs for repurposing"), who estimate it by
    permutation. The ε orders pairs with an end without training treatments by their other end.
    """
    drug, disease = treatment_counts(train, num_drugs, num_diseases)
    return np.multiply.outer(drug + np.float32(TIE_BREAK), disease + np.float32(TIE_BREAK))


def drug_popularity(train: Pairs, num_drugs: int, num_diseases: int) -> Float32[np.ndarray, "drugs diseases"]:
    """Give the number of training treatments of the drug: one ranking of drugs, alike for every disease.

    All diseases of a drug tie. It is a read-only view of one vector, not a matrix in memory.
    """
    drug, _ = treatment_counts(train, num_drugs, num_diseases)
    return np.broadcast_to(drug[:, None], (num_drugs, num_diseases))


def disease_popularity(train: Pairs, num_drugs: int, num_diseases: int) -> Float32[np.ndarray, "drugs diseases"]:
    """Give the number of training treatments of the disease: one ranking of diseases, alike for every drug.

    All drugs of a disease tie. It is a read-only view of one vector, not a matrix in memory.
    """
    _, disease = treatment_counts(train, num_drugs, num_diseases)
    return np.broadcast_to(disease, (num_drugs, num_diseases))


def graph_degree_prior(training: Graph) -> Float32[np.ndarray, "drugs diseases"]:
    """Give log(1 + degree of the drug) + log(1 + degree of the disease), over all relations of the graph.

    The order of pairs is that of the product of (1 + degree): how much is known of both ends. Pass the
    training graph: the degrees of the whole graph count held-out facts.
    """
    log_degree = np.log1p(training.degrees).astype(np.float32)
    drug = log_degree[training.rows_of(training.roles.drug)]
    disease = log_degree[training.rows_of(training.roles.disease)]
    scores: Float32[np.ndarray, "drugs diseases"] = np.add.outer(drug, disease)
    return scores


def treatment_counts(
    train: Pairs, num_drugs: int, num_diseases: int
) -> tuple[Float32[np.ndarray, " drugs"], Float32[np.ndarray, " diseases"]]:
    """Give the number of distinct training pairs of each drug and each disease.

    Raises InputError when a pair lies outside the numbers of drugs and diseases.
    """
    pairs = np.unique(train, axis=0)
    outside = ((pairs < 0) | (pairs >= (num_drugs, num_diseases))).any(axis=1)
    if outside.any():
        raise InputError(
            f"{int(outside.sum())} training pairs lie outside {num_drugs} drugs × {num_diseases} diseases, "
            f"first {pairs[outside][0].tolist()}. Number drugs and diseases within their types, from 0."
        )
    drug = np.bincount(pairs[:, 0], minlength=num_drugs).astype(np.float32)
    disease = np.bincount(pairs[:, 1], minlength=num_diseases).astype(np.float32)
    return drug, disease
