"""Do the vectors know biology? Alike vectors against shared genes, and classes of nodes within against between.

Each check stands beside the same computation with the nodes' labels shuffled, many times: what any vectors of this
shape would show. Where the genes or classes are facts of the graph that was trained on, the vectors were told; a class
file from outside asks what they were not told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Bool, Float, Float32, Int
from scipy.stats import rankdata

from rxweave.embed.likeness import row_lengths
from rxweave.embed.store import Embeddings
from rxweave.errors import ConfigError, InputError
from rxweave.graph.build import Graph
from rxweave.validate.geometry import Interval
from rxweave.validate.on_graph import vectors_on_graph

SHUFFLES = 200
MOST_NODES = 1000
"""Nodes that enter a check: all their pairs are compared, in every shuffle."""
FEWEST_NODES = 10
NEIGHBOURS = 10


@dataclass(frozen=True)
class MeaningCheck:
    """A statistic, what shuffled labels make of it, and how often they do as well."""

    what: str
    value: float
    shuffled_mean: float
    shuffled_interval: Interval
    """Between which 95 % of the shuffles lie."""
    p_value: float
    """One-sided, (1 + shuffles at least as high) / (1 + shuffles): at least 1/201."""
    num_nodes: int


def shared_gene_checks(embeddings: Embeddings, graph: Graph, node_type: str, *, seed: int = 0) -> list[MeaningCheck]:
    """Hold the cosines of a type (diseases) against the overlap of their gene sets.

    Two checks, on at most 1,000 nodes with genes: Spearman's correlation of cosine and Jaccard overlap over all pairs
    (a Mantel test: nodes are shuffled, not pairs; −1 to 1), and the share of each node's 10 genetically nearest (fewer,
    where fewer share a gene) that are among as many nearest by cosine (0 to 1). Gives an empty list when the graph has
    no gene type, or fewer than 10 such nodes.
    """
    touches = _gene_sets(graph, node_type)
    if touches is None:
        return []
    vectors, present = vectors_on_graph(embeddings, graph)
    here = graph.rows_of(node_type)
    usable = present[here] & vectors[here].any(axis=1) & (np.diff(touches.indptr) > 0)
    rng = np.random.default_rng(seed)
    rows = _sample(np.flatnonzero(usable), rng)
    if len(rows) < FEWEST_NODES:
        return []
    cosine, jaccard = _cosines(vectors[here][rows]), _jaccard(touches[rows])
    upper = np.triu_indices(len(rows), 1)
    ranked_cosine = _standard(rankdata(cosine[upper]))
    ranks = np.zeros_like(jaccard)
    ranks[upper] = _standard(rankdata(jaccard[upper]))
    ranks += ranks.T
    nearest = _nearest(jaccard, rng)
    np.fill_diagonal(cosine, -np.inf)
    by_cosine = np.argsort(np.argsort(-cosine, axis=1), axis=1)

    def spearman(order: Int[np.ndarray, " nodes"]) -> float:
        return float((ranked_cosine * ranks[np.ix_(order, order)][upper]).mean())

    def overlap(order: Int[np.ndarray, " nodes"]) -> float:
        wanted = nearest[np.ix_(order, order)]
        size = wanted.sum(axis=1)
        hits = (wanted & (by_cosine < size[:, None])).sum(axis=1)
        return float((hits[size > 0] / size[size > 0]).mean()) if size.any() else 0.0

    name = f"{node_type}: cosine and shared {graph.roles.gene}"
    return [
        _check(f"{name}, Spearman's correlation", spearman, len(rows), rng),
        _check(f"{name}, share of nearest neighbours in common", overlap, len(rows), rng),
    ]


def class_check(
    embeddings: Embeddings, classes: pl.DataFrame, node_type: str, *, what: str = "class", seed: int = 0
) -> MeaningCheck:
    """Give the mean cosine of pairs that share a class minus that of pairs that share none, from −2 to 2.

    `classes` has the columns `node_key` and `class`, a row for each class of a node; only nodes of the type with a
    class enter, at most 1,000. Raises InputError for fewer than 10 of them, or no pair within or between.
    """
    rows = embeddings.of_type(node_type)
    known = embeddings.nodes[rows].select("node_key").with_row_index("place")
    found = known.join(classes.select("node_key", "class").unique(), on="node_key", how="inner")
    directed = embeddings.vectors[rows].any(axis=1)
    found = found.filter(pl.Series(directed[found["place"].to_numpy()]))
    rng = np.random.default_rng(seed)
    places = _sample(np.unique(found["place"].to_numpy().astype(np.int64)), rng)
    if len(places) < FEWEST_NODES:
        raise InputError(
            f"{len(places)} embedded nodes of type {node_type!r} have a {what}; at least {FEWEST_NODES} are needed. "
            "Do the ids of the classes match those of the embeddings?"
        )
    found = found.filter(pl.col("place").is_in(places.tolist()))
    member = np.searchsorted(places, found["place"].to_numpy())
    label = np.unique(found["class"].cast(pl.String).to_numpy(), return_inverse=True)[1]
    belongs = sp.csr_array((np.ones(len(found)), (member, label)), shape=(len(places), label.max() + 1))
    cosine = _cosines(embeddings.vectors[rows[places]])
    upper = np.triu_indices(len(places), 1)
    alike = (belongs @ belongs.T).toarray() > 0
    num_alike = int(alike[upper].sum())
    if num_alike in (0, len(upper[0])):
        there = "none share" if num_alike == 0 else "all share"
        raise InputError(f"Of the pairs of {node_type} nodes {there} a {what}: within and between cannot be compared.")
    among = cosine[upper]

    def difference(order: Int[np.ndarray, " nodes"]) -> float:
        same = alike[np.ix_(order, order)][upper]
        return float(among[same].mean() - among[~same].mean())

    return _check(f"{node_type}: mean cosine within a {what} minus between", difference, len(places), rng)


def classes_of_type(graph: Graph, node_type: str, class_type: str) -> pl.DataFrame:
    """Give the classes of nodes that the graph itself has as nodes: any relation between the two types.

    For Hetionet's drug classes: `classes_of_type(graph, "Compound", "Pharmacologic Class")`. Raises InputError for
    an unknown type, or when no relation joins the two.
    """
    graph.rows_of(node_type), graph.rows_of(class_type)
    parts = []
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        if {relation.source_type, relation.target_type} != {node_type, class_type} or node_type == class_type:
            continue
        ours, theirs = (source, target) if relation.source_type == node_type else (target, source)
        parts.append(
            pl.DataFrame({"node_key": graph.nodes["node_key"][ours], "class": graph.nodes["node_key"][theirs]})
        )
    if not parts:
        raise InputError(f"{graph.name} has no relation between {node_type!r} and {class_type!r}.")
    return pl.concat(parts).unique(maintain_order=True)


def find_classes(given: str, embeddings: Embeddings, graph: Graph | None, drug_type: str | None) -> pl.DataFrame:
    """Give the classes of drugs from a file or, where `given` is a node type of `graph`, from the graph.

    Raises ConfigError when no type is known to be that of drugs, InputError as `read_classes` and `classes_of_type`.
    """
    if drug_type is None and graph is not None and graph.roles.drug in embeddings.node_types:
        drug_type = graph.roles.drug
    if drug_type is None:
        raise ConfigError("Classes are asked of drugs, and no type is known to be drugs: give --drug-type or --graph.")
    if graph is not None and given in graph.node_types:
        return classes_of_type(graph, drug_type, given)
    return read_classes(Path(given), embeddings)


def read_classes(path: Path, embeddings: Embeddings) -> pl.DataFrame:
    """Read a CSV or TSV with `class` and a `node_key` or `node_id`; give `node_key` and `class` of embedded nodes.

    Raises InputError for a file that cannot be read or lacks the columns, or ids of which no node is embedded.
    """
    try:
        separator = "," if path.name.removesuffix(".gz").endswith(".csv") else "\t"
        table = pl.read_csv(path, separator=separator, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}.") from error
    key = next((column for column in ("node_key", "node_id") if column in table.columns), None)
    if key is None or "class" not in table.columns:
        raise InputError(f"{path} needs the columns class and node_key or node_id; it has {', '.join(table.columns)}.")
    keys = embeddings.nodes.select("node_key", *({key} - {"node_key"}))
    found = keys.join(table.select(key, "class").drop_nulls(), on=key, how="inner")
    if not len(found):
        raise InputError(f"No {key} of {path} is among the embedded nodes, first {table[key][0]!r}.")
    return found.select("node_key", "class").unique(maintain_order=True)


def _check(
    what: str, statistic: Callable[[Int[np.ndarray, " nodes"]], float], num: int, rng: np.random.Generator
) -> MeaningCheck:
    value = statistic(np.arange(num))
    shuffled = np.array([statistic(rng.permutation(num)) for _ in range(SHUFFLES)])
    low, high = np.quantile(shuffled, [0.025, 0.975])
    p_value = (1 + int((shuffled >= value).sum())) / (1 + SHUFFLES)
    return MeaningCheck(what, value, float(shuffled.mean()), (float(low), float(high)), p_value, num)


def _sample(rows: Int[np.ndarray, " usable"], rng: np.random.Generator) -> Int[np.ndarray, " sampled"]:
    return np.sort(rng.choice(rows, MOST_NODES, replace=False)) if len(rows) > MOST_NODES else rows


def _cosines(vectors: Float32[np.ndarray, "nodes dim"]) -> Float[np.ndarray, "nodes nodes"]:
    unit = vectors / row_lengths(vectors)[:, None]
    return np.asarray(unit @ unit.T, np.float64)


def _jaccard(touches: sp.csr_array) -> Float[np.ndarray, "nodes nodes"]:
    both = (touches @ touches.T).toarray()
    size = np.diff(touches.indptr)
    jaccard: Float[np.ndarray, "nodes nodes"] = both / (size[:, None] + size - both)
    return jaccard


def _nearest(jaccard: Float[np.ndarray, "nodes nodes"], rng: np.random.Generator) -> Bool[np.ndarray, "nodes nodes"]:
    """Each node's 10 highest overlaps above 0; equal ones by lot."""
    lot = jaccard + 1e-9 * rng.random(jaccard.shape)
    np.fill_diagonal(lot, -1)
    k = min(NEIGHBOURS, len(jaccard) - 1)
    highest = np.argpartition(-lot, k - 1, axis=1)[:, :k]
    marked = np.zeros(jaccard.shape, bool)
    marked[np.arange(len(jaccard))[:, None], highest] = True
    return marked & (jaccard > 0)


def _standard(ranks: Float[np.ndarray, " pairs"]) -> Float[np.ndarray, " pairs"]:
    deviation = ranks.std()
    return np.asarray((ranks - ranks.mean()) / (deviation if deviation > 0 else 1))


def _gene_sets(graph: Graph, node_type: str) -> sp.csr_array | None:
    """Nodes of a type × genes, 1 where any relation joins them; None without a gene type of its own."""
    gene = graph.roles.gene
    if gene is None or gene == node_type or gene not in graph.node_types:
        return None
    size = graph.num_of(node_type), graph.num_of(gene)
    touches = sp.csr_array(size)
    nodes, genes = graph.rows_of(node_type), graph.rows_of(gene)
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        if {relation.source_type, relation.target_type} == {node_type, gene}:
            ours, theirs = (source, target) if relation.source_type == node_type else (target, source)
            ends = ours - nodes.start, theirs - genes.start
            touches = touches + sp.csr_array((np.ones(len(ours)), ends), shape=size)
    touches.data[:] = 1
    return touches
