"""PrimeKG as its two smaller files: nodes (`node_index` to `node_source`) and edges by `x_index` and `y_index`.

The same graph as kg.csv, read by the same rules. Harvard Dataverse hands the nodes out as `nodes.tab`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from rxweave.errors import InputError
from rxweave.kg.files import matching_files, pick
from rxweave.kg.fold import check_keys, node_rows
from rxweave.kg.primekg import folded_graph, nodes_of_ends
from rxweave.kg.tables import KnowledgeGraph
from rxweave.kg.text import OnError, drop_bad_rows, has_columns, read_table
from rxweave.kg.types import Reader, RoleChoice

NODE_FILE = ("node_index", "node_id", "node_type", "node_name", "node_source")
EDGE_FILE = ("relation", "display_relation", "x_index", "y_index")


def find(path: Path) -> tuple[Path, ...] | None:
    """Give the (node, edge) files at a path, known by their headers, or None; the path may be the edge file."""
    if path.is_file():
        edges = path if _is_edge_file(path) else None
    else:
        edges = pick(matching_files(path, _is_edge_file), "PrimeKG edge file", prefer="edges")
    if edges is None:
        return None
    tables = matching_files(edges.parent, lambda file: has_columns(file, NODE_FILE))
    nodes = pick(tables, "PrimeKG node file", prefer="nodes")
    if nodes is None:
        raise InputError(
            f"{edges} is PrimeKG's edge file, but beside it lies no node file with the columns {', '.join(NODE_FILE)}. "
            "Put PrimeKG's nodes.tab into its folder."
        )
    return nodes, edges


def _is_edge_file(path: Path) -> bool:
    return has_columns(path, EDGE_FILE) and not has_columns(path, ("x_id",))


def read(files: tuple[Path, ...], on_error: OnError, choice: RoleChoice) -> KnowledgeGraph:
    """Read the two files; a node without number, id or type, and an edge of an unknown node, is malformed."""
    node_table = read_table(files[0], NODE_FILE, on_error=on_error)
    number = pl.col("node_index")
    bad = node_table.frame.select(
        pl.any_horizontal(pl.col("node_index", "node_id", "node_type") == "")
        | (number.is_duplicated() & ~number.is_first_distinct())
    ).to_series()
    node_table = drop_bad_rows(node_table, bad, _what_is_wrong_with_node, on_error)
    ends = node_table.frame.rename(lambda name: name.removeprefix("node_"))
    key = pl.concat_str("type", "source", "id", separator="|").alias("node_key")
    nodes, empty_names, renamed, synonyms = nodes_of_ends(ends.with_columns(key))
    check_keys(nodes, files[0])

    edge_table = read_table(files[1], EDGE_FILE, categorical=True, on_error=on_error)
    # Two numbers may be one node: the rows of `numbered` are those of the node file, not of the graph.
    rows_of = nodes.select("node_key").with_row_index("node_ix")
    numbered = ends.select(key, node_id="index").join(rows_of, on="node_key", how="left", maintain_order="left")
    ends_of = {
        side: numbered["node_ix"].gather(node_rows(edge_table.frame[f"{side}_index"], numbered)) for side in "xy"
    }
    bad = edge_table.frame.select(
        (pl.col("relation") == "") | ends_of["x"].is_null() | ends_of["y"].is_null()
    ).to_series()
    known = set(numbered["node_id"]) if bad.any() else set()

    def what_is_wrong(row: dict[str, Any]) -> str:
        unknown = [name for name in ("x_index", "y_index") if row[name] not in known]
        return f"{unknown[0]} {row[unknown[0]]!r} is not in the node file" if unknown else "the relation is empty"

    rows = edge_table.frame.select("relation", "display_relation", source=ends_of["x"], target=ends_of["y"])
    edge_table = drop_bad_rows(edge_table, bad, what_is_wrong, on_error)
    notes = []
    if node_table.num_rejected:
        notes.append(f"{node_table.num_rejected:,} rows of the node file were left out.")
    if node_table.frame.height > nodes.height:
        notes.append(f"{node_table.frame.height - nodes.height:,} rows of the node file repeat a node.")
    return folded_graph(
        str(files[1].parent),
        (node_table, edge_table),
        nodes,
        rows.filter(~bad),
        choice,
        empty_names=empty_names,
        renamed=renamed,
        synonyms=synonyms,
        notes=notes,
    )


READER = Reader(
    "a folder with PrimeKG's two files, nodes (node_index, node_id, …) and edges (relation, display_relation, x_index, "
    "y_index)",
    EDGE_FILE,
    find,
    read,
)


def _what_is_wrong_with_node(row: dict[str, Any]) -> str:
    empty = [name for name in ("node_index", "node_id", "node_type") if row[name] == ""]
    if empty:
        return f"{', '.join(empty)} is empty; a node needs them all"
    return f"node_index {row['node_index']} stands for a node above already"
