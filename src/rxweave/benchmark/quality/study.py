"""The evaluation from end to end: plan the tasks, do those that are not done, and hand over their records."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rxweave.benchmark.quality.finished_runs import decisive, find_runs
from rxweave.benchmark.quality.method import Kind, Method
from rxweave.benchmark.quality.settings import BaselineSettings
from rxweave.benchmark.quality.task import MANIFEST, PROGRESS, VECTORS_SHA, Task
from rxweave.benchmark.quality.vectors import CHECKPOINT, FILE, sha256_in
from rxweave.benchmark.watched import Ending, Limits, run_watched, thread_settings
from rxweave.claim import Claim
from rxweave.config import RunSettings, SplitSettings
from rxweave.embed.feature_file import file_sha256
from rxweave.errors import ConfigError
from rxweave.graph.build import Graph
from rxweave.graph.leaks import check_no_leaks, parts_fingerprint
from rxweave.graph.make_split import make_split
from rxweave.graph.split import Split, training_graph
from rxweave.kg.tables import KnowledgeGraph
from rxweave.pipeline import load
from rxweave.process import heed_ctrl_c

NO_LIMITS = Limits(None, float("inf"))
PATIENCE = 30.0
"""Seconds between words of what a long task is at."""


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    settings: RunSettings
    peers: BaselineSettings
    out: Path
    runs: tuple[Path, ...] = ()
    """Output folders of finished runs, whose embeddings are used instead of trained again."""
    split_seed: int | None = None
    """The seed of one split for all seeds; None: each seed has its own."""
    jobs: int = 1
    threads: int = 1
    limits: Limits = NO_LIMITS
    fresh: bool = False
    """Do everything again, finished or not."""
    command: str = ""

    def split_of(self, seed: int) -> tuple[SplitSettings, int]:
        """Give the settings and the seed of the split of a seed; of folds, the seeds take one after the other.

        Then the seeds 0 to k − 1 are the k folds of one set, in which each treatment is tested once, the next k those
        of another set.
        """
        split = self.settings.split
        if split.kind != "folds":
            return split, seed if self.split_seed is None else self.split_seed
        of_set = seed // split.num_folds if self.split_seed is None else self.split_seed
        return split.but(fold=seed % split.num_folds), of_set


@dataclass(frozen=True, eq=False)
class Study:
    """The records of all tasks that are finished, and what became of the others."""

    plan: Plan
    kg: KnowledgeGraph
    graph: Graph
    splits: dict[int, Split]
    scored: dict[tuple[str, int], Task]
    """The finished tasks that score, by method and seed."""
    records: dict[tuple[str, int], dict[str, Any]]
    trained: dict[tuple[str, int], dict[str, Any]]
    """The records of embeddings trained here, by their kind and seed."""
    failures: dict[str, str]
    complete: bool


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Hold the folder of a study until its tables are written: two at once would take each other's files for their own.

    Raises ConfigError while another study writes there.
    """
    claim = Claim.of(out / "methods")
    try:
        yield
    finally:
        claim.release()


def study_quality(plan: Plan, *, tell: Callable[[str], None]) -> Study:
    """Do what is not done yet, `jobs` tasks at a time; Ctrl-C ends those under way, and the study is not complete.

    Everything is checked before anything is done: methods, splits and their leaks, the runs whose embeddings are to be
    used. Raises as the loading of a graph, the making of a split and `find_runs` do, and ConfigError for fewer than
    one seed, job or thread.
    """
    if min(len(plan.seeds), plan.jobs, plan.threads) < 1:
        raise ConfigError(
            f"There are {len(plan.seeds)} seeds, {plan.jobs} jobs and {plan.threads} threads; each must be 1 or more."
        )
    if plan.settings.split.fold:
        raise ConfigError(
            f"split.fold is {plan.settings.split.fold}, and here every seed tests its own fold: seed 3 tests fold 3. "
            "Leave split.fold out; --first-seed and --seeds choose."
        )
    kg, graph = load(plan.settings)
    splits = {}
    for seed in plan.seeds:
        of_split, split_seed = plan.split_of(seed)
        splits[seed] = make_split(graph, of_split, seed=split_seed)
    for split in splits.values():
        check_no_leaks(training_graph(graph, split), split)
    folds = plan.settings.split.kind == "folds"
    found = find_runs(plan.runs, splits, graph, plan.settings.embed, folds=folds)
    marks = {seed: parts_fingerprint(split, graph) for seed, split in splits.items()}
    trainings, scorings = _tasks(plan, tuple(file.sha256 for file in kg.report.files), marks, found)
    trained_here = {task.folder: task for task in trainings}
    first = [task for task in scorings if task.vectors is None]
    after = [task for task in scorings if task.vectors is not None]
    done: dict[Task, dict[str, Any]] = {}
    failures: dict[str, str] = {}
    complete = True
    try:
        if plan.fresh:
            _forget([*trainings, *scorings])
        for tasks in (first, trainings, after):
            possible = []
            for task in tasks:
                training = None if task.vectors is None else trained_here.get(task.vectors)
                if training is None:
                    possible.append(task)
                elif training in done:  # its rows are those of these very vectors, not of any with its settings
                    possible.append(replace(task, vectors_mark=done[training]["results"][VECTORS_SHA]))
                else:  # whatever lies in that folder is of another training
                    failures[task.title] = "its embeddings could not be trained"
            _do_all(possible, plan, done, failures, tell)
    except KeyboardInterrupt:
        again = "the same command without --fresh" if plan.fresh else "the same command"
        tell(f"Ctrl-C: what is finished is kept; {again} goes on from there.")
        complete = False
    scored = {(task.name, task.seed): task for task in done if task.kind == "score"}
    return Study(
        plan, kg, graph, splits, scored,
        {key: done[task] for key, task in scored.items()},
        {(task.name, task.seed): done[task] for task in trainings if task in done},
        failures,
        complete and not failures,
    )  # fmt: skip


