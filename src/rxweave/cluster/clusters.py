"""Clusters of the nodes of one type: who belongs together, how surely, and what they have in common."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int

from rxweave.cluster.agreement import Agreement, agreement
from rxweave.cluster.enrichment import SCHEMA, enrich
from rxweave.cluster.layout import lay_out
from rxweave.cluster.stability import Progress, Stability, find_clusters, told
from rxweave.cluster.terms import terms_of
from rxweave.config import ClusterSettings
from rxweave.embed.likeness import row_lengths
from rxweave.embed.store import Embeddings
from rxweave.errors import InputError, did_you_mean
from rxweave.graph.build import Graph
from rxweave.validate.on_graph import vectors_on_graph

FEWEST = 20
"""Nodes that can be clustered at all; fewer say nothing about groups."""
CLUSTERED, ALONE, NO_FACTS, NO_VECTOR = "clustered", "in no cluster", "no facts", "no vector"
ROLES = ("drug", "disease", "gene")


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of a node type, numbered from 0 by size, and what is known of them.

    `nodes` has a row for every node of the type: `node_key, node_id, node_name, node_type, state` (clustered; in no
    cluster, since its group is too small; or left out: no facts, no vector), `cluster` (null if in none),
    `similarity` (cosine with the mean direction of its cluster), `centrality` (1 for the medoid, 2 for the next …) and
    its place `x, y`. `clusters` has a row for each: `cluster, name, size, stability, word, mean_cosine, medoid_name,
    medoid_key, num_enriched`. `enrichment` is what `enrichment.enrich` gives, empty without a graph.
    """

    node_type: str
    nodes: pl.DataFrame
    clusters: pl.DataFrame
    enrichment: pl.DataFrame
    num_tests: int
    """Of enrichment, over which the false discovery rates are."""
    stability: Stability
    agreement: tuple[Agreement, ...]
    """Empty without classes."""
    settings: ClusterSettings
    seed: int

    @property
    def num_clustered(self) -> int:
        return int((self.nodes["state"] == CLUSTERED).sum())

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader must know before believing these clusters, in plain sentences; empty when nothing is amiss."""
        found, chosen = [], self.stability.chosen
        if chosen.num_clusters < 2:
            found.append(f"Clusters found: {chosen.num_clusters}. These vectors show no groups.")
        elif not self.stability.above_control:
            found.append(
                f"Samples of the nodes agree on the clusters no better (ARI {chosen.stability:.2f}) than they do on "
                f"vectors whose dimensions were shuffled ({self.stability.control:.2f}): take them as a way to cut the "
                "map, not as groups that exist."
            )
        elif chosen.stability < 0.5:
            found.append(
                f"The clusters are unstable: two samples of the nodes agree on them by ARI {chosen.stability:.2f} only."
            )
        shaky = self.clusters.filter(pl.col("word") != "stable")
        if len(shaky):
            nodes = int(shaky["size"].sum())
            found.append(
                f"{len(shaky)} of {len(self.clusters)} clusters, with {nodes:,} of {self.num_clustered:,} nodes, are "
                "doubtful or unstable: other samples of the nodes draw their borders elsewhere."
            )
        below = [each for each in self.agreement if not each.above_shuffled]
        found += [f"The clusters do not match the classes: {each}." for each in below]
        return tuple(found)


class TooFewNodesError(InputError):
    """There are not enough nodes of a type for clusters; nothing is wrong with what was given."""


def cluster_nodes(
    embeddings: Embeddings,
    graph: Graph | None,
    node_type: str,
    seed: int = 0,
    *,
    settings: ClusterSettings | None = None,
    classes: pl.DataFrame | None = None,
    progress: Progress | None = None,
) -> Clusters:
    """Cluster the nodes of a type by their vectors: k nearest neighbours by cosine, Leiden, stability, enrichment.

    `node_type` is a type, or drug, disease or gene for the type that plays the part in `graph`. `graph` is the one the
    vectors were trained on; nodes without facts in it are flagged and not clustered. Without a graph nothing is known
    of facts, and nothing is enriched. `classes` has the columns `node_key` and `class`. The same seed and vectors give
    the same clusters, whatever the order of the rows. Raises InputError for an unknown type, TooFewNodesError
    (an InputError) for fewer than 20 nodes that can be clustered.
    """
    settings = settings or ClusterSettings()
    node_type = type_named(node_type, embeddings, graph)
    rng = np.random.default_rng([seed, zlib.crc32(node_type.encode())])
    nodes, vectors, state = _candidates(embeddings, graph, node_type)
    rows = np.flatnonzero(state == CLUSTERED)
    if len(rows) < FEWEST:
        raise TooFewNodesError(
            f"{len(rows)} of {len(nodes)} nodes of type {node_type!r} have a vector and facts; at least {FEWEST} are "
            "needed for clusters."
        )
    unit = np.asarray(vectors[rows] / row_lengths(vectors[rows])[:, None], np.float32)
    labels, stability = find_clusters(unit, settings, rng, progress)
    enrichment, num_tests = pl.DataFrame(schema=SCHEMA), 0
    if graph is not None:
        if progress:
            progress("enrichment", 0.95)
        enrichment, num_tests = enrich(labels, rows, terms_of(graph, node_type), fdr=settings.fdr)
    place = lay_out(unit, settings.map, seed=seed)
    grouped = labels >= 0
    similarity, centrality, mean_cosine = _centres(unit[grouped], labels[grouped])
    state[rows[~grouped]] = ALONE
    keys = nodes["node_key"][rows]
    member = pl.DataFrame(
        {
            "node_key": keys.filter(pl.Series(grouped)),
            "cluster": labels[grouped].astype(np.int32),
            "similarity": similarity,
            "centrality": centrality.astype(np.int32),
        }
    )
    placed = pl.DataFrame({"node_key": keys, "x": place[:, 0].astype(np.float32), "y": place[:, 1].astype(np.float32)})
    described = nodes.with_columns(pl.Series("state", state, dtype=pl.String))
    for more in (member, placed):
        described = described.join(more, on="node_key", how="left", maintain_order="left")
    found = () if classes is None else agreement(member["cluster"].to_numpy(), member["node_key"], classes, rng)
    clusters = _summary(described, enrichment, stability, mean_cosine, node_type)
    return Clusters(node_type, described, clusters, enrichment, num_tests, stability, found, settings, seed)


def type_named(text: str, embeddings: Embeddings, graph: Graph | None) -> str:
    """Give the node type of these embeddings that a text names: itself, or drug, disease or gene by its part.

    Raises InputError with the closest names for a type that is not embedded.
    """
    if text in embeddings.node_types:
        return text
    parts = {} if graph is None else {role: getattr(graph.roles, role) for role in ROLES}
    if parts.get(text) in embeddings.node_types:
        return str(parts[text])
    known = [*embeddings.node_types, *(role for role in parts if role not in embeddings.node_types)]
    raise InputError(
        f"Node type {text!r} is not in these embeddings (they have {', '.join(embeddings.node_types)})."
        f"{did_you_mean(text, known)}"
    )


def _candidates(
    embeddings: Embeddings, graph: Graph | None, node_type: str
) -> tuple[pl.DataFrame, Float32[np.ndarray, "nodes dim"], np.ndarray]:
    """Give the nodes of a type in the order of their keys, their vectors, and whether each can be clustered."""
    columns = ["node_key", "node_id", "node_name", "node_type"]
    if graph is None:
        rows = embeddings.of_type(node_type)
        rows = rows[embeddings.nodes["node_key"][rows].arg_sort().to_numpy()]
        nodes, vectors = embeddings.nodes[rows].select(columns), embeddings.vectors[rows]
        facts = np.ones(len(rows), bool)
    else:
        here = graph.rows_of(node_type)
        vectors = vectors_on_graph(embeddings, graph)[0][here]
        nodes, facts = graph.nodes[here].select(columns), graph.degrees[here] > 0
    directed: Bool[np.ndarray, " nodes"] = vectors.any(axis=1)
    return nodes, vectors, np.where(~facts, NO_FACTS, np.where(directed, CLUSTERED, NO_VECTOR)).astype(object)


def _centres(
    unit: Float32[np.ndarray, "nodes dim"], labels: Int[np.ndarray, " nodes"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each node's cosine with its cluster's mean direction, its order by that, and each cluster's mean cosine.

    The node of highest cosine with the mean direction has the highest mean cosine with the members: the medoid.
    """
    num = int(labels.max(initial=-1)) + 1
    total = np.zeros((num, unit.shape[1]))
    np.add.at(total, labels, unit.astype(np.float64))
    length = np.linalg.norm(total, axis=1)
    size = np.bincount(labels, minlength=num)
    centre = total / np.maximum(length, np.finfo(float).tiny)[:, None]
    similarity = np.einsum("ij,ij->i", unit, centre[labels])
    order = np.lexsort((np.arange(len(labels)), -similarity, labels))
    centrality = np.empty(len(labels), np.int64)
    starts = np.cumsum(size) - size
    centrality[order] = np.arange(len(labels)) - np.repeat(starts, size) + 1
    return similarity, centrality, (length**2 - size) / (size * (size - 1))


