"""From rows to facts: each fact once, in one orientation, and every repeated row counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rxweave.errors import InputError
from rxweave.kg.tables import FoldedRow, LoadReport, Relation
from rxweave.kg.text import MAX_EXAMPLES, Table, first_examples

MIRRORED = 0.95
"""Share of a within-type relation's facts that must stand in the file both ways to read it as symmetric."""


@dataclass(frozen=True)
class Folded:
    """The facts of a file, in the order of their first rows, and what became of the other rows."""

    edges: pl.DataFrame
    """`source_key, relation, target_key` and, where the rows have one, `display_relation`."""
    relations: tuple[Relation, ...]
    exact_duplicates: int
    swapped_duplicates: int
    self_loops: int
    isolated_nodes: int
    """Nodes without any fact."""
    examples: pl.DataFrame
    """`kind, row`: the first rows that repeat a fact or are self-loops, by kind as in `FoldedRow`."""
    split_facts: int
    """How many more facts there would be if the display relation were part of a fact."""


def fold_rows(
    rows: pl.DataFrame,
    nodes: pl.DataFrame,
    *,
    orientation: Callable[[str, str, str], tuple[str, str]],
    symmetric: Callable[[str, str], bool],
) -> Folded:
    """Fold the rows that state one fact: same relation, same ends, in either order where it has no meaning.

    `rows` has `relation`, `source`, `target` (rows of `nodes`) and perhaps `display_relation`; `nodes` has
    `node_key`, sorted, and `node_type`. A relation between two types runs as `orientation(name, source type,
    target type)` says when asked with the types of its first row: order has no meaning there, since the types
    tell the ends apart. A relation within one type is folded if `symmetric(name, type)`, and then runs from
    the smaller key. Several display relations of one fact are joined by "|".
    """
    relations, oriented = _orient(rows, nodes, orientation, symmetric)
    fact = ["relation_ix", "source", "target"]
    labelled = "display_relation" in rows.columns
    label = pl.col("display_relation").to_physical()
    grouped = (
        oriented.lazy()
        .group_by(fact)
        .agg(
            pl.col("row").min(),
            (pl.col("swap").any() & ~pl.col("swap").all()).alias("both_ways"),
            pl.len().alias("times"),
            *([(label.min() != label.max()).alias("several")] if labelled else []),
        )
        .sort("row")
        .collect(engine="streaming")
    )
    names = pl.Series([relation.name for relation in relations], dtype=pl.String)
    edges = grouped.select(
        source_key=nodes["node_key"].gather(grouped["source"]),
        relation=names.gather(grouped["relation_ix"]),
        target_key=nodes["node_key"].gather(grouped["target"]),
    )
    split_facts = 0
    if labelled:
        shown = rows["display_relation"].gather(grouped["row"]).cast(pl.String)
        joined = (
            oriented.join(grouped.filter("several"), on=fact, how="semi")
            .group_by(fact)
            .agg(pl.col("display_relation").cast(pl.String).unique().sort())
        )
        split_facts = int(joined["display_relation"].list.len().sum()) - joined.height
        joined = joined.with_columns(pl.col("display_relation").list.join("|"))
        several = grouped.select(fact).join(joined, on=fact, how="left", maintain_order="left")
        edges = edges.with_columns(several["display_relation"].fill_null(shown))
    used = np.zeros(nodes.height, bool)
    used[grouped["source"].to_numpy()] = used[grouped["target"].to_numpy()] = True
    swapped = int(grouped["both_ways"].sum())
    return Folded(
        edges=edges,
        relations=relations,
        exact_duplicates=rows.height - grouped.height - swapped,
        swapped_duplicates=swapped,
        self_loops=int((grouped["source"] == grouped["target"]).sum()),
        isolated_nodes=int((~used).sum()),
        examples=_examples(grouped, oriented, fact),
        split_facts=split_facts,
    )


