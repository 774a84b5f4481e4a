"""What each preset costs: time and peak memory of its training, on a PrimeKG-shaped graph and on one of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from rxweave import __version__
from rxweave.benchmark.machine import cores, machine
from rxweave.benchmark.memory import in_gb
from rxweave.benchmark.outcome import Outcome, try_out
from rxweave.benchmark.trial import Trial
from rxweave.benchmark.watched import Limits
from rxweave.config import PRESETS, EmbedSettings, RunSettings
from rxweave.embed.device import choose_device
from rxweave.errors import ConfigError
from rxweave.graph.primekg_shape import node_counts
from rxweave.settings import settings_from


@dataclass(frozen=True)
class PresetPlan:
    """What is measured, on which graphs, and how."""

    presets: tuple[str, ...] = tuple(PRESETS)
    scale: float | None = 1.0
    """Of the PrimeKG-shaped graph; None leaves it out."""
    kg: str | None = None
    """A graph file or folder to measure as well."""
    epochs: int = 3
    """Epochs measured of each; later ones are taken to cost the median of those after the first."""
    whole: bool = False
    """Train every preset to its end, with its checkpoints, and write its embeddings, in place of `epochs`."""
    threads: int = 1
    device: str = "cpu"
    seed: int = 0
    overrides: tuple[str, ...] = ()
    """Settings as stage.name=value, which win over every preset."""

    def settings(self, preset: str, kg: str | None) -> RunSettings:
        """Give a preset's settings; ConfigError for a preset or a setting that does not exist."""
        named = {"preset": preset, "embed.device": self.device, "seed": self.seed, "load.kg": kg}
        return settings_from(named, self.overrides)


@dataclass(frozen=True)
class PresetRow:
    """What one preset costs on one graph; memory is in 10^9 bytes."""

    preset: str
    graph: str
    status: str
    reason: str
    """Why it was stopped or failed."""
    nodes: int
    facts: int
    """Of the training graph."""
    epochs: int
    """Of the preset."""
    measured_epochs: int
    epoch_seconds: float | None
    """Median of those after the first."""
    training_seconds: float | None
    """Of the preset's whole training, preparation and measuring included; of a whole one saving, too."""
    how: str
    """`whole`, or `extrapolated` from the measured epochs."""
    peak_gb: float | None
    """Most the process held, with everything it imports."""
    epoch_peaks_gb: tuple[float | None, ...]
    """The most it had held after each measured epoch."""
    device_peak_gb: float | None
    attention: str
    precision: str
    share_of_others: float | None
    """Share of the machine's processor time that other processes took meanwhile (Linux); times are too high by it."""


@dataclass(frozen=True)
class PresetsReport:
    """All presets on all graphs, and what they were measured on."""

    plan: PresetPlan
    limits: Limits
    machine: dict[str, object]
    date: str
    rows: tuple[PresetRow, ...] = ()
    complete: bool = False

    def plain(self) -> dict[str, Any]:
        """Give the report as plain values, for JSON."""
        return {
            "benchmark": "presets",
            "rxweave": __version__,
            "date": self.date,
            "complete": self.complete,
            "machine": self.machine,
            "plan": asdict(self.plan),
            "limits": vars(self.limits),
            "rows": [vars(row) for row in self.rows],
        }

    def command(self) -> str:
        """Give the command that measures this."""
        plan, default = self.plan, PresetPlan()
        words = ["rxweave benchmark presets", "--no-shape" if plan.scale is None else f"--scale {plan.scale:g}"]
        words += [f"--kg {plan.kg}"] if plan.kg else []
        words += ["--whole"] if plan.whole else [f"--epochs {plan.epochs}"]
        words += [f"--threads {plan.threads}"]
        words += [f"--presets {','.join(plan.presets)}"] if plan.presets != default.presets else []
        words += [
            f"--{name} {getattr(plan, name)}" for name in ("device", "seed") if vars(plan)[name] != vars(default)[name]
        ]
        return " ".join([*words, *(f"-o {each}" for each in plan.overrides)])


