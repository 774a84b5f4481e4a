"""OptimusKG (Vittor et al. 2026): `nodes.parquet` (id, label, properties) and `edges.parquet` (from, to, relation, …).

- A label is a code of three letters; the type is its name. The key is `Type|OptimusKG|id`.
- `properties` is JSON: a gene is called by its symbol, everything else by its name; the rest are synonyms.
- A relation within one type is symmetric if all its edges say that they are undirected.

Written after the tables' published description and tested on tables made after it, not on the real ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from rxweave.errors import InputError
from rxweave.kg.fold import check_keys, fold_rows, load_report, node_rows, other_names
from rxweave.kg.parquet import has_columns, read_columns
from rxweave.kg.tables import NODE_COLUMNS, KnowledgeGraph, Roles
from rxweave.kg.text import OnError, drop_bad_rows
from rxweave.kg.types import Reader, RoleChoice

NAME = "optimuskg"
SOURCE = "OptimusKG"
NODE_FILE = ("id", "label", "properties")
EDGE_FILE = ("from", "to", "relation", "undirected")

TYPES = {
    "ANA": "Anatomy",
    "BPO": "Biological Process",
    "CCO": "Cellular Component",
    "DIS": "Disease",
    "DRG": "Drug",
    "EXP": "Exposure",
    "GEN": "Gene",
    "MFN": "Molecular Function",
    "PHE": "Phenotype",
    "PWY": "Pathway",
}
ROLES = Roles("Drug", "Disease", "Gene", ("INDICATION",), ("CONTRAINDICATION",))


def find(path: Path) -> tuple[Path, ...] | None:
    """Give the (node, edge) files at a path, the folder of both or the edge file, or None."""
    edges = path / "edges.parquet" if path.is_dir() else path
    if not has_columns(edges, EDGE_FILE):
        return None
    nodes = edges.with_name(edges.name.replace("edges", "nodes"))
    if nodes == edges or not has_columns(nodes, NODE_FILE):
        raise InputError(
            f"{edges} is OptimusKG's edge file, but beside it lies no {edges.name.replace('edges', 'nodes')} with the "
            f"columns {', '.join(NODE_FILE)}. Put it into the same folder."
        )
    return nodes, edges


def read(files: tuple[Path, ...], on_error: OnError, choice: RoleChoice) -> KnowledgeGraph:
    """Read the two tables; a node without id or label, or with an id twice, and an edge of no node, is malformed."""
    node_table = read_columns(files[0], NODE_FILE)
    bad = node_table.frame.select(
        (pl.col("id") == "") | (pl.col("label") == "") | ~pl.col("id").is_first_distinct()
    ).to_series()
    node_table = drop_bad_rows(node_table, bad, _what_is_wrong_with_node, on_error)
    nodes, synonyms, empty_names = _nodes(node_table.frame)
    check_keys(nodes, files[0])

    edge_table = read_columns(files[1], EDGE_FILE, categorical=True)
    ends = {end: node_rows(edge_table.frame[end], nodes) for end in ("from", "to")}
    bad = edge_table.frame.select(
        (pl.col("relation") == "") | ends["from"].is_null() | ends["to"].is_null()
    ).to_series()
    known = set(nodes["node_id"]) if bad.any() else set()

    def what_is_wrong(row: dict[str, Any]) -> str:
        unknown = [f"{end} {row[end]!r} is not in the node file" for end in ("from", "to") if row[end] not in known]
        return unknown[0] if unknown else "the relation is empty"

    rows = edge_table.frame.select("relation", "undirected", source=ends["from"], target=ends["to"]).filter(~bad)
    edge_table = drop_bad_rows(edge_table, bad, what_is_wrong, on_error)
    directed = _directed(rows, nodes)
    folded = fold_rows(
        rows.drop("undirected"),
        nodes,
        orientation=_orientation,
        symmetric=lambda name, node_type: (name, node_type) not in directed,
    )
    notes = [f"{node_table.num_rejected:,} rows of the node file were left out."] if node_table.num_rejected else []
    report = load_report(
        str(files[1].parent), (node_table, edge_table), nodes, folded, empty_names=empty_names, notes=notes
    )
    return KnowledgeGraph(
        NAME,
        nodes.select(NODE_COLUMNS),
        folded.edges,
        folded.relations,
        choice.over(ROLES),
        report,
        synonyms=synonyms,
    )


READER = Reader(
    "a folder with OptimusKG's nodes.parquet (id, label, properties) and edges.parquet (from, to, relation, "
    "undirected)",
    (),
    find,
    read,
)


def _orientation(relation: str, source: str, target: str) -> tuple[str, str]:
    """Give drugs, then diseases, the first place, so that a relation written either way is one."""
    return min((source, target), (target, source), key=lambda ends: (ends[0] != ROLES.drug, ends[0] != ROLES.disease))


def _directed(rows: pl.DataFrame, nodes: pl.DataFrame) -> set[tuple[str, str]]:
    """Give the (relation, type) pairs of which some edge does not say that it is undirected."""
    codes = nodes["node_type"].cast(pl.Categorical)
    says_not = rows.filter(pl.col("undirected").cast(pl.String).str.to_lowercase() != "true")
    found = says_not.select("relation", node_type=codes.gather(says_not["source"])).unique()
    return {(str(name), str(node_type)) for name, node_type in found.cast(pl.String).iter_rows()}


def _nodes(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None, int]:
    """Give the node table sorted by key, the synonyms, and how many nodes have no name."""
    names = pl.Series("names", [_names(text) for text in frame["properties"]], dtype=pl.List(pl.String))
    node_type = pl.col("label").replace(TYPES)
    key = pl.concat_str(node_type, pl.lit(SOURCE), "id", separator="|")
    nodes = frame.with_columns(names).select(
        "names",
        node_key=key,
        node_id="id",
        node_name=pl.coalesce(pl.col("names").list.first(), "id"),
        node_type=node_type,
        node_source=pl.lit(SOURCE),
    )
    nodes = nodes.sort("node_key")
    return nodes.drop("names"), other_names(nodes), int((nodes["names"].list.len() == 0).sum())


def _names(properties: str) -> list[str]:
    """Give what a node is called, the first the best; nothing for properties that are not as described."""
    try:
        told = json.loads(properties) if properties else {}
    except ValueError:
        return []
    if not isinstance(told, dict):
        return []
    found = [told.get("symbol"), told.get("name")]
    for field in ("synonyms", "symbol_synonyms", "name_synonyms", "obsolete_symbols"):
        listed = told.get(field)
        for entry in listed if isinstance(listed, list) else ():
            found.append(entry.get("label") if isinstance(entry, dict) else entry)
    return list(dict.fromkeys(name.strip() for name in found if isinstance(name, str) and name.strip()))


def _what_is_wrong_with_node(row: dict[str, Any]) -> str:
    empty = [name for name in ("id", "label") if row[name] == ""]
    return f"{', '.join(empty)} is empty; a node needs both" if empty else f"id {row['id']!r} stands above already"