def _examples(grouped: pl.DataFrame, oriented: pl.DataFrame, fact: list[str]) -> pl.DataFrame:
    """Give the first MAX_EXAMPLES rows of each kind of repetition, and of self-loops."""
    exact = grouped.filter(pl.col("times") - pl.col("both_ways").cast(pl.Int64) > 1).head(MAX_EXAMPLES)
    swapped = grouped.filter("both_ways").head(MAX_EXAMPLES)
    loops = grouped.filter(pl.col("source") == pl.col("target")).head(MAX_EXAMPLES)
    of_facts = pl.concat([exact, swapped]).unique(fact)
    rows = oriented.join(of_facts.select(fact), on=fact, how="semi").sort("row")
    rows = rows.with_columns(
        new_fact=pl.struct(fact).is_first_distinct(), new_way=pl.struct(*fact, "swap").is_first_distinct()
    )
    found = {
        "exact duplicate": rows.filter(~pl.col("new_way")),
        "swapped duplicate": rows.filter(pl.col("new_way") & ~pl.col("new_fact")),
        "self-loop": loops,
    }
    return pl.concat(
        [
            table.select(pl.lit(kind).alias("kind"), pl.col("row").cast(pl.Int64)).head(MAX_EXAMPLES)
            for kind, table in found.items()
        ]
    )


def load_report(
    source: str,
    tables: Sequence[Table],
    nodes: pl.DataFrame,
    folded: Folded,
    *,
    empty_names: int,
    renamed: Sequence[str] = (),
    notes: Sequence[str],
) -> LoadReport:
    """Give the report of a loaded graph; the last of the tables is the one whose rows are facts."""
    rows = tables[-1]
    return LoadReport(
        source=source,
        files=tuple(table.file for table in tables),
        rows_read=rows.num_rows,
        facts=folded.edges.height,
        exact_duplicates=folded.exact_duplicates,
        swapped_duplicates=folded.swapped_duplicates,
        rejected_rows=rows.num_rejected,
        self_loops=folded.self_loops,
        nodes=nodes.height,
        isolated_nodes=folded.isolated_nodes,
        empty_names=empty_names,
        renamed_ids=len(renamed),
        renamed_examples=tuple(renamed[:MAX_EXAMPLES]),
        rejected_examples=first_examples([row for table in tables for row in table.rejected]),
        folded_examples=tuple(
            FoldedRow(kind, rows.file.path, int(rows.lines[row]), _written(rows.frame.row(row)))
            for kind, row in folded.examples.iter_rows()
        ),
        notes=tuple(notes),
    )


def _written(row: tuple[object, ...]) -> str:
    return ", ".join(str(value) for value in row)


def node_rows(ids: pl.Series, nodes: pl.DataFrame) -> pl.Series:
    """Give the row of `nodes` that has each id as its `node_id`, null where none has."""
    numbered = nodes.select(pl.col("node_id").cast(ids.dtype).alias(ids.name)).with_row_index("node_ix")
    return ids.to_frame().join(numbered, on=ids.name, how="left", maintain_order="left")["node_ix"]


def other_names(named: pl.DataFrame, column: str = "names") -> pl.DataFrame | None:
    """Give every name of a node but the first as a synonym, of `node_key` and a list of names; None if none has two."""
    first, others = pl.col(column).list.first(), pl.col(column).list.slice(1)
    synonyms = (
        named.select("node_key", first=first, synonym=others)
        .explode("synonym")
        .filter(pl.col("synonym").is_not_null() & (pl.col("synonym") != pl.col("first")))
        .select("node_key", "synonym")
        .unique(maintain_order=True)
    )
    return synonyms if synonyms.height else None