def _summary(
    nodes: pl.DataFrame, enrichment: pl.DataFrame, stability: Stability, mean_cosine: np.ndarray, node_type: str
) -> pl.DataFrame:
    medoids = nodes.filter(pl.col("centrality") == 1).select("cluster", medoid_name="node_name", medoid_key="node_key")
    sizes = nodes.drop_nulls("cluster").group_by("cluster").agg(size=pl.len())
    # A cluster is called after what it is enriched in; neighbours of its own type say less than those of others.
    names = (
        enrichment.with_columns(own=pl.col("term_type") == node_type)
        .sort("cluster", "own", "p_value", "relation", "term_key")
        .unique(["cluster", "term_name"], keep="first", maintain_order=True)
        .group_by("cluster", maintain_order=True)
        .agg(name=pl.col("term_name").head(2).str.join(", "))
    )
    counts = enrichment.group_by("cluster").agg(num_enriched=pl.len())
    own = pl.DataFrame(
        {
            "cluster": np.arange(len(mean_cosine), dtype=np.int32),
            "stability": stability.per_cluster,
            "word": [told(float(each)) for each in stability.per_cluster],
            "mean_cosine": mean_cosine,
        }
    )
    table = own.join(sizes, on="cluster").join(medoids, on="cluster")
    table = table.join(names, on="cluster", how="left").join(counts, on="cluster", how="left").sort("cluster")
    return table.select(
        "cluster",
        pl.coalesce("name", pl.format("around {}", "medoid_name")).alias("name"),
        "size",
        "stability",
        "word",
        "mean_cosine",
        "medoid_name",
        "medoid_key",
        pl.col("num_enriched").fill_null(0),
    )
