"""Errors that name the thing, the value got, what was expected and the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RxweaveError(ValueError):
    """Base of every error a user can cause and mend; the command line prints it without a traceback and exits 2."""


class InputError(RxweaveError):
    """A file cannot be read as what it was said to be."""


class ConfigError(RxweaveError):
    """A setting, or a combination of settings, is impossible."""


class LeakError(RxweaveError):
    """A held-out fact can reach the model; nothing may be trained or scored."""


class TrainingError(RxweaveError):
    """Training cannot go on: a value is not finite, or memory has run out."""


class CollapseError(TrainingError):
    """Training was ended because embeddings are collapsing. The command line exits with 1, a finding, not 2."""


def closest(name: str, candidates: Iterable[str], *, at_most: int = 3) -> list[str]:
    """Give the candidates nearest to `name` in spelling, best first, ignoring case."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    return [by_lower[hit] for hit in difflib.get_close_matches(name.lower(), by_lower, n=at_most, cutoff=0.5)]


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Give " Closest: 'a', 'b'." for a misspelt name, or an empty string when nothing is near."""
    hits = closest(name, candidates)
    return f" Closest: {', '.join(repr(hit) for hit in hits)}." if hits else ""