def measure_presets(
    plan: PresetPlan,
    limits: Limits,
    *,
    tell: Callable[[str], None],
    keep: Callable[[PresetsReport], None],
) -> PresetsReport:
    """Measure every preset of a plan on each of its graphs, one after another, each in a process of its own.

    `tell`, `keep`, Ctrl-C and errors as in `speed.compare`.
    """
    _check(plan)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    report = PresetsReport(plan, limits, machine(plan.threads), now)
    try:
        for preset, trial in _trials(plan):
            name = f"{preset}, {trial.settings.load.kg if trial.scale is None else 'PrimeKG-shaped'}"
            tell(f"{name} …")
            outcome = try_out(trial, limits, threads=plan.threads)
            row = row_of(preset, plan.settings(preset, None).embed, outcome)
            report = replace(report, rows=(*report.rows, row))
            tell(f"{name}: {in_words(row)}")
            keep(report)
        report = replace(report, complete=True)
        keep(report)
    except KeyboardInterrupt:
        tell("Ctrl-C: the trial was stopped; finished rows are kept.")
    return report


def row_of(preset: str, asked: EmbedSettings, outcome: Outcome) -> PresetRow:
    """Give the row of a preset from what its trial did."""
    measured = len(outcome.history)
    whole = measured == asked.num_epochs
    return PresetRow(
        preset=preset,
        graph=outcome.graph,
        status=outcome.status,
        reason=outcome.reason,
        nodes=outcome.nodes,
        facts=outcome.facts,
        epochs=asked.num_epochs,
        measured_epochs=measured,
        epoch_seconds=outcome.epoch_seconds,
        training_seconds=_embedded(outcome.stages) if whole else outcome.training_seconds(asked),
        how="whole" if whole else "extrapolated",
        peak_gb=outcome.process_peak_gb,
        epoch_peaks_gb=tuple(in_gb(each.peak_memory) for each in outcome.history),
        device_peak_gb=outcome.peak_gb if outcome.device.startswith("cuda") else None,
        attention=outcome.attention,
        precision=outcome.precision,
        share_of_others=outcome.share_of_others,
    )


def _embedded(stages: Mapping[str, float]) -> float | None:
    """Seconds of training, checkpoints included, and of writing the embeddings where that was done."""
    return stages["embed"] + stages.get("save", 0.0) if "embed" in stages else None


def in_words(row: PresetRow) -> str:
    """Give a row's outcome in a few words."""
    if row.training_seconds is None or row.status != "measured":
        return f"{row.status}: {row.reason}"
    memory = "" if row.peak_gb is None else f", {row.peak_gb:.2f} GB"
    return f"{row.training_seconds:.0f} s for {row.epochs} epochs ({row.how}){memory}"


def presets_from(text: str) -> tuple[str, ...]:
    """Give the presets named in a comma-separated text, all of them for none; ConfigError for an unknown one."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        RunSettings(preset=name)
    return names or tuple(PRESETS)


def _check(plan: PresetPlan) -> None:
    """Raise ConfigError for what could never be measured here."""
    if plan.scale is None and plan.kg is None:
        raise ConfigError(
            "Neither the PrimeKG-shaped graph nor --kg is to be measured; leave out --no-shape, or name one."
        )
    if plan.scale is not None:
        node_counts(plan.scale)
    if not 1 <= plan.threads <= cores():
        raise ConfigError(f"threads is {plan.threads}; expected 1 to {cores()}, the cores this process may use.")
    if plan.epochs < 2:
        raise ConfigError(f"epochs is {plan.epochs}; expected 2 or more: the first one is set apart.")
    choose_device(plan.device)
    for preset in plan.presets:
        plan.settings(preset, None)


def _trials(plan: PresetPlan) -> Sequence[tuple[str, Trial]]:
    graphs: list[tuple[float | None, str | None]] = [] if plan.scale is None else [(plan.scale, None)]
    graphs += [] if plan.kg is None else [(None, plan.kg)]
    trials = []
    for scale, kg in graphs:
        for preset in plan.presets:
            settings = plan.settings(preset, kg)
            if not plan.whole:
                epochs = min(plan.epochs, settings.embed.num_epochs)
                few = settings.embed.but(num_epochs=epochs, early_stopping=None, checkpoint_every=0)
                settings = settings.but(preset=None, embed=few)
            trials.append((preset, Trial(settings, "embed", scale=scale, saves=plan.whole)))
    return trials
