"""What a device has left: of the machine, of a container, of a GPU; what is unknown is told, not guessed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from rxweave.embed import free_memory
from rxweave.embed.free_memory import available, device_free, total
from rxweave.embed.usage import memory_now, memory_peak

GIB = 2**30
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="files as Linux has them")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GiB available, whose files lie in a folder; no control groups yet."""
    (tmp_path / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable: {8 * GIB // 1024} kB\n")
    (tmp_path / "cgroup").write_text("0::/\n")
    monkeypatch.setattr(free_memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(free_memory, "OWN_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(free_memory, "GROUPS", tmp_path / "groups")
    return tmp_path


def group(folder: Path, limit: str, used: int, droppable: int = 0, *, second: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("max", "current") if second else ("limit_in_bytes", "usage_in_bytes")
    for name, value in zip(names, (limit, used), strict=True):
        (folder / f"memory.{name}").write_text(f"{value}\n")
    word = "inactive_file" if second else "total_inactive_file"
    (folder / "memory.stat").write_text(f"anon 5\n{word} {droppable}\n")


def test_what_is_free_is_less_than_what_there_is() -> None:
    free, there = available(), total()
    assert free is not None
    assert there is not None
    assert 0 < free <= there


@on_linux
def test_without_control_groups_it_is_what_the_kernel_says(system: Path) -> None:
    assert available() == 8 * GIB


@on_linux
def test_a_container_has_its_limit_less_its_use_and_droppable_files_do_not_count(system: Path) -> None:
    group(system / "groups", str(4 * GIB), used=3 * GIB, droppable=GIB // 2)
    assert available() == 1.5 * GIB


@on_linux
def test_the_tightest_group_on_the_way_down_decides(system: Path) -> None:
    (system / "cgroup").write_text("0::/jobs/one\n")
    group(system / "groups" / "jobs", str(3 * GIB), used=GIB)
    group(system / "groups" / "jobs" / "one", "max", used=GIB)
    assert available() == 2 * GIB


@on_linux
def test_the_first_version_of_control_groups_is_read_too(system: Path) -> None:
    (system / "cgroup").write_text("5:cpu:/x\n4:memory:/jobs\n0::/\n")
    group(system / "groups" / "memory", str(2**63 - 4096), used=GIB, second=False)
    group(system / "groups" / "memory" / "jobs", str(3 * GIB), used=2 * GIB, droppable=GIB // 4, second=False)
    assert available() == 1.25 * GIB


@on_linux
def test_use_above_the_limit_leaves_nothing(system: Path) -> None:
    group(system / "groups", str(GIB), used=2 * GIB)
    assert available() == 0


@on_linux
def test_what_the_system_does_not_tell_is_unknown(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "MEMINFO", system / "absent")
    assert available() is None


def test_a_gpu_has_what_the_driver_has_free_and_what_torch_holds_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (6 * GIB, 8 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2 * GIB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: GIB)
    assert device_free(torch.device("cuda")) == 7 * GIB


@pytest.mark.parametrize(("of_machine", "expected"), [(9 * GIB, 5 * GIB), (3 * GIB, 3 * GIB), (None, 5 * GIB)])
def test_apples_shared_memory_is_bounded_by_torch_and_by_the_machine(
    monkeypatch: pytest.MonkeyPatch, of_machine: int | None, expected: int
) -> None:
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 6 * GIB)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: GIB)
    monkeypatch.setattr(free_memory, "available", lambda: of_machine)
    assert device_free(torch.device("mps")) == expected


def test_elsewhere_what_this_process_holds_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS tells how much there is, not how much is free; a plan adds what is held already."""
    monkeypatch.setattr(free_memory, "_ON_LINUX", False)
    monkeypatch.setattr(free_memory, "total", lambda: 16 * GIB)
    monkeypatch.setattr(free_memory, "peak_memory", lambda: 2 * GIB)
    assert available() == 14 * GIB


def test_memory_of_an_apple_gpu_is_the_process_and_what_its_driver_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    held = memory_now(torch.device("cpu"))
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 3 * GIB)
    assert memory_now(torch.device("mps")) == pytest.approx(held + 3 * GIB, rel=0.02)
    assert memory_peak(torch.device("mps")) >= memory_now(torch.device("cpu")) + 3 * GIB
