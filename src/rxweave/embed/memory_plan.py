"""What a training will take, told before it begins: predicted from the sizes of the graph, compared with what is free.

`plan_memory(graph, settings)` is all that a caller needs. The plan is of training: the later stages of `rxweave run`
hold less, but for the score matrix of a graph with hundreds of millions of pairs, which is not planned for.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch

from rxweave.config import EmbedSettings
from rxweave.embed.attention.choose import choose_attention, choose_precision
from rxweave.embed.device import choose_device
from rxweave.embed.feature_file import added_width
from rxweave.embed.free_memory import device_free
from rxweave.embed.memory_parts import (
    TEMPORARY,
    Parts,
    Sizes,
    Stage,
    lasting,
    lasting_on_host,
    stages,
    stages_on_host,
)
from rxweave.embed.memory_shape import GraphShape
from rxweave.embed.usage import memory_now
from rxweave.errors import ConfigError
from rxweave.graph.build import Graph

ACCURACY = 0.2
"""How far a measured peak may lie from the predicted one: tested on real trainings."""
HOLES, HOLES_OF_TEMPORARY = 0.08, 0.6
"""What glibc's heap adds in freed buffers too small for the next one: a share of all that is held, and another of what
comes and goes within a stage. Measured."""
COMPILED_LOOPS = 60_000_000
"""Of `fused_cpu`: its machine code and the compiler that loads it, bytes beside what importing Numba takes."""
BFLOAT16_PRODUCTS = 130_000_000
"""Of precision=bf16 on a CPU: what oneDNN keeps for products of each size that it has met. Measured."""
LIBRARIES = {"torch._dynamo": 75_000_000, "numba": 60_000_000}
"""What a training on a CPU imports before it begins: with the first optimiser, and for `fused_cpu`. Measured."""


class MemoryPlanError(ConfigError):
    """A training would not fit its device; says how much it needs, how much there is, and what would fit."""


@dataclass(frozen=True)
class MemoryPlan:
    """What a training will hold at its peak, and what there is; bytes of the process, or of the GPU that trains."""

    device: str
    attention: str
    precision: str
    stage: str
    """The stage of training whose peak is the highest."""
    parts: Mapping[str, int]
    """What is held then, by name; `process` is what was held already when the plan was made."""
    available: int | None
    """What the process (or all processes of the GPU) may hold: what it holds, and what is free; None if unknown."""
    host: MemoryPlan | None = None
    """Where a GPU trains, what that takes of the machine's own memory."""

    @property
    def peak(self) -> int:
        """The predicted peak, on the device."""
        return sum(self.parts.values())

    @property
    def fits_device(self) -> bool:
        """Whether the predicted peak is available there; so it is where the system does not say what is."""
        return self.available is None or self.peak <= self.available

    @property
    def fits(self) -> bool:
        """Whether it fits the device, and the machine's own memory beside a GPU."""
        return self.fits_device and (self.host is None or self.host.fits)

    @property
    def tight(self) -> bool:
        """Whether it fits, but might not if the prediction is too low by what such predictions may be."""
        return self.fits_device and self.available is not None and self.peak > (1 - ACCURACY) * self.available

    def told(self) -> str:
        """Give the plan in a line, and in another what a GPU's training takes of the machine's own memory."""
        line = self._told("" if self.device.startswith("cpu") else f" on {self.device}")
        return line if self.host is None else f"{line}\n{self.host._told(' of the machine itself')}"

    def _told(self, where: str) -> str:
        there_is = "(how much there is, the system does not say)"
        if self.available is not None:
            there_is = f"of {gigabytes(self.available)} available"
        close = "; close, since such figures may be a fifth too low" if self.tight else ""
        peak = f"about {gigabytes(self.peak)} {there_is}, most while {self.stage}"
        return f"Memory{where}: {peak} ({self.largest()}){close}."

    def largest(self) -> str:
        """Give the largest three parts in words."""
        names = sorted(self.parts, key=lambda name: self.parts[name], reverse=True)[:3]
        return ", ".join(f"{name} {gigabytes(self.parts[name])}" for name in names)

    def plain(self) -> dict[str, object]:
        """Give the plan for a manifest, in bytes."""
        return {
            "predicted_peak": self.peak,
            "available": self.available,
            "stage": self.stage,
            "parts": dict(self.parts),
            **({} if self.host is None else {"host": self.host.plain()}),
        }


