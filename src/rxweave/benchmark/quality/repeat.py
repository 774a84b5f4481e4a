"""One row again from its manifest: the same task in a new process, and what came of it beside what is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rxweave import __version__
from rxweave.benchmark.quality.catalogue import METHODS
from rxweave.benchmark.quality.task import MANIFEST, SCORES, VECTORS_SHA, Task, code_sha256
from rxweave.benchmark.quality.vectors import LOSSES
from rxweave.benchmark.watched import Limits, run_watched, thread_settings
from rxweave.errors import InputError, TrainingError

WORDS = {
    "link": "link loss",
    "treatment": "treatment loss",
    "contrastive": "contrastive loss",
    "total": "loss",
    "held_out": "held-out MRR",
}
"""The figures of a training's last epoch in words."""


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
    unknown: str = ""
    """What the record does not say, so that it could not be compared."""

    @property
    def other(self) -> tuple[str, ...]:
        """What came out otherwise, by name."""
        values = tuple(name for name, (one, two) in self.values.items() if one != two)
        return values if self.scores_alike is not False else (*values, "scores")

    @property
    def alike(self) -> bool:
        return not self.other


@dataclass(frozen=True)
class _Record:
    """All that is read of a manifest."""

    date: str
    seconds: float
    values: dict[str, float | str]
    has_checksum: bool
    rxweave: str
    code_sha256: str
    machine: dict[str, Any]

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> _Record:
        """Raises KeyError, TypeError, ValueError or AttributeError for one that is not whole."""
        return cls(
            date=str(manifest["date"]),
            seconds=float(manifest["cost"]["seconds"]),
            values=_told(manifest["results"]),
            has_checksum=VECTORS_SHA in manifest["results"],
            rxweave=manifest["rxweave"],
            code_sha256=manifest["code_sha256"],
            machine={"versions": {}, **manifest["machine"]},
        )


def repeat(manifest: Path, out: Path, limits: Limits, *, tell: Callable[[str], None]) -> Repeated:
    """Do the task of a manifest of `rxweave benchmark quality` again, into the folder `out`, and compare.

    `manifest` may be the folder that has it. A method that uses embeddings gets those it got then, or is refused.
    Raises InputError when there is no such manifest or `out` has one already, TrainingError with the worker's reason
    when the task cannot be done: other files of the graph, another split, other features or embeddings. A manifest
    that is not whole is refused before anything is done.
    """
    manifest = _found(manifest)
    recorded, record = _read(manifest)
    if out.resolve() == manifest.parent.resolve():
        raise InputError(f"--out {out} is the folder of the manifest itself; choose another, or leave it out.")
    if (out / MANIFEST).exists():
        raise InputError(
            f"--out {out} holds a {MANIFEST} already, and what it tells of would be replaced. Choose another folder, "
            "or remove that one."
        )
    if recorded.kind == "score" and recorded.name not in METHODS:
        raise InputError(
            f"{manifest} is of the method {recorded.name!r}, which this rxweave has not: {__version__}, and "
            f"{record.rxweave} made it. Its methods: {', '.join(METHODS)}."
        )
    task = replace(recorded, folder=out)
    tell(f"{task.title}, as recorded on {record.date}: took {record.seconds:,.0f} s then.")
    ending = run_watched(task.argv(), limits, env=thread_settings(task.threads), meanwhile=lambda: None)
    found = task.record()
    if ending.status != "measured" or found is None:
        raise TrainingError(f"{task.title} could not be done again: {ending.status}, {ending.reason}".rstrip(", "))
    now = _Record.of(found)
    values = {name: (value, now.values.get(name, "nothing")) for name, value in record.values.items()}
    unknown = ""
    if task.kind == "train" and not record.has_checksum:
        unknown = "The record is older than the checksums of vectors: only its verdicts could be compared."
    kept = [folder / SCORES for folder in (manifest.parent, out)]
    alike = _same_scores(*kept) if all(path.is_file() for path in kept) else None
    return Repeated(task.title, values, alike, tuple(_changed(record, now)), unknown)


def _found(path: Path) -> Path:
    """The manifest at a path, or in the folder there."""
    manifest = path / MANIFEST if path.is_dir() else path
    if manifest.is_file():
        return manifest
    below = sorted(path.glob(f"**/seed-*/{MANIFEST}")) if path.is_dir() else []
    what = f"{path} holds no {MANIFEST}" if path.is_dir() else f"There is no manifest at {path}"
    where = f"Of those below it, the first is {below[0]}" if below else f"They lie at methods/METHOD/seed-N/{MANIFEST}"
    raise InputError(f"{what}. Give that of a row of rxweave benchmark quality, or its folder. {where}.")


def _read(manifest: Path) -> tuple[Task, _Record]:
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
        return Task.from_json(json.dumps(found["task"])), _Record.of(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{manifest} is no manifest of rxweave benchmark quality that can be done again ({type(error).__name__}: "
            f"{error}). They lie at methods/METHOD/seed-N/manifest.json in its --out; those of before rxweave wrote "
            "down the whole task have only the command."
        ) from None


def _told(results: dict[str, Any]) -> dict[str, float | str]:
    """The figures of results, by name; of a training, the verdicts, its last epoch and the vectors' checksum."""
    found: dict[str, float | str] = {}
    if "metrics" not in results:
        found |= {"geometry": results["geometry"], **results["types"]}
        if VECTORS_SHA in results:
            last = results["last_epoch"]
            found |= {"epochs": last["number"], "kept epoch": results["kept_epoch"]}
            found |= {WORDS[name]: last[name] for name in LOSSES if last[name] is not None}
            found["vectors"] = results[VECTORS_SHA]
        return found
    metrics = results["metrics"]
    for side in ("diseases_given_drug", "drugs_given_disease"):
        found |= {f"{side} {name}": value["value"] for name, value in metrics[side].items() if isinstance(value, dict)}
    return found | {name: metrics[name]["value"] for name in ("auprc", "auroc")}


def _same_scores(one: Path, two: Path) -> bool:
    with np.load(one, allow_pickle=False) as before, np.load(two, allow_pickle=False) as now:
        return bool(np.array_equal(before["scores"], now["scores"]))


def _changed(record: _Record, now: _Record) -> list[str]:
    found = []
    if record.rxweave != __version__:
        found.append(f"rxweave {record.rxweave} then, {__version__} now")
    elif record.code_sha256 != code_sha256():
        found.append("another state of the code")
    before, today = record.machine, now.machine
    for name in ("processor", "threads", "system"):
        if before.get(name) != today.get(name):
            found.append(f"{name} {before.get(name)} then, {today.get(name)} now")
    then = before["versions"]
    other = [f"{name} {then.get(name)} then, {new} now" for name, new in today["versions"].items()
             if then.get(name) != new]  # fmt: skip
    return found + other
