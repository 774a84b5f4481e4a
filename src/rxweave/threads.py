"""How the threads of a process of ours wait for one another; said before torch or XGBoost is imported."""

from __future__ import annotations

import os


def wait_asleep() -> None:
    """Have OpenMP's threads sleep soon when they wait (docs/methods.md), unless the user has said how; before torch."""
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "300"
