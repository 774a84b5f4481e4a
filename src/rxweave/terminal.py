"""Names, ids and paths as a terminal shows them: letter by letter, never as markup, never steering it."""

from __future__ import annotations

import re

from rich import box
from rich.table import Table
from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
"""Control characters but the line break: a name must not steer the terminal."""


def table(title: str) -> Table:
    """Give an empty table in the style of the command line."""
    return Table(title=text(title, "table.title"), box=box.SIMPLE, pad_edge=False)


def text(shown: str, style: str = "") -> Text:
    """Give a text to be shown letter by letter."""
    return Text(clean(shown), style)


def clean(shown: str) -> str:
    """Give a text with its control characters replaced."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", shown)
