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
from rxweave.benchmark.presets import PresetRow, PresetsReport
from rxweave.benchmark.scaling import ScalingReport, Study
from rxweave.benchmark.speed import WORKLOADS, YARDSTICK, SpeedReport
from rxweave.benchmark.worker import Task

_WHAT = {
    "encoder": "encoder: forward, backward of a fixed output gradient, AdamW; no loss",
    "epoch": "epoch: a training epoch whole, with hidden facts, losses and optimiser",
}
_VALUE = {"edges": "directed edges", "width": "hidden_dim", "threads": "threads"}
NONE = "–"
BUSY = 0.05
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
                row.implementation, number(row.seconds), number(row.cpu_seconds), number(row.first_extra_seconds),
                number(row.set_up_seconds if workload == "epoch" else row.index_seconds),
                number(row.peak_gb), number(row.growth_gb),
            ]  # fmt: skip
            line += [number(row.device_peak_gb)] if on_device else []
            line += [
                number(None if row.edges_per_second is None else row.edges_per_second / 1e6),
                number(ratio.seconds if on_device else ratio.cpu_seconds),
                number(ratio.memory),
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
                    f"{point.value:,}", number(point.row.seconds), number(point.row.cpu_seconds),
                    number(point.row.peak_gb),
                    number(None if point.row.edges_per_second is None else point.row.edges_per_second / 1e6),
                )
                for point in points
            )  # fmt: skip
            columns = (_VALUE[study.varied], "s", "CPU s", "peak GB", "M edges/s")
            notes = (_growth(study, workload), *_reasons([point.row for point in points]))
            sheets.append(Sheet(f"{report.task.implementation}, {_WHAT[workload]}", columns, lines, notes))
    return sheets


def presets_sheets(report: PresetsReport) -> list[Sheet]:
    """Give a table for each graph."""
    sheets = []
    on_device = any(row.device_peak_gb is not None for row in report.rows)
    columns = ["", "nodes", "facts", "s/epoch", "epochs", "of them measured", "min in all", "peak GB"]
    columns += ["device GB"] if on_device else []
    for graph in dict.fromkeys(row.graph for row in report.rows):
        rows = [row for row in report.rows if row.graph == graph]
        lines = []
        for row in rows:
            minutes = None if row.training_seconds is None else row.training_seconds / 60
            line = [row.preset, f"{row.nodes:,}", f"{row.facts:,}", number(row.epoch_seconds), str(row.epochs)]
            line += [str(row.measured_epochs), number(minutes), number(row.peak_gb)]
            line += [number(row.device_peak_gb)] if on_device else []
            lines.append(tuple(line))
        sheets.append(Sheet(f"{graph or 'not loaded'}: presets", tuple(columns), tuple(lines), _preset_notes(rows)))
    return sheets


def _preset_notes(rows: Sequence[PresetRow]) -> tuple[str, ...]:
    """How the time was got, on what path, and what went wrong."""
    notes = []
    for row in rows:
        path = f"{row.attention or 'attention not chosen'}, {row.precision or 'precision not chosen'}"
        how = (
            "its training whole"
            if row.how == "whole"
            else f"{row.measured_epochs} epochs measured; the others taken as the median of those after the first"
        )
        ending = "" if row.status == "measured" else f"; {row.status}, {row.reason}"
        notes.append(f"{row.preset}: {path}; {how}{ending}.")
        if row.share_of_others is not None and row.share_of_others > BUSY:
            notes.append(busy_note(row.preset, row.share_of_others))
    return tuple(notes)


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


Report = SpeedReport | ScalingReport | PresetsReport


def sheets_of(report: Report) -> list[Sheet]:
    """Give the tables of any report."""
    if isinstance(report, SpeedReport):
        return speed_sheets(report)
    return scaling_sheets(report) if isinstance(report, ScalingReport) else presets_sheets(report)


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write `speed.json` and `speed.md` (`scaling.…`, `presets.…`), each whole or not at all; gives both paths."""
    told = report.plain()
    paths = folder / f"{told['benchmark']}.json", folder / f"{told['benchmark']}.md"
    write_json(paths[0], told)
    write_text(paths[1], markdown(report))
    return paths


def markdown(report: Report) -> str:
    """Give a report as Markdown: the command, the machine and the date, then its tables."""
    graph = "PrimeKG-shaped graph. "
    if isinstance(report, SpeedReport):
        command = command_line("speed", report.task, f"--implementations {','.join(report.implementations)}")
    elif isinstance(report, ScalingReport):
        command = command_line("scaling", report.task, f"--implementation {report.task.implementation}")
    else:
        command, graph = report.command(), ""
    facts = report.machine
    versions = facts["versions"]
    assert isinstance(versions, dict)
    packages = ", ".join(f"{package} {version}" for package, version in versions.items())
    parts = [
        f"`{command}`: {graph}{facts['processor']}, {facts['cores']} cores, "
        f"{facts['threads']} threads used, {facts['memory_gb']} GB, {facts['system']}; {packages}; {report.date}."
    ]
    if not report.complete:
        parts.append("Not complete: it was stopped.")
    for sheet in sheets_of(report):
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
        if row.share_of_others is not None and row.share_of_others > BUSY:
            notes.append(busy_note(row.implementation, row.share_of_others))
    return tuple(notes)


def busy_note(name: str, share: float) -> str:
    """Give the sentence that says that times were measured beside other work."""
    return (
        f"{name}: other processes took {share:.0%} of the processors meanwhile; on a quiet machine it would have "
        "needed fewer seconds, and fewer processor seconds."
    )


def _explained(report: SpeedReport) -> tuple[str, ...]:
    if not any((row.implementation, row.status) == (YARDSTICK, "measured") for row in report.rows):
        return ()
    return (
        f"Ratios are against the encoder of {YARDSTICK}: HGTConv with its relation transform as one product per edge "
        "type. pyg-kept is that with freed memory kept between steps; pyg is HGTConv as shipped. All three "
        "are in float32.",
    )


def number(value: float | None) -> str:
    """Give three digits of a figure, or a dash for none."""
    if value is None:
        return NONE
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
