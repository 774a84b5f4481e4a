"""What came of a trial, read from its journal, and what a whole training or run of that kind will take."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rxweave.benchmark.measure import OUT_OF_MEMORY
from rxweave.benchmark.memory import in_gb
from rxweave.benchmark.trial import Trial
from rxweave.benchmark.watched import Ending, Limits, run_watched, thread_settings
from rxweave.config import EmbedSettings
from rxweave.embed.history import Epoch, epochs_from
from rxweave.embed.measures import is_due
from rxweave.errors import ConfigError
from rxweave.kg.tables import Roles
from rxweave.watch import Watch

Status = Literal["measured", "stopped", "out of memory", "failed"]


@dataclass(frozen=True)
class Judgement:
    """The verdict on a trial's embeddings."""

    level: str
    types: Mapping[str, str]
    problems: tuple[str, ...]
    num_ranked: int
    """Held-out treatments of the validation part."""
    ranking: Mapping[str, tuple[float, float]]
    """By what was measured, the value and the degree prior's; empty where too few were held out to ask."""


@dataclass(frozen=True)
class Outcome:
    """What a trial did before it ended; what it did not reach is None or empty."""

    status: Status
    reason: str
    """Why it was stopped or failed."""
    graph: str
    nodes: int
    facts: int
    """Of the training graph."""
    roles: Roles | None
    history: tuple[Epoch, ...]
    stages: Mapping[str, float]
    """Seconds of every stage that was finished, in order."""
    unfinished: str
    """The stage it was in when it ended early."""
    device: str
    attention: str
    precision: str
    judgement: Judgement | None
    peak_gb: float | None
    """Most memory held, in 10^9 bytes: by the process, or by its tensors on the CUDA device."""
    process_peak_gb: float | None
    planned_gb: float | None
    """The peak that was predicted before training, in 10^9 bytes."""
    share_of_others: float | None
    """Share of the processors that other processes took meanwhile (Linux): times are too high by it."""

    @property
    def epoch_seconds(self) -> float | None:
        """Seconds of an epoch's steps: the median of those after the first, without measuring; None before one."""
        steps = [epoch.seconds - epoch.measuring_seconds for epoch in self.history]
        return statistics.median(steps[1:] or steps) if steps else None

    def training_seconds(self, asked: EmbedSettings) -> float | None:
        """Give the seconds that the stage of training takes with the epochs asked for; None before one is finished.

        Preparation and the first epoch as they were, then for each further epoch the median of those after the first;
        what measuring the types takes is counted apart, as often as it is due.
        """
        later = self.epoch_seconds
        if later is None:
            return None
        first = self.history[0].seconds - self.history[0].measuring_seconds
        measured = [epoch.measuring_seconds for epoch in self.history if epoch.effective_rank]
        times = sum(is_due(number, asked.num_epochs, asked.measure_every) for number in range(1, asked.num_epochs + 1))
        around = self.stages.get("embed", 0.0) - sum(epoch.seconds for epoch in self.history)
        measuring = statistics.median(measured) if measured else 0.0
        return max(around, 0.0) + first + (asked.num_epochs - 1) * later + times * measuring

    def seconds(self, asked: EmbedSettings) -> float | None:
        """Give the seconds of every stage that was finished, training with the epochs asked for."""
        training = self.training_seconds(asked)
        if training is None:
            return None
        return training + sum(seconds for stage, seconds in self.stages.items() if stage != "embed")


def try_out(trial: Trial, limits: Limits, *, threads: int | None = None, watch: Watch | None = None) -> Outcome:
    """Try something out in a process of its own, within limits; `watch` is told how far it is.

    Raises ConfigError, with the cause, for what cannot be tried at all.
    """
    with tempfile.TemporaryDirectory(prefix="rxweave-trial-") as folder:
        journal = Path(folder) / "journal.jsonl"
        reader = _Reader(journal, trial.settings.embed.num_epochs, watch or Watch())
        env = None if threads is None else thread_settings(threads)
        ending = run_watched(trial.command(journal), limits, env=env, meanwhile=reader.read)
        reader.read()
    return outcome_of(ending, reader.lines)


