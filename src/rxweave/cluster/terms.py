"""What a node is joined to: its neighbours in the graph, relation by relation, and those of its genes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Int

from rxweave.graph.build import Graph


@dataclass(frozen=True, eq=False)
class Terms:
    """The neighbours of a type's nodes by one relation: 1 where a node is joined to a term."""

    relation: str
    term_type: str
    terms: pl.DataFrame
    """A row per column of `joined`: `node_key`, `node_name`."""
    joined: sp.csr_array
    """Nodes of the type × nodes of the term's type."""
    direct: bool
    """False when the term is joined to a gene of the node, not to the node."""


def terms_of(graph: Graph, node_type: str) -> list[Terms]:
    """Give the neighbours of a type's nodes by every relation, and, through genes, what their genes are joined to.

    A relation within the type counts in both directions. Through genes are given only types that are no direct
    neighbour of the node's: a drug's pathways are those of its targets.
    """
    found = [
        Terms(str(relation), *_other_end(graph, r, node_type), direct=True)
        for r, relation in enumerate(graph.relations)
        if node_type in (relation.source_type, relation.target_type) and graph.facts[r].shape[1]
    ]
    gene = graph.roles.gene
    if gene is None or gene == node_type or gene not in graph.node_types:
        return found
    own = [terms.joined for terms in found if terms.term_type == gene]
    near = {terms.term_type for terms in found} | {node_type}
    if not own:
        return found
    genes = _ones(sum(own[1:], own[0]))
    for r, relation in enumerate(graph.relations):
        ends = (relation.source_type, relation.target_type)
        if gene in ends and not near & ({*ends} - {gene}) and ends != (gene, gene) and graph.facts[r].shape[1]:
            term_type, terms, joined = _other_end(graph, r, gene)
            found.append(
                Terms(
                    f"{node_type} – {gene} – {term_type} ({relation.name})",
                    term_type,
                    terms,
                    _ones(genes @ joined),
                    direct=False,
                )
            )
    return found


def _other_end(graph: Graph, r: int, node_type: str) -> tuple[str, pl.DataFrame, sp.csr_array]:
    relation, (source, target) = graph.relations[r], graph.facts[r]
    within = relation.source_type == relation.target_type
    if relation.source_type != node_type:
        source, target = target, source
    other = relation.target_type if relation.source_type == node_type else relation.source_type
    rows, columns = graph.rows_of(node_type), graph.rows_of(other)
    joined = _pairs(source - rows.start, target - columns.start, (graph.num_of(node_type), graph.num_of(other)))
    if within:
        joined = _ones(joined + joined.T)
    return other, graph.nodes[columns].select("node_key", "node_name"), joined


def _pairs(row: Int[np.ndarray, " facts"], column: Int[np.ndarray, " facts"], size: tuple[int, int]) -> sp.csr_array:
    return _ones(sp.csr_array((np.ones(len(row)), (row, column)), shape=size))


def _ones(matrix: sp.csr_array) -> sp.csr_array:
    ones = sp.csr_array(matrix)
    ones.data = np.ones_like(ones.data)
    return ones
