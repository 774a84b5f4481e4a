"""Which implementation of attention runs where, and why; a missing piece is said, never silent."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import torch

from rxweave.errors import ConfigError

FUSED_CPU_FROM = 500_000
"""Directed edges from which compiling the fused loops (about 10 CPU-seconds, once per machine and head size) pays."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, an attention of `IMPLEMENTATIONS` or a precision, and the reason in words."""

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


def choose_precision(asked: str, *, device: str, num_edges: int) -> Choice:
    """Give "fp32" or "bf16"; for "auto" bf16 where it was measured to cost no quality and to save much time.

    That is on CPUs that multiply bfloat16 themselves, on graphs large enough for `fused_cpu`.
    """
    if asked != "auto":
        return Choice(asked, "asked for")
    if device.partition(":")[0] != "cpu":
        return Choice("fp32", f"bf16 has not been measured on {device}")
    if num_edges < FUSED_CPU_FROM:
        return Choice("fp32", f"{num_edges:,} directed edges: small")
    if not multiplies_bfloat16():
        return Choice("fp32", "this processor has no bfloat16 products")
    return Choice("bf16", "this processor multiplies bfloat16; sums stay float32")


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16 (AVX512-BF16 or AMX), as far as torch tells."""
    cpu = torch.cpu
    asked = (getattr(cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(supported() for supported in asked if supported is not None)


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
