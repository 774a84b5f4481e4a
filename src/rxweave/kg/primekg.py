"""PrimeKG (Chandak, Huang and Zitnik 2023): one CSV, `kg.csv`, with both ends of a fact in each row.

What the file does, and what is made of it:

- Every fact stands twice, ends swapped, under the same relation: folded, counted as a swapped duplicate.
- 370 rows of `drug_protein` repeat another row in full: folded, counted as exact duplicates. The published
  4,050,249 relationships are half of the 8,100,498 rows, these repeats among them; without them, 4,050,064.
- A fact is a relation and its two ends, since that is what a model passes messages along. A drug may be both
  substrate and target of a protein: several `display_relation` values of one fact are joined by "|", and the
  report says how many facts there would be if they were kept apart.
- `x_id` is a bare number for genes, diseases, phenotypes, GO terms and anatomy alike. It names a node only
  with type and source: the key is `type|source|id`. A grouped disease (`13924_12592_14672`) is one node.
- The swapped copies hide the direction of facts within one type (parent or child?): these are symmetric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from rxweave.kg.files import matching_files, pick
from rxweave.kg.fold import check_keys, fold_rows, load_report, other_names
from rxweave.kg.tables import NODE_COLUMNS, KnowledgeGraph, Relation, Roles
from rxweave.kg.text import OnError, Table, drop_bad_rows, has_columns, read_table
from rxweave.kg.types import Reader, RoleChoice

NAME = "primekg"
END = ("type", "source", "id", "name")
COLUMNS = ("relation", "display_relation", *(f"{side}_{part}" for side in "xy" for part in END))
INDEX_COLUMNS = ("x_index", "y_index")
"""The file's own node numbers: compared with the keys, else unused. `kg_grouped.csv` lacks them."""

ROLES = Roles("drug", "disease", "gene/protein", ("indication",), ("contraindication",))

RELATIONS = {
    "anatomy_anatomy": ("anatomy", "anatomy"),
    "anatomy_protein_absent": ("anatomy", "gene/protein"),
    "anatomy_protein_present": ("anatomy", "gene/protein"),
    "bioprocess_bioprocess": ("biological_process", "biological_process"),
    "bioprocess_protein": ("biological_process", "gene/protein"),
    "cellcomp_cellcomp": ("cellular_component", "cellular_component"),
    "cellcomp_protein": ("cellular_component", "gene/protein"),
    "contraindication": ("drug", "disease"),
    "disease_disease": ("disease", "disease"),
    "disease_phenotype_negative": ("disease", "effect/phenotype"),
    "disease_phenotype_positive": ("disease", "effect/phenotype"),
    "disease_protein": ("disease", "gene/protein"),
    "drug_drug": ("drug", "drug"),
    "drug_effect": ("drug", "effect/phenotype"),
    "drug_protein": ("drug", "gene/protein"),
    "exposure_bioprocess": ("exposure", "biological_process"),
    "exposure_cellcomp": ("exposure", "cellular_component"),
    "exposure_disease": ("exposure", "disease"),
    "exposure_exposure": ("exposure", "exposure"),
    "exposure_molfunc": ("exposure", "molecular_function"),
    "exposure_protein": ("exposure", "gene/protein"),
    "indication": ("drug", "disease"),
    "molfunc_molfunc": ("molecular_function", "molecular_function"),
    "molfunc_protein": ("molecular_function", "gene/protein"),
    "off-label use": ("drug", "disease"),
    "pathway_pathway": ("pathway", "pathway"),
    "pathway_protein": ("pathway", "gene/protein"),
    "phenotype_phenotype": ("effect/phenotype", "effect/phenotype"),
    "phenotype_protein": ("effect/phenotype", "gene/protein"),
    "protein_protein": ("gene/protein", "gene/protein"),
}
"""PrimeKG's 30 relations and the direction in which their names read, source type before target type."""


def find(path: Path) -> tuple[Path, ...] | None:
    """Give the PrimeKG file at a path, known by its header, or None."""
    if path.is_file():
        return (path,) if has_columns(path, COLUMNS) else None
    found = pick(matching_files(path, lambda file: has_columns(file, COLUMNS)), "PrimeKG file", prefer="kg")
    return (found,) if found else None


def read(files: tuple[Path, ...], on_error: OnError, choice: RoleChoice) -> KnowledgeGraph:
    """Read PrimeKG's table; a row without relation, id or type is malformed."""
    (path,) = files
    table = read_table(path, COLUMNS, optional=INDEX_COLUMNS, categorical=True, on_error=on_error)
    needed = ("relation", "x_id", "x_type", "y_id", "y_type")
    if not set(INDEX_COLUMNS) <= set(table.frame.columns):  # one alone says nothing
        table = replace(table, frame=table.frame.drop(INDEX_COLUMNS, strict=False))
    bad = table.frame.select(pl.any_horizontal(pl.col(needed) == "")).to_series()
    table = drop_bad_rows(table, bad, lambda row: _what_is_empty(row, needed), on_error)

    ends = _ends(table.frame)
    nodes, empty_names, renamed, synonyms = nodes_of_ends(ends)
    check_keys(nodes, path)
    rows = table.frame.select(
        "relation",
        "display_relation",
        source=_node_rows(table.frame, "x", nodes),
        target=_node_rows(table.frame, "y", nodes),
    )
    return folded_graph(
        str(path),
        (table,),
        nodes,
        rows,
        choice,
        empty_names=empty_names,
        renamed=renamed,
        synonyms=synonyms,
        notes=_index_notes(ends),
    )


