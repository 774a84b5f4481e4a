"""A task in a process of its own: `python -m rxweave.benchmark.quality.worker TASK`, which is JSON.

Standard error has, last, what ended it; what it leaves appears in the task's folder, the manifest last.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rxweave import __version__
from rxweave.artifacts import atomic_path, write_json, write_text
from rxweave.benchmark.machine import Since, machine
from rxweave.benchmark.memory import forget_peak, peak, resident
from rxweave.benchmark.quality.catalogue import METHODS
from rxweave.benchmark.quality.method import Context, Scores
from rxweave.benchmark.quality.task import MANIFEST, PAIRS, PROGRESS, SCORES, VECTORS_SHA, Task, code_sha256
from rxweave.benchmark.quality.vectors import FILE, Vectors, read_vectors, train_vectors
from rxweave.benchmark.watched import end_with_parent
from rxweave.embed.feature_file import file_sha256
from rxweave.errors import InputError, RxweaveError, TrainingError
from rxweave.graph.build import Graph
from rxweave.graph.leaks import check_no_leaks, parts_fingerprint, split_fingerprint
from rxweave.graph.make_split import make_split
from rxweave.graph.split import Split, training_graph
from rxweave.pipeline import load
from rxweave.rank.full_matrix import top_of_matrix
from rxweave.rank.metrics import evaluate_ranking
from rxweave.rank.one_to_one import one_to_one
from rxweave.rank.pair_table import pair_table

MOST_KEPT = 20_000_000
"""Pairs above which a score matrix is not kept: only the table of test pairs is, which all metrics are made of."""


def do(task: Task) -> None:
    """Load, split, prove that nothing leaks, then score or train, and write what came of it."""
    torch.set_num_threads(task.threads)
    kg, graph = load(task.settings)
    _check_inputs(task, tuple(file.sha256 for file in kg.report.files))
    split = make_split(graph, task.settings.split, seed=task.split_seed)
    training = training_graph(graph, split)
    check_no_leaks(training, split)
    _check_split(task, parts_fingerprint(split, graph))
    task.folder.mkdir(parents=True, exist_ok=True)
    for older in (MANIFEST, SCORES, PAIRS):  # scores of before would be taken for this row's, where its are not kept
        (task.folder / older).unlink(missing_ok=True)
    mine = task.settings.but(seed=task.seed)
    if task.kind == "train":
        _check_features(task)
        (task.folder / FILE).unlink(missing_ok=True)  # no older vectors where this training is expected
        since, started = _begin()
        results = train_vectors(training, split, mine, task.folder, _teller(task))
        cost = _with_earlier(_cost(since, started), results["earlier"])
        results[VECTORS_SHA] = read_vectors(task.folder, training, split).sha256
    else:
        results, cost = _score(task, graph, training, split)
    write_json(
        task.folder / MANIFEST,
        {
            "kind": task.kind,
            "name": task.name,
            "seed": task.seed,
            "split_seed": task.split_seed,
            "fingerprint": task.fingerprint,
            "rxweave": __version__,
            "code_sha256": code_sha256(),
            "command": task.command,
            "settings": {
                "load": task.settings.load.model_dump(mode="json"),
                "split": task.settings.split.model_dump(mode="json"),
                "graph_seed": task.settings.seed,
                **task.decides,
            },
            "inputs_sha256": task.inputs,
            "split": {
                "fingerprint": split_fingerprint(split, training),
                "parts": task.split_mark,
                "train": len(split.train),
                "valid": len(split.valid),
                "test": len(split.test),
                "notes": split.notes,
            },
            "embeddings": task.vectors,
            "embeddings_mark": task.vectors_mark,
            "machine": machine(task.threads),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "cost": cost,
            "results": results,
            "task": task.plain(),
        },
    )
    (task.folder / PROGRESS).unlink(missing_ok=True)


def _score(task: Task, graph: Graph, training: Graph, split: Split) -> tuple[dict[str, Any], dict[str, Any]]:
    method = METHODS[task.name]
    vectors = None if task.vectors is None else _checked_vectors(task, task.vectors, training, split)
    context = Context(task.settings.but(seed=task.seed), task.peers, vectors, task.threads, _teller(task))
    since, started = _begin()
    scores = method.score(training, split, task.seed, context)
    cost = _cost(since, started)
    _check(method.name, scores, training)
    with atomic_path(task.folder / PAIRS) as temporary:
        pair_table(scores, split, graph).write_parquet(temporary)
    if scores.size <= MOST_KEPT:
        with atomic_path(task.folder / SCORES) as temporary:
            np.savez_compressed(temporary, scores=scores)
    results = {
        "metrics": evaluate_ranking(scores, split.test, split.known, seed=task.seed),
        "top_of_matrix": top_of_matrix(scores, split.test, split.before_test, graph.pairs(graph.roles.contraindicated)),
        "one_to_one": one_to_one(scores, split.test, split.known, seed=task.split_seed),
    }
    return results, cost


def _check_inputs(task: Task, found: tuple[str, ...]) -> None:
    if found != tuple(task.inputs):
        raise InputError(
            f"{task.title}: the files of {task.settings.load.kg} are not those that were asked for: their SHA-256 "
            f"{', '.join(each[:12] for each in found)} should be {', '.join(each[:12] for each in task.inputs)}. Use "
            "the same files, or give the command of the whole benchmark again."
        )


def _check_split(task: Task, found: str) -> None:
    if found != task.split_mark:
        raise InputError(
            f"{task.title}: the split is not the one that was asked for ({found[:12]}, not {task.split_mark[:12]}): a "
            "file it is read from has changed meanwhile. Give the same command again."
        )


def _check_features(task: Task) -> None:
    file = task.settings.embed.feature_file
    if file is None:
        return
    found, asked = file_sha256(Path(file)), str(task.decides["embed"]["feature_file"])
    if found != asked:
        raise InputError(
            f"{task.title}: embed.feature_file {file} is not the file that was asked for: its SHA-256 {found[:12]} "
            f"should be {asked[:12]}. Put that file back, or give the command of the whole benchmark again."
        )


def _checked_vectors(task: Task, folder: Path, training: Graph, split: Split) -> Vectors:
    """The embeddings in a folder, which are those that the task names."""
    found = read_vectors(folder, training, split)
    if task.vectors_mark not in (found.sha256, file_sha256(folder / FILE)):
        raise InputError(
            f"{task.title}: the embeddings in {folder} ({found.sha256[:12]}) are not those that were asked for "
            f"({task.vectors_mark[:12]}): they have been made again since, or the row was made before rxweave wrote "
            "down what vectors it is of. Give the command of the whole benchmark again."
        )
    return found


def _check(name: str, scores: Scores, training: Graph) -> None:
    expected = training.num_of(training.roles.drug), training.num_of(training.roles.disease)
    if scores.shape != expected or scores.dtype != np.float32 or np.isnan(scores).any():
        raise TrainingError(
            f"{name} gave {scores.dtype} scores of shape {scores.shape}, {int(np.isnan(scores).sum())} of them NaN; "
            f"expected float32 of {expected} without NaN. This is a fault of the method: leave it out."
        )


def _begin() -> tuple[Since, float]:
    forget_peak()
    return Since.now(), (resident() or 0) / 1e9


def _cost(since: Since, started: float) -> dict[str, Any]:
    """Time and memory of the method alone: the graph and the embeddings it uses were there before."""
    highest = peak()
    return {
        "seconds": round(time.perf_counter() - since.wall, 2),
        "cpu_seconds": round(time.process_time() - since.own, 2),
        "peak_gb": None if highest is None else round(highest / 1e9, 3),
        "before_gb": round(started, 3),
        "share_of_others": since.share_of_others(),
    }


def _with_earlier(cost: dict[str, Any], earlier: dict[str, Any] | None) -> dict[str, Any]:
    """The cost of a training that others began: their epochs' time as well, and the most memory of all parts."""
    if earlier is None:
        return cost
    peaks = [peak for peak in (cost["peak_gb"], earlier["peak_gb"]) if peak is not None]
    return {
        **cost,
        "seconds": round(cost["seconds"] + earlier["seconds"], 2),
        "cpu_seconds": None,  # which no epoch tells
        "peak_gb": round(max(peaks), 3) if peaks else None,
    }


def _teller(task: Task) -> Callable[[str], None]:
    """Leaves a word of what is under way, for whoever waits."""
    return lambda what: write_text(task.folder / PROGRESS, what)


def main() -> None:
    """Do what the command line gives; exit code 2 and a sentence for what a user can mend."""
    end_with_parent()
    try:
        do(Task.from_json(sys.argv[1]))
    except (RxweaveError, OSError) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
