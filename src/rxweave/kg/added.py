"""New nodes by a table of their facts: read, checked against the graph that is there, and joined to it.

The table has the columns `source, relation, target` and, for the new node of a row, `node_id, node_type` and perhaps
`node_name` and `node_source`; what is said of a node in one of its rows may be left empty in the others. An end is a
new node by its id, name or key, or a node of the graph by name, synonym, id or key. Facts join a new node to the graph,
or two new ones; node types and relations are those of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import polars as pl

from rxweave.errors import InputError, did_you_mean
from rxweave.kg.names import Node, node_finder
from rxweave.kg.parquet import column_names, is_parquet, read_columns
from rxweave.kg.tables import EDGE_COLUMNS, NODE_COLUMNS, InputFile, KnowledgeGraph, Relation
from rxweave.kg.text import Table, read_table

NEEDED = ("source", "relation", "target", "node_id", "node_type")
OPTIONAL = ("node_name", "node_source")
SOURCE = "added"
"""Source of the ids of new nodes, unless the table names one."""


@dataclass(frozen=True, eq=False)
class Addition:
    """A graph with new nodes in it."""

    kg: KnowledgeGraph
    """The graph that was there, and the new nodes with their facts."""
    nodes: pl.DataFrame
    """The new nodes alone: NODE_COLUMNS, in the order of the table."""
    num_facts: int
    """Facts that came with them, each once."""
    file: InputFile
    notes: tuple[str, ...]


def read_addition(path: Path, kg: KnowledgeGraph) -> Addition:
    """Read a table of new nodes (text with tabs or commas, packed or plain, or Parquet) and join it to a graph.

    Raises InputError, with file and line, for a row that is not whole; an end that means no node (with the closest) or
    several (with all); a relation or node type that the graph lacks, or that does not fit the ends; a new node that is
    there already, under its key, id or name; a fact between two nodes of the graph, or of a node with itself; and a new
    node without a fact that joins it to the graph.
    """
    table = _table(path)
    new = _new_nodes(table, kg)
    resolve = _Resolver(kg, new)
    facts: dict[tuple[str, str, str], str] = {}
    for where, row in _rows(table):
        fact = resolve(where, row)
        facts.setdefault(fact, where)
    _check_joined(new, facts)
    nodes = pl.DataFrame([asdict(node) for node, _ in new.values()], schema=dict.fromkeys(NODE_COLUMNS, pl.String))
    edges = pl.DataFrame(list(facts), schema=dict.fromkeys(EDGE_COLUMNS, pl.String), orient="row")
    repeated = table.frame.height - len(facts)
    extended = replace(
        kg,
        nodes=pl.concat([kg.nodes, nodes], how="diagonal"),
        edges=pl.concat([kg.edges, edges], how="diagonal"),
        truth=None,
    )
    notes = (f"{repeated} rows of {path.name} repeat a fact of an earlier one.",) if repeated else ()
    return Addition(extended, nodes, len(facts), table.file, notes)


_New = dict[str, tuple[Node, str]]
"""The new nodes by id, each with where it is first described."""


def _table(path: Path) -> Table:
    if not is_parquet(path):
        return read_table(path, NEEDED, optional=OPTIONAL, on_error="refuse")
    there = column_names(path)
    return read_columns(path, [*NEEDED, *(name for name in OPTIONAL if name in there)])


def _rows(table: Table) -> Iterator[tuple[str, dict[str, str]]]:
    """Give each row, its values stripped, and where it stands, for messages."""
    for line, row in zip(table.lines, table.frame.iter_rows(named=True), strict=True):
        yield f"{table.file.path}, line {line}", {name: value.strip() for name, value in row.items()}


def _new_nodes(table: Table, kg: KnowledgeGraph) -> _New:
    types = kg.nodes["node_type"].unique().sort().to_list()
    told: dict[str, dict[str, tuple[str, str]]] = {}
    for where, row in _rows(table):
        about = {name: row.get(name, "") for name in ("node_type", *OPTIONAL)}
        if not row["node_id"]:
            if any(about.values()):
                raise InputError(f"{where}: node_id is empty, but the row describes a new node. Give its id.")
            continue
        if row["node_id"] not in (row["source"], row["target"]) and about["node_name"] not in (
            row["source"],
            row["target"],
        ):
            raise InputError(
                f"{where}: describes the new node {row['node_id']!r}, which is neither its source {row['source']!r} "
                f"nor its target {row['target']!r}. Write the new node's id at one end."
            )
        known = told.setdefault(row["node_id"], {"first": ("", where)})
        for name, value in about.items():
            if value and value != known.setdefault(name, (value, where))[0]:
                raise InputError(
                    f"{where}: {name} of {row['node_id']!r} is {value!r}, but {known[name][0]!r} in {known[name][1]}. "
                    "An id names one new node: say the same of it in every row, or give another id."
                )
    if not told:
        raise InputError(f"{table.file.path} describes no new node: node_id is empty in every row.")
    new: _New = {}
    for node_id, known in told.items():
        where = known["first"][1]
        node_type = known.get("node_type", ("", ""))[0]
        if node_type not in types:
            raise InputError(
                f"{where}: node_type of {node_id!r} is {node_type!r}; expected one of {kg.name}'s: {', '.join(types)}."
                f"{did_you_mean(node_type, types)}"
            )
        source = known.get("node_source", (SOURCE, ""))[0]
        name = known.get("node_name", (node_id, ""))[0]
        new[node_id] = Node(f"{node_type}|{source}|{node_id}", node_id, name, node_type, source), where
    _check_new(new, kg)
    return new


def _check_new(new: _New, kg: KnowledgeGraph) -> None:
    """Refuse what is in the graph already: two nodes of one name would be one drug or disease to every later step."""
    seen: dict[tuple[str, str], str] = {}
    for node, where in new.values():
        labels = {node.node_name.strip().lower(), node.node_id.strip().lower()}
        same_type = kg.nodes.filter(node_type=node.node_type)
        low = [pl.col(name).str.strip_chars().str.to_lowercase() for name in ("node_name", "node_id")]
        lettered = [label for label in labels if any(char.isalpha() for char in label)]
        same = same_type.filter((pl.col("node_key") == node.node_key) | low[0].is_in(lettered) | low[1].is_in(lettered))
        if same.height:
            there = Node(**same.select(NODE_COLUMNS).row(0, named=True))
            raise InputError(
                f"{where}: {node} is in {kg.name} already, as {there}. Ask for it by `rxweave rank`, or give the new "
                "node another name and id."
            )
        for label in labels:
            if seen.setdefault((node.node_type, label), node.node_id) != node.node_id:
                raise InputError(
                    f"{where}: new nodes {seen[node.node_type, label]!r} and {node.node_id!r} are both called "
                    f"{label!r}. Give each new node a name and id of its own."
                )


class _Resolver:
    """Turns a row into a fact: its ends into keys, in the relation's direction."""

    def __init__(self, kg: KnowledgeGraph, new: _New) -> None:
        self.kg = kg
        self.keys = {node.node_key for node, _ in new.values()}
        self.new: dict[tuple[str, str], str] = {}
        for node, _ in new.values():
            for text in (node.node_id, node.node_name, node.node_key, f"{node.node_source}:{node.node_id}"):
                self.new[node.node_type, text] = node.node_key
        self.finders: dict[str, Callable[[str], Node]] = {}

    def __call__(self, where: str, row: dict[str, str]) -> tuple[str, str, str]:
        for column in ("source", "relation", "target"):
            if not row[column]:
                raise InputError(f"{where}: {column} is empty. Give the two ends of each fact and its relation.")
        named = [relation for relation in self.kg.relations if relation.name == row["relation"]]
        if not named:
            names = sorted({relation.name for relation in self.kg.relations})
            raise InputError(
                f"{where}: {self.kg.name} has no relation {row['relation']!r}; new nodes are joined by those it has: "
                f"{', '.join(names)}.{did_you_mean(row['relation'], names)}"
            )
        found: dict[tuple[str, str, str], Relation] = {}
        wrong: list[str] = []
        for relation in named:
            two_types = relation.source_type != relation.target_type
            for ends in (("source", "target"), ("target", "source"))[: 1 + two_types]:
                try:
                    source, target = (
                        self._key(row[end], node_type)
                        for end, node_type in zip(ends, (relation.source_type, relation.target_type), strict=True)
                    )
                except InputError as error:
                    wrong += [str(error)] if self._is_new(row, ends, relation) else []
                    continue
                if relation.symmetric and target < source:
                    source, target = target, source
                found[source, relation.name, target] = relation
        return self._one_of(found, wrong, named, where, row)

    def _one_of(
        self,
        found: dict[tuple[str, str, str], Relation],
        wrong: list[str],
        named: list[Relation],
        where: str,
        row: dict[str, str],
    ) -> tuple[str, str, str]:
        with_new = [fact for fact in found if {fact[0], fact[2]} & self.keys]
        if len(with_new) > 1:
            raise InputError(
                f"{where}: {row['source']!r} {row['relation']} {row['target']!r} may mean "
                f"{' or '.join(' '.join(fact) for fact in with_new)}. Write both ends by their keys."
            )
        if with_new:
            source, _, target = with_new[0]
            if source == target:
                raise InputError(f"{where}: joins {row['source']!r} with itself. Name another node at one end.")
            return with_new[0]
        if found:
            raise InputError(
                f"{where}: {row['source']!r} and {row['target']!r} are both in {self.kg.name}; only facts of new nodes "
                "can be added, since nodes that are there keep their embeddings. Train anew to learn other facts."
            )
        if wrong:
            raise InputError(f"{where}: {wrong[0]}")
        new = {text: node_type for node_type, text in self.new}
        ends = [f"{row[end]!r} ({new[row[end]]})" for end in ("source", "target") if row[end] in new]
        if not ends:
            raise InputError(
                f"{where}: neither {row['source']!r} nor {row['target']!r} is one of the new nodes; describe it "
                "(node_id, node_type), or leave the row out."
            )
        raise InputError(
            f"{where}: relation {row['relation']!r} does not join {' and '.join(ends)}; it is "
            f"{', '.join(map(str, named))}."
        )

    def _key(self, text: str, node_type: str) -> str:
        if (node_type, text) in self.new:
            return self.new[node_type, text]
        if node_type not in self.finders:
            self.finders[node_type] = node_finder(self.kg, node_type=node_type)
        return self.finders[node_type](text).node_key

    def _is_new(self, row: dict[str, str], ends: tuple[str, str], relation: Relation) -> bool:
        return (relation.source_type, row[ends[0]]) in self.new or (relation.target_type, row[ends[1]]) in self.new


def _check_joined(new: _New, facts: dict[tuple[str, str, str], str]) -> None:
    keys = {node.node_key for node, _ in new.values()}
    joined = {end for source, _, target in facts for end in (source, target) if not {source, target} <= keys}
    for node, where in new.values():
        if node.node_key not in joined:
            raise InputError(
                f"{where}: no fact joins the new node {node.node_id!r} to a node of the graph; its place is found "
                "through these. Add one."
            )
