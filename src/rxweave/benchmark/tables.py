"""The tables of a benchmark: in the terminal, and as Markdown for benchmarks/README.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rxweave.artifacts import write_json, write_text
from rxweave.benchmark.measure import Row
from rxweave.benchmark.scaling import ScalingReport, Study
from rxweave.benchmark.speed import WORKLOADS, YARDSTICK, SpeedReport
from rxweave.benchmark.worker import Task

_WHAT = {
    "encoder": "encoder: forward, backward of a fixed output gradient, AdamW; no loss",
    "epoch": "epoch: a training epoch whole, with hidden facts, losses and optimiser",
}
_VALUE = {"edges": "directed edges", "width": "hidden_dim", "threads": "threads"}
_NONE = "–"
_BUSY = 0.05
"""Share of the processors taken by others above which a table says so."""


@dataclass(frozen=True)
class Sheet:
    """A table as text, with sentences below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def speed_sheets(report: SpeedReport) -> list[Sheet]:
    """Give a table for each workload that has rows."""
    on_device = any(row.device_peak_gb is not None for row in report.rows)
    columns = ["", "s", "CPU s", "first extra s", "index s", "peak GB", "growth GB"]
    columns += ["device GB"] if on_device else []
    columns += ["M edges/s", "× less time" if on_device else "× less CPU", "× less memory"]
    sheets = []
    for workload in WORKLOADS:
        rows = [row for row in report.rows if row.workload == workload]
        if not rows:
            continue
        lines = []
        for row in rows:
            ratio = report.ratio(row)
            line = [
                row.implementation, _number(row.seconds), _number(row.cpu_seconds), _number(row.first_extra_seconds),
                _number(row.set_up_seconds if workload == "epoch" else row.index_seconds),
                _number(row.peak_gb), _number(row.growth_gb),
            ]  # fmt: skip
            line += [_number(row.device_peak_gb)] if on_device else []
            line += [
                _number(None if row.edges_per_second is None else row.edges_per_second / 1e6),
                _number(ratio.seconds if on_device else ratio.cpu_seconds),
                _number(ratio.memory),
            ]
            lines.append(tuple(line))
        headings = [("set-up s" if workload == "epoch" and name == "index s" else name) for name in columns]
        sheets.append(Sheet(_WHAT[workload], tuple(headings), tuple(lines), (*_reasons(rows), *_explained(report))))
    return sheets


def scaling_sheets(report: ScalingReport) -> list[Sheet]:
    """Give a table for each study and workload, with the fitted exponents below it."""
    sheets = []
    for study in report.studies:
        for workload in WORKLOADS:
            points = [point for point in study.points if point.row.workload == workload]
            if not points:
                continue
            lines = tuple(
                (
                    f"{point.value:,}", _number(point.row.seconds), _number(point.row.cpu_seconds),
                    _number(point.row.peak_gb),
                    _number(None if point.row.edges_per_second is None else point.row.edges_per_second / 1e6),
                )
                for point in points
            )  # fmt: skip
            columns = (_VALUE[study.varied], "s", "CPU s", "peak GB", "M edges/s")
            notes = (_growth(study, workload), *_reasons([point.row for point in points]))
            sheets.append(Sheet(f"{report.task.implementation}, {_WHAT[workload]}", columns, lines, notes))
    return sheets


def print_sheets(sheets: Sequence[Sheet]) -> None:
    """Print tables on standard output."""
    console = Console()
    for sheet in sheets:
        table = Table(title=Text(sheet.title, "table.title"), box=box.SIMPLE, pad_edge=False, collapse_padding=True)
        for i, column in enumerate(sheet.columns):
            # A word of the heading per line, so that eleven columns of figures fit into 80.
            table.add_column(column.replace(" ", "\n"), justify="right" if i else "left", no_wrap=True)
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)
        for note in sheet.notes:
            console.print(Text(note), soft_wrap=True)


def write_report(report: SpeedReport | ScalingReport, folder: Path) -> tuple[Path, Path]:
    """Write `speed.json` and `speed.md` (or `scaling.…`), each whole or not at all; gives both paths."""
    name = "speed" if isinstance(report, SpeedReport) else "scaling"
    paths = folder / f"{name}.json", folder / f"{name}.md"
    write_json(paths[0], report.plain())
    write_text(paths[1], markdown(report))
    return paths


