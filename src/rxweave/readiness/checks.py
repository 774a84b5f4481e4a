"""What the two trials of a quick test showed, and the conditions of being ready, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rxweave.benchmark.outcome import Outcome
from rxweave.benchmark.trial import FEWEST_RANKED
from rxweave.config import EmbedSettings
from rxweave.embed.guards import LEAST_FALL, WINDOW, collapsing_types
from rxweave.embed.history import Epoch
from rxweave.readiness.words import gigabytes, listed

ALL_STAGES = ("load", "split", "embed", "validate", "rank", "report")


@dataclass(frozen=True)
class Check:
    """One condition of being ready."""

    name: str
    passed: bool
    told: str
    """What was found and what was expected, in a sentence."""


@dataclass(frozen=True)
class FullRun:
    """What the full run will cost."""

    graph: str
    nodes: int
    facts: int
    epochs: int
    seconds: float | None
    """Of the whole run, as far as its stages were measured; None when not even one epoch was."""
    training_seconds: float | None
    epoch_seconds: float | None
    stages: dict[str, float]
    """Seconds of every stage in the trial, whose training had `measured_epochs`."""
    not_measured: tuple[str, ...]
    """Stages whose time is not in `seconds`."""
    measured_epochs: int
    how: str
    """How time and memory were found out."""
    peak_gb: float | None
    """Most memory held, in 10^9 bytes: by the process, or on the CUDA device."""
    planned_gb: float | None
    """What training was predicted to hold."""
    free_gb: float | None
    """What there was to hold it, before the trial began."""
    share_of_others: float | None
    """Share of the processors that other processes took meanwhile (Linux): the times are too long by it."""


@dataclass(frozen=True)
class SmallRun:
    """What the small training showed."""

    nodes: int
    facts: int
    epochs: int
    seconds: float
    first_loss: float
    last_loss: float
    effective_rank: dict[str, float]
    rank_alarm: dict[str, float]
    verdict: str
    problems: tuple[str, ...]
    held_out_ranked: int
    ranking: dict[str, tuple[float, float]]
    """Measures of held-out ranking: the value and the degree prior's."""


def full_run(whole: Outcome, asked: EmbedSettings, free_gb: float | None) -> FullRun:
    measured = len(whole.history)
    missing = tuple(stage for stage in ALL_STAGES if stage not in whole.stages and not (stage == "embed" and measured))
    how = (
        f"{measured} epochs of the real training on the whole graph; later epochs take the median of those after the "
        f"first, {listed([stage for stage in whole.stages if stage != 'embed'])} as they were"
        if measured
        else "not one epoch on the whole graph was finished"
    )
    return FullRun(
        graph=whole.graph,
        nodes=whole.nodes,
        facts=whole.facts,
        epochs=asked.num_epochs,
        seconds=whole.seconds(asked),
        training_seconds=whole.training_seconds(asked),
        epoch_seconds=whole.epoch_seconds,
        stages=dict(whole.stages),
        not_measured=missing,
        measured_epochs=measured,
        how=how,
        peak_gb=whole.peak_gb,
        planned_gb=whole.planned_gb,
        free_gb=free_gb,
        share_of_others=whole.share_of_others,
    )


def small_run(small: Outcome) -> SmallRun | None:
    if not small.history:
        return None
    measured = [epoch for epoch in small.history if epoch.effective_rank]
    last = measured[-1] if measured else small.history[-1]
    judged = small.judgement
    first_loss, last_loss = _losses(small.history)
    return SmallRun(
        nodes=small.nodes,
        facts=small.facts,
        epochs=len(small.history),
        seconds=sum(small.stages.values()),
        first_loss=first_loss,
        last_loss=last_loss,
        effective_rank=dict(last.effective_rank),
        rank_alarm=dict(last.rank_alarm),
        verdict=judged.level if judged else "not judged",
        problems=judged.problems if judged else (),
        held_out_ranked=judged.num_ranked if judged else 0,
        ranking=dict(judged.ranking) if judged else {},
    )


