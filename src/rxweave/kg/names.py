"""Nodes by what people call them: a name, a synonym, an id or a key.

`search` lists what a text may mean; `find_node` gives the one node it means, or says what is near or in the way.
Matching ignores case. An id may be written bare (`DB00945`), with its source (`MONDO:5148`) or as the whole key.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from rxweave.errors import InputError, did_you_mean
from rxweave.kg.tables import KnowledgeGraph

MATCHES = ("id", "name", "synonym", "begins so", "word begins so", "contains")
"""Kinds of match, the surest first."""

_PIECE = 3
"""Letters of a piece; names that share pieces with a misspelt one are compared with it in full."""
_COMPARED = 300


@dataclass(frozen=True)
class Node:
    """One node, as people are told of it."""

    node_key: str
    node_id: str
    node_name: str
    node_type: str
    node_source: str

    def __str__(self) -> str:
        return f"{self.node_name!r} ({self.node_type}, {self.node_source}:{self.node_id})"


def search(kg: KnowledgeGraph, text: str, *, node_type: str | None = None, limit: int = 20) -> pl.DataFrame:
    """Give the nodes that a text may mean, the surest first: the node columns, `match` and `matched`.

    `match` is one of MATCHES, and `matched` the name, synonym or id that did. Of equal matches the shorter come
    first. Raises InputError for an empty text or an unknown `node_type`.
    """
    wanted = _wanted(text)
    written = _written(kg, _nodes_of(kg, node_type))
    low = pl.col("low")
    begins, inside = low.str.starts_with(wanted), low.str.contains(wanted, literal=True)
    at_word = low.str.contains(r"\b" + _escaped(wanted))
    same = low == wanted
    rank = (
        pl.when(same & (pl.col("what") == "id"))
        .then(0)
        .when(same & (pl.col("what") == "name"))
        .then(1)
        .when(same)
        .then(2)
        .when(begins & (pl.col("what") != "id"))
        .then(3)
        .when(at_word & (pl.col("what") != "id"))
        .then(4)
        .otherwise(5)
    )
    return (
        written.filter(inside)
        .with_columns(rank=rank, length=low.str.len_chars())
        .sort("rank", "length", "low", "node_key")
        .unique("node_key", keep="first", maintain_order=True)
        .head(limit)
        .with_columns(match=pl.col("rank").replace_strict(dict(enumerate(MATCHES)), return_dtype=pl.String))
        .select(*kg.nodes.columns, "match", matched="written")
    )


def find_node(kg: KnowledgeGraph, text: str, *, node_type: str | None = None) -> Node:
    """Give the one node that a name, synonym, id or key means, of one type or of any.

    A key or id wins over a name, a name over a synonym, and an exact spelling over one in other letters' case.
    Raises InputError with the closest names for a text that means no node, and with all the nodes for one that
    means several.
    """
    _wanted(text)
    return node_finder(kg, node_type=node_type)(text)


def node_finder(kg: KnowledgeGraph, *, node_type: str | None = None) -> Callable[[str], Node]:
    """Give `find_node` of one graph and type, for many texts: what nodes are called is laid out once."""
    written = _written(kg, _nodes_of(kg, node_type))

    def find(text: str) -> Node:
        wanted = _wanted(text)
        hits = written.filter(pl.col("low") == wanted)
        for exactly in (True, False):
            for what in ("id", "name", "synonym"):
                found = hits.filter(pl.col("what") == what)
                if exactly:
                    found = found.filter(pl.col("written") == text.strip())
                nodes = [Node(**row) for row in found.select(_NODE).unique().sort("node_key").iter_rows(named=True)]
                if len(nodes) == 1:
                    return nodes[0]
                if nodes:
                    raise _ambiguous(text, nodes, node_type)
        raise _unknown(kg, text, written, node_type)

    return find


def closest_names(kg: KnowledgeGraph, text: str, *, node_type: str | None = None, at_most: int = 3) -> list[Node]:
    """Give the nodes with the names or synonyms most like a text that none has, the likest first."""
    return _closest(_written(kg, _nodes_of(kg, node_type)), _wanted(text), at_most)


_NODE = ("node_key", "node_id", "node_name", "node_type", "node_source")


def _wanted(text: str) -> str:
    wanted = text.strip().lower()
    if not wanted:
        raise InputError("There is nothing to look for: the text is empty. Give a name, a synonym or an id.")
    return wanted


def _nodes_of(kg: KnowledgeGraph, node_type: str | None) -> pl.DataFrame:
    if node_type is None:
        return kg.nodes
    nodes = kg.nodes.filter(node_type=node_type)
    if not nodes.height:
        types = kg.nodes["node_type"].unique().sort().to_list()
        raise InputError(
            f"Node type {node_type!r} is not in {kg.name} (it has {', '.join(types)}).{did_you_mean(node_type, types)}"
        )
    return nodes


def _written(kg: KnowledgeGraph, nodes: pl.DataFrame) -> pl.DataFrame:
    """Give every way in which a node may be written: the node columns, `what` it is, `written`, and `low` in case."""
    with_source = pl.concat_str("node_source", "node_id", separator=":")
    parts = [
        nodes.with_columns(what=pl.lit("id"), written=pl.col("node_id")),
        nodes.with_columns(what=pl.lit("id"), written=with_source),
        nodes.with_columns(what=pl.lit("id"), written=pl.col("node_key")),
        nodes.with_columns(what=pl.lit("name"), written=pl.col("node_name")),
    ]
    if kg.synonyms is not None:
        of_nodes = nodes.join(kg.synonyms, on="node_key").with_columns(what=pl.lit("synonym"))
        parts.append(of_nodes.rename({"synonym": "written"}).select(parts[0].columns))
    return pl.concat(parts).with_columns(low=pl.col("written").str.to_lowercase())


def _escaped(text: str) -> str:
    return "".join(char if char.isalnum() or char == "_" else f"\\x{{{ord(char):x}}}" for char in text)


def _closest(written: pl.DataFrame, wanted: str, at_most: int) -> list[Node]:
    # Comparing every name letter by letter takes seconds; names that share three letters in a row are few.
    pieces = sorted({wanted[i : i + _PIECE] for i in range(max(1, len(wanted) - _PIECE + 1))})
    shared = pl.sum_horizontal([pl.col("low").str.contains(piece, literal=True).cast(pl.Int32) for piece in pieces])
    near = (
        written.filter(pl.col("what") != "id")
        .with_columns(shared=shared, length=pl.col("low").str.len_chars())
        .filter(pl.col("shared") > 0)
        .sort(-2 * pl.col("shared") / (len(pieces) + pl.col("length")), "length", "low")
        .head(_COMPARED)
    )
    rows: dict[str, Node] = {}
    for row in near.iter_rows(named=True):
        rows.setdefault(row["low"], Node(**{name: row[name] for name in _NODE}))
    hits = difflib.get_close_matches(wanted, rows, n=2 * at_most, cutoff=0.5)
    return list(dict.fromkeys(rows[hit] for hit in hits))[:at_most]


def _ambiguous(text: str, nodes: list[Node], node_type: str | None) -> InputError:
    shown = "; ".join(f"{node.node_key} ({node.node_name})" for node in nodes[:10])
    more = f"; and {len(nodes) - 10} more" if len(nodes) > 10 else ""
    what = f"{node_type}s" if node_type else "nodes"
    return InputError(f"{text!r} means {len(nodes)} {what}: {shown}{more}. Give the key of one of them.")


def _unknown(kg: KnowledgeGraph, text: str, written: pl.DataFrame, node_type: str | None) -> InputError:
    count = written["node_key"].n_unique()
    what = node_type or "node"
    near = _closest(written, text.strip().lower(), 3)
    said = f" Closest: {', '.join(map(str, near))}." if near else ""
    return InputError(
        f"{what[0].upper()}{what[1:]} {text!r} is not in {kg.name} (nodes of that kind: {count:,}).{said} "
        "`rxweave search` looks for a part of a name."
    )
