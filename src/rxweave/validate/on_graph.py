"""What only the graph can tell of its embeddings: which twins are its own, and whether the vectors know its facts."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int

from rxweave.embed.likeness import row_lengths
from rxweave.embed.store import Embeddings
from rxweave.errors import ConfigError, InputError
from rxweave.graph.build import Graph
from rxweave.validate.geometry import NOISE, UNDEFINED, Interval
from rxweave.validate.identity import EdgeCounts, EdgeShare, edge_share
from rxweave.validate.links import (
    RelationLinks,
    mean_over_relations,
    measure_relation,
    uniformity,
)
from rxweave.validate.structure import structural_duplicate_rate


@dataclass(frozen=True)
class TypeOnGraph:
    """What the graph tells of the vectors of one node type."""

    node_type: str
    structural_duplicate_rate: float
    """Share of nodes with facts whose neighbours are exactly another node's: they must share a vector."""
    edge_share: EdgeShare
    """How far numbers of edges predict the vectors: near 1, nothing but them is in the vectors."""
    uniformity: float


@dataclass(frozen=True)
class GraphReport:
    """Measures of embeddings beside the graph, per type and per relation, and over all relations."""

    graph: str
    seed: int
    types: tuple[TypeOnGraph, ...]
    relations: tuple[RelationLinks, ...]
    link_auroc: float
    """Mean over relations of the probe's AUROC; the facts may have been trained on."""
    link_interval: Interval
    """95 % interval over the choice of relations."""
    untrained_link_auroc: float | None
    """`link_auroc` of the same model without training: what its input features and the graph alone give."""
    gain_interval: Interval
    """95 % interval of the difference of the two over the choice of relations; NaN without the untrained model."""
    cosine_auroc: float
    degree_prior_auroc: float
    dirichlet_share: float
    """Dirichlet energy of the unit vectors, facts sampled, as a share of that with every relation's ends shuffled:
    0 when connected nodes are equal, 1 when they are no closer than chance."""

    def of_type(self, node_type: str) -> TypeOnGraph | None:
        """Give the measures of a type, or None when the graph has no such type."""
        return next((found for found in self.types if found.node_type == node_type), None)


def measure_on_graph(
    embeddings: Embeddings,
    graph: Graph,
    *,
    untrained: Float32[np.ndarray, "nodes _"] | None = None,
    seed: int = 0,
    max_nodes: int = 3000,
) -> GraphReport:
    """Measure embeddings beside the graph they are of; pass the training graph where there is one.

    `untrained` (see `control.untrained_vectors`), a vector per node of the graph, is the control of the link probe.

    Nodes are found by `rows_on_graph`; nodes of the graph without a vector, and their facts, are left out. At most
    `max_nodes` nodes of a type and 2,000 facts of a relation are looked at. The same
    seed gives the same report. Raises InputError when no node of the graph has a vector.
    """
    vectors, present = vectors_on_graph(embeddings, graph)
    whole = bool(present.all())
    known = graph if whole else graph.keep_facts({r: present[fact].all(axis=0) for r, fact in enumerate(graph.facts)})
    counts, twins, active = EdgeCounts(known), structural_duplicate_rate(known), known.degrees > 0
    types = []
    for node_type in graph.node_types:
        rows = np.arange(graph.num_nodes)[graph.rows_of(node_type)]
        rows = rows[active[rows]]
        rng = _generator(seed, node_type)
        if len(rows) > max_nodes:
            rows = np.sort(rng.choice(rows, max_nodes, replace=False))
        share = edge_share(vectors[rows], counts.of_rows(rows), rng)
        types.append(TypeOnGraph(node_type, twins[node_type], share, uniformity(vectors[rows], rng)))
    links = _measure_links(vectors, known, seed)
    rng = np.random.default_rng(seed)
    auroc, interval = mean_over_relations([link.probe_auroc for link in links], rng)
    fresh, gain = None, (UNDEFINED, UNDEFINED)
    if untrained is not None:
        without = [link.probe_auroc for link in _measure_links(untrained, known, seed)]
        fresh, _ = mean_over_relations(without, rng)
        gains = [link.probe_auroc - other for link, other in zip(links, without, strict=True)]
        gain = mean_over_relations(gains, rng)[1]
    return GraphReport(
        graph=graph.name,
        seed=seed,
        types=tuple(types),
        relations=links,
        link_auroc=auroc,
        link_interval=interval,
        untrained_link_auroc=fresh,
        gain_interval=gain,
        cosine_auroc=mean_over_relations([link.cosine_auroc for link in links], rng)[0],
        degree_prior_auroc=mean_over_relations([link.degree_prior_auroc for link in links], rng)[0],
        dirichlet_share=_dirichlet_share(links),
    )


