"""One task measured in a process of its own, as a row of a table: figures, or why there are none."""

from __future__ import annotations

import importlib.util
import json
import re
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rxweave.benchmark.machine import cores
from rxweave.benchmark.memory import in_gb
from rxweave.benchmark.watched import Ending, Limits, Status, run_watched, thread_settings
from rxweave.benchmark.worker import PLAIN, PYG, Task, command
from rxweave.embed.attention import IMPLEMENTATIONS
from rxweave.embed.free_memory import available
from rxweave.embed.train import choose_device
from rxweave.errors import ConfigError, did_you_mean
from rxweave.graph.primekg_shape import node_counts, num_directed_edges

KNOWN = (*IMPLEMENTATIONS, PLAIN, *PYG)
MEMORY_SHARE = 0.8
"""Share of the free memory that a worker may take by default."""
OUT_OF_MEMORY = re.compile(r"out of memory|[Mm]emory ran out|can't allocate memory|MemoryError|SIGKILL")
"""How the reason of a failure tells that there was not enough memory."""


@dataclass(frozen=True)
class Row:
    """What one task cost. Seconds are wall or processor seconds of an epoch: the median of those after the first.

    Where only the first epoch was finished, its figures stand for the rest. Memory is in 10^9 bytes.
    """

    implementation: str
    workload: str
    status: Status
    reason: str = ""
    """Why it was skipped or stopped, or how it failed."""
    seconds: float | None = None
    cpu_seconds: float | None = None
    first_extra_seconds: float | None = None
    """How much longer the first epoch took: compilation, first touch of memory."""
    index_seconds: float | None = None
    """To lay out the edges for message passing; for PyTorch Geometric, to make its HeteroData."""
    set_up_seconds: float | None = None
    """Of a training before its first epoch: index, features, sampler and similar nodes."""
    peak_gb: float | None = None
    """Most the process held; of a worker that was stopped, most it was seen to hold."""
    growth_gb: float | None = None
    """How much of it came after the graph was laid out, encoder and optimiser included."""
    device_peak_gb: float | None = None
    edges_per_second: float | None = None
    """Directed edges of the graph over seconds of an epoch, whatever the number of layers."""
    share_of_others: float | None = None
    """Share of the machine's processor time that other processes took meanwhile (Linux); times are too high by it."""
    device_name: str = ""
    epochs: tuple[Mapping[str, float | None], ...] = ()
    """Every epoch measured: its wall and processor seconds."""


def check(task: Task) -> None:
    """Raise ConfigError for a task that could run nowhere, or not here: names, sizes, threads, device."""
    check_implementation(task.implementation)
    node_counts(task.scale)
    if not 1 <= task.threads <= cores():
        raise ConfigError(f"threads is {task.threads}; expected 1 to {cores()}, the cores this process may use.")
    if task.epochs < 1:
        raise ConfigError(f"epochs is {task.epochs}; expected 1 or more (3 leave a median of two after the first).")
    choose_device(task.device)
    task.embed_settings()


def check_implementation(name: str) -> None:
    """Raise ConfigError, with the closest name, for an implementation that does not exist."""
    if name not in KNOWN:
        raise ConfigError(
            f"There is no implementation {name!r}; expected one of {', '.join(KNOWN)}.{did_you_mean(name, KNOWN)}"
        )


def default_limits(memory_gb: float | None, seconds: float) -> Limits:
    """Give limits for workers; memory, if not given, is 80 % of what is free. Raises ConfigError unless positive."""
    for name, value in (("max-memory-gb", memory_gb), ("time-limit", seconds)):
        if value is not None and not value > 0:
            raise ConfigError(f"{name} is {value:g}; expected a number above 0.")
    free = available()
    return Limits(memory_gb if memory_gb or free is None else round(MEMORY_SHARE * free / 1e9, 2), seconds)


def measure(task: Task, limits: Limits) -> Row:
    """Measure a task in a process of its own. Skips it, saying why, where it cannot run or would not fit."""
    reason = why_not(task, limits)
    if reason:
        return Row(task.implementation, task.workload, "skipped", reason)
    with tempfile.TemporaryDirectory(prefix="rxweave-benchmark-") as folder:
        journal = Path(folder) / "journal.jsonl"
        ending = run_watched(command(task, journal), limits, env=thread_settings(task.threads))
        lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    return row_of(task, ending, [json.loads(line) for line in lines])


def why_not(task: Task, limits: Limits) -> str:
    """Give the reason why a task is not to be tried; empty if it is."""
    name, device = task.implementation, task.device.partition(":")[0]
    if name in PYG and task.workload == "epoch":
        return "PyTorch Geometric has no training loop of ours"
    if name in PYG and importlib.util.find_spec("torch_geometric") is None:
        return "torch_geometric is not installed; `pip install rxweave[pyg]` brings it"
    for built_for in ("cpu", "cuda"):
        if name.endswith(f"_{built_for}") and device != built_for:
            return f"it is made for {built_for}, and the device is {device}"
    needed = estimated_gb(task)
    if device == "cpu" and needed is not None and limits.memory_gb is not None and needed > limits.memory_gb:
        return f"it would need about {needed:,.0f} GB, and may have {limits.memory_gb:.3g}"
    return ""


def estimated_gb(task: Task) -> float | None:
    """Give the memory that grows with edges × width, in 10^9 bytes, where that decides; else None.

    From measurements: PyTorch Geometric holds 10 kB for each directed edge in two layers of 256, five rows of float32
    per layer; `reference` a relation matrix per head and edge, about eight times over in two layers.
    """
    edges = num_directed_edges(task.scale)
    if task.implementation in PYG:
        return edges * 4 * task.hidden_dim * 5 * task.layers / 1e9
    if task.implementation == "reference":
        return edges * 4 * task.hidden_dim * (task.hidden_dim // task.heads) * (2 * task.layers + 4) / 1e9
    return None


def row_of(task: Task, ending: Ending, journal: Sequence[Mapping[str, Any]]) -> Row:
    """Give the row of a worker from how it ended and what it wrote into its journal."""
    told = {line["what"]: line for line in journal}
    if "unavailable" in told:
        return Row(task.implementation, task.workload, "skipped", told["unavailable"]["reason"])
    status, reason = ending.status, ending.reason
    if status == "failed" and OUT_OF_MEMORY.search(reason):
        status, reason = "stopped", f"ran out of memory ({reason})"
    ready, set_up, done = (told.get(what, {}) for what in ("ready", "set_up", "done"))
    epochs = [
        {"seconds": line["seconds"], "cpu_seconds": line["cpu_seconds"]} for line in journal if line["what"] == "epoch"
    ]
    if status == "measured" and not (done and epochs):
        status, reason = "failed", "it ended without any figures"
    settled = epochs[1:] or epochs
    seconds, cpu_seconds = (_median([each[name] for each in settled]) for name in ("seconds", "cpu_seconds"))
    edges = num_directed_edges(task.scale)
    return Row(
        implementation=task.implementation,
        workload=task.workload,
        status=status,
        reason=reason,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        first_extra_seconds=epochs[0]["seconds"] - seconds if len(epochs) > 1 and seconds is not None else None,
        index_seconds=ready.get("index_seconds"),
        set_up_seconds=set_up.get("seconds"),
        peak_gb=in_gb(done.get("peak") or ending.highest_memory),
        growth_gb=in_gb(done.get("growth")),
        device_peak_gb=in_gb(done.get("device_peak")),
        edges_per_second=edges / seconds if seconds else None,
        share_of_others=done.get("share_of_others"),
        device_name=ready.get("device_name", ""),
        epochs=tuple(epochs),
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
