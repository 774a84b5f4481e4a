"""Does HGT collapse? Eleven settings, two target relations, five seeds, and a control that must collapse.

In the published table of the field's reference model, 23 of 110 HGT runs (11 splits, 2 relations, 5 seeds) have an
AUROC of exactly 0.5: a constant score. This counts the same of ours, with the pipeline's own verdict.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from rxweave import __version__
from rxweave.artifacts import plain, write_json, write_text
from rxweave.benchmark.collapse_runs import CONTROL, GRAPH, SETTINGS, TARGETS, Outcome, Setting, Task, run_task
from rxweave.benchmark.machine import machine
from rxweave.benchmark.tables import Sheet, sheet_markdown
from rxweave.errors import ConfigError, did_you_mean

JOURNAL = "collapse.jsonl"
"""Beside the report: a line for each finished run, so that a benchmark that was killed goes on where it was."""
_SHORT = {"indication": "indic.", "contraindication": "contra."}
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class CollapseBenchmark:
    """All outcomes, and what they were found on; complete when every run asked for is there."""

    graph: str
    seeds: int
    settings: tuple[str, ...]
    machine: dict[str, object]
    date: str
    runs: tuple[Outcome, ...] = ()
    controls: tuple[Outcome, ...] = ()
    complete: bool = False

    @property
    def num_collapsed(self) -> int:
        return sum(run.collapsed for run in self.runs)

    @property
    def num_at_chance(self) -> int:
        return sum(run.at_chance and not run.collapsed for run in self.runs)

    @property
    def num_failed(self) -> int:
        return sum(bool(run.error) for run in (*self.runs, *self.controls))

    @property
    def num_unseen(self) -> int:
        """Controls that were not found collapsed."""
        return sum(not control.collapsed for control in self.controls)

    @property
    def passed(self) -> bool:
        """Whether no run collapsed or failed, and every control was found collapsed."""
        return not (self.num_collapsed or self.num_failed or self.num_unseen)

    def plain(self) -> dict[str, Any]:
        """Give the report as plain values, for JSON."""
        names = ("num_collapsed", "num_at_chance", "num_failed", "num_unseen", "passed")
        counts = {name: getattr(self, name) for name in names}
        about = {"benchmark": "collapse", "rxweave": __version__, "num_runs": len(self.runs), **counts}
        told: dict[str, Any] = plain(about | vars(self))
        for part, outcomes in (("runs", self.runs), ("controls", self.controls)):
            for outcome, row in zip(outcomes, told[part], strict=True):
                row["collapsed"] = outcome.collapsed
        return told


def tasks_for(settings: Sequence[Setting], seeds: int, graph: str = GRAPH) -> list[Task]:
    """Give every run of these settings: both target relations, seeds 0 to `seeds` − 1."""
    return [Task(setting, target, seed, graph) for setting in settings for target in TARGETS for seed in range(seeds)]


def chosen_settings(text: str) -> tuple[Setting, ...]:
    """Give settings by their names, separated by semicolons (names hold commas); all of them for an empty text."""
    names = [part.strip() for part in text.split(";") if part.strip()]
    known = {setting.name: setting for setting in SETTINGS}
    for name in names:
        if name not in known:
            raise ConfigError(f"Setting {name!r} is not one of {'; '.join(known)}.{did_you_mean(name, list(known))}")
    return tuple(known[name] for name in names) or SETTINGS


def study_collapse(
    folder: Path,
    *,
    settings: Sequence[Setting] = SETTINGS,
    seeds: int = 5,
    jobs: int = 1,
    graph: str = GRAPH,
    fresh: bool = False,
    tell: Callable[[str], None],
) -> CollapseBenchmark:
    """Run what the journal in `folder` does not have yet, `jobs` runs at a time, each on one thread.

    Outcomes are written to the journal as they come; runs that failed are tried again next time, and `fresh` starts
    anew. A report after Ctrl-C, or after a worker was killed, is not complete and holds what is there. Raises
    ConfigError for fewer than one seed or job.
    """
    if min(seeds, jobs) < 1:
        raise ConfigError(f"seeds is {seeds} and jobs is {jobs}; both must be 1 or more.")
    tasks, controls = tasks_for(settings, seeds, graph), tasks_for([CONTROL], seeds, graph)
    journal = folder / JOURNAL
    if fresh:
        journal.unlink(missing_ok=True)
    wanted = {task.fingerprint: task for task in (*tasks, *controls)}
    done = {mark: outcome for mark, outcome in read_journal(journal).items() if mark in wanted}
    if done:
        tell(f"{len(done)} of {len(wanted)} runs are in {journal} already.")
    left = [task for mark, task in wanted.items() if mark not in done]
    try:
        for outcome in _outcomes(left, jobs):
            done[outcome.fingerprint] = outcome
            append_to(journal, outcome)
            tell(f"{len(done)}/{len(wanted)} {in_words(outcome)}")
    except KeyboardInterrupt:
        tell("Ctrl-C: finished runs are in the journal; the same command goes on from there.")
    except BrokenProcessPool:
        tell("A worker was killed (out of memory?): the same command goes on, perhaps with fewer --jobs.")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    report = CollapseBenchmark(graph, seeds, tuple(setting.name for setting in settings), machine(jobs), now)
    found = [tuple(done[task.fingerprint] for task in part if task.fingerprint in done) for part in (tasks, controls)]
    return replace(report, runs=found[0], controls=found[1], complete=len(done) == len(wanted))


def _outcomes(tasks: Sequence[Task], jobs: int) -> Iterator[Outcome]:
    """Outcomes as they come; with one job in this process, else each in a worker of its own."""
    if jobs == 1:
        yield from map(run_task, tasks)
        return
    threads = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # workers take it over when they start
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin_worker)
    try:
        yield from _as_they_come(pool, tasks)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in threads.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _as_they_come(pool: Executor, tasks: Iterable[Task]) -> Iterator[Outcome]:
    for future in as_completed([pool.submit(run_task, task) for task in tasks]):
        yield future.result()


def _begin_worker() -> None:
    """One thread each; Ctrl-C is the parent's to handle, which lets the runs under way end."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def read_journal(path: Path) -> dict[str, Outcome]:
    """Give the finished runs by fingerprint; failed ones, and a last line that was cut short, are left out."""
    if not path.is_file():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            outcome = Outcome.from_plain(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError):  # cut short, or of another version
            continue
        if not outcome.error:
            found[outcome.fingerprint] = outcome
    return found