def _measure_links(vectors: Float32[np.ndarray, "nodes dim"], graph: Graph, seed: int) -> tuple[RelationLinks, ...]:
    lengths = row_lengths(vectors)
    unit = np.asarray(vectors / np.where(lengths > 0, lengths, 1)[:, None], np.float32)
    return tuple(
        measure_relation(unit, relation, fact, _generator(seed, str(relation)))
        for relation, fact in zip(graph.relations, graph.facts, strict=True)
    )


def _dirichlet_share(links: tuple[RelationLinks, ...]) -> float:
    known = [link for link in links if not np.isnan(link.alignment)]
    shuffled = sum(link.num_facts * link.chance_alignment for link in known)
    return sum(link.num_facts * link.alignment for link in known) / shuffled if shuffled > NOISE else UNDEFINED


def vectors_on_graph(
    embeddings: Embeddings, graph: Graph
) -> tuple[Float32[np.ndarray, "nodes dim"], Bool[np.ndarray, " nodes"]]:
    """Give a vector per node of the graph, zero where the file has none, and which nodes have one."""
    rows = rows_on_graph(embeddings, graph)
    present = rows >= 0
    if not present.any():
        raise InputError(
            f"None of the {embeddings.num_nodes:,} embedded nodes is in {graph.name}: first "
            f"{embeddings.nodes['node_key'][0]!r}, there {graph.nodes['node_key'][0]!r}. Are they of this graph?"
        )
    if present.all() and len(rows) == embeddings.num_nodes and (rows == np.arange(len(rows))).all():
        return embeddings.vectors, present
    vectors = embeddings.vectors[rows]
    vectors[~present] = 0
    return vectors, present


def rows_on_graph(embeddings: Embeddings, graph: Graph) -> Int[np.ndarray, " nodes"]:
    """Give, for each node of the graph, its row in the embeddings, −1 where there is none.

    Nodes are matched by `node_key`; when no key is the same, by type and id, which is all that a CSV tells. Raises
    InputError when type and id do not tell the graph's nodes apart.
    """
    for key in (["node_key"], ["node_type", "node_id"]):
        theirs = embeddings.nodes.select(key).with_row_index("row")
        rows = graph.nodes.select(key).join(theirs, on=key, how="left", maintain_order="left")
        if rows["row"].null_count() == len(rows) and key == ["node_key"]:
            continue
        if len(rows) != graph.num_nodes or (key != ["node_key"] and graph.nodes.select(key).is_duplicated().any()):
            raise InputError(
                f"Type and id do not tell the nodes of {graph.name} apart, and the embeddings have no node_key of "
                "it. Give embeddings with node_key (the Parquet file has it)."
            )
        return rows["row"].cast(pl.Int64).fill_null(-1).to_numpy()
    raise AssertionError("the second key always returns")


def active_rows(embeddings: Embeddings, graph: Graph) -> Bool[np.ndarray, " embedded"]:
    """Mark the embedded nodes that have facts in the graph: the others have no embedding to speak of.

    Raises ConfigError when there is none.
    """
    rows = rows_on_graph(embeddings, graph)
    marked = np.zeros(embeddings.num_nodes, bool)
    marked[rows[(rows >= 0) & (graph.degrees > 0)]] = True
    if not marked.any():
        raise ConfigError(f"No embedded node has a fact in {graph.name}. Give the graph the embeddings were made of.")
    return marked


def _generator(seed: int, name: str) -> np.random.Generator:
    """A draw for each type and relation that does not depend on the others."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
