"""Trials: what they tell, what is made of it, and what a whole training is taken to cost."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rxweave.benchmark.outcome import outcome_of, try_out
from rxweave.benchmark.trial import Trial, main
from rxweave.benchmark.watched import Ending, Limits
from rxweave.config import EmbedSettings
from rxweave.embed.measures import is_due
from rxweave.embed.memory_plan import MemoryPlanError
from rxweave.errors import ConfigError, TrainingError
from rxweave.watch import Watch
from trials import TINY, WELL, epochs, journal_of


def test_a_trial_validates_like_a_run() -> None:
    lines = journal_of(Trial(TINY, "validate"))
    whats = [line["what"] for line in lines]
    assert whats == [*["stage"] * 3, "graph", *["epoch"] * 3, "planned", "trained", "stage", "verdict", "done"]
    outcome = outcome_of(WELL, lines)
    assert (outcome.status, outcome.nodes, len(outcome.history)) == ("measured", 400, 3)
    assert list(outcome.stages) == ["load", "split", "embed", "validate"]
    assert (outcome.device, outcome.attention, outcome.precision) == ("cpu", "csr", "fp32")
    assert outcome.peak_gb is not None
    assert outcome.planned_gb is not None
    assert outcome.planned_gb > 0.1
    assert outcome.roles is not None
    assert outcome.roles.drug == "drug"
    assert outcome.judgement is not None
    assert outcome.judgement.level in ("good", "warning", "collapsed")
    measuring = [epoch.measuring_seconds for epoch in outcome.history]
    assert all(0 < m < epoch.seconds for m, epoch in zip(measuring, outcome.history, strict=True))


def test_the_whole_road_is_timed_stage_by_stage_and_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    outcome = outcome_of(WELL, journal_of(Trial(TINY, "run")))
    assert list(outcome.stages)[:4] == ["load", "split", "embed", "validate"]
    assert list(outcome.stages)[-1] == "report"
    assert list(tmp_path.iterdir()) == []


def test_the_made_up_graph_is_sampled_and_the_vectors_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    settings = TINY.but(load=TINY.load.but(limit_nodes=90))
    outcome = outcome_of(WELL, journal_of(Trial(settings, "embed", scale=0.001, vectors=str(path))))
    assert outcome.nodes == 90
    assert np.load(path).shape == (90, 32)
    assert outcome.judgement is None


def test_a_sample_with_too_few_treatments_is_judged_without_its_ranking() -> None:
    """40 nodes of the demo graph keep no treatment to speak of; without a limit that is an error."""
    settings = TINY.but(load=TINY.load.but(limit_nodes=40))
    judged = outcome_of(WELL, journal_of(Trial(settings, "validate"))).judgement
    assert judged is not None
    assert judged.num_ranked < 5
    assert judged.ranking == {}


def test_a_trial_survives_the_command_line(tmp_path: Path) -> None:
    trial = Trial(TINY, "embed", scale=0.001, vectors="v.npy")
    asked = trial.command(tmp_path / "journal.jsonl")
    assert asked[1:3] == ["-m", "rxweave.benchmark.trial"]
    assert Trial.from_json(asked[3]) == trial


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (TrainingError("the loss is nan"), "failed"),
        (ConfigError("no such thing"), "refused"),
        (MemoryPlanError("holds about 9 GB"), "out of memory"),
    ],
)
def test_what_went_wrong_is_told(tmp_path: Path, monkeypatch, error: Exception, what: str) -> None:
    def raises(*_: object) -> None:
        raise error

    monkeypatch.setattr("rxweave.benchmark.trial.run_trial", raises)
    journal = tmp_path / "journal.jsonl"
    monkeypatch.setattr(sys, "argv", Trial(TINY, "embed").command(journal)[2:])
    main()
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["reason"] for line in lines] == [str(error)]
    if what == "refused":
        with pytest.raises(ConfigError, match="no such thing"):
            outcome_of(WELL, lines)
    else:
        outcome = outcome_of(WELL, lines)
        assert (outcome.status, outcome.reason) == (what, str(error))


def test_a_process_of_its_own_is_followed_while_it_works() -> None:
    told = []

    class Told(Watch):
        def progress(self, what: str, share: float) -> None:
            told.append((what, share))

    outcome = try_out(Trial(TINY, "embed"), Limits(None, 300.0), threads=1, watch=Told())
    assert outcome.status == "measured"
    assert [what for what, _ in told] == ["load", "split", "embed", *(f"epoch {i} of 3" for i in (1, 2, 3))]
    assert told[-1][1] == 1.0


def test_time_is_what_was_measured_times_what_is_left() -> None:
    """Preparation 8 s, a first epoch of 9 s (3 of measuring), then 5 and 7 s of steps, each with 3 s of measuring."""
    history = tuple(
        replace(epoch, seconds=seconds + 3.0, measuring_seconds=3.0)
        for epoch, seconds in zip(epochs(3), (6.0, 5.0, 7.0), strict=True)
    )
    stages = [("load", 0.0), ("embed", 2.0), ("validate", 2.0 + 8.0 + 27.0)]
    lines = [{"what": "stage", "stage": name, "at": at} for name, at in stages]
    lines += [{"what": "epoch", "at": 5.0, "epoch": vars(epoch)} for epoch in history]
    outcome = outcome_of(WELL, [*lines, {"what": "done", "at": 40.0, "peak": 2_000_000_000}])
    assert outcome.stages == pytest.approx({"load": 2.0, "embed": 35.0, "validate": 3.0})
    assert outcome.epoch_seconds == 6.0
    assert sum(is_due(number, 100) for number in range(1, 101)) == 10
    expected = 8.0 + 6.0 + 99 * 6.0 + 10 * 3.0
    assert outcome.training_seconds(EmbedSettings()) == pytest.approx(expected)
    assert outcome.seconds(EmbedSettings()) == pytest.approx(expected + 2.0 + 3.0)
    rarely = EmbedSettings(measure_every=40)  # after epochs 40, 80 and 100
    assert outcome.training_seconds(rarely) == pytest.approx(expected - 7 * 3.0)
    assert outcome.peak_gb == 2.0


def test_a_trial_that_was_stopped_leaves_what_it_measured() -> None:
    lines = [{"what": "stage", "stage": "embed", "at": 1.0}]
    lines += [{"what": "epoch", "at": 3.0, "epoch": vars(epoch)} for epoch in epochs(2)]
    outcome = outcome_of(Ending("stopped", "passed the time limit of 9 s after 9 s", 1_500_000_000), lines)
    assert (outcome.status, outcome.unfinished) == ("stopped", "embed")
    assert outcome.training_seconds(EmbedSettings(num_epochs=10)) == pytest.approx(2.0 + 9 * 2.0)
    assert outcome.peak_gb == 1.5
    nothing = outcome_of(Ending("stopped", "passed the time limit of 1 s after 1 s", None), [])
    assert nothing.training_seconds(EmbedSettings(num_epochs=10)) is None


@pytest.mark.parametrize(
    "reason",
    [
        "passed the memory limit of 2 GB after 7 s",
        "was ended by SIGKILL; the system was probably out of memory",
        "Memory ran out while passing messages (DefaultCPUAllocator). Lower hidden_dim.",
    ],
)
def test_running_out_of_memory_is_known_for_what_it_is(reason: str) -> None:
    stopped = outcome_of(Ending("stopped", reason, None), [])
    told = outcome_of(WELL, [{"what": "failed", "at": 1.0, "reason": reason, "status": "failed"}])
    assert stopped.status == told.status == "out of memory"
