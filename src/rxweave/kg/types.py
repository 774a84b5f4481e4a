"""What every format's reader offers to `load_kg`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rxweave.kg.tables import KnowledgeGraph, Roles
from rxweave.kg.text import OnError


@dataclass(frozen=True)
class RoleChoice:
    """The roles a user names; None leaves a role to the format."""

    drug: str | None = None
    disease: str | None = None
    gene: str | None = None
    treats: tuple[str, ...] | None = None
    contraindicated: tuple[str, ...] | None = None

    def over(self, default: Roles) -> Roles:
        """Give the default roles with the user's choices in their place."""
        return Roles(
            drug=self.drug or default.drug,
            disease=self.disease or default.disease,
            gene=self.gene or default.gene,
            treats=default.treats if self.treats is None else self.treats,
            contraindicated=default.contraindicated if self.contraindicated is None else self.contraindicated,
        )


@dataclass(frozen=True)
class Reader:
    """A format: how its files are known by their content, and how they become a graph."""

    holds: str
    """What a path of this format holds, for messages."""
    columns: tuple[str, ...]
    """The columns by which its header is known; none if it may lack a header."""
    find: Callable[[Path], tuple[Path, ...] | None]
    """Give the files to read at a path, or None where the path does not hold this format."""
    read: Callable[[tuple[Path, ...], OnError, RoleChoice], KnowledgeGraph]
