"""The quick test: what makes machine and graph ready, what does not, and how that is said."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

import rxweave
from rxweave.benchmark.outcome import Outcome
from rxweave.cli import main
from rxweave.errors import ConfigError
from rxweave.readiness import quick_test as testing
from rxweave.readiness.quick_test import QuickTest, report, small_settings
from rxweave.readiness.words import duration, gigabytes, listed
from trials import SMALL, TINY, WHOLE, epochs, settings_of, try_out_here

FULL = settings_of(preset="full")


def result(small: Outcome = SMALL, whole: Outcome = WHOLE, *, free_gb: float | None = 16.0) -> QuickTest:
    return report(FULL, small, whole, free_gb=free_gb, device="cpu")


def failed(found: QuickTest) -> list[str]:
    assert found.ready == (not any(not check.passed for check in found.checks))
    assert found.sentence.startswith("Ready: " if found.ready else "Not ready: ")
    assert found.sentence.count("\n") == 0
    return [check.name for check in found.checks if not check.passed]


def test_a_good_sample_and_a_run_that_fits_are_ready() -> None:
    found = result()
    assert failed(found) == []
    seconds = 20.0 + 6.0 + 99 * 6.0 + 10.0 + 1.0 + 20.0 + 10.0 + 5.0
    assert found.full.seconds == pytest.approx(seconds)
    assert found.full.not_measured == ()
    assert "made-up (50,000 nodes, 2,000,000 facts, 100 epochs)" in found.sentence
    assert "about 11 min and 3.0 GB of the 16.0 GB free" in found.sentence
    assert found.checks[0].told == (
        "the full run holds 3.0 GB (0.6 GB predicted for its training) of the 16.0 GB that are free"
    )
    assert [check.name for check in found.checks] == [
        "memory", "training", "loss", "effective ranks", "verdict", "ranking",
    ]  # fmt: skip


def test_a_warning_after_few_epochs_is_no_hindrance_and_is_told() -> None:
    warned = replace(SMALL.judgement, level="warning", problems=("warning: drug: rank_ratio 0.2",))
    found = result(replace(SMALL, judgement=warned))
    assert failed(found) == []
    assert "but with warnings, as a short training on a thin sample often has" in found.sentence


@pytest.mark.parametrize(
    ("small", "whole", "name", "told"),
    [
        (
            replace(
                SMALL,
                judgement=replace(SMALL.judgement, level="collapsed", problems=("collapsed: drug: mean_cosine 0.99.",)),
            ),
            WHOLE,
            "verdict",
            "collapsed (collapsed: drug: mean_cosine 0.99)",
        ),
        (replace(SMALL, history=epochs(20, first=5.0, last=5.0)), WHOLE, "loss", "the loss does not fall"),
        (replace(SMALL, history=epochs(20, first=5.0, last=9.0)), WHOLE, "loss", "the loss does not fall"),
        (replace(SMALL, history=epochs(20, rank=9.0)), WHOLE, "effective ranks", "drug 9.0, alarm below 12.0"),
        (
            replace(SMALL, judgement=replace(SMALL.judgement, ranking={"MRR": (0.05, 0.1), "MRR 2": (0.1, 0.2)})),
            WHOLE,
            "ranking",
            "below the degree prior",
        ),
        (replace(SMALL, status="failed", reason="the gradient is nan"), WHOLE, "training", "the gradient is nan"),
        (SMALL, replace(WHOLE, status="out of memory", reason="passed the memory limit"), "memory", "does not fit"),
        (SMALL, replace(WHOLE, peak_gb=20.0), "memory", "holds 20.0 GB, and 16.0 GB are free"),
        (SMALL, replace(WHOLE, status="failed", reason="the loss is nan"), "memory", "the loss is nan"),
        (
            SMALL,
            replace(WHOLE, status="stopped", reason="passed the time limit", history=(), stages={}),
            "memory",
            "could not be measured",
        ),
    ],
)
def test_each_condition_can_fail(small: Outcome, whole: Outcome, name: str, told: str) -> None:
    found = result(small, whole)
    assert failed(found) == [name]
    assert told in found.sentence


def test_ranking_beaten_on_one_side_only_and_ranking_not_asked_about_both_pass() -> None:
    one_side = replace(SMALL.judgement, ranking={"MRR": (0.05, 0.1), "MRR 2": (0.3, 0.2)})
    assert failed(result(replace(SMALL, judgement=one_side))) == []
    thin = replace(SMALL.judgement, num_ranked=2, ranking={})
    found = result(replace(SMALL, judgement=thin))
    assert failed(found) == []
    assert "holds out 2 treatments, too few" in next(c.told for c in found.checks if c.name == "ranking")


def test_stages_that_were_not_reached_are_named() -> None:
    stages = {"load": 10.0, "split": 1.0, "embed": 38.0}
    found = result(whole=replace(WHOLE, status="stopped", reason="passed the time limit", stages=stages))
    assert found.full.not_measured == ("validate", "rank", "report")
    assert "without validate, rank and report, which were not reached" in found.sentence


def test_time_on_a_busy_machine_is_said_to_be_too_long() -> None:
    assert "quiet machine" not in result().sentence
    assert (
        "about 11 min (less on a quiet machine: others took 40%"
        in result(whole=replace(WHOLE, share_of_others=0.4)).sentence
    )


def test_a_training_that_never_began_is_not_ready() -> None:
    gone = replace(SMALL, status="out of memory", reason="was ended by SIGKILL", history=(), judgement=None)
    found = result(gone, replace(WHOLE, status="stopped", reason="passed the time limit", history=(), stages={}))
    assert failed(found) == ["memory", "training"]
    assert found.small is None
    assert json.dumps(found.plain())


def test_the_small_training_is_that_of_quick_with_everything_else_as_asked() -> None:
    asked = settings_of("embed.hidden_dim=128", preset="high_quality", load__kg="demo:9000")
    small = small_settings(asked)
    assert (small.load.limit_nodes, small.embed.num_epochs) == (5000, 20)
    assert (small.embed.hidden_dim, small.embed.learning_rate) == (128, 0.0005)
    fewer = small_settings(settings_of("load.limit_nodes=300", "embed.num_epochs=4"))
    assert (fewer.load.limit_nodes, fewer.embed.num_epochs) == (300, 4)


def test_it_measures_on_a_real_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def here(trial, limits, **more):
        asked.append(trial)
        return try_out_here(trial, limits, **more)

    monkeypatch.setattr(testing, "try_out", here)
    settings = TINY.but(load=TINY.load.but(limit_nodes=380), embed=TINY.embed.but(num_epochs=30))
    found = rxweave.quick_test(settings, measured_epochs=2)
    assert [trial.part for trial in asked] == ["validate", "run"]
    assert [trial.settings.embed.num_epochs for trial in asked] == [20, 2]
    assert found.small is not None
    assert (found.small.nodes, found.small.epochs) == (380, 20)
    assert (found.full.measured_epochs, found.full.epochs) == (2, 30)
    assert found.full.seconds is not None
    assert found.full.training_seconds is not None
    assert found.full.training_seconds < found.full.seconds
    assert found.small.last_loss < found.small.first_loss


@pytest.mark.slow
def test_constant_features_are_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training that collapses by construction: every node of a type starts alike."""
    monkeypatch.setattr(testing, "try_out", try_out_here)
    settings = TINY.but(embed=TINY.embed.but(features="constant", num_epochs=20, embedding_dim=64, hidden_dim=32))
    found = rxweave.quick_test(settings, measured_epochs=2)
    assert not found.ready
    assert "verdict" in failed(found)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rxweave", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return call