def _losses(history: Sequence[Epoch]) -> tuple[float, float]:
    """The mean total loss of the first and of the last epochs: five each, fewer where they would meet."""
    window = max(1, min(WINDOW, len(history) // 2))
    totals = [epoch.total for epoch in history]
    return float(np.mean(totals[:window])), float(np.mean(totals[-window:]))


def memory_check(whole: Outcome, full: FullRun) -> Check:
    free = gigabytes(full.free_gb)
    if whole.status == "out of memory":
        return Check(
            "memory",
            passed=False,
            told=f"the full run does not fit into memory ({free} free): {whole.reason.rstrip('.')}",
        )
    if whole.status != "measured" and not whole.history:
        return Check("memory", passed=False, told=f"the full run could not be measured: {whole.reason.rstrip('.')}")
    if full.peak_gb is not None and full.free_gb is not None and full.peak_gb > full.free_gb:
        return Check("memory", passed=False, told=f"the full run holds {gigabytes(full.peak_gb)}, and {free} are free")
    if whole.status == "failed":
        return Check("memory", passed=False, told=f"the full run fails: {whole.reason.rstrip('.')}")
    predicted = "" if full.planned_gb is None else f" ({gigabytes(full.planned_gb)} predicted for its training)"
    told = f"the full run holds {gigabytes(full.peak_gb)}{predicted} of the {free} that are free"
    return Check("memory", passed=True, told=told)


def training_check(small: Outcome) -> Check:
    if small.status == "measured":
        return Check("training", passed=True, told=f"{len(small.history)} epochs of the sample were trained and judged")
    return Check("training", passed=False, told=f"the small training did not end well: {small.reason.rstrip('.')}")


def loss_check(sample: SmallRun) -> Check:
    told = f"from {sample.first_loss:.3f} to {sample.last_loss:.3f} in {sample.epochs} epochs of the sample"
    if sample.epochs < 2 or sample.last_loss <= (1 - LEAST_FALL) * sample.first_loss:
        return Check("loss", passed=True, told=f"the loss went {told}")
    return Check("loss", passed=False, told=f"the loss does not fall ({told}; expected {LEAST_FALL:.0%} or more)")


def rank_check(small: Outcome) -> Check:
    low = [] if small.roles is None else collapsing_types(small.history, small.roles)
    if not low:
        return Check(
            "effective ranks",
            passed=True,
            told="the effective ranks of drugs and diseases are above their alarms or rise",
        )
    last = [epoch for epoch in small.history if epoch.rank_alarm][-1]
    each = [f"{name} {last.effective_rank[name]:.1f}, alarm below {last.rank_alarm[name]:.1f}" for name in low]
    return Check("effective ranks", passed=False, told=f"effective ranks fall to those of collapse ({'; '.join(each)})")


def verdict_checks(sample: SmallRun) -> list[Check]:
    """Collapse of the sample, and its held-out ranking where enough was held out to tell it from chance."""
    if sample.verdict == "collapsed":
        collapsed = [each for each in sample.problems if each.startswith("collapsed")]
        verdict = Check("verdict", passed=False, told=f"the sample's embeddings collapsed ({collapsed[0].rstrip('.')})")
    else:
        verdict = Check("verdict", passed=True, told=f"the sample's verdict is {sample.verdict}")
    if not sample.ranking:
        few = f"the sample holds out {sample.held_out_ranked} treatments, too few to ask how they are ranked"
        return [verdict, Check("ranking", passed=True, told=f"{few} ({FEWEST_RANKED} are needed)")]
    told = [f"{name} {value:.3f}, degree prior {prior:.3f}" for name, (value, prior) in sample.ranking.items()]
    beaten = any(value >= prior for value, prior in sample.ranking.values())
    head = "held-out treatments are ranked" if beaten else "held-out treatments are ranked below the degree prior"
    return [verdict, Check("ranking", passed=beaten, told=f"{head}: {'; '.join(told)}")]
