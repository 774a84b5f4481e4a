"""What `rxweave download`, `doctor` and `search` print."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.text import Text

from rxweave.graph.check import GraphCheck
from rxweave.kg.catalogue.source import Source
from rxweave.kg.fetch_source import Fetched
from rxweave.kg.names import Node
from rxweave.terminal import table, text

_COLOUR = {"good": "green", "warning": "yellow", "problem": "red"}


class DownloadBar:
    """Draws a line for each file on standard error, and tells notes above them."""

    def __init__(self) -> None:
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(stderr=True),
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> DownloadBar:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def progress(self, name: str, done: int, total: int | None) -> None:
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(name)
        self.bars.update(self.tasks[name], completed=done, total=total)

    def note(self, told: str) -> None:
        self.bars.console.print(text(told), soft_wrap=True)


def print_sources(sources: Sequence[Source]) -> None:
    """Print what can be downloaded; what is not known of a source is said to be unknown."""
    console = Console()
    shown = table("Graphs to download")
    for column in ("name", "nodes", "edges", "bytes to download", "here"):
        shown.add_column(column, justify="left" if column in ("name", "here") else "right", overflow="fold")
    for source in sources:
        counts = ("unknown" if count is None else f"{count:,}" for count in (source.nodes, source.edges))
        shown.add_row(text(source.name), *counts, source.size_told, text(str(source.found() or "–")))
    console.print(shown)
    for source in sources:
        print_source(source)


def print_source(source: Source) -> None:
    """Print what a graph is, what may be done with it and whom to cite."""
    console = Console()
    for line in (
        f"{source.name}: {source.title} ({source.homepage})",
        f"  Licence: {source.licence}.",
        f"  Please cite: {source.citation}",
    ):
        console.print(text(line), soft_wrap=True)


def print_fetched(kg: str, fetched: Sequence[Fetched]) -> None:
    """Print every file that is there now, its checksum, and what that was held against."""
    console = Console()
    for each in fetched:
        state = "was already there" if each.already_there else "downloaded"
        line = f"{each.path}: {state}, SHA-256 {each.sha256}; held against: {each.checked}"
        console.print(text(line), soft_wrap=True)
    console.print(text(f"Load it with --kg {kg}"), soft_wrap=True)


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
