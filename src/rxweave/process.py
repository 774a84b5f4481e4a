"""What a process of ours asks of its libraries; said before torch or XGBoost is imported."""

from __future__ import annotations

import os


def prepare_process() -> None:
    """Have threads sleep soon when they wait, and large tensors lie on large pages, unless the user has said how.

    What both are worth: docs/methods.md.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "300"
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch then asks Linux for pages of 2 MB in place of 4 kB
