"""Every implementation side by side: what an epoch costs in time, processor time and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rxweave import __version__
from rxweave.benchmark.machine import machine
from rxweave.benchmark.measure import Row, check, check_implementation, measure
from rxweave.benchmark.watched import Limits
from rxweave.benchmark.worker import PYG, Task, Workload
from rxweave.embed.attention import IMPLEMENTATIONS
from rxweave.graph.primekg_shape import node_counts, num_directed_edges, relation_shapes

YARDSTICK = "pyg-patched"
WORKLOADS: tuple[Workload, ...] = ("encoder", "epoch")


@dataclass(frozen=True)
class Ratio:
    """How many times less than `pyg-patched`'s encoder a row needs; an epoch of ours does more than that encoder."""

    seconds: float | None
    cpu_seconds: float | None
    memory: float | None


@dataclass(frozen=True)
class SpeedReport:
    """All rows of a comparison, and what they were measured on."""

    task: Task
    """Sizes, threads and device of all rows; its implementation and workload are those of no row in particular."""
    implementations: tuple[str, ...]
    limits: Limits
    machine: dict[str, object]
    graph: dict[str, object]
    date: str
    rows: tuple[Row, ...] = ()
    complete: bool = False
    """Whether every row asked for is there."""

    def ratio(self, row: Row) -> Ratio:
        """Give a row's ratios; each is None where either figure is missing, or either row was not measured whole."""
        yardsticks = [
            each
            for each in self.rows
            if (each.implementation, each.workload, each.status) == (YARDSTICK, "encoder", "measured")
        ]
        if not yardsticks or row.status != "measured":
            return Ratio(None, None, None)
        theirs = yardsticks[0]
        return Ratio(
            _times(theirs.seconds, row.seconds),
            _times(theirs.cpu_seconds, row.cpu_seconds),
            _times(theirs.device_peak_gb, row.device_peak_gb)
            if theirs.device_peak_gb
            else _times(theirs.peak_gb, row.peak_gb),
        )

    def plain(self) -> dict[str, object]:
        """Give the report as plain values, for JSON."""
        return {
            "benchmark": "speed",
            "rxweave": __version__,
            "date": self.date,
            "complete": self.complete,
            "machine": self.machine,
            "graph": self.graph,
            "sizes": {name: value for name, value in vars(self.task).items() if name not in _OF_A_ROW},
            "limits": vars(self.limits),
            "rows": [{**vars(row), f"times_less_than_{YARDSTICK}": vars(self.ratio(row))} for row in self.rows],
        }


_OF_A_ROW = ("implementation", "workload")


def compare(
    task: Task,
    implementations: Sequence[str],
    limits: Limits,
    *,
    tell: Callable[[str], None],
    keep: Callable[[SpeedReport], None],
) -> SpeedReport:
    """Measure each implementation, one after another; none named means all, PyTorch Geometric's last.

    `tell` gets a sentence for each row, `keep` the report so far after each row. Ctrl-C ends the worker of the moment
    and gives the rows that are finished, `complete` being False. Raises ConfigError for what could never run.
    """
    names = tuple(dict.fromkeys(implementations)) or (*IMPLEMENTATIONS, *PYG)
    for name in names:
        check_implementation(name)
    check(replace(task, implementation=names[0]))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    report = SpeedReport(task, names, limits, machine(task.threads), graph_facts(task), now)
    try:
        for each in _tasks(task, names):
            tell(f"{each.implementation}, {each.workload} …")
            row = measure(each, limits)
            report = replace(report, rows=(*report.rows, row))
            tell(f"{each.implementation}, {each.workload}: {in_words(row)}")
            keep(report)
        report = replace(report, complete=True)
        keep(report)
    except KeyboardInterrupt:
        tell("Ctrl-C: the worker was stopped; finished rows are kept.")
    return report


def graph_facts(task: Task) -> dict[str, object]:
    """Give the sizes of the graph that the workers make."""
    shapes = relation_shapes(task.scale)
    return {
        "name": "PrimeKG-shaped",
        "scale": task.scale,
        "seed": task.seed,
        "nodes": sum(node_counts(task.scale).values()),
        "facts": sum(shape.num_facts for shape in shapes),
        "directed_edges": num_directed_edges(task.scale),
        "directed_relations": sum(1 if shape.relation.symmetric else 2 for shape in shapes),
        "pairs": sum(
            shape.active_sources + (0 if shape.relation.symmetric else shape.active_targets) for shape in shapes
        ),
    }


def in_words(row: Row) -> str:
    """Give a row's outcome in a few words."""
    figures = []
    if row.seconds is not None:
        figures.append(f"{row.seconds:.3g} s an epoch")
    if row.cpu_seconds is not None:
        figures.append(f"{row.cpu_seconds:.3g} processor s")
    if row.peak_gb is not None:
        figures.append(f"{row.peak_gb:.2f} GB")
    return ", ".join(figures) if row.status == "measured" else f"{row.status}: {row.reason}"


def _tasks(task: Task, names: Sequence[str]) -> Iterator[Task]:
    for name in names:
        for workload in WORKLOADS:
            if not (name in PYG and workload == "epoch"):
                yield replace(task, implementation=name, workload=workload)


def _times(theirs: float | None, ours: float | None) -> float | None:
    return theirs / ours if theirs and ours else None
