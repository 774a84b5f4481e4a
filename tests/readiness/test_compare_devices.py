"""Devices side by side: agreement by hand, who is recommended and why, and the whole comparison on what is here."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import rxweave
from rxweave.cli import main
from rxweave.config import EmbedSettings
from rxweave.embed.device import devices_present
from rxweave.errors import ConfigError
from rxweave.readiness import devices as comparing
from rxweave.readiness.devices import (
    Agreement,
    Candidate,
    DeviceReport,
    agreement_of,
    device_report,
    recommend,
    recommendation,
    settings_on,
)
from rxweave.watch import Watch
from trials import SMALL, TINY, WHOLE, try_out_here

CPU = Candidate("cpu", "cpu")
SLOW = device_report(CPU, SMALL, WHOLE, None, EmbedSettings(), first=True)
AGREES = Agreement("cpu", 1e-5, 1.0)
FAST = replace(SLOW, label="cuda", device="cuda", first=False, agreement=AGREES, full_seconds=60.0)


def test_agreement_is_the_relative_difference_and_the_likeness_of_cosines() -> None:
    rng = np.random.default_rng(1)
    theirs = rng.standard_normal((200, 8)).astype(np.float32)
    same = agreement_of(theirs, theirs, reference="cpu")
    assert same is not None
    assert (same.reference, same.relative_difference) == ("cpu", 0.0)
    assert same.cosine_correlation == pytest.approx(1.0)
    longer = agreement_of(1.1 * theirs, theirs, reference="cpu")
    assert longer is not None
    assert longer.relative_difference == pytest.approx(0.1, rel=1e-4)
    assert longer.cosine_correlation == pytest.approx(1.0)  # lengths alone differ
    other = agreement_of(rng.standard_normal((200, 8)).astype(np.float32), theirs, reference="cpu")
    assert other is not None
    assert other.relative_difference == pytest.approx(np.sqrt(2), rel=0.1)
    assert abs(other.cosine_correlation) < 0.1
    assert agreement_of(None, theirs, reference="cpu") is None


def test_the_fastest_sound_device_is_recommended() -> None:
    assert recommend([SLOW, FAST]) is FAST
    told = recommendation([SLOW, FAST], FAST, 100)
    assert told.startswith("Take cuda: 100 epochs of the full training take about 60 s and 3.0 GB there")
    assert f"cpu takes {SLOW.full_seconds / 60:.1f} times as long" in told


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"verdict": "collapsed"}, "the sample's embeddings collapsed"),
        ({"fits": False, "reason": "CUDA out of memory."}, "CUDA out of memory"),
        ({"status": "failed", "reason": "the loss is nan"}, "the loss is nan"),
        ({"agreement": Agreement("cpu", 0.2, 0.9)}, "differ by 20.00% from those of cpu"),
        ({"agreement": None}, "its vectors could not be held against those of the first device"),
    ],
)
def test_a_fast_device_with_a_fault_is_not_recommended(changes: dict, why: str) -> None:
    faulty = replace(FAST, **changes)
    assert recommend([SLOW, faulty]) is SLOW
    assert why in recommendation([SLOW, faulty], SLOW, 100)
    alone = faulty
    assert recommend([alone]) is None
    assert recommendation([alone], None, 100).startswith("No device can be recommended (cuda: ")


def test_one_device_says_so_and_is_reported_all_the_same() -> None:
    told = recommendation([SLOW], SLOW, 100)
    assert told.startswith("cpu is the only device here")
    assert "100 epochs of the full training take about 10 min and 3.0 GB" in told


def test_what_is_present_begins_with_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert devices_present() == ("cpu",)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices_present() == ("cpu", "mps")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices_present() == ("cpu", "cuda:0", "cuda:1", "mps")


def test_two_devices_are_compared_on_a_real_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU under two names: its vectors are the same, bit for bit; in bfloat16 only the timed trainings differ."""
    monkeypatch.setattr(comparing, "try_out", try_out_here)
    monkeypatch.setattr(comparing, "candidates", lambda: (CPU, Candidate("cpu bf16", "cpu", "bf16")))
    found = rxweave.compare_devices(TINY, measured_epochs=2)
    first, second = found.devices
    assert first.agreement is None
    assert second.agreement is not None
    assert (second.agreement.reference, second.agreement.relative_difference) == ("cpu", 0.0)
    assert (first.precision, second.precision) == ("fp32", "bf16")
    assert (found.nodes, found.epochs, found.measured_epochs, found.sample_epochs) == (400, 3, 2, 3)
    assert all(each.full_seconds is not None and each.epoch_seconds is not None for each in found.devices)
    assert json.dumps(found.plain())


