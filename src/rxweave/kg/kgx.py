"""KGX, the table format of Biolink graphs (Monarch, RTX-KG2, ROBOKOP): nodes and edges as two TSV files.

Nodes have `id` (a CURIE such as MONDO:0005148) and `category` (`biolink:Disease`, several joined by "|"), edges
`subject`, `predicate` (`biolink:treats`) and `object`. "biolink:" is left out of types and relations. The type is
the first category that says more than "thing"; the key is type, prefix and local id: `Disease|MONDO|0005148`.

- One statement from several sources stands in the file several times: it is one fact.
- A predicate within one type is symmetric if Biolink's meaning of it is (SYMMETRIC), or if at least 95 % of its
  facts stand both ways; the rest are directed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from rxweave.errors import InputError
from rxweave.kg.files import matching_files, pick
from rxweave.kg.fold import MIRRORED, check_keys, fold_rows, load_report, mirrored_share, node_rows, other_names
from rxweave.kg.tables import NODE_COLUMNS, KnowledgeGraph, Relation
from rxweave.kg.text import OnError, Table, drop_bad_rows, has_columns, read_table
from rxweave.kg.triples import guess_roles
from rxweave.kg.types import Reader, RoleChoice

NODE_FILE = ("id", "category")
EDGE_FILE = ("subject", "predicate", "object")
PREFIX = "biolink:"

UNSPECIFIC = ("", "Entity", "NamedThing", "ThingWithTaxon", "BiologicalEntity", "PhysicalEssence", "OntologyClass")
"""Categories that are skipped where a node has a more telling one."""

SYMMETRIC = frozenset(
    {
        "related_to",
        "associated_with",
        "interacts_with",
        "physically_interacts_with",
        "directly_physically_interacts_with",
        "indirectly_physically_interacts_with",
        "genetically_interacts_with",
        "coexpressed_with",
        "correlated_with",
        "positively_correlated_with",
        "negatively_correlated_with",
        "colocalizes_with",
        "coexists_with",
        "similar_to",
        "chemically_similar_to",
        "homologous_to",
        "orthologous_to",
        "paralogous_to",
        "xenologous_to",
        "same_as",
        "exact_match",
        "close_match",
    }
)
"""Predicates that say the same of both their ends."""


def find(path: Path) -> tuple[Path, ...] | None:
    """Give the (node, edge) files at a path, known by their headers, or None.

    The path is the folder of both, or the edge file, whose folder then holds the nodes.
    """
    if path.is_file():
        edges = path if has_columns(path, EDGE_FILE) else None
    else:
        edges = pick(matching_files(path, lambda file: has_columns(file, EDGE_FILE)), "KGX edge file", prefer="edges")
    if edges is None:
        return None
    tables = [file for file in matching_files(edges.parent, lambda file: has_columns(file, NODE_FILE)) if file != edges]
    partner = [file for file in tables if file.name == edges.name.replace("edges", "nodes")]
    nodes = pick(partner or tables, "KGX node file", prefer="nodes")
    if nodes is None:
        raise InputError(
            f"{edges} is a KGX edge file, but beside it lies no node file with the columns {', '.join(NODE_FILE)}. "
            "Put it into the same folder."
        )
    return nodes, edges


def read(files: tuple[Path, ...], on_error: OnError, choice: RoleChoice) -> KnowledgeGraph:
    """Read KGX's two files; a node without id or category, and an edge of unknown nodes, is malformed."""
    node_table = read_table(files[0], NODE_FILE, optional=("name", "synonym"), on_error=on_error)
    empty = node_table.frame.select((pl.col("id") == "") | (_type_of("category") == "")).to_series()
    node_table = drop_bad_rows(node_table, empty, _what_is_wrong_with_node, on_error)
    nodes, renamed, empty_names, synonyms = _nodes(node_table.frame)
    check_keys(nodes, files[0])

    edge_table = read_table(files[1], EDGE_FILE, categorical=True, on_error=on_error)
    edge_table, rows = _sound_edges(edge_table, nodes, on_error)
    shares = mirrored_share(rows, nodes)
    folded = fold_rows(
        rows,
        nodes,
        orientation=lambda name, source, target: (source, target),
        symmetric=lambda name, kind: name in SYMMETRIC or shares.get((name, kind), 0.0) >= MIRRORED,
    )
    sizes = dict(nodes["node_type"].value_counts().iter_rows())
    roles, role_notes = guess_roles(sizes, folded.relations, _with_treats(choice, folded.relations))
    notes = [f"Types are the first category of a node that says more than {', '.join(filter(None, UNSPECIFIC[:3]))}."]
    if node_table.num_rejected:
        notes.append(f"{node_table.num_rejected:,} rows of the node file were left out.")
    if node_table.frame.height > nodes.height:
        notes.append(f"{node_table.frame.height - nodes.height:,} rows of the node file repeat an id.")
    report = load_report(
        str(files[1].parent),
        (node_table, edge_table),
        nodes,
        folded,
        empty_names=empty_names,
        renamed=renamed,
        notes=[*notes, *role_notes],
    )
    name = files[1].name.split(".")[0].removesuffix("_edges").removesuffix("-edges")
    name = files[1].parent.resolve().name if name == "edges" else name
    return KnowledgeGraph(
        name, nodes.select(NODE_COLUMNS), folded.edges, folded.relations, roles, report, synonyms=synonyms
    )


