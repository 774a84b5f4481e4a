"""Where messages flow: every fact as one or two directed edges, ordered for exact attention.

The edges of all relations stand in ONE sparse matrix. Its rows are *pairs*, a pair being a directed relation
together with a node that receives something along it; its columns are source nodes. Rows are sorted by
(relation, receiving node), so a relation is a contiguous block of rows and its transforms are dense block
products, while keys and values stay one row per node, whatever the number of relations. The same edges are also
sorted by *sender*, a directed relation together with a node that sends along it, for the gradients that flow back.
Only pairs and senders that have edges exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from rxweave.graph.build import Graph


@dataclass(frozen=True)
class MessageIndex:
    """The directed edges of a graph as a pairs × nodes sparse matrix, and again by sender; what each row is."""

    type_offsets: tuple[int, ...]
    """Nodes of type i: `type_offsets[i]:type_offsets[i + 1]`."""
    num_relations: int
    """Directed relations: a symmetric relation is one, any other is two (itself and its inverse)."""
    relation_rows: tuple[int, ...]
    """Rows of directed relation r: `relation_rows[r]:relation_rows[r + 1]`."""
    relation_senders: tuple[int, ...]
    """Senders of directed relation r: `relation_senders[r]:relation_senders[r + 1]`."""
    pair_node: Int[Tensor, " pairs"]
    """The node that receives, for each row."""
    row_start: Int[Tensor, " pair_bounds"]
    source: Int[Tensor, " edges"]
    edge_sender: Int[Tensor, " edges"]
    """The sender of each edge: its source node within its relation."""
    sender_node: Int[Tensor, " senders"]
    """The node that sends, for each sender."""
    sender_start: Int[Tensor, " sender_bounds"]
    """The edges by sender: where those of each sender start …"""
    sender_row: Int[Tensor, " edges"]
    """… which rows they enter, in ascending order …"""
    to_sender_order: Int[Tensor, " edges"]
    """… and the place of each of them in row order."""
    edge_fact: Int[Tensor, " edges"]
    """The fact behind each edge, counted through `Graph.facts` in order."""

    @cached_property
    def edge_row(self) -> Int[Tensor, " edges"]:
        """The row of each edge: `row_start` written out, when first asked for."""
        rows = torch.arange(self.num_pairs, dtype=torch.int32, device=self.row_start.device)
        return rows.repeat_interleave(self.row_start.diff(), output_size=self.num_edges)

    @property
    def num_nodes(self) -> int:
        return self.type_offsets[-1]

    @property
    def num_pairs(self) -> int:
        return len(self.pair_node)

    @property
    def num_senders(self) -> int:
        return len(self.sender_node)

    @property
    def num_edges(self) -> int:
        return len(self.source)

    def without(self, hidden_facts: Bool[np.ndarray, " facts"]) -> MessageIndex:
        """Give the index without the edges of the facts marked True; rows and senders stay, some left empty."""
        keep = ~torch.from_numpy(hidden_facts).to(self.source.device).index_select(0, self.edge_fact)
        kept = keep.nonzero().squeeze(1)
        new_place = torch.cumsum(keep, 0, dtype=torch.int32)
        kept_by_sender = keep.index_select(0, self.to_sender_order).nonzero().squeeze(1)
        old_place = self.to_sender_order.index_select(0, kept_by_sender)
        edge_sender = self.edge_sender.index_select(0, kept)
        per_sender = torch.bincount(edge_sender, minlength=self.num_senders)
        return MessageIndex(
            type_offsets=self.type_offsets,
            num_relations=self.num_relations,
            relation_rows=self.relation_rows,
            relation_senders=self.relation_senders,
            pair_node=self.pair_node,
            row_start=torch.nn.functional.pad(new_place, (1, 0)).index_select(0, self.row_start),
            source=self.source.index_select(0, kept),
            edge_sender=edge_sender,
            sender_node=self.sender_node,
            sender_start=torch.nn.functional.pad(torch.cumsum(per_sender, 0, dtype=torch.int32), (1, 0)),
            sender_row=self.sender_row.index_select(0, kept_by_sender),
            to_sender_order=new_place.index_select(0, old_place) - 1,
            edge_fact=self.edge_fact.index_select(0, kept),
        )

    def to(self, device: torch.device | str) -> MessageIndex:
        """Give the same index with its arrays on another device."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: value.to(device) for name, value in parts.items() if isinstance(value, Tensor)}
        return replace(self, **moved)


Edges = tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"], Int[np.ndarray, " _"]]
"""Source, target and fact of the edges of one directed relation."""


def build_index(graph: Graph) -> MessageIndex:
    """Lay out every fact of a graph for message passing, in both directions; a self-loop is one edge.

    Directed relations come in the order of `graph.relations`, each followed by its inverse unless symmetric.
    """
    return index_of(directed_edges(graph), tuple(graph.type_offsets.tolist()))


