"""How cost grows: with edges, with the width of the layers, and with threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from rxweave import __version__
from rxweave.benchmark.machine import cores, machine
from rxweave.benchmark.measure import Row, check, measure
from rxweave.benchmark.speed import WORKLOADS, graph_facts, in_words
from rxweave.benchmark.watched import Limits
from rxweave.benchmark.worker import PYG, Task
from rxweave.errors import ConfigError, did_you_mean
from rxweave.graph.primekg_shape import num_directed_edges

Varied = Literal["edges", "width", "threads"]
VARIED: tuple[Varied, ...] = ("edges", "width", "threads")
SCALES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0)
WIDTHS = (64, 128, 256, 512)
_FEWEST_POINTS = 2


@dataclass(frozen=True)
class Point:
    """One measurement of a study: the value of what is varied (directed edges, hidden_dim, threads), and its row."""

    value: int
    scale: float
    row: Row


@dataclass(frozen=True)
class Study:
    """What is varied, and the cost at each value, for both workloads."""

    varied: Varied
    points: tuple[Point, ...]

    def exponent(self, workload: str, figure: str) -> float | None:
        """Give k of cost ∝ value^k by least squares on logarithms; None with fewer than two measured points.

        `figure` is a field of Row: `seconds`, `cpu_seconds` or `peak_gb`. k = 1 is linear growth.
        """
        found = [
            (point.value, cost)
            for point in self.points
            if point.row.workload == workload
            and point.row.status == "measured"
            and (cost := getattr(point.row, figure)) is not None
        ]
        if len({value for value, _ in found}) < _FEWEST_POINTS:
            return None
        value, cost = np.log(np.array(found)).T
        return float(np.polyfit(value, cost, 1)[0])


@dataclass(frozen=True)
class ScalingReport:
    """All studies of one implementation, and what they were measured on."""

    task: Task
    """What is held fixed; each study varies one of its sizes."""
    limits: Limits
    machine: dict[str, object]
    date: str
    studies: tuple[Study, ...] = ()
    complete: bool = False

    def plain(self) -> dict[str, object]:
        """Give the report as plain values, for JSON."""
        figures = ("seconds", "cpu_seconds", "peak_gb")
        return {
            "benchmark": "scaling",
            "rxweave": __version__,
            "date": self.date,
            "complete": self.complete,
            "machine": self.machine,
            "graph": graph_facts(self.task),
            "sizes": {name: value for name, value in vars(self.task).items() if name != "workload"},
            "limits": vars(self.limits),
            "studies": [
                {
                    "varied": study.varied,
                    "points": [
                        {"value": point.value, "scale": point.scale, **vars(point.row)} for point in study.points
                    ],
                    "exponents": {
                        workload: {figure: study.exponent(workload, figure) for figure in figures}
                        for workload in WORKLOADS
                    },
                }
                for study in self.studies
            ],
        }


def study_scaling(
    task: Task,
    limits: Limits,
    *,
    varied: Sequence[Varied] = VARIED,
    scales: Sequence[float] = SCALES,
    widths: Sequence[int] = WIDTHS,
    tell: Callable[[str], None],
    keep: Callable[[ScalingReport], None],
) -> ScalingReport:
    """Measure one implementation while one of edges, width and threads varies and the rest of `task` is held fixed.

    Threads go 1, 2, 4, … up to the cores of the machine. `tell`, `keep`, Ctrl-C and errors as in `compare`.
    """
    plans = {kind: _plan(kind, task, scales, widths) for kind in varied}
    for plan in plans.values():
        for each in plan:
            check(each)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    report = ScalingReport(task, limits, machine(task.threads), now)
    try:
        for kind, plan in plans.items():
            study = Study(kind, ())
            for each in (replace(each, workload=workload) for each in plan for workload in WORKLOADS):
                if each.implementation in PYG and each.workload == "epoch":
                    continue
                label = f"{kind} {_value(kind, each):,}, {each.workload}"
                tell(f"{label} …")
                row = measure(each, limits)
                tell(f"{label}: {in_words(row)}")
                study = replace(study, points=(*study.points, Point(_value(kind, each), each.scale, row)))
                others = tuple(other for other in report.studies if other.varied != kind)
                report = replace(report, studies=(*others, study))
                keep(report)
        report = replace(report, complete=True)
        keep(report)
    except KeyboardInterrupt:
        tell("Ctrl-C: the worker was stopped; finished rows are kept.")
    return report


def varied_from(text: str) -> tuple[Varied, ...]:
    """Give what is to be varied from a comma-separated text; raises ConfigError for anything else."""
    asked = [part.strip() for part in text.split(",") if part.strip()]
    for part in asked:
        if part not in VARIED:
            raise ConfigError(f"vary is {part!r}; expected any of {', '.join(VARIED)}.{did_you_mean(part, VARIED)}")
    if not asked:
        raise ConfigError(f"vary is empty; expected any of {', '.join(VARIED)}.")
    return tuple(kind for kind in VARIED if kind in asked)


def _plan(varied: Varied, task: Task, scales: Sequence[float], widths: Sequence[int]) -> list[Task]:
    if varied == "edges":
        return [replace(task, scale=scale) for scale in scales]
    if varied == "width":
        return [replace(task, hidden_dim=width) for width in widths]
    counts = [2**power for power in range(cores().bit_length()) if 2**power < cores()]
    return [replace(task, threads=count) for count in (*counts, cores())]


def _value(varied: Varied, task: Task) -> int:
    if varied == "edges":
        return num_directed_edges(task.scale)
    return task.hidden_dim if varied == "width" else task.threads
