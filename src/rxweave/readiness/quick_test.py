"""Is this machine, and is this graph, ready for the full run, and how long will that take?

Two trials, each in a process of its own. A small training, of the size of preset `quick`, is judged as a run's
embeddings are. A few real epochs on the whole graph, and every stage of a run behind them, tell time and memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rxweave.artifacts import plain
from rxweave.benchmark.outcome import Outcome, try_out
from rxweave.benchmark.tables import BUSY
from rxweave.benchmark.trial import Trial
from rxweave.benchmark.watched import Limits
from rxweave.config import PRESETS, EmbedSettings, LoadSettings, RunSettings
from rxweave.embed.device import choose_device
from rxweave.embed.free_memory import device_free
from rxweave.errors import ConfigError
from rxweave.readiness.checks import (
    Check,
    FullRun,
    SmallRun,
    full_run,
    loss_check,
    memory_check,
    rank_check,
    small_run,
    training_check,
    verdict_checks,
)
from rxweave.readiness.words import duration, gigabytes, listed
from rxweave.watch import Watch

MEASURED_EPOCHS = 3
"""On the whole graph; the first is set apart, since it compiles and touches memory for the first time."""
TIME_LIMIT = 1800.0


@dataclass(frozen=True)
class QuickTest:
    """Whether machine and graph are ready, in one sentence, and everything it rests on."""

    ready: bool
    sentence: str
    checks: tuple[Check, ...]
    small: SmallRun | None
    """None when not one epoch of it was finished."""
    full: FullRun
    device: str
    seed: int

    def plain(self) -> dict[str, Any]:
        """Give everything as plain values, for JSON."""
        told: dict[str, Any] = plain(self)
        return told


def quick_test(
    settings: RunSettings | None = None,
    *,
    measured_epochs: int = MEASURED_EPOCHS,
    time_limit: float = TIME_LIMIT,
    watch: Watch | None = None,
) -> QuickTest:
    """Say whether a run with these settings (default: `full`, on the demo graph) is likely to work, and what it takes.

    Trains a sample of at most 5,000 nodes for at most 20 epochs with the settings otherwise as given, and
    `measured_epochs` on the whole graph; each trial ends after `time_limit` seconds. Takes minutes; writes nothing that
    stays. Raises ConfigError for a graph or settings that no run could work with.
    """
    settings = settings or RunSettings(preset="full")
    if measured_epochs < 2:
        raise ConfigError(f"measured_epochs is {measured_epochs}; expected 2 or more: the first epoch is set apart.")
    if not time_limit > 0:
        raise ConfigError(f"time_limit is {time_limit:g}; expected seconds above 0.")
    watch = watch or Watch()
    device = choose_device(settings.embed.device)
    watch.stage(f"small training: {small_settings(settings).embed.num_epochs} epochs on a sample")
    small = try_out(Trial(small_settings(settings), "validate"), Limits(None, time_limit), watch=watch)
    measured_epochs = min(measured_epochs, settings.embed.num_epochs)
    watch.stage(f"full run: {measured_epochs} epochs on the whole graph, and every stage behind them")
    free_gb = free_memory_gb(settings.embed, device)
    limits = Limits(free_gb if device.type == "cpu" else None, time_limit)
    few = settings.embed.but(num_epochs=measured_epochs, on_collapse="warn", early_stopping=None, checkpoint_every=0)
    whole = try_out(Trial(settings.but(embed=few, preset=None), "run"), limits, watch=watch)
    return report(settings, small, whole, free_gb=free_gb, device=str(device))


def free_memory_gb(asked: EmbedSettings, device: torch.device) -> float | None:
    """Give the memory a training may take, in 10^9 bytes: as the settings allow, or what is free; None if untold."""
    if asked.memory_limit_gb is not None:
        return asked.memory_limit_gb
    free = device_free(device)
    return None if free is None else free / 1e9


def small_settings(settings: RunSettings) -> RunSettings:
    """Give the settings of the small training: those asked for, on the sample and for the epochs of preset `quick`."""
    quick = PRESETS["quick"]
    nodes = LoadSettings(**quick["load"]).limit_nodes
    epochs = EmbedSettings(**quick["embed"]).num_epochs
    asked = settings.load.limit_nodes
    return settings.but(
        preset=None,
        load=settings.load.but(limit_nodes=nodes if asked is None else min(asked, nodes or asked)),
        embed=settings.embed.but(
            num_epochs=min(epochs, settings.embed.num_epochs), on_collapse="warn", early_stopping=None
        ),
    )


def report(settings: RunSettings, small: Outcome, whole: Outcome, *, free_gb: float | None, device: str) -> QuickTest:
    """Give the test's result from what both trials showed."""
    full = full_run(whole, settings.embed, free_gb)
    sample = small_run(small)
    checks = [memory_check(whole, full), training_check(small)]
    if sample is not None:
        checks += [loss_check(sample), rank_check(small), *verdict_checks(sample)]
    failed = [check.told for check in checks if not check.passed]
    return QuickTest(
        ready=not failed,
        sentence=_sentence(failed, full, sample),
        checks=tuple(checks),
        small=sample,
        full=full,
        device=whole.device or small.device or device,
        seed=settings.seed,
    )


def _sentence(failed: Sequence[str], full: FullRun, sample: SmallRun | None) -> str:
    """The answer in one sentence."""
    cost = _cost(full)
    if failed:
        return f"Not ready: {'; '.join(failed)}{f'; {cost}' if full.seconds is not None else ''}."
    assert sample is not None
    shown = f"a sample of {sample.nodes:,} nodes learnt for {sample.epochs} epochs without collapsing"
    if sample.verdict == "warning":
        shown += " but with warnings, as a short training on a thin sample often has"
    return f"Ready: {cost}; {shown}."


def _cost(full: FullRun) -> str:
    if full.seconds is None:
        return "how long the full run takes is not known"
    what = f"the full run on {full.graph} ({full.nodes:,} nodes, {full.facts:,} facts, {full.epochs} epochs)"
    memory = gigabytes(full.peak_gb) + ("" if full.free_gb is None else f" of the {gigabytes(full.free_gb)} free")
    without = (
        f", without {listed(full.not_measured)}, which {'was' if len(full.not_measured) == 1 else 'were'} not reached"
    )
    busy = full.share_of_others or 0.0
    quiet = f" (less on a quiet machine: others took {busy:.0%} of the processors)" if busy > BUSY else ""
    time = f"{duration(full.seconds)}{quiet}{without if full.not_measured else ''}"
    return f"{what} will take about {time} and {memory}"
