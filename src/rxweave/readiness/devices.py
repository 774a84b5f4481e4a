"""The same small training on every device there is: speed, memory, quality and agreement, and which one to take."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from rxweave.artifacts import plain
from rxweave.benchmark.outcome import Outcome, try_out
from rxweave.benchmark.trial import Trial
from rxweave.benchmark.watched import Limits
from rxweave.config import EmbedSettings, RunSettings
from rxweave.embed.attention.choose import why_not
from rxweave.embed.device import choose_device, devices_present
from rxweave.errors import ConfigError
from rxweave.readiness.quick_test import MEASURED_EPOCHS, TIME_LIMIT, free_memory_gb, small_settings
from rxweave.readiness.words import duration, gigabytes
from rxweave.watch import Watch

STEPS_COMPARED = 3
"""Epochs after which the devices' vectors are held against each other: rounding alone, which later steps enlarge."""
MOST_DIFFERENCE = 0.01
"""Relative difference of the vectors above which two devices do not agree."""
_PAIRS = 20_000


@dataclass(frozen=True)
class Candidate:
    """A device to compare, and the name it is told by."""

    label: str
    device: str
    precision: str | None = None
    """Of the trainings that are timed and judged, None: as asked for; vectors are always compared in float32."""


@dataclass(frozen=True)
class Agreement:
    """How far a device's vectors are from the first device's, after the same steps with the same seed in float32."""

    reference: str
    relative_difference: float
    """Length of the difference of all vectors over the length of the reference's."""
    cosine_correlation: float
    """Pearson correlation of the cosines of the same random pairs of nodes."""


@dataclass(frozen=True)
class DeviceReport:
    """What one device did."""

    label: str
    device: str
    status: str
    reason: str
    """Why it was stopped or failed; empty if it was not."""
    attention: str
    precision: str
    epoch_seconds: float | None
    """Of the sample: the median after the first."""
    peak_gb: float | None
    """Of the sample: held by the process, or by its tensors on the CUDA device."""
    verdict: str
    effective_rank: dict[str, float]
    ranking: dict[str, tuple[float, float]]
    """Held-out ranking: the value and the degree prior's; empty where too few treatments are held out."""
    first: bool
    """Whether it is the device that the others are held against."""
    agreement: Agreement | None
    """None for the first device, and where either gave no vectors."""
    full_seconds: float | None
    """Of the full training, extrapolated from epochs of it on the whole graph."""
    full_epoch_seconds: float | None
    full_peak_gb: float | None
    fits: bool
    """Whether those epochs ended well within the device's memory."""
    share_of_others: float | None
    """Share of the processors that other processes took meanwhile (Linux): the times are too long by it."""
    note: str = ""
    """What was not as asked for; empty if all was."""

    @property
    def sound(self) -> bool:
        """Whether it may be recommended: it fits, has not collapsed, and agrees with the first device."""
        agreement = self.agreement
        agrees = self.first or (agreement is not None and agreement.relative_difference <= MOST_DIFFERENCE)
        return self.status == "measured" and self.fits and self.verdict != "collapsed" and agrees


@dataclass(frozen=True)
class DeviceComparison:
    """All devices side by side, and a recommendation."""

    graph: str
    nodes: int
    facts: int
    """Of the whole training graph."""
    sample_nodes: int
    sample_epochs: int
    epochs: int
    """Of the full training."""
    measured_epochs: int
    devices: tuple[DeviceReport, ...]
    recommended: str | None
    """A label; None when no device is sound."""
    sentence: str
    seed: int

    def plain(self) -> dict[str, Any]:
        """Give everything as plain values, for JSON."""
        told: dict[str, Any] = plain(self)
        return told


def candidates() -> tuple[Candidate, ...]:
    """Give every device present, the CPU first."""
    return tuple(Candidate(device, device) for device in devices_present())


