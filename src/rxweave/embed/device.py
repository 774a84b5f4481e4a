"""Which device trains."""

from __future__ import annotations

import torch

from rxweave.errors import ConfigError

DEVICES = ("cpu", "cuda", "mps")


def choose_device(asked: str | None) -> torch.device:
    """Give the asked-for device, or the best one present: CUDA, then Apple's MPS, then CPU.

    Raises ConfigError for a device that is unknown or absent.
    """
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if asked is None:
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if count[kind]))
    kind = asked.partition(":")[0]
    if kind not in DEVICES:
        raise ConfigError(f"device is {asked!r}; expected {', '.join(DEVICES)}, or nothing for the best one present.")
    if not count[kind]:
        raise ConfigError(
            f"device is {asked!r}, but torch {torch.__version__} sees no {kind.upper()} device. Use device=cpu."
        )
    if asked not in (kind, *(f"{kind}:{i}" for i in range(count[kind]))):
        raise ConfigError(f"device is {asked!r}; of {kind} there are {count[kind]}, so expected {kind} or {kind}:0.")
    return torch.device(asked)
