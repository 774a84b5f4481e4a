"""What a process of ours asks of its libraries, and of the system."""

from __future__ import annotations

import os
import signal


def prepare_process() -> None:
    """Have threads sleep soon when they wait, and large tensors lie on large pages, unless the user has said how.

    To be called before torch or XGBoost is imported. What both are worth: docs/methods.md.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "300"
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch then asks Linux for pages of 2 MB in place of 4 kB


def heed_ctrl_c() -> None:
    """Have Ctrl-C end a wait for another thread or process; call it before one, once polars is imported.

    Its handler has the system go on waiting (pola-rs/polars#21739), so that the first Ctrl-C would be heard at the end.
    """
    if hasattr(signal, "siginterrupt"):  # not on Windows, which has no such waits
        signal.siginterrupt(signal.SIGINT, True)  # noqa: FBT003  # takes no names
