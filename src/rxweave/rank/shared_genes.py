"""Drugs and diseases that touch the same genes: the oldest predictors of links."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Float32

from rxweave.errors import InputError
from rxweave.graph.build import Graph

BLOCK = 1024
"""Diseases scored at a time."""


def common_neighbours(training: Graph) -> Float32[np.ndarray, "drugs diseases"]:
    """Give the number of genes that both the drug and the disease have a fact with, whatever its relation.

    Raises InputError for a graph without a gene type.
    """
    return _shared(training, np.ones(training.num_nodes))


def adamic_adar(training: Graph) -> Float32[np.ndarray, "drugs diseases"]:
    """Give Σ 1 / log(degree) over the genes that both have a fact with (Adamic & Adar 2003), so that hubs count less.

    The degree counts all facts of the gene in the training graph; a shared gene has at least 2. Raises InputError for
    a graph without a gene type.
    """
    return _shared(training, 1 / np.log(np.maximum(training.degrees, 2)))


def _shared(training: Graph, weight: Float[np.ndarray, " nodes"]) -> Float32[np.ndarray, "drugs diseases"]:
    roles = training.roles
    if roles.gene is None:
        raise InputError(
            f"{training.name} has no type of genes for drugs and diseases to share. Name it with -o load.gene_type=…, "
            "or leave these methods out."
        )
    drugs, diseases = (touched_genes(training, role, roles.gene) for role in (roles.drug, roles.disease))
    weighted = (drugs * weight[None, training.rows_of(roles.gene)]).tocsr()
    scores = np.empty((drugs.shape[0], diseases.shape[0]), np.float32)
    for start in range(0, diseases.shape[0], BLOCK):
        scores[:, start : start + BLOCK] = (weighted @ diseases[start : start + BLOCK].T).toarray()
    return scores


def touched_genes(graph: Graph, node_type: str, gene: str) -> sp.csr_array:
    """Give which genes each node of a type has a fact with, whatever its relation: 0/1, nodes of the type × genes."""
    rows, genes = graph.rows_of(node_type), graph.rows_of(gene)
    found = [np.empty((2, 0), np.int64)]
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        if (relation.source_type, relation.target_type) == (node_type, gene):
            found.append(np.stack([source - rows.start, target - genes.start]))
        elif (relation.source_type, relation.target_type) == (gene, node_type):
            found.append(np.stack([target - rows.start, source - genes.start]))
    node, touched = np.unique(np.concatenate(found, axis=1), axis=1)
    shape = (graph.num_of(node_type), graph.num_of(gene))
    return sp.csr_array((np.ones(len(node)), (node, touched)), shape=shape)
