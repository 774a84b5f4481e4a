"""The two tables every loader returns, and the ledger of what happened to each row on the way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl

NODE_COLUMNS = ("node_key", "node_id", "node_name", "node_type", "node_source")
EDGE_COLUMNS = ("source_key", "relation", "target_key")
SYNONYM_COLUMNS = ("node_key", "synonym")


@dataclass(frozen=True)
class Relation:
    """A kind of fact, e.g. drug –indication→ disease; `symmetric` facts have no direction and are written once."""

    source_type: str
    name: str
    target_type: str
    symmetric: bool = False

    def __str__(self) -> str:
        return f"{self.source_type} –{self.name}{'–' if self.symmetric else '→'} {self.target_type}"


@dataclass(frozen=True)
class Roles:
    """Which node types and relations of a graph play the parts of the drug-repurposing question."""

    drug: str
    disease: str
    gene: str | None
    treats: tuple[str, ...]
    """Relation names that count as "drug treats disease": what is held out, ranked and evaluated."""
    contraindicated: tuple[str, ...] = ()
    """Relation names that count as "drug must not be given": labels of the class "not treat"."""


@dataclass(frozen=True)
class InputFile:
    """One file that was read: where it lies, how long it is, and its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class RejectedRow:
    """A row that could not be used, where it stands, and why."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class FoldedRow:
    """A row that repeats a fact (`exact duplicate`, `swapped duplicate`) or is a `self-loop`, and where it stands."""

    kind: str
    file: str
    line: int
    fact: str


@dataclass(frozen=True)
class LoadReport:
    """What happened to every row: `rows_read == facts + exact_duplicates + swapped_duplicates + rejected_rows`."""

    source: str
    files: tuple[InputFile, ...]
    rows_read: int
    """Edge rows read, headers and blank lines left out."""
    facts: int
    exact_duplicates: int
    """Rows that repeat an earlier row, same ends in the same order."""
    swapped_duplicates: int
    """Rows that repeat an earlier fact with its ends swapped."""
    rejected_rows: int
    self_loops: int
    """Facts whose two ends are one node: kept, and counted here."""
    nodes: int
    isolated_nodes: int
    """Nodes of the node table without any fact: kept, and counted here."""
    empty_names: int
    """Nodes without a name; their id stands in as the name."""
    renamed_ids: int
    """Nodes seen under two or more names; the first one is kept."""
    renamed_examples: tuple[str, ...] = ()
    rejected_examples: tuple[RejectedRow, ...] = ()
    folded_examples: tuple[FoldedRow, ...] = ()
    """The first rows of each kind."""
    notes: tuple[str, ...] = ()
    """Whatever else a reader should know, in plain sentences."""

    def __post_init__(self) -> None:
        accounted = self.facts + self.exact_duplicates + self.swapped_duplicates + self.rejected_rows
        if accounted != self.rows_read:
            raise AssertionError(
                f"load report of {self.source}: {self.rows_read} rows read but {accounted} accounted for"
            )


@dataclass(frozen=True)
class Truth:
    """What a synthetic graph knows about itself: the best any method could do on it."""

    oracle_auroc: float
    """AUROC, over all drug × disease pairs, of the true probability of treatment against the drawn treatments."""
    scores: pl.DataFrame = field(repr=False)
    """`drug_key, disease_key, probability`: the true probability of every drug–disease pair."""
    mechanisms: pl.DataFrame | None = field(default=None, repr=False)
    """`node_key, mechanism, part`: what share of itself a node has in each hidden mechanism that it takes part in."""


@dataclass(frozen=True)
class KnowledgeGraph:
    """A loaded graph: nodes, facts (each once), relations, roles, and the report of how it was read.

    `nodes` has the columns of NODE_COLUMNS, all strings, `node_key` unique. `edges` has EDGE_COLUMNS (all
    strings) and, where the source gives it, `display_relation`. Facts of a symmetric relation are written once,
    smaller key first; facts of other relations run from `source_type` to `target_type`. `synonyms` has a row of
    SYNONYM_COLUMNS for each further name of a node, where the source has any.
    """

    name: str
    nodes: pl.DataFrame
    edges: pl.DataFrame
    relations: tuple[Relation, ...]
    roles: Roles
    report: LoadReport
    truth: Truth | None = None
    synonyms: pl.DataFrame | None = None


def keep_nodes(kg: KnowledgeGraph, node_keys: pl.Series) -> KnowledgeGraph:
    """Give the graph of these nodes and the facts between them; its report, still of the whole source, notes it.

    A synthetic graph's truth is dropped: it speaks of all pairs.
    """
    kept = node_keys.implode()
    nodes = kg.nodes.filter(pl.col("node_key").is_in(kept))
    edges = kg.edges.filter(pl.col("source_key").is_in(kept) & pl.col("target_key").is_in(kept))
    note = (
        f"{nodes.height:,} of {kg.nodes.height:,} nodes were sampled, and the {edges.height:,} of "
        f"{kg.edges.height:,} facts between them kept. The counts of this report are those of the whole source."
    )
    report = replace(kg.report, notes=(*kg.report.notes, note))
    return replace(kg, nodes=nodes, edges=edges, report=report, truth=None)
