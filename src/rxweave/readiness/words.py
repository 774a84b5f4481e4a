"""Times and amounts as people say them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Give `45 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def gigabytes(amount: float | None) -> str:
    """Give `2.9 GB`; where the system does not tell it, that."""
    return "an amount of memory that this system does not tell" if amount is None else f"{amount:.1f} GB"


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Give `a`, `a and b` or `a, b and c`; nothing for none."""
    *most, last = names or ("",)
    return f"{', '.join(most)} and {last}" if most else last
