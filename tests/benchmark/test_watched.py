"""A process under limits, and the memory figures the limits rest on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rxweave.benchmark import watched
from rxweave.benchmark.memory import forget_peak, peak, resident
from rxweave.benchmark.watched import Limits, run_watched, thread_settings

ROOMY = Limits(memory_gb=None, seconds=60.0)
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory as Linux tells it")


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_a_process_that_ends_well_is_measured() -> None:
    ending = run_watched(python("print('noise')"), ROOMY)
    assert (ending.status, ending.reason) == ("measured", "")


def test_a_worker_ends_with_the_process_that_started_it() -> None:
    """Killed, that one cannot end its worker itself, which would go on for hours."""
    worker = "import time; from rxweave.benchmark.watched import end_with_parent as e; e(); print(1, flush=True); "
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker + 'time.sleep(600)'!r}])"
    process = subprocess.Popen(python(parent), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    process.kill()
    process.wait()
    # Its end of the pipe is closed when the worker is gone; if it were not, this would wait for minutes.
    started = time.monotonic()
    assert process.stdout.read() == ""
    assert time.monotonic() - started < 60
    process.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_worker_ends_whose_parent_was_killed_while_it_was_importing(tmp_path: Path) -> None:
    """By then it has another parent, which never ends."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    worker = (
        f"import os, time; file = open({str(pipe)!r}, 'w'); parent = os.getppid(); print(1, file=file, flush=True)\n"
        "while os.getppid() == parent: time.sleep(0.05)\n"
        "from rxweave.benchmark.watched import end_with_parent; end_with_parent()\n"
        "time.sleep(10); print('outlived', file=file)"
    )
    parent = (
        "import sys; from rxweave.benchmark.watched import Limits, run_watched; "
        f"run_watched([sys.executable, '-c', {worker!r}], Limits(memory_gb=None, seconds=60.0))"
    )
    process = subprocess.Popen(python(parent))
    with pipe.open(encoding="utf-8") as file:
        assert file.readline() == "1\n"
        process.kill()
        process.wait()
        assert file.read() == ""


def test_what_a_worker_starts_is_not_told_of_the_worker_s_parent() -> None:
    worker = (
        "import os; from rxweave.benchmark.watched import PARENT, end_with_parent\n"
        "assert os.environ[PARENT] == str(os.getppid()), 'not told'\n"
        "end_with_parent(); assert PARENT not in os.environ, 'still told'"
    )
    for env in (None, thread_settings(1)):
        assert run_watched(python(worker), ROOMY, env=env).reason == ""


def test_on_windows_no_worker_is_ended_by_the_number_of_its_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv(watched.PARENT, "1" if os.getppid() != 1 else "2")
    before = threading.active_count()
    watched.end_with_parent()
    assert threading.active_count() == before


def test_a_process_that_fails_is_told_by_its_last_line() -> None:
    ending = run_watched(python("import sys; sys.stderr.write('first\\n'); raise KeyError('lost')"), ROOMY)
    assert ending.status == "failed"
    assert ending.reason == "KeyError: 'lost'"


def test_a_silent_failure_is_told_by_its_exit_code() -> None:
    assert run_watched(python("import os; os._exit(7)"), ROOMY).reason == "ended with exit code 7 and no message"


def test_a_killed_process_is_told_by_its_signal() -> None:
    ending = run_watched(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), ROOMY)
    assert ending.status == "failed"
    assert ending.reason == "was ended by SIGKILL; the system was probably out of memory"


def test_the_memory_limit_stops_a_process_that_grows() -> None:
    grow = "import time; held = b'x' * 300_000_000; time.sleep(60)"
    started = time.monotonic()
    ending = run_watched(python(grow), Limits(memory_gb=0.2, seconds=60.0))
    assert time.monotonic() - started < 30
    assert ending.status == "stopped"
    assert "passed the memory limit of 0.2 GB" in ending.reason
    assert ending.highest_memory is not None
    assert ending.highest_memory > 200_000_000


def test_the_time_limit_stops_a_process_that_sleeps() -> None:
    ending = run_watched(python("import time; time.sleep(60)"), Limits(memory_gb=None, seconds=0.3))
    assert ending.status == "stopped"
    assert "passed the time limit of 0.3 s" in ending.reason


def test_no_process_outlives_an_interrupted_call(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def interrupted(pid: int) -> int:
        seen.append(pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(watched, "resident", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_watched(python("import time; time.sleep(60)"), ROOMY)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


def test_every_library_is_held_to_the_threads_asked_for() -> None:
    asked = thread_settings(3)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"):
        assert asked[name] == "3"
    assert asked["PATH"] == os.environ["PATH"]


@on_linux
def test_the_peak_of_a_worker_is_its_own_and_not_that_of_its_parent() -> None:
    held = b"x" * 300_000_000
    script = "from rxweave.benchmark.memory import peak; print(peak())"
    told = int(subprocess.run(python(script), capture_output=True, text=True, check=True).stdout)
    here = resident()
    assert here is not None
    assert here > len(held)
    assert 1_000_000 < told < 150_000_000


@on_linux
def test_a_forgotten_peak_begins_anew() -> None:
    held = b"x" * 300_000_000
    assert len(held) == 300_000_000
    before = peak()
    del held
    forget_peak()
    after, now = peak(), resident()
    assert before is not None
    assert after is not None
    assert now is not None
    assert after < before - 200_000_000
    assert after == pytest.approx(now, rel=0.1)


def test_memory_of_a_process_that_is_gone_is_unknown() -> None:
    gone = subprocess.Popen(python("pass"))
    gone.wait()
    assert resident(gone.pid) is None
