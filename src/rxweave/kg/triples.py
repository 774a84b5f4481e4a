"""Triples: any file of three columns, head, relation, tail, whose ends are written `Type::id`, as DRKG's.

- A header is known by its ends: they have no "::" while those of the next line have.
- A relation between two types that stands both ways is one relation, in the direction seen first.
- A relation within one type is symmetric if at least 95 % of its facts stand both ways: the file then was
  written with swapped copies, as PrimeKG is. Otherwise it is directed, and each way is a fact of its own.
- Names of DRKG's relations are known (`drkg.py`): its curated treatments, and which of them have no direction.
- There are no names: the id stands in for each. The key is `Type|triples|id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from rxweave.kg import drkg
from rxweave.kg.files import matching_files, pick
from rxweave.kg.fold import MIRRORED, check_keys, fold_rows, load_report, mirrored_share, node_rows
from rxweave.kg.tables import NODE_COLUMNS, KnowledgeGraph, Relation, Roles
from rxweave.kg.text import OnError, Table, drop_bad_rows, first_records, read_table
from rxweave.kg.types import Reader, RoleChoice

SOURCE = "triples"
COLUMNS = ("head", "relation", "tail")

DRUG_WORDS = ("drug", "compound", "chemical", "molecule", "medication")
DISEASE_WORDS = ("disease", "disorder")
GENE_WORDS = ("gene", "protein")
"""Words in a node type's name that give its role away, the surest first."""


def find(path: Path) -> tuple[Path, ...] | None:
    """Give the file of triples at a path, known by its typed ends, or None."""
    if path.is_file():
        return (path,) if _is_triples(path) else None
    found = pick(matching_files(path, _is_triples), "file of triples", prefer=path.name)
    return (found,) if found else None


def read(files: tuple[Path, ...], on_error: OnError, choice: RoleChoice) -> KnowledgeGraph:
    """Read triples; an end without type and id makes a row malformed. Roles are guessed from names."""
    (path,) = files
    header = _has_header(path)
    columns = tuple(first_records(path, 1)[0]) if header else COLUMNS
    table = read_table(path, columns, header=header, categorical=True, on_error=on_error)
    notes = ["The file has no names: every node is named by its id."]
    if header:
        table = replace(table, frame=table.frame.rename(dict(zip(columns, COLUMNS, strict=True))))
        notes.append(f"The first line was read as a header: {', '.join(columns)}.")
    return graph_of(path, table, notes, on_error, choice)


def graph_of(path: Path, table: Table, notes: Sequence[str], on_error: OnError, choice: RoleChoice) -> KnowledgeGraph:
    """Give the graph of a table of head, relation and tail, read from a path; see `read`."""
    ends = _ends(table.frame).filter((pl.col("node_type") == "") | (pl.col("node_name").fill_null("") == ""))
    untyped = ends["node_id"].cast(pl.Categorical).implode()
    bad = table.frame.select(
        (pl.col("relation") == "") | pl.col("head").is_in(untyped) | pl.col("tail").is_in(untyped)
    ).to_series()
    table = drop_bad_rows(table, bad, _what_is_wrong, on_error)

    nodes = check_keys(_nodes(table.frame), path)
    rows = table.frame.select(
        "relation", source=node_rows(table.frame["head"], nodes), target=node_rows(table.frame["tail"], nodes)
    )
    shares = mirrored_share(rows, nodes)
    folded = fold_rows(
        rows,
        nodes,
        orientation=lambda name, source, target: (source, target),
        symmetric=lambda name, node_type: name in drkg.SYMMETRIC or shares.get((name, node_type), 0.0) >= MIRRORED,
    )
    choice, left_out = drkg.with_treatments(choice, {relation.name for relation in folded.relations})
    roles, role_notes = guess_roles(dict(nodes["node_type"].value_counts().iter_rows()), folded.relations, choice)
    report = load_report(
        str(path),
        (table,),
        nodes,
        folded,
        empty_names=nodes.height,
        notes=[*notes, *_direction_notes(folded.relations), *role_notes, *left_out],
    )
    name = path.name.split(".")[0]
    return KnowledgeGraph(name, nodes.select(NODE_COLUMNS), folded.edges, folded.relations, roles, report)


READER = Reader(
    "a file of three columns, head, relation, tail, with ends like Compound::DB00014 (DRKG's)", (), find, read
)