READER = Reader(
    "a folder with two KGX tables, nodes (id, category) and edges (subject, predicate, object)", EDGE_FILE, find, read
)


def _with_treats(choice: RoleChoice, relations: tuple[Relation, ...]) -> RoleChoice:
    """Let biolink:treats be the treatment where a graph has it: beside it, "treat" names what was merely tried."""
    if choice.treats is not None or not any(relation.name == "treats" for relation in relations):
        return choice
    return RoleChoice(choice.drug, choice.disease, choice.gene, ("treats",), choice.contraindicated)


def _type_of(column: str) -> pl.Expr:
    """Give the first category that says something, else the first."""
    categories = pl.col(column).str.replace_all(PREFIX, "", literal=True).str.split("|")
    telling = categories.list.eval(pl.element().filter(~pl.element().is_in(UNSPECIFIC)))
    return pl.coalesce(telling.list.first(), categories.list.first())


def _nodes(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...], int, pl.DataFrame | None]:
    """Give the node table sorted by key, a line for each id with several names, how many have none, and synonyms."""
    frame = frame.with_columns(pl.lit("").alias(name) for name in ("name", "synonym") if name not in frame.columns)
    grouped = frame.group_by("id", maintain_order=True).agg(
        _type_of("category").first().alias("node_type"),
        pl.col("name").filter(pl.col("name") != "").unique(maintain_order=True).alias("names"),
        pl.col("synonym").str.split("|").explode().replace("", None).drop_nulls().unique(maintain_order=True),
    )
    curie = pl.col("id").str.splitn(":", 2).struct
    has_prefix = curie.field("field_1").is_not_null()
    source = pl.when(has_prefix).then(curie.field("field_0")).otherwise(pl.lit("KGX"))
    local = pl.when(has_prefix).then(curie.field("field_1")).otherwise("id")
    key = pl.concat_str("node_type", source, local, separator="|")
    nodes = grouped.select(
        node_key=key,
        node_id="id",
        node_name=pl.coalesce(pl.col("names").list.first(), "id"),
        node_type="node_type",
        node_source=source,
    ).sort("node_key")
    several = grouped.filter(pl.col("names").list.len() > 1)
    renamed = tuple(f"{key}: {', '.join(map(repr, names))}" for key, names in several.select("id", "names").iter_rows())
    # A node without a name is called by its id, and its first synonym is still one.
    called = pl.concat_list(pl.coalesce(pl.col("names").list.first(), "id"), pl.col("names").list.slice(1), "synonym")
    synonyms = other_names(grouped.select(node_key=key, names=called))
    return nodes, renamed, int((grouped["names"].list.len() == 0).sum()), synonyms


def _sound_edges(table: Table, nodes: pl.DataFrame, on_error: OnError) -> tuple[Table, pl.DataFrame]:
    """Give the edge file without malformed rows, and its rows by node number."""
    frame = table.frame
    rows = pl.DataFrame(
        {
            "relation": frame["predicate"].cast(pl.String).str.strip_prefix(PREFIX).cast(pl.Categorical),
            "source": node_rows(frame["subject"], nodes),
            "target": node_rows(frame["object"], nodes),
        }
    )
    bad = rows.select(
        pl.col("source").is_null() | pl.col("target").is_null() | (pl.col("relation").cast(pl.String) == "")
    ).to_series()
    known = set(nodes["node_id"]) if bad.any() else set()

    def what_is_wrong(row: dict[str, Any]) -> str:
        unknown = [
            f"{end} {row[end]!r} is not in the node file" for end in ("subject", "object") if row[end] not in known
        ]
        return unknown[0] if unknown else "the predicate is empty"

    table = drop_bad_rows(table, bad, what_is_wrong, on_error)
    return table, rows.filter(~bad)


def _what_is_wrong_with_node(row: dict[str, Any]) -> str:
    return (
        f"id {row['id']!r} and category {row['category']!r}; expected both, such as MONDO:0005148 and biolink:Disease"
    )
