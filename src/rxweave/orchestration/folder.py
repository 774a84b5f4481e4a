"""The folder of one graph: what earlier steps left there, and how a step puts its own files beside it.

It has the layout of `rxweave run --out`, so that all commands on finished runs work on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rxweave.artifacts import write_json
from rxweave.config import RunSettings
from rxweave.errors import InputError
from rxweave.finished_run import FinishedRun, read_run
from rxweave.graph.build import Graph, build_graph
from rxweave.kg.store import read_kg
from rxweave.kg.tables import InputFile, KnowledgeGraph
from rxweave.watch import Watch
from rxweave.workspace import Workspace

GRAPH, EMBEDDINGS, RANKER = "02_graph", "06_models/embeddings", "06_models/ranker"
OUTPUT, REPORTING = "07_model_output", "08_reporting"


@dataclass(frozen=True)
class GraphFolder:
    """A graph's own folder."""

    root: Path

    @property
    def graph(self) -> Path:
        """The folder of the loaded tables. Raises InputError when there is none, or more than one."""
        found = sorted(path.parent for path in (self.root / GRAPH).glob("*/load_report.json"))
        if len(found) != 1:
            raise InputError(
                f"{self.root / GRAPH} holds {len(found)} loaded graphs; expected one. "
                + ("Materialize knowledge_graph." if not found else "Remove those that this project did not load.")
            )
        return found[0]

    def read_graph(self) -> tuple[KnowledgeGraph, Graph]:
        """Give the loaded graph, as tables and as arrays."""
        kg = read_kg(self.graph)
        return kg, build_graph(kg)

    def read_run(self) -> FinishedRun:
        """Give graph, split, embeddings and model; see `finished_run.read_run` for what it refuses."""
        return read_run(self.root)

    def record(self, place: str) -> dict[str, Any]:
        """Give the manifest that lies beside a step's output."""
        folder = self.graph if place == GRAPH else self.root / place
        try:
            found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{folder} holds no record of how it was made ({error}). Materialize it again.") from None
        return found

    def settings(self, place: str) -> RunSettings:
        """Give the settings that an earlier step and those before it were made with."""
        return RunSettings(**self.record(place)["settings"])

    def model(self) -> str:
        """Give the SHA-256 of the trained model that lies here."""
        config: dict[str, Any] = json.loads((self.root / EMBEDDINGS / "config.json").read_text(encoding="utf-8"))
        return str(config["model_sha256"])

    def check_same_model(self, place: str, asset: str) -> None:
        """Raise InputError when what lies in `place`, which `asset` makes, was made with an earlier training."""
        if self.record(place)["results"].get("model", self.model()) != self.model():
            raise InputError(
                f"{self.root / place} was made with embeddings that have been trained anew since. Materialize {asset} "
                "first."
            )

    @contextmanager
    def step(
        self,
        stage: str,
        settings: RunSettings,
        watch: Watch,
        *,
        place: str,
        files: tuple[str, ...],
        after: str | None = None,
    ) -> Iterator[Workspace]:
        """Yield a workspace to write one step's files into; they replace earlier `files` of `place` when it succeeds.

        `after` is the place of the step before it, whose record is continued.
        """
        work = Workspace(self.root, settings, watch, unfinished=f".unfinished-{stage}")
        if after is not None:
            record = self.record(after)
            work.inputs = tuple(InputFile(**file) for file in record["inputs"])
            work.stages = [each for each in record["stages"] if each["stage"] != stage]
            work.results = dict(record["results"])
        if place == GRAPH and after is not None:
            work.kg_name = self.graph.name
        work.begin()
        try:
            with work.stage(stage):
                yield work
            folder = work.graph if place == GRAPH else self.root / work.unfinished / place
            write_json(folder / "manifest.json", work.manifest())
            work.replace([(place, files)], trained=stage == "embed")
        finally:
            work.discard()