def guess_roles(
    type_sizes: Mapping[str, int], relations: Sequence[Relation], choice: RoleChoice
) -> tuple[Roles, list[str]]:
    """Give the roles that names of types and relations suggest, the user's choices in their place, and notes.

    A treatment is a relation between drug and disease with "treat" or "indication" in its name (in any case)
    but not "contraindicat", which is the other role. What cannot be guessed is left out; the notes say so.
    """
    drug = choice.drug or _type_named(DRUG_WORDS, type_sizes)
    disease = choice.disease or _type_named(DISEASE_WORDS, type_sizes)
    gene = choice.gene or _type_named(GENE_WORDS, type_sizes)
    between = sorted({rel.name for rel in relations if {rel.source_type, rel.target_type} == {drug, disease}})
    contraindicated = tuple(name for name in between if "contraindicat" in name.lower())
    treats = tuple(
        name
        for name in between
        if ("treat" in name.lower() or "indication" in name.lower()) and name not in contraindicated
    )
    roles = choice.over(Roles(drug or "drug", disease or "disease", gene, treats, contraindicated))
    notes = [
        f"No node type looks like a {role}: name one with {role}_type ({', '.join(sorted(type_sizes))})."
        for role, found in (("drug", drug), ("disease", disease))
        if found is None
    ]
    others = [name for name in between if name not in {*roles.treats, *roles.contraindicated}]
    if not roles.treats:
        notes.append(
            "No relation looks like a treatment, so nothing can be ranked: name one with treats "
            f"(between drug and disease there are: {', '.join(between) or 'none'})."
        )
    notes.append(
        f"Roles, by name or as asked for: drug {roles.drug}, disease {roles.disease}, gene {roles.gene}; "
        f"treats {', '.join(roles.treats) or 'none'}; "
        f"contraindicated {', '.join(roles.contraindicated) or 'none'}; "
        f"other relations between drug and disease: {', '.join(others) or 'none'}."
    )
    return roles, notes


def _type_named(words: tuple[str, ...], type_sizes: Mapping[str, int]) -> str | None:
    """Give the type that is one of the words, else the largest that contains one, trying words in order."""
    by_size = sorted(type_sizes, key=lambda name: (-type_sizes[name], name))
    for fits in (str.__eq__, str.__contains__):
        for word in words:
            for name in by_size:
                if fits(name.lower(), word):
                    return name
    return None


def _is_triples(path: Path) -> bool:
    first, *second = first_records(path)
    records = [first, *(record for record in second if len(record) == len(COLUMNS))]
    return len(first) == len(COLUMNS) and any("::" in end for head, _, tail in records for end in (head, tail))


def _has_header(path: Path) -> bool:
    match first_records(path):
        case [[head, _, tail], second]:
            return "::" not in head and "::" not in tail and _is_typed(second)
    return False


def _is_typed(record: Sequence[str]) -> bool:
    return len(record) == len(COLUMNS) and "::" in record[0] and "::" in record[2]


def _ends(frame: pl.DataFrame) -> pl.DataFrame:
    """Give every end once, and what stands before and after its first "::"."""
    parts = pl.col("node_id").str.splitn("::", 2).struct
    ends = pl.concat([frame["head"].cast(pl.String).unique(), frame["tail"].cast(pl.String).unique()]).unique()
    return pl.DataFrame({"node_id": ends}).with_columns(
        node_type=parts.field("field_0"), node_name=parts.field("field_1")
    )


def _nodes(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the node table, sorted by key."""
    nodes = _ends(frame).with_columns(node_source=pl.lit(SOURCE))
    key = pl.concat_str("node_type", "node_source", "node_name", separator="|")
    return nodes.with_columns(node_key=key).sort("node_key")


def _what_is_wrong(row: dict[str, Any]) -> str:
    for end in ("head", "tail"):
        node_type, separator, identifier = row[end].partition("::")
        if not (node_type and separator and identifier):
            return f"{end} {row[end]!r} has no type and id; expected Type::id, such as Compound::DB00014"
    return "the relation is empty"


def _direction_notes(relations: Sequence[Relation]) -> list[str]:
    within = [rel for rel in relations if rel.source_type == rel.target_type]
    mirrored = [str(rel) for rel in within if rel.symmetric]
    directed = [str(rel) for rel in within if not rel.symmetric]
    notes = []
    if mirrored:
        notes.append(
            f"Read as symmetric, since {MIRRORED:.0%} or more of their facts stand both ways or their name says so: "
            f"{', '.join(mirrored)}."
        )
    if directed:
        notes.append(f"Within one type, but read as directed, since they stand one way: {', '.join(directed)}.")
    return notes