def test_an_attention_that_one_device_has_not_leaves_that_device_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "try_out", try_out_here)
    asked = TINY.but(embed=TINY.embed.but(attention="fused_cuda", precision="bf16"))
    notes: list[str] = []
    watch = Watch()
    monkeypatch.setattr(watch, "note", notes.append)
    found = rxweave.compare_devices(asked, measured_epochs=2, watch=watch)
    report = found.devices[0]
    assert report.device == "cpu"
    assert (report.status, report.attention, report.precision) == ("measured", "csr", "bf16")
    assert report.note
    assert notes == [f"cpu: {report.note}."]
    assert notes == [
        "cpu: attention=fused_cuda was asked for, but it runs on cuda and the device is cpu; auto instead."
    ]


def test_what_a_device_can_do_stays_as_asked() -> None:
    asked = EmbedSettings(attention="gather", precision="bf16")
    for candidate in (CPU, Candidate("mps", "mps"), Candidate("cuda:1", "cuda:1")):
        assert settings_on(candidate, asked) == (asked.but(device=candidate.device), "")
    assert settings_on(Candidate("cuda:1", "cuda:1"), asked.but(attention="csr"))[0].attention == "csr"
    settings, note = settings_on(Candidate("mps", "mps"), asked.but(attention="csr"))
    assert (settings.attention, note) == (
        "auto",
        "attention=csr was asked for, but mps has no sparse products; auto instead",
    )


@pytest.mark.parametrize("limit", ["0", "-3"])
def test_a_limit_of_no_time_is_refused(command, limit: str) -> None:
    code, out, err = command("compare-devices", "--time-limit", limit)
    assert (code, out) == (2, "")
    assert f"time_limit is {limit}; expected seconds above 0" in err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rxweave", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return call


def faked(monkeypatch: pytest.MonkeyPatch, *whole_of: object) -> None:
    """One device for each outcome of its epochs on the whole graph."""
    outcomes = [each for whole in whole_of for each in (SMALL, whole)]
    vectors = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    monkeypatch.setattr(comparing, "_vectors", lambda *_: vectors)
    monkeypatch.setattr(comparing, "candidates", lambda: (CPU, Candidate("again", "cpu"))[: len(whole_of)])
    monkeypatch.setattr(comparing, "try_out", lambda *_, **__: outcomes.pop(0))


def test_the_command_prints_both_and_the_recommendation(command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    faked(monkeypatch, WHOLE, replace(WHOLE, stages={**WHOLE.stages, "embed": 20.0}, share_of_others=0.4))
    code, out, _ = command("compare-devices")
    assert code == 0
    assert "Take again: " in out
    assert "…" not in out
    assert "again: other processes took 40% of the processors" in out
    assert "cpu: other processes" not in out
    rows = [line.split() for line in out.splitlines() if line.lstrip().startswith(("cpu", "again"))]
    assert rows[0] == ["cpu", "csr", "fp32", "2.00", "0.700", "good", "40.0", "–"]
    assert rows[2] == ["cpu", "6.00", "3.00", "10", "min"]
    faked(monkeypatch, WHOLE)
    code, out, _ = command("compare-devices", "--json")
    told = json.loads(out)
    assert (code, told["recommended"], len(told["devices"])) == (0, "cpu", 1)
    assert set(DeviceReport.__dataclass_fields__) == set(told["devices"][0])


def test_no_device_that_works_exits_1_and_bad_input_2(command, monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch, replace(WHOLE, status="out of memory", reason="passed the memory limit of 1 GB"))
    code, out, _ = command("compare-devices")
    assert code == 1
    assert "No device can be recommended (cpu: passed the memory limit of 1 GB)" in out.replace("\n", " ")
    code, out, err = command("compare-devices", "--measured-epochs", "0")
    assert (code, out) == (2, "")
    assert "measured_epochs is 0" in err

    def refuses(*_: object, **__: object) -> None:
        raise ConfigError("There is no file or folder x.")

    monkeypatch.setattr(comparing, "try_out", refuses)
    code, _, err = command("compare-devices", "--kg", "x")
    assert code == 2
    assert "There is no file or folder x." in err
