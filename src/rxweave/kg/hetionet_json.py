"""Hetionet's JSON (Himmelstein et al. 2017): one object with `nodes`, `edges` and what their kinds are called.

Objects are decoded one by one, so that what is held is the text and the tables, not millions of objects. The graph is
that of the tables: an edge's kind becomes the metaedge of its ends and its direction, by `kind_to_abbrev`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from rxweave.errors import InputError
from rxweave.kg.files import first_bytes, read_bytes
from rxweave.kg.hetionet import EDGE_FILE, NODE_FILE, graph_of
from rxweave.kg.tables import InputFile, KnowledgeGraph
from rxweave.kg.text import OnError, Table, drop_bad_rows
from rxweave.kg.types import Reader, RoleChoice

_ENDINGS = (".json", ".json.bz2", ".json.gz", ".json.zst")


def find(path: Path) -> tuple[Path, ...] | None:
    """Give Hetionet's JSON file at a path, or the only one of a folder, or None."""
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if file.name.endswith(_ENDINGS) and _is_hetnet(file)]
        return (found[0],) if len(found) == 1 else None
    return (path,) if path.is_file() and path.name.endswith(_ENDINGS) and _is_hetnet(path) else None


def _is_hetnet(path: Path) -> bool:
    try:
        start = first_bytes(path)
    except InputError:
        return False
    return start.lstrip().startswith(b"{") and b'"metanode_kinds"' in start


def read(files: tuple[Path, ...], on_error: OnError, choice: RoleChoice) -> KnowledgeGraph:
    """Read Hetionet's JSON; a node or edge that is not as described is malformed; its number is its line."""
    (path,) = files
    data, file = read_bytes(path)
    text = data.decode("utf-8", "replace")
    del data
    abbreviations = _abbreviations(path, text)
    nodes = [_node(each) for each in _objects(path, text, "nodes")]
    edges = [_edge(each, abbreviations) for each in _objects(path, text, "edges")]
    node_table = _table(nodes, NODE_FILE, file, on_error)
    return graph_of(path, node_table, _table(edges, EDGE_FILE, file, on_error), on_error, choice)


READER = Reader("Hetionet's JSON, an object with metanode_kinds, nodes and edges", (), find, read)


def _abbreviations(path: Path, text: str) -> dict[str, str]:
    at = text.find('"kind_to_abbrev"')
    try:
        found = json.JSONDecoder().raw_decode(text, text.index("{", at))[0] if at >= 0 else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{path} has no kind_to_abbrev, which says what its edges are called. Download it again.")
    return {str(kind): str(short) for kind, short in found.items()}


def _objects(path: Path, text: str, name: str) -> Iterator[Any]:
    """Give the objects of a top-level list one by one; raises InputError where the list breaks off."""
    decode = json.JSONDecoder().raw_decode
    begin = re.search(rf'"{name}"\s*:\s*\[', text)
    if begin is None:
        raise InputError(f"{path} has no list of {name}. Download it again.")
    place, number = begin.end(), 0
    while True:
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        if text[place : place + 1] == "]":
            return
        try:
            found, place = decode(text, place)
        except (ValueError, RecursionError):
            raise InputError(
                f"{path}: its {name} break off or are damaged after {number:,}. Download or copy it again."
            ) from None
        number += 1
        yield found


def _node(told: Any) -> tuple[str, ...]:
    if not isinstance(told, dict) or not isinstance(told.get("kind"), str) or not _is_id(told.get("identifier")):
        return ("", "", "")
    name = told.get("name")
    return f"{told['kind']}::{told['identifier']}", name if isinstance(name, str) else "", told["kind"]


def _edge(told: Any, abbreviations: dict[str, str]) -> tuple[str, ...]:
    try:
        source, target, kind, direction = (told[name] for name in ("source_id", "target_id", "kind", "direction"))
        (first, first_id), (second, second_id) = source, target
        short = [abbreviations[name] for name in (first, kind, second)]
    except (TypeError, KeyError, ValueError):
        return ("", "", "")
    if not _is_id(first_id) or not _is_id(second_id):
        return ("", "", "")
    ends = [f"{first}::{first_id}", f"{second}::{second_id}"]
    if direction == "backward":
        ends.reverse()
        short.reverse()
    arrow = "" if direction == "both" else ">"
    return ends[0], f"{short[0]}{short[1]}{arrow}{short[2]}", ends[1]


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _table(rows: list[tuple[str, ...]], columns: tuple[str, ...], file: InputFile, on_error: OnError) -> Table:
    if not rows:
        raise InputError(f"{file.path} has an empty list of {'nodes' if columns == NODE_FILE else 'edges'}.")
    frame = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
    if columns == EDGE_FILE:
        frame = frame.cast(pl.Categorical)
    table = Table(frame, file, range(1, len(rows) + 1))
    what = "node" if columns == NODE_FILE else "edge"
    bad = (frame[columns[0]].cast(pl.String) == "").rename("bad")
    return drop_bad_rows(table, bad, lambda row: f"{what} is not as Hetionet's are (kind, ids or direction)", on_error)