def append_to(path: Path, outcome: Outcome) -> None:
    """Add a line to a journal; it is on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        # A line that a killed process left half-written must not swallow this one.
        start = b"" if file.tell() == 0 or _ends_whole(path) else b"\n"
        file.write(start + json.dumps(plain(outcome), allow_nan=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def in_words(outcome: Outcome) -> str:
    """Give one run in a line."""
    name = f"{outcome.setting}, {outcome.target}, seed {outcome.seed}"
    if outcome.error:
        return f"{name}: FAILED: {outcome.error}"
    told = f"AUROC {outcome.auroc:.3f}, degree prior {outcome.prior_auroc:.3f}, {outcome.seconds:.1f} s"
    return f"{name}: {'COLLAPSED' if outcome.collapsed else outcome.verdict} ({told})"


def collapse_sheet(report: CollapseBenchmark) -> Sheet:
    """Give a row for each setting and relation: collapsed runs, verdicts, AUROC beside the prior."""
    columns = ("setting", "relation", "collapsed", "good", "warned", "AUROC mean", "AUROC lowest", "prior mean")
    rows = []
    for outcomes in (report.runs, report.controls):
        for name, target in dict.fromkeys((outcome.setting, outcome.target) for outcome in outcomes):
            ours = [outcome for outcome in outcomes if (outcome.setting, outcome.target) == (name, target)]
            levels = [outcome.verdict for outcome in ours]
            auroc, prior = [outcome.auroc for outcome in ours], [outcome.prior_auroc for outcome in ours]
            rows.append(
                (
                    name,
                    _SHORT.get(target, target),
                    f"{sum(outcome.collapsed for outcome in ours)} of {len(ours)}",
                    str(levels.count("good")),
                    str(levels.count("warning")),
                    f"{np.mean(auroc):.3f}",
                    f"{min(auroc):.3f}",
                    f"{np.mean(prior):.3f}",
                )
            )
    notes = [
        f"{report.num_collapsed} of {len(report.runs)} runs collapsed (published HGT baseline of the field's reference "
        "model: 23 of 110, by an AUROC of exactly 0.5).",
        f"{report.num_at_chance} runs have an AUROC of 0.5 or less without having collapsed: new diseases or drugs, of "
        "which the target relation says nothing in training.",
        f"{len(report.controls) - report.num_unseen} of {len(report.controls)} controls were found collapsed.",
    ]
    notes += [in_words(run) for run in (*report.runs, *report.controls) if run.error]
    if not report.complete:
        notes.append("Not complete: the same command goes on from the journal.")
    return Sheet(f"HGT on {report.graph}: collapsed runs", columns, tuple(rows), tuple(notes))


def write_collapse(report: CollapseBenchmark, folder: Path) -> tuple[Path, Path]:
    """Write `collapse.json` and `collapse.md`, each whole or not at all; gives both paths."""
    paths = folder / "collapse.json", folder / "collapse.md"
    facts = report.machine
    about = (
        f"`rxweave benchmark collapse --seeds {report.seeds} --jobs {facts['threads']}`: {facts['processor']}, "
        f"{facts['cores']} cores, {facts['memory_gb']} GB, {facts['system']}; {report.date}."
    )
    write_json(paths[0], report.plain())
    write_text(paths[1], "\n\n".join([about, *sheet_markdown(collapse_sheet(report))]) + "\n")
    return paths
