"""Hetionet (Himmelstein et al. 2017): a node table `id name kind` and an edge list `source metaedge target`.

Ids are written `Kind::id` (`Compound::DB00014`), kept so as `node_id`; the key is type, source and bare id,
as everywhere: `Compound|Hetionet|DB00014`. A metaedge (`CtD`) is the relation's name. Its spelling shows its
direction: one that joins a kind with itself is symmetric (`CrC`, `DrD`, `GcG`, `GiG`) unless it has a ">"
(`Gr>G`); one between two kinds is always written from the first to the second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from rxweave.errors import InputError
from rxweave.kg.files import matching_files, pick
from rxweave.kg.fold import check_keys, fold_rows, load_report, node_rows, other_names
from rxweave.kg.tables import NODE_COLUMNS, KnowledgeGraph, Roles
from rxweave.kg.text import (
    OnError,
    Table,
    drop_bad_rows,
    first_records,
    has_columns,
    read_table,
)
from rxweave.kg.types import Reader, RoleChoice

NAME = "hetionet"
SOURCE = "Hetionet"
NODE_FILE = ("id", "name", "kind")
EDGE_FILE = ("source", "metaedge", "target")

ROLES = Roles("Compound", "Disease", "Gene", ("CtD",))
"""Hetionet has no contraindications. Palliation (`CpD`) is not treatment: it eases symptoms only."""

METAEDGES = {
    "AdG": ("Anatomy", "downregulates", "Gene"),
    "AeG": ("Anatomy", "expresses", "Gene"),
    "AuG": ("Anatomy", "upregulates", "Gene"),
    "CbG": ("Compound", "binds", "Gene"),
    "CcSE": ("Compound", "causes", "Side Effect"),
    "CdG": ("Compound", "downregulates", "Gene"),
    "CpD": ("Compound", "palliates", "Disease"),
    "CrC": ("Compound", "resembles", "Compound"),
    "CtD": ("Compound", "treats", "Disease"),
    "CuG": ("Compound", "upregulates", "Gene"),
    "DaG": ("Disease", "associates", "Gene"),
    "DdG": ("Disease", "downregulates", "Gene"),
    "DlA": ("Disease", "localizes", "Anatomy"),
    "DpS": ("Disease", "presents", "Symptom"),
    "DrD": ("Disease", "resembles", "Disease"),
    "DuG": ("Disease", "upregulates", "Gene"),
    "GcG": ("Gene", "covaries", "Gene"),
    "GiG": ("Gene", "interacts", "Gene"),
    "GpBP": ("Gene", "participates", "Biological Process"),
    "GpCC": ("Gene", "participates", "Cellular Component"),
    "GpMF": ("Gene", "participates", "Molecular Function"),
    "GpPW": ("Gene", "participates", "Pathway"),
    "Gr>G": ("Gene", "regulates", "Gene"),
    "PCiC": ("Pharmacologic Class", "includes", "Compound"),
}
"""Hetionet's 24 metaedges: kind of the source, what it does, kind of the target."""


def find(path: Path) -> tuple[Path, ...] | None:
    """Give the (node, edge) files at a path, known by their content, or None.

    The path is the folder of both, or the edge list, whose folder then holds the nodes.
    """
    if path.is_file():
        edges = path if _is_edge_list(path) else None
    else:
        edges = pick(matching_files(path, _is_edge_list), "Hetionet edge list", prefer="edges")
    if edges is None:
        return None
    tables = matching_files(edges.parent, lambda file: has_columns(file, NODE_FILE))
    nodes = pick(tables, "Hetionet node table", prefer="nodes")
    if nodes is None:
        raise InputError(
            f"{edges} is a Hetionet edge list, but beside it lies no node table with the columns "
            f"{', '.join(NODE_FILE)}. Put Hetionet's nodes.tsv into its folder."
        )
    return nodes, edges


def _is_edge_list(path: Path) -> bool:
    """Tell whether a file has the edge list's header, or, as some SIF files, begins with an edge at once."""
    return has_columns(path, EDGE_FILE) or _begins_with_an_edge(path)


def _begins_with_an_edge(path: Path) -> bool:
    match first_records(path, 1):
        case [[source, metaedge, target]]:
            return "::" in source and "::" in target and metaedge in METAEDGES
    return False


def read(files: tuple[Path, ...], on_error: OnError, choice: RoleChoice) -> KnowledgeGraph:
    """Read Hetionet's two tables; a row that names an unknown node or joins the wrong kinds is malformed."""
    node_table = read_table(files[0], NODE_FILE, on_error=on_error)
    header = not _begins_with_an_edge(files[1])
    edge_table = read_table(files[1], EDGE_FILE, header=header, categorical=True, on_error=on_error)
    return graph_of(files[1].parent, node_table, edge_table, on_error, choice)