class _Reader:
    """Reads a journal while it is written, and tells a watch how far the trial is."""

    def __init__(self, path: Path, num_epochs: int, watch: Watch) -> None:
        self.path, self.num_epochs, self.watch, self.place = path, num_epochs, watch, 0
        self.lines: list[dict[str, Any]] = []

    def read(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.place)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]  # the last line may be half-written
        self.place += len(whole)
        for text in whole.splitlines():
            line = json.loads(text)
            self.lines.append(line)
            if line["what"] == "stage":
                self.watch.progress(line["stage"], 0.0)
            elif line["what"] == "epoch":
                number = line["epoch"]["number"]
                self.watch.progress(f"epoch {number} of {self.num_epochs}", number / self.num_epochs)


def outcome_of(ending: Ending, journal: Sequence[Mapping[str, Any]]) -> Outcome:
    """Give the outcome of a trial from how its process ended and what it wrote into its journal."""
    told = {line["what"]: line for line in journal}
    if "refused" in told:
        raise ConfigError(told["refused"]["reason"])
    status: Status = "measured"
    reason = ending.reason
    if "failed" in told:
        status, reason = told["failed"]["status"], told["failed"]["reason"]
    elif ending.status != "measured":
        status = "stopped" if ending.status == "stopped" else "failed"
    elif "done" not in told:
        status, reason = "failed", "it ended without any figures"
    if status != "measured" and (OUT_OF_MEMORY.search(reason) or "memory limit" in reason):
        status = "out of memory"
    graph, trained, verdict, done = (told.get(what, {}) for what in ("graph", "trained", "verdict", "done"))
    stages, unfinished = _stages(journal, finished="done" in told)
    process_peak = done.get("peak") or ending.highest_memory
    device_peak = done.get("device_peak")
    return Outcome(
        status=status,
        reason=reason,
        graph=graph.get("name", ""),
        nodes=graph.get("nodes", 0),
        facts=graph.get("facts", 0),
        roles=_roles(graph.get("roles")),
        history=tuple(epochs_from([line["epoch"] for line in journal if line["what"] == "epoch"])),
        stages=stages,
        unfinished=unfinished,
        device=trained.get("device", ""),
        attention=trained.get("attention", ""),
        precision=trained.get("precision", ""),
        judgement=_judgement(verdict) if verdict else None,
        peak_gb=in_gb(device_peak if device_peak is not None else process_peak),
        process_peak_gb=in_gb(process_peak),
        planned_gb=in_gb(told.get("planned", {"plan": {}})["plan"].get("predicted_peak")),
        share_of_others=done.get("share_of_others"),
    )


def _stages(journal: Sequence[Mapping[str, Any]], *, finished: bool) -> tuple[dict[str, float], str]:
    """The seconds of each finished stage, and the name of the one that was not."""
    begun = [(line["stage"], line["at"]) for line in journal if line["what"] == "stage"]
    ends = [at for _, at in begun[1:]] + [line["at"] for line in journal if line["what"] == "done"]
    stages = {name: end - at for (name, at), end in zip(begun, ends, strict=False)}
    return stages, "" if finished or not begun else begun[-1][0]


def _roles(told: Mapping[str, Any] | None) -> Roles | None:
    if told is None:
        return None
    treats, contraindicated = tuple(told["treats"]), tuple(told["contraindicated"])
    return Roles(told["drug"], told["disease"], told["gene"], treats, contraindicated)


def _judgement(told: Mapping[str, Any]) -> Judgement:
    return Judgement(
        told["level"],
        told["types"],
        tuple(told["problems"]),
        told["num_ranked"],
        {measure: (value, prior) for measure, (value, prior) in told["ranking"].items()},
    )
