"""One piece of the evaluation: a method (or a training of embeddings) and a seed, and the record that it leaves."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import rxweave
from rxweave import __version__
from rxweave.artifacts import plain
from rxweave.benchmark.quality.settings import BaselineSettings
from rxweave.config import RunSettings
from rxweave.rank.pair_table import COLUMNS

MANIFEST, SCORES, PAIRS, PROGRESS = "manifest.json", "scores.npz", "pairs.parquet", "progress.txt"
VECTORS_SHA = "vectors_sha256"
"""Where the results of a training have the SHA-256 of its vectors' content."""


@dataclass(frozen=True, eq=False)
class Task:
    """Everything that a process needs to know, and all that decides what comes of it."""

    kind: Literal["score", "train"]
    """Score all pairs by a method, or train the embeddings that several methods share."""
    name: str
    """The method, or the kind of embeddings."""
    seed: int
    split_seed: int
    settings: RunSettings
    """Its seed is that with which the graph is loaded."""
    peers: BaselineSettings
    decides: Mapping[str, Any]
    """The settings that its outcome depends on."""
    inputs: tuple[str, ...]
    """SHA-256 of each file of the graph."""
    split_mark: str
    """The `leaks.parts_fingerprint` of its split: settings may name files, and what these hold may change."""
    folder: Path
    vectors: Path | None = None
    """The folder of the embeddings that a method uses."""
    vectors_mark: str = ""
    """What those embeddings are: the SHA-256 of their content (`Vectors.sha256`), or that of a finished run's file.

    Until they are trained it is the fingerprint of their training.
    """
    threads: int = field(default=1)
    command: str = ""
    """The command line that asked for it."""

    @property
    def title(self) -> str:
        what = f"training {self.name}" if self.kind == "train" else self.name
        return f"{what}, seed {self.seed}"

    @property
    def fingerprint(self) -> str:
        """Changes with everything that decides the outcome and is known before: settings, files, seeds, version."""
        decides = {
            "rxweave": __version__,
            "what": [self.kind, self.name, self.seed, self.split_seed],
            # Files are known by their content, wherever they lie.
            "load": self.settings.load.model_dump(mode="json", exclude={"kg"} if self.inputs else None),
            "graph_seed": self.settings.seed,
            "split": [self.settings.split.model_dump(mode="json"), self.split_mark],
            "settings": dict(self.decides),
            "inputs": self.inputs,
            "embeddings": self.vectors_mark,
        }
        if self.kind == "score":
            decides["pairs"] = COLUMNS  # a table with other columns cannot be summarised
        else:
            decides["says"] = VECTORS_SHA  # without it, as in records of before, no row can tell whether it is of them
        return hashlib.sha256(json.dumps(plain(decides), sort_keys=True).encode()).hexdigest()[:16]

    def record(self) -> dict[str, Any] | None:
        """Give the record of this very task if it is finished; None for none, or that of other settings."""
        found = read_record(self.folder)
        if self.kind == "score" and not (self.folder / PAIRS).is_file():  # taken away since
            return None
        return found if found is not None and found.get("fingerprint") == self.fingerprint else None

    def plain(self) -> dict[str, Any]:
        """Give it as plain values for JSON: what `from_json` reads back."""
        asked = {**vars(self), "settings": self.settings.model_dump(mode="json")}
        asked["peers"] = self.peers.model_dump(mode="json")
        told: dict[str, Any] = plain(asked)
        return told

    def argv(self) -> list[str]:
        """Give the command line that does it in a new process."""
        return [sys.executable, "-m", "rxweave.benchmark.quality.worker", json.dumps(self.plain())]

    @classmethod
    def from_json(cls, text: str) -> Task:
        values = json.loads(text)
        values["settings"], values["peers"] = RunSettings(**values["settings"]), BaselineSettings(**values["peers"])
        values["folder"], values["inputs"] = Path(values["folder"]), tuple(values["inputs"])
        values["vectors"] = None if values["vectors"] is None else Path(values["vectors"])
        return cls(**values)


def code_sha256() -> str:
    """Give the SHA-256 of the package's own source: rows made by other code than that of today can then be told."""
    package = Path(rxweave.__file__).parent
    lines = [
        f"{path.relative_to(package)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(package.rglob("*.py"))
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_record(folder: Path) -> dict[str, Any] | None:
    """Give the manifest in a folder; None when there is none or it is not whole: cut short, or without results."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    results = found.get("results") if isinstance(found, dict) else None
    return found if isinstance(results, dict) and results else None