def graph_of(path: Path, node_table: Table, edge_table: Table, on_error: OnError, choice: RoleChoice) -> KnowledgeGraph:
    """Give the graph of a table of nodes and one of edges (NODE_FILE, EDGE_FILE), read from a path; see `read`."""
    node_table = _sound_nodes(node_table, on_error)
    nodes, renamed, empty_names, synonyms = _nodes(node_table.frame)
    check_keys(nodes, path)
    edge_table, rows = _sound_edges(edge_table, nodes, on_error)
    folded = fold_rows(
        rows,
        nodes,
        orientation=lambda name, source, target: (source, target),
        symmetric=lambda name, kind: ">" not in name,
    )
    edges = folded.edges.with_columns(
        display_relation=pl.col("relation").replace({name: verb for name, (_, verb, _) in METAEDGES.items()})
    )
    notes = []
    if node_table.num_rejected:
        notes.append(f"{node_table.num_rejected:,} rows of the node table were left out.")
    if node_table.frame.height > nodes.height:
        notes.append(f"{node_table.frame.height - nodes.height:,} rows of the node table repeat an id.")
    strange = [str(relation) for relation in folded.relations if relation.name not in METAEDGES]
    if strange:
        notes.append(f"Metaedges that Hetionet v1.0 does not have: {', '.join(strange)}.")
    report = load_report(
        str(path),
        (node_table, edge_table),
        nodes,
        folded,
        empty_names=empty_names,
        renamed=renamed,
        notes=notes,
    )
    return KnowledgeGraph(
        NAME, nodes.select(NODE_COLUMNS), edges, folded.relations, choice.over(ROLES), report, synonyms=synonyms
    )


READER = Reader(
    "a folder with nodes.tsv (id, name, kind) and edges.tsv (source, metaedge, target), as Hetionet",
    EDGE_FILE,
    find,
    read,
)


def _sound_nodes(table: Table, on_error: OnError) -> Table:
    kind, identifier = pl.col("kind"), pl.col("id")
    sound = (
        (kind != "") & identifier.str.starts_with(kind + "::") & (identifier.str.len_bytes() > kind.str.len_bytes() + 2)
    )
    return drop_bad_rows(
        table,
        table.frame.select(~sound).to_series(),
        lambda row: (
            f"id {row['id']!r} and kind {row['kind']!r} do not agree; "
            f"expected an id such as {row['kind'] or 'Gene'}::9021"
        ),
        on_error,
    )


def _nodes(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...], int, pl.DataFrame | None]:
    """Give the node table sorted by key, a line for each id with several names, how many have none, and synonyms."""
    grouped = frame.group_by("id", maintain_order=True).agg(
        pl.col("kind").first(),
        pl.col("name").filter(pl.col("name") != "").unique(maintain_order=True).alias("names"),
    )
    bare = pl.col("id").str.slice(pl.col("kind").str.len_chars() + 2)
    key = pl.concat_str("kind", pl.lit(SOURCE), bare, separator="|")
    nodes = grouped.select(
        node_key=key,
        node_id="id",
        node_name=pl.coalesce(pl.col("names").list.first(), bare),
        node_type="kind",
        node_source=pl.lit(SOURCE),
    ).sort("node_key")
    several = grouped.filter(pl.col("names").list.len() > 1)
    renamed = tuple(f"{key}: {', '.join(map(repr, names))}" for key, names in several.select("id", "names").iter_rows())
    synonyms = other_names(grouped.select("names", node_key=key))
    return nodes, renamed, int((grouped["names"].list.len() == 0).sum()), synonyms


def _sound_edges(table: Table, nodes: pl.DataFrame, on_error: OnError) -> tuple[Table, pl.DataFrame]:
    """Give the edge list without malformed rows, and its rows by node number."""
    rows = table.frame.select(
        "metaedge",
        source=node_rows(table.frame["source"], nodes),
        target=node_rows(table.frame["target"], nodes),
    )
    rows = rows.with_columns(
        source_kind=nodes["node_type"].gather(rows["source"]),
        target_kind=nodes["node_type"].gather(rows["target"]),
    )
    seen = rows.drop_nulls().group_by("metaedge", maintain_order=True).first().cast({"metaedge": pl.String})
    kinds = {
        name: (source, target) for name, source, target in seen["metaedge", "source_kind", "target_kind"].iter_rows()
    }
    kinds |= {name: (source, target) for name, (source, _, target) in METAEDGES.items() if name in kinds}
    expected = pl.DataFrame(
        [(name, *ends) for name, ends in kinds.items()],
        schema={"metaedge": pl.String, "source_expected": pl.String, "target_expected": pl.String},
        orient="row",
    )
    rows = rows.join(expected.cast({"metaedge": pl.Categorical}), on="metaedge", how="left", maintain_order="left")
    sound = rows.select(
        (
            (pl.col("metaedge") != "")
            & (pl.col("source_kind") == pl.col("source_expected"))
            & (pl.col("target_kind") == pl.col("target_expected"))
        ).fill_null(value=False)
    ).to_series()
    kind_of = dict(nodes.select("node_id", "node_type").iter_rows())

    def what_is_wrong(row: dict[str, Any]) -> str:
        for end in ("source", "target"):
            if row[end] not in kind_of:
                return f"{end} {row[end]!r} is not in the node table"
        if not row["metaedge"]:
            return "the metaedge is empty"
        found, wanted = (kind_of[row["source"]], kind_of[row["target"]]), kinds[row["metaedge"]]
        return f"{row['metaedge']} joins {found[0]} to {found[1]} here; expected {wanted[0]} to {wanted[1]}"

    table = drop_bad_rows(table, ~sound, what_is_wrong, on_error)
    return table, rows.filter(sound).select(pl.col("metaedge").alias("relation"), "source", "target")
