"""Which device trains."""

from __future__ import annotations

import torch

from rxweave.embed.place import Place, this_place
from rxweave.errors import ConfigError

DEVICES = ("cpu", "cuda", "mps")


def devices_present() -> tuple[str, ...]:
    """Give every device that can train here: cpu, then each CUDA device, then mps."""
    cuda = torch.cuda.device_count()
    several = tuple(f"cuda:{i}" for i in range(cuda)) if cuda > 1 else ("cuda",) * cuda
    return ("cpu", *several, *(("mps",) if torch.backends.mps.is_available() else ()))


def choose_device(asked: str | None) -> torch.device:
    """Give the asked-for device, or the best one present: CUDA, then Apple's MPS, then CPU.

    Of several ranks, each takes the CUDA device of its place on its machine. Raises ConfigError for a device that is
    unknown or absent, or that ranks cannot share.
    """
    place = this_place()
    if place.size == 1:
        return _asked_or_best(asked)
    if asked is None and torch.cuda.device_count() == 0:
        asked = "cpu"  # MPS has no way to sum over ranks
    return _of_rank(_asked_or_best(asked), place)


def _of_rank(device: torch.device, place: Place) -> torch.device:
    if str(device) not in ("cpu", "cuda"):  # MPS, or one CUDA device for all
        raise ConfigError(
            f"device is {str(device)!r}, which {place.size} ranks cannot share. Use device=cpu, or device=cuda with a "
            "CUDA device for each rank."
        )
    if device.type == "cuda" and place.local_rank >= (count := torch.cuda.device_count()):
        raise ConfigError(
            f"This is rank {place.local_rank + 1} of its machine, where torch sees {count} CUDA devices; each rank "
            f"needs one. Start at most {count} (--nproc-per-node {count}), or use device=cpu."
        )
    return torch.device("cuda", place.local_rank) if device.type == "cuda" else device


def _asked_or_best(asked: str | None) -> torch.device:
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
