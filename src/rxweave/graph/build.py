"""A knowledge graph as arrays: nodes numbered by type, one block of facts per relation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from rxweave.errors import InputError, did_you_mean
from rxweave.kg.tables import KnowledgeGraph, Relation, Roles

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData


@dataclass(frozen=True)
class Graph:
    """Nodes and facts as arrays.

    Node rows are grouped by type in the order of `node_types`: the rows of type i are
    `type_offsets[i]:type_offsets[i + 1]`, and row i of `nodes` describes node i. `facts[r]` holds the facts of
    `relations[r]`, each once, as node rows. Message passing adds the inverse direction; nothing else does.
    """

    name: str
    nodes: pl.DataFrame
    node_types: tuple[str, ...]
    type_offsets: Int[np.ndarray, " offsets"]
    relations: tuple[Relation, ...]
    facts: tuple[Int[np.ndarray, "2 _"], ...]
    roles: Roles

    @property
    def num_nodes(self) -> int:
        return int(self.type_offsets[-1])

    @property
    def num_facts(self) -> int:
        return sum(fact.shape[1] for fact in self.facts)

    def rows_of(self, node_type: str) -> slice:
        """Give the node rows of a type as a slice; raises InputError with the closest name for an unknown type."""
        if node_type not in self.node_types:
            raise InputError(
                f"Node type {node_type!r} is not in {self.name} "
                f"(it has {', '.join(self.node_types)}).{did_you_mean(node_type, self.node_types)}"
            )
        i = self.node_types.index(node_type)
        return slice(int(self.type_offsets[i]), int(self.type_offsets[i + 1]))

    def num_of(self, node_type: str) -> int:
        rows = self.rows_of(node_type)
        return int(rows.stop - rows.start)

    @property
    def degrees(self) -> Int[np.ndarray, " nodes"]:
        """Number of facts each node takes part in (a self-loop counts once)."""
        degree = np.zeros(self.num_nodes, np.int64)
        for source, target in self.facts:
            degree += np.bincount(source, minlength=self.num_nodes)
            degree += np.bincount(target[source != target], minlength=self.num_nodes)
        return degree

    def drug_disease_relations(self) -> list[int]:
        """Indices of every relation that joins a drug and a disease, in whichever direction."""
        ends = {self.roles.drug, self.roles.disease}
        return [r for r, rel in enumerate(self.relations) if {rel.source_type, rel.target_type} == ends]

    def pairs(self, relation_names: tuple[str, ...]) -> Int[np.ndarray, "pairs 2"]:
        """Give the distinct (drug, disease) pairs of the named relations, numbered within their types, sorted."""
        drugs, diseases = self.rows_of(self.roles.drug), self.rows_of(self.roles.disease)
        found = [np.empty((0, 2), np.int64)]
        for r in self.drug_disease_relations():
            if self.relations[r].name not in relation_names:
                continue
            source, target = self.facts[r]
            if self.relations[r].source_type != self.roles.drug:
                source, target = target, source
            found.append(np.stack([source - drugs.start, target - diseases.start], axis=1))
        return np.unique(np.concatenate(found), axis=0)

    def keep_facts(self, keep: dict[int, Bool[np.ndarray, " _"]]) -> Graph:
        """Give the same graph with only the facts marked True in each relation named by index; nodes stay."""
        facts = tuple(fact[:, keep[r]] if r in keep else fact for r, fact in enumerate(self.facts))
        return replace(self, facts=facts)

    def to_pyg(self) -> HeteroData:
        """Give a torch_geometric HeteroData with every relation and its inverse (needs the `pyg` extra)."""
        import torch
        from torch_geometric.data import HeteroData

        data: Any = HeteroData()
        start = dict(zip(self.node_types, self.type_offsets[:-1].tolist(), strict=True))
        for node_type in self.node_types:
            data[node_type].num_nodes = self.num_of(node_type)
        for rel, fact in zip(self.relations, self.facts, strict=True):
            local = np.stack([fact[0] - start[rel.source_type], fact[1] - start[rel.target_type]])
            forward = torch.from_numpy(np.ascontiguousarray(local))
            if rel.symmetric:
                other_way = forward.flip(0)[:, forward[0] != forward[1]]
                data[rel.source_type, rel.name, rel.target_type].edge_index = torch.cat([forward, other_way], 1)
            else:
                data[rel.source_type, rel.name, rel.target_type].edge_index = forward
                data[rel.target_type, f"rev_{rel.name}", rel.source_type].edge_index = forward.flip(0)
        return data


def build_graph(kg: KnowledgeGraph) -> Graph:
    """Number the nodes of a loaded graph by type (types and keys sorted) and turn its facts into rows.

    The numbering depends only on the content of the tables, not on the order of their rows.
    """
    nodes = kg.nodes.sort("node_type", "node_key").with_row_index("node_ix")
    counts = nodes.group_by("node_type").len().sort("node_type")
    node_types = tuple(counts["node_type"].to_list())
    offsets = np.concatenate([[0], np.cumsum(counts["len"].to_numpy())]).astype(np.int64)
    source, target = (_rows_of_keys(kg.edges[end], nodes) for end in ("source_key", "target_key"))
    lost = (source < 0) | (target < 0)
    if lost.any():
        row = kg.edges.row(int(np.argmax(lost)), named=True)
        raise InputError(
            f"{kg.name}: {int(lost.sum())} facts name a node that is not in the node table, first "
            f"{row['source_key']} –{row['relation']}→ {row['target_key']}."
        )
    # Numbers from here on: a graph of tens of millions of facts is not copied as text.
    names = kg.edges["relation"].unique().sort()
    kinds = kg.edges["relation"].cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int32)
    for end in (source, target):
        kinds *= len(node_types)
        kinds += np.searchsorted(offsets, end, side="right").astype(np.int32) - 1
    there = np.unique(kinds)
    named, of, to = np.unravel_index(there, (max(1, len(names)), len(node_types), len(node_types)))
    kind_of = {
        (node_types[of[i]], names[int(named[i])], node_types[to[i]]): int(kind) for i, kind in enumerate(there.tolist())
    }
    facts = []
    for rel in kg.relations:
        kind = kind_of.pop((rel.source_type, rel.name, rel.target_type), None)
        mine = np.flatnonzero(kinds == kind) if kind is not None else np.empty(0, np.int64)
        ordered = np.sort(source[mine] * nodes.height + target[mine])
        facts.append(np.stack(np.divmod(ordered, max(1, nodes.height))))
    if kind_of:
        raise InputError(f"{kg.name}: facts of an undeclared relation {next(iter(kind_of))}.")
    return Graph(kg.name, nodes.drop("node_ix"), node_types, offsets, kg.relations, tuple(facts), kg.roles)


def _rows_of_keys(keys: pl.Series, nodes: pl.DataFrame) -> Int[np.ndarray, " facts"]:
    """Give the node row of each key, −1 for one that is of no node."""
    index = nodes.select(pl.col("node_key").alias("key"), pl.col("node_ix").cast(pl.Int64))
    found = keys.alias("key").to_frame().join(index, on="key", how="left", maintain_order="left")["node_ix"]
    return found.fill_null(-1).to_numpy().astype(np.int64, copy=False)