def markdown(report: SpeedReport | ScalingReport) -> str:
    """Give a report as Markdown: the command, the machine and the date, then its tables."""
    if isinstance(report, SpeedReport):
        sheets = speed_sheets(report)
        command = command_line("speed", report.task, f"--implementations {','.join(report.implementations)}")
    else:
        sheets = scaling_sheets(report)
        command = command_line("scaling", report.task, f"--implementation {report.task.implementation}")
    facts = report.machine
    versions = facts["versions"]
    assert isinstance(versions, dict)
    packages = ", ".join(f"{package} {version}" for package, version in versions.items())
    parts = [
        f"`{command}`: PrimeKG-shaped graph. {facts['processor']}, {facts['cores']} cores, "
        f"{facts['threads']} threads used, {facts['memory_gb']} GB, {facts['system']}; {packages}; {report.date}."
    ]
    if not report.complete:
        parts.append("Not complete: it was stopped.")
    for sheet in sheets:
        parts.extend(sheet_markdown(sheet))
    return "\n\n".join(parts) + "\n"


def sheet_markdown(sheet: Sheet) -> list[str]:
    """Give a table and the sentences below it as Markdown paragraphs."""
    head = [f"| {' | '.join(sheet.columns)} |", "|---|" + "---:|" * (len(sheet.columns) - 1)]
    table = "\n".join([f"**{sheet.title}**", "", *head, *(f"| {' | '.join(row)} |" for row in sheet.rows)])
    return [table, *sheet.notes]


def command_line(name: str, task: Task, chosen: str) -> str:
    """Give the command that measures this; sizes left at their defaults are not named."""
    default = Task()
    words = [f"rxweave benchmark {name} --scale {task.scale:g} --epochs {task.epochs} --threads {task.threads}", chosen]
    words += [
        f"--{option.replace('_', '-')} {getattr(task, option)}"
        for option in (
            "heads",
            "hidden_dim",
            "embedding_dim",
            "layers",
            "features",
            "precision",
            "node_order",
            "device",
            "seed",
        )
        if getattr(task, option) != getattr(default, option)
    ]
    return " ".join(words)


def _growth(study: Study, workload: str) -> str:
    fitted = {figure: study.exponent(workload, figure) for figure in ("seconds", "cpu_seconds", "peak_gb")}
    names = {"seconds": "wall time", "cpu_seconds": "processor time", "peak_gb": "peak memory"}
    known = [f"{names[figure]} with exponent {k:.2f}" for figure, k in fitted.items() if k is not None]
    if not known:
        return "Too few points for an exponent."
    return f"Growth with {_VALUE[study.varied]}: {', '.join(known)} (1 is linear)."


def _reasons(rows: Sequence[Row]) -> tuple[str, ...]:
    notes = []
    for row in rows:
        done = f"{len(row.epochs)} epoch{'s' if len(row.epochs) > 1 else ''} finished"
        if row.status != "measured":
            notes.append(f"{row.implementation}: {row.status}, {row.reason}{f' ({done})' if row.epochs else ''}.")
        elif len(row.epochs) == 1:
            notes.append(f"{row.implementation}: {done}, so its figures are those of the first.")
        if row.share_of_others is not None and row.share_of_others > _BUSY:
            notes.append(
                f"{row.implementation}: other processes took {row.share_of_others:.0%} of the processors meanwhile; on "
                "a quiet machine it would have needed fewer seconds, and fewer processor seconds."
            )
    return tuple(notes)


def _explained(report: SpeedReport) -> tuple[str, ...]:
    if not any((row.implementation, row.status) == (YARDSTICK, "measured") for row in report.rows):
        return ()
    return (
        f"Ratios are against the encoder of {YARDSTICK}: HGTConv with its relation transform as one product per edge "
        "type. pyg-kept is that with freed memory kept between steps, as ours is; pyg is HGTConv as shipped. All three "
        "are in float32.",
    )


def _number(value: float | None) -> str:
    if value is None:
        return _NONE
    size = abs(value)
    return (
        f"{value:,.0f}"
        if size >= 100
        else f"{value:.1f}"
        if size >= 10
        else f"{value:.2f}"
        if size >= 1
        else f"{value:.3f}"
    )
