"""The speed benchmark: what a worker tells, what becomes a row, what is skipped, and what the command prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from rxweave.benchmark import measure as measuring
from rxweave.benchmark import speed
from rxweave.benchmark.machine import busy_seconds, cores, machine
from rxweave.benchmark.measure import Row, default_limits, estimated_gb, measure, row_of, why_not
from rxweave.benchmark.speed import compare
from rxweave.benchmark.tables import markdown, speed_sheets
from rxweave.benchmark.watched import Ending, Limits
from rxweave.benchmark.worker import PLAIN, Task, command, main, run_task
from rxweave.cli import main as rxweave_main
from rxweave.errors import ConfigError
from rxweave.graph.primekg_shape import num_directed_edges

TINY = Task(scale=0.0005, epochs=2, heads=2, hidden_dim=16, embedding_dim=16)
TINY_OPTIONS = ["--scale", "0.0005", "--epochs", "2", "--heads", "2", "--hidden-dim", "16", "--embedding-dim", "16"]
LIMITS = Limits(memory_gb=8.0, seconds=60.0)
WELL = Ending("measured", "", 500_000_000)


def journal_of(task: Task) -> list[dict]:
    """What a worker tells, in this process."""
    told: list[dict] = []
    run_task(task, lambda what, **figures: told.append({"what": what, **figures}))
    return told


def cost(name: str, workload: str, seconds: float, memory: float, **more: object) -> Row:
    epochs = ({"seconds": seconds, "cpu_seconds": 2 * seconds},) * 3
    row = Row(name, workload, "measured", seconds=seconds, cpu_seconds=2 * seconds, peak_gb=memory, epochs=epochs)
    return replace(row, **more)


def silent(_: object) -> None:
    return None


@pytest.mark.parametrize("implementation", ["csr", "reference", "pyg", "pyg-patched"])
def test_a_worker_measures_every_implementation(implementation: str) -> None:
    if implementation.startswith("pyg"):
        pytest.importorskip("torch_geometric", exc_type=ImportError)
    told = journal_of(replace(TINY, implementation=implementation))
    assert [line["what"] for line in told] == ["ready", "epoch", "epoch", "done"]
    assert all(line["seconds"] > 0 for line in told if line["what"] == "epoch")
    row = row_of(TINY, WELL, told)
    assert (row.status, len(row.epochs)) == ("measured", 2)
    assert row.index_seconds is not None
    assert row.peak_gb is not None
    assert row.peak_gb > 0.1


@pytest.mark.slow  # compiles for a quarter of a minute
def test_the_plain_loops_are_measured_as_any_other() -> None:
    row = measure(replace(TINY, implementation=PLAIN), LIMITS)
    assert (row.implementation, row.status, len(row.epochs)) == (PLAIN, "measured", 2)


def test_a_worker_measures_epochs_of_the_real_training_and_ends_it_early() -> None:
    told = journal_of(replace(TINY, workload="epoch", epochs=3))
    assert [line["what"] for line in told] == ["ready", "set_up", "epoch", "epoch", "epoch", "done"]
    row = row_of(TINY, WELL, told)
    assert row.status == "measured"
    assert row.set_up_seconds is not None
    assert row.epochs[0]["cpu_seconds"] is None
    assert row.cpu_seconds is not None


def test_the_journal_of_a_worker_is_one_json_object_per_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = tmp_path / "journal.jsonl"
    asked = command(TINY, journal)
    assert asked[1:3] == ["-m", "rxweave.benchmark.worker"]
    monkeypatch.setattr(sys, "argv", asked[2:])
    main()
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    assert [line["what"] for line in lines] == ["ready", "epoch", "epoch", "done"]


def test_what_cannot_run_here_is_told_by_the_worker_and_skipped(tmp_path: Path, monkeypatch) -> None:
    def refuses(task: Task, tell: object) -> None:
        raise ConfigError("fused_moon needs a moon.")

    monkeypatch.setattr("rxweave.benchmark.worker.run_task", refuses)
    journal = tmp_path / "journal.jsonl"
    monkeypatch.setattr(sys, "argv", command(TINY, journal)[2:])
    main()
    row = row_of(TINY, WELL, [json.loads(line) for line in journal.read_text().splitlines()])
    assert (row.status, row.reason) == ("skipped", "fused_moon needs a moon.")


def test_a_row_is_the_median_after_the_first_epoch() -> None:
    epochs = [{"what": "epoch", "seconds": s, "cpu_seconds": 10 * s} for s in (9.0, 1.0, 5.0, 2.0)]
    done = {"what": "done", "peak": 3_000_000_000, "growth": 1_000_000_000, "device_peak": None}
    row = row_of(TINY, WELL, [{"what": "ready", "index_seconds": 0.5}, *epochs, done])
    assert (row.seconds, row.cpu_seconds, row.first_extra_seconds) == (2.0, 20.0, 7.0)
    assert (row.index_seconds, row.peak_gb, row.growth_gb) == (0.5, 3.0, 1.0)
    assert row.edges_per_second == num_directed_edges(TINY.scale) / 2.0


def test_a_stopped_worker_leaves_what_it_had_measured() -> None:
    told = [{"what": "ready", "index_seconds": 0.5}, {"what": "epoch", "seconds": 90.0, "cpu_seconds": 170.0}]
    row = row_of(TINY, Ending("stopped", "passed the time limit of 100 s", 7_000_000_000), told)
    assert (row.status, row.reason) == ("stopped", "passed the time limit of 100 s")
    assert (row.seconds, row.cpu_seconds, row.peak_gb) == (90.0, 170.0, 7.0)
    assert row.first_extra_seconds is None


@pytest.mark.parametrize(
    "reason",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 8 GiB",
        "RuntimeError: DefaultCPUAllocator: can't allocate memory",
        "MemoryError",
        "was ended by SIGKILL; the system was probably out of memory",
    ],
)
def test_memory_that_runs_out_stops_a_row_and_is_no_failure(reason: str) -> None:
    row = row_of(TINY, Ending("failed", reason, None), [])
    assert row.status == "stopped"
    assert row.reason.startswith("ran out of memory")


def test_a_worker_without_figures_has_failed() -> None:
    assert row_of(TINY, WELL, []).status == "failed"
    assert row_of(TINY, Ending("failed", "KeyError: 'x'", None), []).reason == "KeyError: 'x'"


def test_the_memory_guard_stops_a_real_worker() -> None:
    row = measure(TINY, Limits(memory_gb=0.03, seconds=60.0))
    assert row.status == "stopped"
    assert "passed the memory limit of 0.03 GB" in row.reason


def test_pyg_at_full_size_is_skipped_for_its_memory_before_it_starts() -> None:
    full = Task(implementation="pyg-patched", scale=1.0)
    assert 75 < (estimated_gb(full) or 0) < 90
    row = measure(full, Limits(memory_gb=18.0, seconds=60.0))
    assert (row.status, row.reason) == ("skipped", "it would need about 83 GB, and may have 18")
    assert why_not(full, Limits(memory_gb=100.0, seconds=60.0)) == ""
    assert why_not(replace(full, device="cuda"), Limits(memory_gb=18.0, seconds=60.0)) == ""
    assert estimated_gb(Task(implementation="csr", scale=1.0)) is None


def test_what_is_not_installed_or_made_for_another_device_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "made for cuda" in why_not(replace(TINY, implementation="fused_cuda"), LIMITS)
    assert "made for cpu" in why_not(replace(TINY, implementation="fused_cpu", device="cuda:0"), LIMITS)
    monkeypatch.setattr(measuring.importlib.util, "find_spec", lambda name: None)
    assert "torch_geometric is not installed" in why_not(replace(TINY, implementation="pyg"), LIMITS)
    assert why_not(TINY, LIMITS) == ""


def test_ratios_are_against_the_patched_encoder_and_only_between_whole_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {
        ("csr", "encoder"): cost("csr", "encoder", 1.0, 2.0),
        ("csr", "epoch"): cost("csr", "epoch", 4.0, 5.0),
        ("pyg-patched", "encoder"): cost("pyg-patched", "encoder", 20.0, 10.0),
        ("pyg", "encoder"): Row("pyg", "encoder", "stopped", "passed the time limit of 9 s", seconds=8.0, peak_gb=9.0),
    }
    monkeypatch.setattr(speed, "measure", lambda task, limits: rows[task.implementation, task.workload])
    report = compare(TINY, ["csr", "pyg-patched", "pyg"], LIMITS, tell=silent, keep=silent)
    assert report.complete
    assert [(row.implementation, row.workload) for row in report.rows] == list(rows)
    assert vars(report.ratio(report.rows[0])) == {"seconds": 20.0, "cpu_seconds": 20.0, "memory": 5.0}
    assert vars(report.ratio(report.rows[1])) == {"seconds": 5.0, "cpu_seconds": 5.0, "memory": 2.0}
    assert set(vars(report.ratio(report.rows[3])).values()) == {None}
    encoder, epoch = speed_sheets(report)
    assert [line[0] for line in encoder.rows] == ["csr", "pyg-patched", "pyg"]
    assert encoder.rows[0][-2:] == ("20.0", "5.00")
    assert "pyg: stopped, passed the time limit of 9 s." in encoder.notes
    assert [line[0] for line in epoch.rows] == ["csr"]


def test_on_a_gpu_ratios_are_of_time_and_device_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def on_gpu(task: Task, limits: Limits) -> Row:
        theirs = task.implementation == "pyg-patched"
        return cost(
            task.implementation, task.workload, 3.0 if theirs else 0.1, 1.0, device_peak_gb=80.0 if theirs else 4.0
        )

    monkeypatch.setattr(speed, "measure", on_gpu)
    report = compare(TINY, ["csr", "pyg-patched"], LIMITS, tell=silent, keep=silent)
    assert report.ratio(report.rows[0]).memory == 20.0
    sheet = speed_sheets(report)[0]
    assert "device GB" in sheet.columns
    assert sheet.rows[0][-2:] == ("30.0", "20.0")


def test_without_names_every_registered_implementation_and_both_pygs_are_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "IMPLEMENTATIONS", {"csr": None, "fused_moon": None})
    monkeypatch.setattr(measuring, "KNOWN", ("csr", "fused_moon", "pyg-patched", "pyg-kept", "pyg"))
    monkeypatch.setattr(speed, "measure", lambda task, limits: cost(task.implementation, task.workload, 1.0, 1.0))
    report = compare(TINY, [], LIMITS, tell=silent, keep=silent)
    names = [row.implementation for row in report.rows]
    assert names == ["csr", "csr", "fused_moon", "fused_moon", "pyg-patched", "pyg-kept", "pyg"]


def test_the_machine_and_limits_are_named() -> None:
    told = machine(2)
    assert {"processor", "cores", "threads", "memory_gb", "system", "load_before", "versions"} == set(told)
    assert told["processor"]
    assert {"python", "torch", "numpy"} <= set(told["versions"])
    free = default_limits(None, 60.0).memory_gb
    assert free is not None
    assert 0 < free < told["memory_gb"]
    assert default_limits(3.0, 60.0) == Limits(3.0, 60.0)


@pytest.fixture
def rxweave(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rxweave", "benchmark", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            rxweave_main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return call


def test_the_command_runs_workers_and_writes_a_json_and_a_table(rxweave, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(speed, "WORKLOADS", ("encoder",))  # a worker takes seconds to start; one is enough
    code, out, err = rxweave("speed", *TINY_OPTIONS, "--implementations", "csr", "--threads", 1, "--out", tmp_path)
    assert code == 0, err
    assert "encoder: forward" in out
    assert "csr, encoder: " in err
    told = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    assert (told["benchmark"], told["complete"]) == ("speed", True)
    assert set(told) == {"benchmark", "rxweave", "date", "complete", "machine", "graph", "sizes", "limits", "rows"}
    assert told["graph"]["directed_edges"] == num_directed_edges(TINY.scale)
    assert told["graph"]["directed_relations"] == 50
    assert told["sizes"] == {k: v for k, v in asdict(TINY).items() if k not in ("implementation", "workload")}
    assert [(row["implementation"], row["workload"], row["status"]) for row in told["rows"]] == [
        ("csr", "encoder", "measured")
    ]
    for row in told["rows"]:
        assert set(row) == {field.name for field in fields(Row)} | {"times_less_than_pyg-patched"}
        assert len(row["epochs"]) == 2
        assert row["seconds"] > 0
        assert 0.05 < row["peak_gb"] < 2
    table = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert "rxweave benchmark speed --scale 0.0005 --epochs 2 --threads 1 --implementations csr" in table
    assert re.search(r"^\| csr \| [\d.]+ \|", table, re.MULTILINE)


def test_ctrl_c_keeps_the_finished_rows_and_exits_130(rxweave, tmp_path: Path, monkeypatch) -> None:
    def interrupted(task: Task, limits: Limits) -> Row:
        if task.workload == "epoch":
            raise KeyboardInterrupt
        return cost(task.implementation, task.workload, 1.0, 1.0)

    monkeypatch.setattr(speed, "measure", interrupted)
    code, out, err = rxweave("speed", "--implementations", "csr", "--out", tmp_path, "--json")
    assert code == 130
    assert "finished rows are kept" in err
    told = json.loads(out)
    assert told["complete"] is False
    assert [row["implementation"] for row in told["rows"]] == ["csr"]
    assert json.loads((tmp_path / "speed.json").read_text(encoding="utf-8")) == told
    assert "Not complete" in (tmp_path / "speed.md").read_text(encoding="utf-8")


def test_the_scaling_command_writes_its_study_and_prints_the_exponent(rxweave, tmp_path: Path, monkeypatch) -> None:
    linear = 1e-6
    monkeypatch.setattr(
        "rxweave.benchmark.scaling.measure",
        lambda task, limits: cost("csr", task.workload, linear * num_directed_edges(task.scale), 1.0),
    )
    code, out, _ = rxweave("scaling", "--vary", "edges", "--scales", "0.01,0.02,0.04", "--out", tmp_path)
    assert code == 0
    assert "wall time with exponent 1.00" in out
    told = json.loads((tmp_path / "scaling.json").read_text(encoding="utf-8"))
    assert [study["varied"] for study in told["studies"]] == ["edges"]
    assert told["studies"][0]["exponents"]["epoch"]["seconds"] == pytest.approx(1.0)
    assert {point["scale"] for point in told["studies"][0]["points"]} == {0.01, 0.02, 0.04}


def test_a_row_that_failed_is_shown_and_exits_1(rxweave, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(speed, "measure", lambda task, limits: Row("csr", task.workload, "failed", "KeyError: 'x'"))
    code, out, _ = rxweave("speed", "--implementations", "csr", "--out", tmp_path)
    assert code == 1
    assert "csr: failed, KeyError: 'x'." in out


def test_the_widest_table_fits_80_columns(rxweave, tmp_path: Path, monkeypatch) -> None:
    wide = {"first_extra_seconds": 45.61, "index_seconds": 10.22, "growth_gb": 79.12, "edges_per_second": 123_400.0}
    monkeypatch.setattr(
        speed, "measure", lambda task, limits: cost(task.implementation, task.workload, 523.7, 83.25, **wide)
    )
    code, out, _ = rxweave("speed", "--out", tmp_path)
    assert code == 0
    row = next(line for line in out.splitlines() if "pyg-patched" in line)
    assert row.split() == ["pyg-patched", "524", "1,047", "45.6", "10.2", "83.2", "79.1", "0.123", "1.00", "1.00"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["speed", "--implementations", "crs"], "no implementation 'crs'.*Closest: 'csr'"),
        (["speed", "--implementations", "csr,pyg-patchd"], "Closest: 'pyg-patched'"),
        (["speed", "--scale", "0"], "scale is 0; expected a number above 0"),
        (["speed", "--scale", "-2"], "scale is -2"),
        (["speed", "--threads", "0"], f"threads is 0; expected 1 to {cores()}"),
        (["speed", "--threads", str(cores() + 1)], f"threads is {cores() + 1}; expected 1 to {cores()}"),
        (["speed", "--epochs", "0"], "epochs is 0"),
        (["speed", "--hidden-dim", "100"], "hidden_dim is 100"),
        (["speed", "--features", "magic"], "features is 'magic'"),
        (["speed", "--precision", "fp8"], "precision is 'fp8'"),
        (["speed", "--device", "gpu"], "device is 'gpu'"),
        (["speed", "--time-limit", "0"], "time-limit is 0"),
        (["speed", "--max-memory-gb", "-1"], "max-memory-gb is -1"),
        (["scaling", "--implementation", "cssr"], "no implementation 'cssr'"),
        (["scaling", "--scales", "1,two"], "--scales is '1,two'; expected numbers"),
        (["scaling", "--vary", "colour"], "vary is 'colour'"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(rxweave, tmp_path: Path, arguments: list[str], message: str) -> None:
    code, out, err = rxweave(*arguments, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert err.count("rxweave: ") == 1
    assert re.search(message, err), err
    assert not (tmp_path / "out").exists()


def test_a_row_measured_on_a_busy_machine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {"csr": 0.4, "reference": 0.01}
    monkeypatch.setattr(
        speed,
        "measure",
        lambda task, limits: cost(
            task.implementation, task.workload, 1.0, 1.0, share_of_others=shares[task.implementation]
        ),
    )
    text = markdown(compare(TINY, ["csr", "reference"], LIMITS, tell=silent, keep=silent))
    assert "csr: other processes took 40% of the processors meanwhile" in text
    assert "reference: other processes" not in text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processor time of all processes, as Linux tells it")
def test_the_share_of_others_counts_other_processes_and_not_this_one() -> None:
    before, own = busy_seconds(), time.process_time()
    while time.process_time() - own < 0.3:
        pass
    alone = busy_seconds()
    other = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", other], check=True)
    after = busy_seconds()
    assert before is not None
    assert alone is not None
    assert after is not None
    assert alone - before > 0.25
    assert after - alone > 0.45
    share = next(line for line in journal_of(TINY) if line["what"] == "done")["share_of_others"]
    assert 0 <= share <= 1


def test_a_report_says_which_rows_are_of_one_epoch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    one = ({"seconds": 1.0, "cpu_seconds": 2.0},)
    monkeypatch.setattr(
        speed, "measure", lambda task, limits: cost(task.implementation, task.workload, 1.0, 1.0, epochs=one)
    )
    report = compare(TINY, ["csr"], LIMITS, tell=silent, keep=silent)
    assert "csr: 1 epoch finished, so its figures are those of the first." in markdown(report)