def _tasks(
    plan: Plan, inputs: tuple[str, ...], marks: dict[int, str], found: dict[int, Path]
) -> tuple[list[Task], list[Task]]:
    """The trainings that methods need and no finished run has, and a scoring for each method and seed."""
    trainings: dict[tuple[Kind, int], Task] = {}
    scorings = []
    for method in plan.methods:
        for seed in plan.seeds:
            split, split_seed = plan.split_of(seed)
            task = Task(
                "score", method.name, seed, split_seed, plan.settings.but(split=split), plan.peers,
                method.settings(plan.settings, plan.peers), inputs, marks[seed],
                plan.out / "methods" / method.name / f"seed-{seed}", threads=plan.threads, command=plan.command,
            )  # fmt: skip
            if method.needs == "hgt" and seed in found:
                task = replace(task, vectors=found[seed], vectors_mark=file_sha256(found[seed] / FILE))
            elif method.needs is not None:
                key = method.needs, seed
                if key not in trainings:
                    trainings[key] = _training(plan, method.needs, task)
                training = trainings[key]
                task = replace(task, vectors=training.folder, vectors_mark=training.fingerprint)
            scorings.append(task)
    return list(trainings.values()), scorings


def _training(plan: Plan, kind: Kind, scoring: Task) -> Task:
    """The training of the embeddings that a scoring needs."""
    embed = plan.settings.embed
    if kind == "hgt-constant":
        embed = embed.but(features="constant", on_collapse="warn")
    decides = decisive(embed)
    if embed.feature_file is not None:  # its content decides, wherever it lies
        decides["feature_file"] = file_sha256(Path(embed.feature_file))
    return replace(
        scoring, kind="train", name=kind, settings=scoring.settings.but(embed=embed), decides={"embed": decides},
        folder=plan.out / "embeddings" / kind / f"seed-{scoring.seed}",
    )  # fmt: skip


def _forget(tasks: Sequence[Task]) -> None:
    """Remove what says that tasks are finished or begun, of all before the first is done again.

    Else a study that is stopped on the way would show those it did not reach, of before, as its own.
    """
    for task in tasks:
        for name in (MANIFEST, CHECKPOINT):
            (task.folder / name).unlink(missing_ok=True)


def _finished(task: Task, tell: Callable[[str], None]) -> dict[str, Any] | None:
    """The record of a finished task; of a training, only if its vectors are still those that were recorded."""
    record = task.record()
    if record is None or task.kind == "score":
        return record
    found = sha256_in(task.folder)
    if found is not None and found == record["results"].get(VECTORS_SHA):
        return record
    what = "missing or damaged" if found is None else "not those of its record"
    tell(f"{task.title}: its vectors in {task.folder} are {what}; it is done again.")
    return None


def _do_all(
    tasks: Sequence[Task],
    plan: Plan,
    done: dict[Task, dict[str, Any]],
    failures: dict[str, str],
    tell: Callable[[str], None],
) -> None:
    left = []
    for task in tasks:
        record = _finished(task, tell)
        if record is None:
            left.append(task)
        else:
            done[task] = record
    if len(left) < len(tasks):
        tell(f"{len(tasks) - len(left)} of {len(tasks)} are finished already in {plan.out}.")
    stop = threading.Event()
    heed_ctrl_c()
    pool = ThreadPoolExecutor(plan.jobs)
    try:
        futures = {pool.submit(_do, task, plan, stop, tell): task for task in left}
        for number, future in enumerate(as_completed(futures), 1):
            task, ending = futures[future], future.result()
            record = task.record()
            if ending.status == "measured" and record is not None:
                done[task] = record
                tell(f"{number}/{len(left)} {task.title}: {_told(record)}")
            else:
                failures[task.title] = f"{ending.status}, {ending.reason}".strip(", ")
                tell(f"{number}/{len(left)} {task.title}: {failures[task.title]}")
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _do(task: Task, plan: Plan, stop: threading.Event, tell: Callable[[str], None]) -> Ending:
    last = time.monotonic()

    def meanwhile() -> None:
        nonlocal last
        if stop.is_set():
            raise InterruptedError("stopped")
        if time.monotonic() - last > PATIENCE:
            last = time.monotonic()
            tell(f"… {task.title}: {_at(task.folder / PROGRESS)}")

    try:
        return run_watched(task.argv(), plan.limits, env=thread_settings(plan.threads), meanwhile=meanwhile)
    except InterruptedError:
        return Ending("stopped", "Ctrl-C", None)


def _at(progress: Path) -> str:
    try:
        return progress.read_text(encoding="utf-8")
    except OSError:
        return "under way"


def _told(record: dict[str, Any]) -> str:
    cost, results = record["cost"], record["results"]
    spent = f"{cost['seconds']:.1f} s, {cost['peak_gb'] or 0:.2f} GB"
    if "metrics" not in results:
        return f"geometry {results['geometry']} ({spent})"
    disease, drug = (
        results["metrics"][f"{side}"]["mrr"]["value"] for side in ("diseases_given_drug", "drugs_given_disease")
    )
    return f"disease MRR {disease:.3f}, drug MRR {drug:.3f} ({spent})"


def default_threads(jobs: int) -> int:
    """Give the threads of each worker: one where several work side by side, else every core."""
    from rxweave.benchmark.machine import cores

    return 1 if jobs > 1 else max(1, int(os.environ.get("OMP_NUM_THREADS", cores())))
