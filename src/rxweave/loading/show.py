"""What `rxweave doctor` and `search` print."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from rich.console import Console
from rich.text import Text

from rxweave.graph.check import GraphCheck
from rxweave.kg.names import Node
from rxweave.terminal import table, text

_COLOUR = {"good": "green", "warning": "yellow", "problem": "red"}


def print_check(check: GraphCheck) -> None:
    """Print the counts of a graph, then every finding, the gravest first."""
    console = Console()
    _print_counts(console, f"{check.name}: nodes", check.types)
    _print_counts(console, f"{check.name}: facts", check.relations)
    for finding in check.findings:
        first = Text.assemble((finding.level, _COLOUR[finding.level]), text(f": {finding.subject}: {finding.found}"))
        console.print(first, soft_wrap=True)
        for line in filter(None, (finding.means, finding.change)):
            console.print(text(f"  {line}"), soft_wrap=True)
    console.print(Text.assemble("Graph: ", (check.level, f"bold {_COLOUR[check.level]}")))


def _print_counts(console: Console, title: str, counts: pl.DataFrame) -> None:
    if not counts["published"].count():
        counts = counts.drop("published")
    shown = table(title)
    for number, column in enumerate(counts.columns):
        shown.add_column(column.replace("_", "\n"), justify="right" if number else "left", overflow="fold")
    for name, *values in counts.iter_rows():
        shown.add_row(text(name), *("–" if value is None else f"{value:,.0f}" for value in values))
    console.print(shown)


def print_found(graph: str, asked: str, found: pl.DataFrame, near: Sequence[Node]) -> None:
    """Print the nodes that a text may mean, or, if there are none, those with names like it."""
    console = Console()
    if not found.height:
        console.print(text(f"Nothing in {graph} is named {asked!r}, or has that in its name."), soft_wrap=True)
        for node in near:
            console.print(text(f"  Close to it: {node} {node.node_key}"), soft_wrap=True)
        return
    shown = table(f"{graph}: {asked}")
    for column in ("name", "type", "match", "key"):
        shown.add_column(column, overflow="fold")
    for row in found.iter_rows(named=True):
        match = row["match"] if row["matched"] == row["node_name"] else f"{row['match']}: {row['matched']}"
        shown.add_row(*(text(row[f"node_{name}"]) for name in ("name", "type")), text(match), text(row["node_key"]))
    console.print(shown)
