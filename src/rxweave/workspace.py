"""Where each stage's output lies, and the record of how it came about."""

from __future__ import annotations

import json
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rxweave import __version__
from rxweave.artifacts import write_json
from rxweave.config import RunSettings
from rxweave.errors import ConfigError
from rxweave.kg.tables import InputFile
from rxweave.watch import Watch

_RECORDED_PACKAGES = ("torch", "numpy", "scipy", "polars", "scikit-learn", "xgboost-cpu", "xgboost")


@dataclass
class Workspace:
    """The folders of a run under one root, and its record: settings, inputs, versions, times, peak memory."""

    root: Path
    settings: RunSettings
    watch: Watch
    kg_name: str = ""
    """Known once the graph is loaded."""
    inputs: tuple[InputFile, ...] = ()
    stages: list[dict[str, object]] = field(default_factory=list)
    results: dict[str, object] = field(default_factory=dict)

    @property
    def graph(self) -> Path:
        return self.root / "02_graph" / self.kg_name

    @property
    def embeddings(self) -> Path:
        return self.root / "06_models" / "embeddings"

    @property
    def ranker(self) -> Path:
        return self.root / "06_models" / "ranker"

    @property
    def output(self) -> Path:
        return self.root / "07_model_output"

    @property
    def reporting(self) -> Path:
        return self.root / "08_reporting"

    def check_free(self) -> None:
        """Raise ConfigError when the root holds the run of another graph, which this one would replace."""
        for folder in (self.reporting, self.output, self.ranker, self.embeddings):
            manifest = folder / "manifest.json"
            if not manifest.exists():
                continue
            found = json.loads(manifest.read_text(encoding="utf-8"))["settings"]["load"]["kg"]
            if found != self.settings.load.kg:
                raise ConfigError(
                    f"{self.root} holds the run of {found!r}, which a run of {self.settings.load.kg!r} would "
                    "replace. Choose another --out, or allow it with --force."
                )

    def clear(self) -> None:
        """Remove what an earlier run left, so that nothing of it can be taken for part of this one."""
        for folder in (self.graph, self.embeddings, self.ranker, self.output, self.reporting):
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def stage(self, name: str, *folders: Path) -> Iterator[None]:
        """Time a stage and, when it has succeeded, lay the record so far beside what it wrote in `folders`."""
        self.watch.stage(name)
        started, processor = time.perf_counter(), time.process_time()
        yield
        self.stages.append(
            {
                "stage": name,
                "seconds": round(time.perf_counter() - started, 2),
                "cpu_seconds": round(time.process_time() - processor, 2),
                "peak_memory_gb": round(peak_memory() / 1e9, 3),
            }
        )
        for folder in folders:
            write_json(folder / "manifest.json", self.manifest())

    def manifest(self) -> dict[str, object]:
        """Give the record of the run so far, plain enough for JSON."""
        return {
            "rxweave": __version__,
            "settings": self.settings.model_dump(mode="json"),
            "inputs": self.inputs,
            "versions": _versions(),
            "machine": platform.platform(),
            "stages": self.stages,
            "results": self.results,
        }


def peak_memory() -> int:
    """Give the most memory this process has held at once, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kilobytes


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # xgboost and xgboost-cpu exclude each other
            continue
    return found