def plan_memory(
    graph: Graph | GraphShape,
    settings: EmbedSettings,
    *,
    device: torch.device | str | None = None,
    attention: str | None = None,
    precision: str | None = None,
    held: int | None = None,
    available: int | None = None,
    host: tuple[int, int | None] | None = None,
    counted: int = 0,
) -> MemoryPlan:
    """Give what training on a graph will take at its peak, within 20 % of what is then measured (docs/methods.md).

    Device, attention and precision are chosen as training would, unless given. `held` is what the process (or this
    process on the GPU) holds before training, and `available` what it may hold in all; `host` is the same of the
    machine's own memory where a GPU trains. By default all are asked of the system, or `memory_limit_gb` of the
    settings is what is available on the device. `counted` bytes of what the process holds are of the plan as well: the
    tensors of a checkpoint that is gone on from. Nothing is made but a count of the facts, and libraries that training
    loads anyway are loaded, so that what they take is measured.

    Raises ConfigError for a device or an attention that cannot be used.
    """
    shape = graph if isinstance(graph, GraphShape) else GraphShape.of(graph)
    place = choose_device(settings.device) if device is None else torch.device(device)
    head_dim = settings.hidden_dim // settings.num_heads
    edges = shape.num_edges
    attention = (
        attention or choose_attention(settings.attention, device=place.type, num_edges=edges, head_dim=head_dim).name
    )
    precision = precision or choose_precision(settings.precision, device=place.type, num_edges=edges).name
    if held is None:
        _load_libraries(place, attention)
        held = memory_now(place)
    if available is None:
        available = _available(settings, place, held)
    on_gpu = place.type == "cuda"
    held = held if on_gpu else max(0, held - counted)
    sizes = Sizes(shape, settings, attention, precision, added_width(settings.feature_file), on_gpu)
    constant = {"process": held}
    if attention == "fused_cpu":
        constant["compiled loops"] = COMPILED_LOOPS
    if precision == "bf16" and place.type == "cpu":
        constant["compiled products"] = BFLOAT16_PRODUCTS
    stage, parts = _highest(stages(sizes), lasting(sizes), constant, on_heap=_on_glibc_heap(place))
    beside = _plan_host(sizes, host, counted) if on_gpu else None
    return MemoryPlan(str(place), attention, precision, stage, parts, available, beside)


def _plan_host(sizes: Sizes, host: tuple[int, int | None] | None, counted: int) -> MemoryPlan:
    """Give what a training on a GPU takes of the machine's own memory, but for what CUDA loads on the way."""
    machine = torch.device("cpu")
    held, available = host or (memory_now(machine), None)
    if host is None:
        available = _available(sizes.settings.but(memory_limit_gb=None), machine, held)
    stage, parts = _highest(
        stages_on_host(sizes),
        lasting_on_host(sizes),
        {"process": max(0, held - counted)},
        on_heap=_on_glibc_heap(machine),
    )
    return MemoryPlan("cpu", sizes.attention, sizes.precision, stage, parts, available)


def _highest(candidates: Iterable[Stage], kept: Parts, constant: Parts, *, on_heap: bool) -> tuple[str, Parts]:
    """Give the name of the stage that holds most, and all that is held then, by name."""
    found = []
    for stage in candidates:
        parts = {**kept}
        for name, size in stage.parts.items():
            parts[name] = parts.get(name, 0) + size
        if on_heap:
            temporary = sum(stage.parts.get(name, 0) for name in TEMPORARY)
            parts["holes between buffers"] = round(HOLES * sum(parts.values()) + HOLES_OF_TEMPORARY * temporary)
        found.append((stage.name, constant | {name: size for name, size in parts.items() if size}))
    return max(found, key=lambda each: sum(each[1].values()))


def _available(settings: EmbedSettings, device: torch.device, held: int) -> int | None:
    """What the settings allow, at their word: it may be more than is free now, as where there is swap."""
    if settings.memory_limit_gb is not None:
        return round(settings.memory_limit_gb * 1e9)
    free = device_free(device)
    # Ranks on one machine share it.
    ranks = 1 if device.type == "cuda" else int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return None if free is None else held + free // ranks


def _load_libraries(device: torch.device, attention: str) -> None:
    """Load what training loads; see `LIBRARIES`."""
    if device.type == "cuda":
        return  # of the machine's own memory, torch's GPU libraries are not in the plan
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    if attention == "fused_cpu":
        import rxweave.embed.attention.fused_cpu  # noqa: F401


def with_libraries(plan: MemoryPlan, instead_of: MemoryPlan) -> MemoryPlan:
    """Give the plan as for a process that loads what its training needs, and not what another one made this load."""
    if plan.device.startswith("cuda"):
        return plan
    fused, was_fused = (each.attention == "fused_cpu" for each in (plan, instead_of))
    needed = [name for name in LIBRARIES if name != "numba" or fused]
    more = sum(LIBRARIES[name] for name in needed if name not in sys.modules)
    less = LIBRARIES.get("numba", 0) if was_fused and not fused else 0
    return replace(plan, parts={**plan.parts, "process": max(0, plan.parts["process"] + more - less)})


def _on_glibc_heap(device: torch.device) -> bool:
    return device.type == "cpu" and sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc"


def gigabytes(size: int) -> str:
    """Give a number of bytes in words, in 10^9 bytes."""
    return f"{size / 1e9:.2f} GB" if size < 1e10 else f"{size / 1e9:.1f} GB"