def test_the_command_exits_0_when_ready_and_1_when_not(command, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[Outcome] = []
    monkeypatch.setattr(testing, "try_out", lambda *_, **__: outcomes.pop(0))
    outcomes += [SMALL, replace(WHOLE, peak_gb=0.001)]
    code, out, _ = command("quick-test", "--seed", 3)
    assert code == 0
    assert out.rstrip().splitlines()[-1].startswith("Ready: ")
    outcomes += [SMALL, replace(WHOLE, status="out of memory", reason="passed the memory limit")]
    code, out, _ = command("quick-test", "--json")
    told = json.loads(out)
    assert (code, told["ready"]) == (1, False)
    assert {"ready", "sentence", "checks", "small", "full", "device", "seed"} == set(told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kg", "/nowhere/kg.csv"], "kg.csv"),
        (["-o", "embed.num_epoch=3"], "Closest: 'embed.num_epochs'"),
        (["--measured-epochs", "1"], "measured_epochs is 1"),
        (["--time-limit", "0"], "time_limit is 0"),
        (["--device", "gpu"], "device is 'gpu'"),
    ],
)
def test_bad_input_exits_2_with_one_message(command, monkeypatch, arguments: list[str], message: str) -> None:
    monkeypatch.setattr(testing, "try_out", _refusing)
    code, out, err = command("quick-test", *arguments)
    assert (code, out) == (2, "")
    assert err.count("rxweave: ") == 1
    assert message in err
    assert "Traceback" not in err


def _refusing(trial, limits, **_):
    """As `try_out` does when the trial's process finds no graph."""
    raise ConfigError(f"There is no file or folder {trial.settings.load.kg}.")


def test_times_and_amounts_in_words() -> None:
    assert [duration(s) for s in (42.4, 89.0, 600.0, 5400.0, 12600.0)] == ["42 s", "89 s", "10 min", "1.5 h", "3.5 h"]
    assert gigabytes(2.94) == "2.9 GB"
    assert "does not tell" in gigabytes(None)
    assert [listed(names) for names in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == ["", "a", "a and b", "a, b and c"]


def test_a_run_that_the_memory_plan_refuses_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real refusal of the real plan: less is allowed than the process holds before it begins."""
    monkeypatch.setattr(testing, "try_out", try_out_here)
    found = rxweave.quick_test(TINY.but(embed=TINY.embed.but(memory_limit_gb=0.01)))
    assert failed(found) == ["memory", "training"]
    assert "does not fit into memory (0.0 GB free): Training would hold about" in found.sentence
