"""Trials of a tiny training, in this process or made up."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from rxweave.artifacts import plain
from rxweave.benchmark.outcome import Judgement, Outcome, outcome_of
from rxweave.benchmark.trial import Trial, attempt
from rxweave.benchmark.watched import Ending, Limits
from rxweave.config import RunSettings
from rxweave.embed.history import Epoch
from rxweave.kg.tables import Roles
from rxweave.settings import settings_from

TINY = settings_from(
    {"load.kg": "demo:400"},
    [
        "embed.embedding_dim=32",
        "embed.hidden_dim=16",
        "embed.feature_dim=16",
        "embed.num_heads=4",
        "embed.num_epochs=3",
        "embed.num_treatment_negatives=32",
        "embed.accumulation_steps=1",
        "rank.num_trees=5",
        "rank.num_draws=1",
        "embed.device=cpu",
    ],
)
WELL = Ending("measured", "", None)


def journal_of(trial: Trial) -> list[dict[str, Any]]:
    """What a trial tells, in this process."""
    started, lines = time.perf_counter(), []

    def tell(what: str, **figures: Any) -> None:
        lines.append({"what": what, "at": time.perf_counter() - started, **plain(figures)})

    attempt(trial, tell)
    return lines


def try_out_here(trial: Trial, limits: Limits, **_: object) -> Outcome:
    """A trial in this process in place of one of its own."""
    return outcome_of(WELL, journal_of(trial))


def epochs(number: int, *, first: float = 10.0, last: float = 5.0, rank: float = 40.0, seconds: float = 2.0) -> tuple:
    """A training whose loss falls in a line and whose rank is the same throughout."""
    totals = [first + (last - first) * i / max(number - 1, 1) for i in range(number)]
    return tuple(
        Epoch(i + 1, total, total, 0.0, total, seconds, {"drug": rank}, {}, {}, {"drug": 12.0})
        for i, total in enumerate(totals)
    )


SMALL = Outcome(
    status="measured",
    reason="",
    graph="made-up",
    nodes=5000,
    facts=40_000,
    roles=Roles("drug", "disease", "gene", ("treats",)),
    history=epochs(20),
    stages={"load": 1.0, "split": 1.0, "embed": 45.0, "validate": 3.0},
    unfinished="",
    device="cpu",
    attention="csr",
    precision="fp32",
    judgement=Judgement("good", {"drug": "good"}, (), 100, {"MRR of drugs": (0.3, 0.1), "MRR of diseases": (0.4, 0.1)}),
    peak_gb=0.7,
    process_peak_gb=0.7,
    planned_gb=0.6,
    share_of_others=0.0,
)
WHOLE = replace(
    SMALL,
    nodes=50_000,
    facts=2_000_000,
    history=epochs(3, seconds=6.0),
    stages={"load": 10.0, "split": 1.0, "embed": 38.0, "validate": 20.0, "rank": 10.0, "report": 5.0},
    judgement=None,
    peak_gb=3.0,
    process_peak_gb=3.0,
)


def settings_of(*overrides: str, **named: object) -> RunSettings:
    return settings_from({name.replace("__", "."): value for name, value in named.items()}, overrides)
