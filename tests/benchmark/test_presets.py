"""The benchmark of presets: what is tried, what becomes a row, and what the command writes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rxweave.benchmark import presets as measuring
from rxweave.benchmark import trial as trial_module
from rxweave.benchmark.measure import default_limits
from rxweave.benchmark.outcome import Outcome
from rxweave.benchmark.presets import PresetPlan, measure_presets, row_of
from rxweave.benchmark.tables import markdown, presets_sheets
from rxweave.benchmark.trial import Trial
from rxweave.cli import main
from rxweave.config import PRESETS, EmbedSettings
from rxweave.embed import keeper
from rxweave.embed.checkpoint import save_checkpoint
from rxweave.embed.state import TrainingState
from rxweave.embed.store import Embeddings, write_embeddings
from trials import SMALL, WHOLE, epochs, try_out_here

TINY = (
    "embed.embedding_dim=32", "embed.hidden_dim=16", "embed.feature_dim=16", "embed.num_heads=4",
    "embed.num_treatment_negatives=32",
)  # fmt: skip
LIMITS = default_limits(8.0, 60.0)


def silent(_: object) -> None:
    return None


def tried(monkeypatch: pytest.MonkeyPatch, outcome: Outcome = WHOLE) -> list[Trial]:
    trials: list[Trial] = []

    def fake(trial: Trial, *_: object, **__: object) -> Outcome:
        trials.append(trial)
        return outcome

    monkeypatch.setattr(measuring, "try_out", fake)
    return trials


def test_every_preset_is_tried_on_both_graphs_for_a_few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = tried(monkeypatch)
    report = measure_presets(PresetPlan(scale=0.01, kg="demo:400"), LIMITS, tell=silent, keep=silent)
    assert report.complete
    assert [row.preset for row in report.rows] == [*PRESETS, *PRESETS]
    assert [trial.scale for trial in trials] == [0.01] * 4 + [None] * 4
    assert {trial.settings.embed.num_epochs for trial in trials} == {3}
    by_preset = dict(zip(PRESETS, trials, strict=False))
    assert by_preset["quick"].settings.load.limit_nodes == 5000
    assert by_preset["high_quality"].settings.embed.learning_rate == 0.0005
    assert by_preset["memory_constrained"].settings.embed.accumulation_steps == 8
    assert [row.epochs for row in report.rows][:4] == [20, 100, 200, 100]
    seconds = [20.0 + 6.0 + (n - 1) * 6.0 for n in (20, 100, 200, 100)]
    assert [row.training_seconds for row in report.rows][:4] == pytest.approx(seconds)
    assert {row.how for row in report.rows} == {"extrapolated"}


def test_a_whole_training_is_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = replace(WHOLE, history=epochs(20), stages={"load": 1.0, "split": 1.0, "embed": 77.0, "save": 5.0})
    trials = tried(monkeypatch, outcome)
    plan = PresetPlan(presets=("quick",), scale=0.01, whole=True)
    (row,) = measure_presets(plan, LIMITS, tell=silent, keep=silent).rows
    assert trials[0].settings.embed.num_epochs == 20
    assert (row.how, row.training_seconds, row.measured_epochs) == ("whole", 82.0, 20)
    assert trials[0].saves


def test_a_whole_training_saves_its_checkpoints_and_its_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "try_out", try_out_here)
    checkpoints: list[int] = []
    written: list[tuple[int, int]] = []

    def saved(path: Path, identity: object, state: TrainingState, made: object) -> None:
        checkpoints.append(len(state.history))
        save_checkpoint(path, identity, state, made)

    def write(embeddings: Embeddings, parquet: Path, csv: Path) -> None:
        write_embeddings(embeddings, parquet, csv)
        written.append((parquet.stat().st_size, csv.stat().st_size))

    monkeypatch.setattr(keeper, "save_checkpoint", saved)
    monkeypatch.setattr(trial_module, "write_embeddings", write)
    overrides = (*TINY, "embed.num_epochs=5", "embed.checkpoint_every=2")
    plan = PresetPlan(presets=("full",), scale=0.001, whole=True, overrides=overrides)
    (row,) = measure_presets(plan, LIMITS, tell=silent, keep=silent).rows
    assert (row.status, row.how, row.epochs) == ("measured", "whole", 5)
    assert checkpoints == [2, 4, 5]
    assert len(written) == 1
    assert min(written[0]) > 4 * 32 * row.nodes  # 32 numbers a node
    peaks = row.epoch_peaks_gb
    assert len(peaks) == 5
    assert sorted(peaks) == list(peaks)


def test_the_real_thing_at_a_small_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "try_out", try_out_here)
    plan = PresetPlan(presets=("memory_constrained",), scale=0.001, epochs=2, overrides=TINY)
    (row,) = measure_presets(plan, LIMITS, tell=silent, keep=silent).rows
    assert (row.status, row.measured_epochs, row.epochs) == ("measured", 2, 100)
    assert row.training_seconds is not None
    assert row.epoch_seconds is not None
    assert row.training_seconds > 98 * row.epoch_seconds


def test_a_preset_that_ran_out_of_memory_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = replace(SMALL, status="out of memory", reason="passed the memory limit of 8 GB", history=(), stages={})
    tried(monkeypatch, gone)
    report = measure_presets(PresetPlan(presets=("full",), scale=0.01), LIMITS, tell=silent, keep=silent)
    assert row_of("full", EmbedSettings(), gone).training_seconds is None
    (sheet,) = presets_sheets(report)
    assert sheet.rows[0][3] == "–"
    assert "out of memory, passed the memory limit of 8 GB" in sheet.notes[0]


def test_the_table_names_the_command_and_how_each_time_was_got(monkeypatch: pytest.MonkeyPatch) -> None:
    tried(monkeypatch, replace(WHOLE, share_of_others=0.4))
    plan = PresetPlan(presets=("quick", "full"), scale=0.0625, overrides=("embed.attention=csr",))
    text = markdown(measure_presets(plan, LIMITS, tell=silent, keep=silent))
    command = (
        "rxweave benchmark presets --scale 0.0625 --epochs 3 --threads 1 --presets quick,full -o embed.attention=csr"
    )
    assert f"`{command}`" in text
    assert "| full | 50,000 | 2,000,000 | 6.00 | 100 | 3 | 10.3 | 3.00 |" in text
    assert "full: csr, fp32; 3 epochs measured" in text
    assert "full: other processes took 40% of the processors meanwhile" in text


def test_the_table_fits_80_columns(presets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    tried(monkeypatch, replace(WHOLE, nodes=129_375, facts=4_050_249))
    code, out, _ = presets()
    assert code == 0
    row = next(line for line in out.splitlines() if line.lstrip().startswith("memory_constrained"))
    assert row.split() == ["memory_constrained", "129,375", "4,050,249", "6.00", "100", "3", "10.3", "3.00"]


@pytest.fixture
def presets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    def call(*arguments: object) -> tuple[int, str, str]:
        asked = ["rxweave", "benchmark", "presets", *map(str, arguments), "--out", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", asked)
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return call


def test_the_command_writes_both_files(presets, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trials = tried(monkeypatch)
    code, out, _ = presets("--presets", "quick", "--no-shape", "--kg", "demo:400", "--threads", 1, "--json")
    assert code == 0
    assert [trial.settings.load.kg for trial in trials] == ["demo:400"]
    told = json.loads((tmp_path / "out" / "presets.json").read_text())
    assert told == json.loads(out)
    assert (told["benchmark"], told["complete"], len(told["rows"])) == ("presets", True, 1)
    assert "--no-shape --kg demo:400" in (tmp_path / "out" / "presets.md").read_text()


def test_ctrl_c_keeps_what_is_finished(presets, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [WHOLE]

    def interrupted(*_: object, **__: object) -> Outcome:
        if not outcomes:
            raise KeyboardInterrupt
        return outcomes.pop()

    monkeypatch.setattr(measuring, "try_out", interrupted)
    code, out, err = presets("--scale", "0.01", "--json")
    assert code == 130
    assert "finished rows are kept" in err
    assert [row["preset"] for row in json.loads(out)["rows"]] == ["quick"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--presets", "slow"], "'slow'"),
        (["--scale", "0"], "scale is 0"),
        (["--epochs", "1"], "epochs is 1"),
        (["--threads", "0"], "threads is 0"),
        (["--no-shape"], "Neither the PrimeKG-shaped graph nor --kg"),
        (["-o", "embed.num_epoch=3"], "Closest: 'embed.num_epochs'"),
        (["--device", "gpu"], "device is 'gpu'"),
    ],
)
def test_bad_input_exits_2_and_writes_nothing(presets, tmp_path: Path, arguments: list[str], message: str) -> None:
    code, out, err = presets(*arguments)
    assert (code, out) == (2, "")
    assert err.count("rxweave: ") == 1
    assert message in err
    assert not (tmp_path / "out").exists()
