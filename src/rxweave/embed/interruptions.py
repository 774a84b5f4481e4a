"""What can end a training early: Ctrl-C, which waits for the end of an epoch, and memory that runs out."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import torch

from rxweave.errors import TrainingError


class OutOfMemoryError(TrainingError):
    """There was not enough memory; says for what, and which settings to lower."""


@contextlib.contextmanager
def deferred_ctrl_c(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Give a question, "has Ctrl-C been pressed?", that may be asked while the block runs.

    The first Ctrl-C is noted and told; a second one interrupts at once. Nothing is changed outside the main thread, or
    where the program handles Ctrl-C itself: it then interrupts as it always did.
    """
    asked = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        # The signal may have come in the middle of a print, which cannot be entered twice.
        with contextlib.suppress(RuntimeError):
            say("Ctrl-C: stopping after this epoch. Press it again to stop at once.")

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def memory_for(what: str, lower: str) -> Iterator[None]:
    """Turn any of the ways in which memory runs out into an OutOfMemoryError that says what to lower."""
    reason = None
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else "no memory left"
    # Raised out here: as its cause, the first error would keep alive the very tensors that took the memory.
    if reason is not None:
        raise OutOfMemoryError(f"Memory ran out while {what} ({reason.rstrip('.')}). Lower {lower}.")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, numpy or torch means that there is not enough memory."""
    told = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and any(sign in told for sign in ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED"))
    )