def compare_devices(
    settings: RunSettings | None = None,
    *,
    measured_epochs: int = MEASURED_EPOCHS,
    time_limit: float = TIME_LIMIT,
    watch: Watch | None = None,
) -> DeviceComparison:
    """Train the same sample on every device present, and a few epochs of the whole graph, each in a process of its own.

    `settings` (default: `full`, on the demo graph) are those of the training that is to be planned; `embed.device` is
    left aside, and an `embed.attention` on devices where it cannot run. Raises ConfigError for a graph or settings that
    no training could work with.
    """
    settings = settings or RunSettings(preset="full")
    if measured_epochs < 2:
        raise ConfigError(f"measured_epochs is {measured_epochs}; expected 2 or more: the first epoch is set apart.")
    if not time_limit > 0:
        raise ConfigError(f"time_limit is {time_limit:g}; expected seconds above 0.")
    watch = watch or Watch()
    reports: list[DeviceReport] = []
    sizes: list[tuple[Outcome, Outcome]] = []
    first: tuple[str, Float32[np.ndarray, "nodes dim"] | None] | None = None
    for candidate in candidates():
        chosen, note = settings_on(candidate, settings.embed)
        if note:
            watch.note(f"{candidate.label}: {note}.")
        asked = settings.but(preset=None, embed=chosen)
        watch.stage(f"{candidate.label}: the sample")
        small = try_out(Trial(small_settings(asked), "validate"), Limits(None, time_limit), watch=watch)
        watch.stage(f"{candidate.label}: {STEPS_COMPARED} epochs in float32, for agreement")
        vectors = _vectors(small_settings(asked), time_limit)
        watch.stage(f"{candidate.label}: {measured_epochs} epochs on the whole graph")
        free_gb = free_memory_gb(settings.embed, choose_device(candidate.device))
        few = chosen.but(
            num_epochs=min(measured_epochs, chosen.num_epochs),
            on_collapse="warn",
            early_stopping=None,
            checkpoint_every=0,
        )
        limits = Limits(free_gb if candidate.device == "cpu" else None, time_limit)
        whole = try_out(Trial(asked.but(embed=few), "embed"), limits, watch=watch)
        agreement = None if first is None else agreement_of(vectors, first[1], reference=first[0])
        report = device_report(candidate, small, whole, agreement, settings.embed, first=first is None)
        reports.append(replace(report, note=note))
        first = first or (candidate.label, vectors)
        sizes.append((small, whole))
    small, whole = sizes[0]
    recommended = recommend(reports)
    return DeviceComparison(
        graph=whole.graph,
        nodes=whole.nodes,
        facts=whole.facts,
        sample_nodes=small.nodes,
        sample_epochs=len(small.history),
        epochs=settings.embed.num_epochs,
        measured_epochs=len(whole.history),
        devices=tuple(reports),
        recommended=None if recommended is None else recommended.label,
        sentence=recommendation(reports, recommended, settings.embed.num_epochs),
        seed=settings.seed,
    )


def settings_on(candidate: Candidate, asked: EmbedSettings) -> tuple[EmbedSettings, str]:
    """Give the settings asked for on one device, and what had to give way: an attention that cannot run there."""
    kind, head_dim = candidate.device.partition(":")[0], asked.hidden_dim // asked.num_heads
    hindrance = None if asked.attention == "auto" else why_not(asked.attention, device=kind, head_dim=head_dim)
    settings = asked.but(
        device=candidate.device,
        precision=candidate.precision or asked.precision,
        attention=asked.attention if hindrance is None else "auto",
    )
    if hindrance is None:
        return settings, ""
    return settings, f"attention={asked.attention} was asked for, but {hindrance}; auto instead"