def check_keys(nodes: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Give the nodes back; raise InputError if one key stands for two of them."""
    twice = nodes.filter(nodes["node_key"].is_duplicated())
    if twice.height:
        raise InputError(
            f"{path}: the key {twice['node_key'][0]!r} stands for two nodes, because a type, source or id "
            "holds '|'. Take the '|' out of the file."
        )
    return nodes


def mirrored_share(rows: pl.DataFrame, nodes: pl.DataFrame) -> dict[tuple[str, str], float]:
    """Give, for each (relation, type) with rows within the type, the share of its facts that stand both ways.

    Self-loops say nothing about direction and are left out; a relation of nothing else is not among the keys.
    """
    codes, types = _type_codes(nodes), nodes["node_type"].unique().sort().to_list()
    low, high = pl.min_horizontal("source", "target"), pl.max_horizontal("source", "target")
    of_source, of_target = codes.gather(rows["source"]), codes.gather(rows["target"])
    counts = (
        rows.with_columns(node_type=of_source)
        .filter((of_source == of_target) & (rows["source"] != rows["target"]))
        .select("relation", "node_type", low=low, high=high, forward=pl.col("source") == low)
        .group_by("relation", "node_type", "low", "high")
        .agg((pl.col("forward").any() & ~pl.col("forward").all()).alias("both_ways"))
        .group_by("relation", "node_type")
        .agg(pl.col("both_ways").sum().alias("twice"), (~pl.col("both_ways")).sum().alias("once"))
    )
    return {(name, types[code]): 2 * twice / (2 * twice + once) for name, code, twice, once in counts.iter_rows()}


def _type_codes(nodes: pl.DataFrame) -> pl.Series:
    """Give each node's place among the sorted type names."""
    return nodes["node_type"].rank("dense").cast(pl.UInt32) - 1


def _orient(
    rows: pl.DataFrame,
    nodes: pl.DataFrame,
    orientation: Callable[[str, str, str], tuple[str, str]],
    symmetric: Callable[[str, str], bool],
) -> tuple[tuple[Relation, ...], pl.DataFrame]:
    """Give the relations, sorted by name, and the rows with `relation_ix`, ends in order, and `swap`."""
    codes, types = _type_codes(nodes), nodes["node_type"].unique().sort().to_list()
    typed = rows.with_row_index("row").with_columns(
        source_type=codes.gather(rows["source"]), target_type=codes.gather(rows["target"])
    )
    signature = ["relation", "source_type", "target_type"]
    seen = typed.group_by(signature).agg(pl.col("row").min()).sort("row").select(signature)
    ends = [(name, types[source], types[target]) for name, source, target in seen.iter_rows()]
    declared: dict[tuple[str, frozenset[str]], Relation] = {}
    for name, source, target in ends:
        if (name, frozenset((source, target))) not in declared:
            first, second = (source, target) if source == target else orientation(name, source, target)
            declared[name, frozenset((source, target))] = Relation(
                first, name, second, symmetric=source == target and symmetric(name, source)
            )
    relations = sorted(declared.values(), key=lambda rel: (rel.name, rel.source_type, rel.target_type))
    index = {relation: i for i, relation in enumerate(relations)}
    of = [declared[name, frozenset((source, target))] for name, source, target in ends]
    against = [relation.source_type != source for relation, (_, source, _) in zip(of, ends, strict=True)]
    rules = seen.with_columns(
        pl.Series("relation_ix", [index[relation] for relation in of], dtype=pl.UInt32),
        pl.Series("against", against, dtype=pl.Boolean),
        pl.Series("symmetric", [relation.symmetric for relation in of], dtype=pl.Boolean),
    )
    swap = pl.col("against") | (pl.col("symmetric") & (pl.col("source") > pl.col("target")))
    oriented = (
        typed.join(rules, on=signature, how="left", maintain_order="left")
        .with_columns(swap=swap)
        .select(
            pl.all().exclude(*signature, "against", "symmetric", "source", "target"),
            source=pl.when("swap").then("target").otherwise("source"),
            target=pl.when("swap").then("source").otherwise("target"),
        )
    )
    return tuple(relations), oriented
