"""Which implementation of attention runs where, and why; a missing piece is said, never silent."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from rxweave.errors import ConfigError

FUSED_CPU_FROM = 500_000
"""Directed edges from which compiling the fused loops (about 10 CPU-seconds, once per machine and head size) pays."""


@dataclass(frozen=True)
class Choice:
    """An implementation of attention, by its name in `IMPLEMENTATIONS`, and the reason in words."""

    name: str
    reason: str


def choose_attention(asked: str, *, device: str, num_edges: int, head_dim: int) -> Choice:
    """Give the implementation asked for, or for "auto" the fastest that runs on `device` (cpu, cuda, mps …).

    All of them compute the same; what they cost differs. Raises ConfigError for one that cannot run there.
    """
    kind = device.partition(":")[0]
    if asked != "auto":
        hindrance = why_not(asked, device=kind, head_dim=head_dim)
        if hindrance is not None:
            raise ConfigError(f"attention is {asked!r}, but {hindrance}. Leave it at auto, or ask for gather.")
        return Choice(asked, "asked for")
    if kind == "cuda":
        return _first_of("fused_cuda", "csr", kind, head_dim, "several times slower and heavier")
    if kind != "cpu":
        return Choice("gather", f"{kind} has no sparse products")
    if num_edges < FUSED_CPU_FROM:
        return Choice("csr", f"{num_edges:,} directed edges: too few to repay compiling fused_cpu")
    return _first_of("fused_cpu", "csr", kind, head_dim, "about twice as slow")


def why_not(name: str, *, device: str, head_dim: int) -> str | None:
    """Say why an implementation cannot run on a kind of device with heads of this size; None when it can."""
    if name == "fused_cpu":
        if device != "cpu":
            return f"it runs on cpu and the device is {device}"
        if head_dim % 8:
            return f"its heads are multiples of 8 numbers and these have {head_dim}"
        return None if find_spec("numba") else "Numba is not installed (pip install numba)"
    if name == "fused_cuda":
        if device != "cuda":
            return f"it runs on cuda and the device is {device}"
        if head_dim % 8:
            return f"its heads are multiples of 8 numbers and these have {head_dim}"
        from rxweave.embed.attention.fused_cuda import why_unavailable

        return why_unavailable()
    if name == "csr" and device not in ("cpu", "cuda"):
        return f"{device} has no sparse products"
    return None


def _first_of(best: str, other: str, device: str, head_dim: int, cost: str) -> Choice:
    hindrance = why_not(best, device=device, head_dim=head_dim)
    if hindrance is None:
        return Choice(best, f"the fastest on {device}")
    return Choice(other, f"{best} cannot run ({hindrance}): {cost}")
