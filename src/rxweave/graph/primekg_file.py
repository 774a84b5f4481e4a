"""A made-up graph written as PrimeKG's kg.csv is, with that file's traps: what a loader must undo, exactly.

- Every fact stands twice, the second time with its ends swapped; some rows of `drug_protein` repeat another in full.
- Ids are bare numbers that begin anew in each type (only drugs have letters), so each stands for several nodes.
- Some diseases have grouped ids (`12_13_14`); some names hold commas and quotes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rxweave.artifacts import atomic_path
from rxweave.graph.build import Graph
from rxweave.kg.tables import EDGE_COLUMNS

SOURCES = {
    "anatomy": "UBERON",
    "disease": "MONDO",
    "drug": "DrugBank",
    "effect/phenotype": "HPO",
    "exposure": "CTD",
    "gene/protein": "NCBI",
    "pathway": "REACTOME",
}
"""Source of each type's ids; of the types that are left out, GO."""
REPEATED = 370
"""Rows that repeat another in full, for every 4,050,249 facts."""
_QUOTED, _GROUPED = 50, 20
"""One name in so many holds commas and quotes; one disease in so many is grouped."""


@dataclass(frozen=True)
class WrittenFile:
    """What a file that was written holds."""

    rows: int
    facts: int
    exact_duplicates: int


def primekg_nodes(graph: Graph) -> pl.DataFrame:
    """Give the nodes of a graph, row by row, as PrimeKG would write them: the node columns."""
    number = pl.int_range(pl.len()).over("node_type") + 1
    grouped = (pl.col("node_type") == "disease") & (number % _GROUPED == 0)
    identifier = (
        pl.when(pl.col("node_type") == "drug")
        .then(pl.concat_str(pl.lit("DB"), number.cast(pl.String).str.zfill(5)))
        .when(grouped)
        .then(pl.concat_str(number, number + 1, number + 2, separator="_"))
        .otherwise(number.cast(pl.String))
    )
    source = pl.col("node_type").replace_strict(SOURCES, default="GO")
    name = (
        pl.when(number % _QUOTED == 0)
        .then(pl.concat_str(pl.lit('made-up "'), "node_type", pl.lit('", number '), number))
        .otherwise(pl.concat_str(pl.lit("made-up "), "node_type", pl.lit(" "), number))
    )
    return graph.nodes.select(
        "node_type",
        node_id=identifier,
        node_name=name,
        node_source=pl.when(grouped).then(pl.lit("MONDO_grouped")).otherwise(source),
    ).with_columns(node_key=pl.concat_str("node_type", "node_source", "node_id", separator="|"))


def facts_by_key(graph: Graph, nodes: pl.DataFrame) -> pl.DataFrame:
    """Give the facts of a graph by the keys of `nodes`, as a loader must give them: each once, smaller key first
    where the relation is symmetric."""
    keys = nodes["node_key"]
    tables = []
    for relation, fact in zip(graph.relations, graph.facts, strict=True):
        table = pl.DataFrame({"source_key": keys.gather(fact[0]), "target_key": keys.gather(fact[1])})
        if relation.symmetric:
            table = table.select(
                source_key=pl.min_horizontal("source_key", "target_key"),
                target_key=pl.max_horizontal("source_key", "target_key"),
            )
        tables.append(table.with_columns(relation=pl.lit(relation.name)))
    return pl.concat(tables).select(EDGE_COLUMNS)


def write_primekg(graph: Graph, path: Path, *, seed: int) -> WrittenFile:
    """Write a graph of PrimeKG's types (`primekg_shaped`) as kg.csv, relation by relation.

    The order of a relation's rows, the swapped copies' among them, and which rows are repeated follow the seed.
    """
    rng = np.random.default_rng(seed)
    nodes = primekg_nodes(graph)
    repeated = max(1, round(REPEATED * graph.num_facts / 4_050_249))
    rows = 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for relation, fact in zip(graph.relations, graph.facts, strict=True):
            both = np.concatenate([fact, fact[::-1]], axis=1)
            if relation.name == "drug_protein":
                both = np.concatenate([both, both[:, rng.integers(fact.shape[1], size=repeated)]], axis=1)
            ends = both[:, rng.permutation(both.shape[1])]
            _rows(relation.name, nodes, ends).write_csv(file, include_header=rows == 0)
            rows += ends.shape[1]
    return WrittenFile(rows, graph.num_facts, repeated)


def _rows(relation: str, nodes: pl.DataFrame, ends: np.ndarray) -> pl.DataFrame:
    columns = [pl.Series("relation", [relation]).new_from_index(0, ends.shape[1])]
    columns.append(columns[0].alias("display_relation"))
    for side, rows in zip("xy", ends, strict=True):
        columns.append(pl.Series(f"{side}_index", rows))
        columns += [
            nodes[f"node_{part}"].gather(rows).alias(f"{side}_{part}") for part in ("id", "type", "name", "source")
        ]
    return pl.DataFrame(columns)