def folded_graph(
    source: str,
    tables: Sequence[Table],
    nodes: pl.DataFrame,
    rows: pl.DataFrame,
    choice: RoleChoice,
    *,
    empty_names: int,
    renamed: Sequence[str],
    synonyms: pl.DataFrame | None,
    notes: Sequence[str],
) -> KnowledgeGraph:
    """Give PrimeKG's graph of its nodes and of rows `relation, display_relation, source, target` by node number."""
    folded = fold_rows(rows, nodes, orientation=_orientation, symmetric=lambda name, node_type: True)
    told = [*notes, *_relation_notes(folded.relations)]
    if folded.split_facts:
        told.append(
            "Display relations of one fact are joined by '|'. "
            f"Kept apart they would make {folded.edges.height + folded.split_facts:,} facts."
        )
    report = load_report(source, tables, nodes, folded, empty_names=empty_names, renamed=renamed, notes=told)
    return KnowledgeGraph(NAME, nodes, folded.edges, folded.relations, choice.over(ROLES), report, synonyms=synonyms)


READER = Reader(f"a CSV with the columns {', '.join(COLUMNS)} (PrimeKG's kg.csv)", COLUMNS, find, read)


def _what_is_empty(row: dict[str, Any], needed: tuple[str, ...]) -> str:
    return f"{', '.join(name for name in needed if row[name] == '')} is empty; a fact needs them all"


def _orientation(relation: str, source: str, target: str) -> tuple[str, str]:
    """Give a relation's direction: the one in RELATIONS, else from the drug, or the disease, else as seen."""
    known = RELATIONS.get(relation)
    if known and set(known) == {source, target}:
        return known
    for first in (ROLES.drug, ROLES.disease):
        if first in (source, target):
            return first, (target if source == first else source)
    return source, target


def _ends(frame: pl.DataFrame) -> pl.DataFrame:
    """Give every way an end is written, as strings with its key, in the order of first appearance."""
    sides = []
    for side, prefix in enumerate("xy"):
        columns = [name for name in frame.columns if name.startswith(f"{prefix}_")]
        sides.append(
            frame.lazy()
            .select(pl.col(columns).name.map(lambda name: name[2:]))
            .with_row_index("place")
            .group_by(pl.exclude("place"))
            .agg(place=2 * pl.col("place").cast(pl.Int64).min() + side)
            .with_columns(pl.exclude("place").cast(pl.String))
        )
    key = pl.concat_str("type", "source", "id", separator="|").alias("node_key")
    return pl.concat(sides).sort("place").with_columns(key).collect()


def nodes_of_ends(ends: pl.DataFrame) -> tuple[pl.DataFrame, int, tuple[str, ...], pl.DataFrame | None]:
    """Give the node table sorted by key, how many nodes lack a name, a line for each that has several, and those."""
    grouped = (
        ends.group_by("type", "source", "id", "node_key", maintain_order=True)
        .agg(pl.col("name").filter(pl.col("name") != "").unique(maintain_order=True).alias("names"))
        .sort("node_key")
    )
    nodes = grouped.select(
        "node_key",
        node_id="id",
        node_name=pl.coalesce(pl.col("names").list.first(), "id"),
        node_type="type",
        node_source="source",
    )
    several = grouped.filter(pl.col("names").list.len() > 1)
    renamed = tuple(
        f"{key}: {', '.join(map(repr, names))}" for key, names in several.select("node_key", "names").iter_rows()
    )
    unnamed = int((grouped["names"].list.len() == 0).sum())
    return nodes.select(NODE_COLUMNS), unnamed, renamed, other_names(grouped)


def _node_rows(frame: pl.DataFrame, prefix: str, nodes: pl.DataFrame) -> pl.Series:
    """Give the node row of one end of each row."""
    columns = [f"{prefix}_{part}" for part in ("type", "source", "id")]
    numbered = nodes.select(
        pl.col(f"node_{column[2:]}").cast(pl.Categorical).alias(column) for column in columns
    ).with_row_index("node_ix")
    return frame.select(columns).join(numbered, on=columns, how="left", maintain_order="left")["node_ix"]


def _index_notes(ends: pl.DataFrame) -> list[str]:
    """Say where the file's own node numbers do not agree with the keys."""
    if "index" not in ends.columns:
        return []
    pairs, notes = ends.select("node_key", "index").unique(), []
    for one, what in (
        ("node_key", "nodes stand under more than one number in x_index and y_index"),
        ("index", "numbers in x_index and y_index stand for more than one node"),
    ):
        several = pairs.filter(pl.col(one).is_duplicated()).sort(one)[one]
        if len(several):
            notes.append(f"{several.n_unique():,} {what}, for example {several[0]}.")
    return notes


def _relation_notes(relations: tuple[Relation, ...]) -> list[str]:
    """Say which relations are not PrimeKG's, or join other types than PrimeKG's do."""
    strange = [str(rel) for rel in relations if RELATIONS.get(rel.name) != (rel.source_type, rel.target_type)]
    return [f"Relations that PrimeKG does not have: {', '.join(strange)}."] if strange else []
