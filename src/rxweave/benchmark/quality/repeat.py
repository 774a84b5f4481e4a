"""One row again from its manifest: the same task in a new process, and what came of it beside what is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rxweave import __version__
from rxweave.benchmark.quality.task import SCORES, Task, code_sha256
from rxweave.benchmark.watched import Limits, run_watched, thread_settings
from rxweave.errors import InputError, TrainingError
from rxweave.kg.files import missing_path


@dataclass(frozen=True)
class Repeated:
    """What is recorded and what came out now."""

    title: str
    values: dict[str, tuple[float | str, float | str]]
    """By measure: recorded, now."""
    scores_alike: bool | None
    """Whether every score is the same, bit for bit; None where they were not kept."""
    reasons: tuple[str, ...]
    """What is not as it was then, and may explain a difference."""

    @property
    def alike(self) -> bool:
        return self.scores_alike is not False and all(one == two for one, two in self.values.values())


def repeat(manifest: Path, out: Path, limits: Limits, *, tell: Callable[[str], None]) -> Repeated:
    """Do the task of a manifest of `rxweave benchmark quality` again, into the folder `out`, and compare.

    A method that uses embeddings gets those it got then, or is refused. Raises InputError when the file is no such
    manifest or `out` is its own folder, TrainingError with the worker's reason when the task cannot be done: other
    files of the graph, another split, other embeddings.
    """
    record = _read(manifest)
    recorded = Task.from_json(json.dumps(record["task"]))
    if out.resolve() == manifest.parent.resolve():
        raise InputError(f"--out {out} is the folder of the manifest itself; choose another, or leave it out.")
    task = replace(recorded, folder=out)
    tell(f"{task.title}, as recorded on {record['date']}: took {record['cost']['seconds']:,.0f} s then.")
    ending = run_watched(task.argv(), limits, env=thread_settings(task.threads), meanwhile=lambda: None)
    now = task.record()
    if ending.status != "measured" or now is None:
        raise TrainingError(f"{task.title} could not be done again: {ending.status}, {ending.reason}".rstrip(", "))
    values = {name: (value, _told(now)[name]) for name, value in _told(record).items()}
    kept = [folder / SCORES for folder in (manifest.parent, out)]
    alike = _same_scores(*kept) if all(path.is_file() for path in kept) else None
    return Repeated(task.title, values, alike, tuple(_changed(record, now)))


def _read(manifest: Path) -> dict[str, Any]:
    if not manifest.is_file():
        raise missing_path(manifest)
    try:
        record: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        Task.from_json(json.dumps(record["task"]))
        return record
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{manifest} is no manifest of rxweave benchmark quality that can be done again ({type(error).__name__}: "
            f"{error}). They lie at methods/METHOD/seed-N/manifest.json in its --out; those of before rxweave wrote "
            "down the whole task have only the command."
        ) from None


def _told(record: dict[str, Any]) -> dict[str, float | str]:
    """The figures of a record, by name; of a training, the verdicts."""
    results = record["results"]
    if "metrics" not in results:
        return {"geometry": results["geometry"], **results["types"]}
    metrics = results["metrics"]
    found: dict[str, float | str] = {}
    for side in ("diseases_given_drug", "drugs_given_disease"):
        found |= {f"{side} {name}": value["value"] for name, value in metrics[side].items() if isinstance(value, dict)}
    return found | {name: metrics[name]["value"] for name in ("auprc", "auroc")}


def _same_scores(one: Path, two: Path) -> bool:
    with np.load(one, allow_pickle=False) as before, np.load(two, allow_pickle=False) as now:
        return bool(np.array_equal(before["scores"], now["scores"]))


def _changed(record: dict[str, Any], now: dict[str, Any]) -> list[str]:
    found = []
    if record["rxweave"] != __version__:
        found.append(f"rxweave {record['rxweave']} then, {__version__} now")
    elif record["code_sha256"] != code_sha256():
        found.append("another state of the code")
    before, today = record["machine"], now["machine"]
    for name in ("processor", "threads", "system"):
        if before.get(name) != today.get(name):
            found.append(f"{name} {before.get(name)} then, {today.get(name)} now")
    versions = before.get("versions", {})
    other = [f"{name} {versions.get(name)} then, {new} now" for name, new in today.get("versions", {}).items()
             if versions.get(name) != new]  # fmt: skip
    return found + other