def device_report(
    candidate: Candidate,
    small: Outcome,
    whole: Outcome,
    agreement: Agreement | None,
    asked: EmbedSettings,
    *,
    first: bool,
) -> DeviceReport:
    """Give what one device did, from the sample's trial and that of the whole graph."""
    judged = small.judgement
    measured = [epoch for epoch in small.history if epoch.effective_rank]
    return DeviceReport(
        label=candidate.label,
        device=small.device or candidate.device,
        status=small.status,
        reason=small.reason or whole.reason,
        attention=whole.attention or small.attention,
        precision=whole.precision or small.precision,
        epoch_seconds=small.epoch_seconds,
        peak_gb=small.peak_gb,
        verdict=judged.level if judged else "not judged",
        effective_rank=dict(measured[-1].effective_rank) if measured else {},
        ranking=dict(judged.ranking) if judged else {},
        first=first,
        agreement=agreement,
        full_seconds=whole.training_seconds(asked),
        full_epoch_seconds=whole.epoch_seconds,
        full_peak_gb=whole.peak_gb,
        fits=whole.status == "measured",
        share_of_others=whole.share_of_others,
    )


def agreement_of(
    vectors: Float32[np.ndarray, "nodes dim"] | None,
    theirs: Float32[np.ndarray, "nodes dim"] | None,
    *,
    reference: str,
) -> Agreement | None:
    """Hold vectors against a reference's; None where either is missing."""
    if vectors is None or theirs is None:
        return None
    rng = np.random.default_rng(0)
    first, second = rng.integers(len(theirs), size=(2, _PAIRS))
    cosines = [_cosines(each[first], each[second]) for each in (vectors, theirs)]
    return Agreement(
        reference,
        float(np.linalg.norm(vectors - theirs) / np.linalg.norm(theirs)),
        float(np.corrcoef(cosines)[0, 1]),
    )


def recommend(reports: Sequence[DeviceReport]) -> DeviceReport | None:
    """Give the sound device with the shortest full training; None when there is none."""
    sound = [(each.full_seconds, i) for i, each in enumerate(reports) if each.sound and each.full_seconds is not None]
    return reports[min(sound)[1]] if sound else None


def recommendation(reports: Sequence[DeviceReport], best: DeviceReport | None, num_epochs: int) -> str:
    """Give the recommendation in a sentence."""
    if best is None or best.full_seconds is None:
        told = "; ".join(f"{each.label}: {_fault(each)}" for each in reports)
        return f"No device can be recommended ({told})."
    cost = f"{num_epochs} epochs of the full training take about {duration(best.full_seconds)}"
    cost += f" and {gigabytes(best.full_peak_gb)} there"
    if len(reports) == 1:
        return f"{best.label} is the only device here, so there is nothing to compare it with: {cost}."
    others = [
        f"{each.label}: {_fault(each)}"
        if not each.sound or each.full_seconds is None
        else f"{each.label} takes {each.full_seconds / best.full_seconds:.1f} times as long"
        for each in reports
        if each is not best
    ]
    return f"Take {best.label}: {cost}; {'; '.join(others)}."


def _fault(report: DeviceReport) -> str:
    if report.status != "measured" or not report.fits:
        return report.reason.rstrip(".") or report.status
    if report.verdict == "collapsed":
        return "the sample's embeddings collapsed"
    if report.agreement is None:
        return "its vectors could not be held against those of the first device"
    difference, reference = report.agreement.relative_difference, report.agreement.reference
    return f"its vectors differ by {difference:.2%} from those of {reference} (at most {MOST_DIFFERENCE:.0%} expected)"


def _vectors(asked: RunSettings, time_limit: float) -> Float32[np.ndarray, "nodes dim"] | None:
    """The vectors of a sample after a few epochs in float32."""
    short = asked.embed.but(num_epochs=STEPS_COMPARED, precision="fp32")
    with tempfile.TemporaryDirectory(prefix="rxweave-vectors-") as folder:
        path = Path(folder) / "vectors.npy"
        try_out(Trial(asked.but(embed=short), "embed", vectors=str(path)), Limits(None, time_limit))
        if not path.exists():
            return None
        vectors: Float32[np.ndarray, "nodes dim"] = np.load(path)
        return vectors


def _cosines(
    first: Float32[np.ndarray, "pairs dim"], second: Float32[np.ndarray, "pairs dim"]
) -> Float32[np.ndarray, " pairs"]:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines: Float32[np.ndarray, " pairs"] = (first * second).sum(axis=1) / np.maximum(lengths, 1e-12)
    return cosines