def directed_edges(graph: Graph) -> Iterator[Edges]:
    """Give the edges of each directed relation, in the order of `build_index`."""
    first_fact = 0
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        fact = np.arange(first_fact, first_fact + len(source), dtype=np.int32)
        first_fact += len(source)
        if relation.symmetric:
            two_way = source != target
            yield (
                np.concatenate([source, target[two_way]]),
                np.concatenate([target, source[two_way]]),
                np.concatenate([fact, fact[two_way]]),
            )
        else:
            yield source, target, fact
            yield target, source, fact


def index_of(edges: Iterable[Edges], type_offsets: tuple[int, ...]) -> MessageIndex:
    """Lay out the edges of each directed relation for message passing among the nodes that `type_offsets` counts."""
    blocks = [_Block.of(type_offsets[-1], *each) for each in edges]
    first_edge = _bounds([len(block.source) for block in blocks])
    first_row = _bounds([len(block.pair_node) for block in blocks])
    first_sender = _bounds([len(block.sender_node) for block in blocks])

    def joined(name: str, first: np.ndarray | None = None, dtype: type = np.int32) -> Tensor:
        """One array of all blocks; each block's own numbers are counted on from `first`."""
        parts = [getattr(block, name) for block in blocks]
        if first is not None:
            parts = [part + start for part, start in zip(parts, first[:-1], strict=True)]
        return torch.from_numpy(np.concatenate(parts).astype(dtype, copy=False))

    def bounds(name: str) -> Tensor:
        return torch.cat([joined(name, first_edge), torch.tensor([first_edge[-1]], dtype=torch.int32)])

    return MessageIndex(
        type_offsets=type_offsets,
        num_relations=len(blocks),
        relation_rows=tuple(first_row.tolist()),
        relation_senders=tuple(first_sender.tolist()),
        pair_node=joined("pair_node", dtype=np.int64),
        row_start=bounds("row_start"),
        source=joined("source"),
        edge_sender=joined("edge_sender", first_sender),
        sender_node=joined("sender_node", dtype=np.int64),
        sender_start=bounds("sender_start"),
        sender_row=joined("sender_row", first_row),
        to_sender_order=joined("to_sender_order", first_edge),
        edge_fact=joined("fact"),
    )


@dataclass(frozen=True)
class _Block:
    """The edges of one directed relation, counted from zero; starts come without the end of the last row."""

    pair_node: Int[np.ndarray, " pairs"]
    row_start: Int[np.ndarray, " pairs"]
    source: Int[np.ndarray, " edges"]
    edge_sender: Int[np.ndarray, " edges"]
    sender_node: Int[np.ndarray, " senders"]
    sender_start: Int[np.ndarray, " senders"]
    sender_row: Int[np.ndarray, " edges"]
    to_sender_order: Int[np.ndarray, " edges"]
    fact: Int[np.ndarray, " edges"]

    @classmethod
    def of(
        cls,
        num_nodes: int,
        source: Int[np.ndarray, " edges"],
        target: Int[np.ndarray, " edges"],
        fact: Int[np.ndarray, " edges"],
    ) -> _Block:
        """Number pairs and senders, and sort the edges by (target, source)."""
        sender_node, edge_sender = _numbered(source, num_nodes)
        pair_node, edge_row = _numbered(target, num_nodes)
        order = _stable_order(edge_sender, len(sender_node))
        order = order[_stable_order(edge_row[order], len(pair_node))]
        edge_row, edge_sender = edge_row[order], edge_sender[order]
        to_sender_order = _stable_order(edge_sender, len(sender_node))
        return cls(
            pair_node=pair_node,
            row_start=_starts(edge_row, len(pair_node)),
            source=source[order],
            edge_sender=edge_sender,
            sender_node=sender_node,
            sender_start=_starts(edge_sender[to_sender_order], len(sender_node)),
            sender_row=edge_row[to_sender_order],
            to_sender_order=to_sender_order,
            fact=fact[order],
        )


def _numbered(
    nodes: Int[np.ndarray, " edges"], num_nodes: int
) -> tuple[Int[np.ndarray, " distinct"], Int[np.ndarray, " edges"]]:
    """The distinct nodes in ascending order, and the place of each given node among them."""
    present = np.zeros(num_nodes, bool)
    present[nodes] = True
    place = np.cumsum(present, dtype=np.int32) - np.int32(1)
    return np.flatnonzero(present), place[nodes]


def _stable_order(key: Int[np.ndarray, " edges"], num_keys: int) -> Int[np.ndarray, " edges"]:
    """A stable argsort in linear time: a sparse matrix of one row, turned to columns, is a counting sort."""
    places = np.arange(len(key), dtype=np.int32)
    one_row = sp.csr_matrix((places, key, np.array([0, len(key)], np.int32)), shape=(1, num_keys))
    order: Int[np.ndarray, " edges"] = one_row.tocsc().data
    return order


def _starts(sorted_key: Int[np.ndarray, " edges"], num_keys: int) -> Int[np.ndarray, " keys"]:
    return np.searchsorted(sorted_key, np.arange(num_keys, dtype=sorted_key.dtype))


def _bounds(sizes: list[int]) -> Int[np.ndarray, " bounds"]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
