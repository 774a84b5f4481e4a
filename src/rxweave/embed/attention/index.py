"""Where messages flow: every fact as one or two directed edges, ordered for sparse attention.

The edges of all relations stand in ONE sparse matrix. Its rows are *pairs*, a pair being a directed relation
together with a node that receives something along it; its columns are source nodes. Rows are sorted by
(relation, receiving node), so a relation is a contiguous block of rows and its transforms are dense block
products, while keys and values stay one row per node, whatever the number of relations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from rxweave.graph.build import Graph


@dataclass(frozen=True)
class MessageIndex:
    """The directed edges of a graph as a pairs × nodes sparse matrix, its transpose, and what each row is."""

    num_nodes: int
    num_relations: int
    """Directed relations: a symmetric relation is one, any other is two (itself and its inverse)."""
    relation_rows: tuple[int, ...]
    """Rows of directed relation r: `relation_rows[r]:relation_rows[r + 1]`."""
    pair_node: Int[Tensor, " pairs"]
    """The node that receives, for each row."""
    row_start: Int[Tensor, " pair_bounds"]
    source: Int[Tensor, " edges"]
    edge_row: Int[Tensor, " edges"]
    """The row of each edge: `row_start` written out."""
    column_start: Int[Tensor, " node_bounds"]
    """Transposed matrix: where the edges leaving each source node start …"""
    column_row: Int[Tensor, " edges"]
    """… which rows they enter …"""
    to_transposed: Int[Tensor, " edges"]
    """… and the place of each of them in row order."""
    edge_fact: Int[Tensor, " edges"]
    """The fact behind each edge, counted through `Graph.facts` in order."""

    @property
    def num_pairs(self) -> int:
        return len(self.pair_node)

    @property
    def num_edges(self) -> int:
        return len(self.source)

    def without(self, hidden_facts: Bool[np.ndarray, " facts"]) -> MessageIndex:
        """Give the index without the edges of the facts marked True; rows stay, some may be left empty."""
        keep = ~torch.from_numpy(hidden_facts).to(self.source.device)[self.edge_fact.long()]
        new_place = torch.cumsum(keep, 0, dtype=torch.int32) - 1
        kept_before = torch.nn.functional.pad(new_place + 1, (1, 0))
        keep_transposed = keep[self.to_transposed.long()]
        transposed_before = torch.nn.functional.pad(torch.cumsum(keep_transposed, 0, dtype=torch.int32), (1, 0))
        return MessageIndex(
            num_nodes=self.num_nodes,
            num_relations=self.num_relations,
            relation_rows=self.relation_rows,
            pair_node=self.pair_node,
            row_start=kept_before[self.row_start.long()],
            source=self.source[keep],
            edge_row=self.edge_row[keep],
            column_start=transposed_before[self.column_start.long()],
            column_row=self.column_row[keep_transposed],
            to_transposed=new_place[self.to_transposed[keep_transposed].long()],
            edge_fact=self.edge_fact[keep],
        )

    def to(self, device: torch.device | str) -> MessageIndex:
        """Give the same index with its arrays on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return MessageIndex(**{**vars(self), **moved})


def build_index(graph: Graph) -> MessageIndex:
    """Lay out every fact of a graph for message passing, in both directions; a self-loop is one edge.

    Directed relations come in the order of `graph.relations`, each followed by its inverse unless symmetric.
    """
    sources, targets, relations, facts = [], [], [], []
    num_relations = first_fact = 0
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        fact = np.arange(first_fact, first_fact + len(source))
        first_fact += len(source)
        if relation.symmetric:
            two_way = source != target
            directions = [
                (
                    np.concatenate([source, target[two_way]]),
                    np.concatenate([target, source[two_way]]),
                    np.concatenate([fact, fact[two_way]]),
                )
            ]
        else:
            directions = [(source, target, fact), (target, source, fact)]
        for edge_source, edge_target, edge_fact in directions:
            sources.append(edge_source)
            targets.append(edge_target)
            facts.append(edge_fact)
            relations.append(np.full(len(edge_source), num_relations))
            num_relations += 1
    source, target, relation_ix, fact = map(np.concatenate, (sources, targets, relations, facts))
    order = np.lexsort((source, target, relation_ix))
    source, target, relation_ix, fact = source[order], target[order], relation_ix[order], fact[order]

    pair = relation_ix * np.int64(graph.num_nodes) + target
    is_first = np.concatenate([np.ones(min(1, len(pair)), bool), pair[1:] != pair[:-1]])
    row_start = np.concatenate([np.flatnonzero(is_first), [len(pair)]])
    edge_row = np.cumsum(is_first) - 1
    relation_rows = np.searchsorted(relation_ix[is_first], np.arange(num_relations + 1))
    to_transposed = np.lexsort((edge_row, source))
    column_start = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=graph.num_nodes))])

    def as_int32(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.int32))  # MKL's sparse products want 32-bit indices

    return MessageIndex(
        num_nodes=graph.num_nodes,
        num_relations=num_relations,
        relation_rows=tuple(relation_rows.tolist()),
        pair_node=torch.from_numpy(target[is_first].astype(np.int64)),
        row_start=as_int32(row_start),
        source=as_int32(source),
        edge_row=as_int32(edge_row),
        column_start=as_int32(column_start),
        column_row=as_int32(edge_row[to_transposed]),
        to_transposed=as_int32(to_transposed),
        edge_fact=as_int32(fact),
    )
