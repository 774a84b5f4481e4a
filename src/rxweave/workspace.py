"""Where each stage's output lies, and the record of how it came about."""

from __future__ import annotations

import json
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rxweave import __version__
from rxweave.artifacts import write_json
from rxweave.claim import Claim
from rxweave.config import RunSettings
from rxweave.embed.usage import peak_memory
from rxweave.errors import ConfigError
from rxweave.kg.tables import InputFile
from rxweave.watch import Watch

__all__ = ["Workspace", "peak_memory"]

_RECORDED_PACKAGES = ("torch", "numpy", "scipy", "polars", "scikit-learn", "xgboost-cpu", "xgboost")


PRODUCTS = {
    "02_graph": (
        "nodes.parquet",
        "edges.parquet",
        "synonyms.parquet",
        "ledger.parquet",
        "load_report.json",
        "split.parquet",
        "split.removed.parquet",
    ),
    "06_models/embeddings": (
        "hgt_embeddings.*",
        "hgt_flattened_embeddings.parquet",
        "model.safetensors",
        "config.json",
        "history.json",
        "training.parquet",
        "added/*.parquet",
    ),
    "06_models/ranker": ("ranker.json", "drawn.npy", "members.safetensors", "model_*.ubj", "evaluation.json"),
    "07_model_output": (
        "clusters_*.parquet",
        "clusters_*.csv",
        "ablation.parquet",
        "ablation.json",
        "tuning.parquet",
        "tuning.json",
        "predictions.parquet",
        "predictions.csv",
        "predictions_by_drug.parquet",
        "matrix/*.parquet",
        "ranked_results.parquet",
        "ranked_results.csv",
        "added/*.parquet",
        "added/*.csv",
    ),
    "08_reporting": ("clusters_*.html", "clusters_*.json", "report.html", "metrics.json", "training.png"),
}
"""What a run writes into each folder, beside `manifest.json`; nothing else there is ever touched."""
_UNFINISHED = ".unfinished"
"""Where a run writes until it is complete. Of a killed run it stays, until the next run in the same place."""
SCORED = ".checkpoint/scores"
"""Where the blocks of a large matrix lie until all of it is scored."""
_CHECKPOINT = ".checkpoint/training.safetensors"
"""What training is resumed from. It survives failed and killed runs, and goes when a run is published."""


@dataclass
class Workspace:
    """The folders of a run under one root, and its record: settings, inputs, versions, times, peak memory.

    Everything is written below `root/.unfinished` and moved to its place when the run is complete, so that what an
    earlier run left is whole until the moment it is replaced.
    """

    root: Path
    settings: RunSettings
    watch: Watch
    kg_name: str = ""
    """Known once the graph is loaded."""
    inputs: tuple[InputFile, ...] = ()
    stages: list[dict[str, object]] = field(default_factory=list)
    results: dict[str, object] = field(default_factory=dict)
    unfinished: str = _UNFINISHED
    """Folder below the root for unfinished output; steps that may run at once have one each."""
    claim: Claim | None = None
    """Held from `begin` to `discard`: another run with the same place, of any process, is refused meanwhile."""

    @property
    def graph(self) -> Path:
        return self._folder("02_graph")

    @property
    def embeddings(self) -> Path:
        return self._folder("06_models/embeddings")

    @property
    def ranker(self) -> Path:
        return self._folder("06_models/ranker")

    @property
    def output(self) -> Path:
        return self._folder("07_model_output")

    @property
    def reporting(self) -> Path:
        return self._folder("08_reporting")

    @property
    def checkpoint(self) -> Path:
        return self.root / _CHECKPOINT

    @property
    def scored(self) -> Path:
        return self.root / SCORED

    def _folder(self, name: str) -> Path:
        return self.root / self.unfinished / self._place(name)

    def _place(self, name: str) -> str:
        return f"{name}/{self.kg_name or 'graph'}" if name == "02_graph" else name

    def check_free(self, *names: str) -> None:
        """Raise ConfigError when publishing would replace the run of another graph, or files of someone else.

        `names` limits it to some of the folders; so in `publish`.
        """
        for name, patterns in _products(names):
            folder = self.root / self._place(name)
            found = _kg_of(folder / "manifest.json")
            in_the_way = sorted(path for pattern in (*patterns, "manifest.json") for path in folder.glob(pattern))
            if in_the_way and found is None:
                raise ConfigError(
                    f"{in_the_way[0]} is in the way, and no rxweave run wrote it. Choose another --out, or allow "
                    "its replacement with --force."
                )
            if found is not None and found != self.settings.load.kg:
                raise ConfigError(
                    f"{self.root} holds the run of {found!r}, which a run of {self.settings.load.kg!r} would "
                    "replace. Choose another --out, or allow it with --force."
                )

    def begin(self) -> None:
        """Make the place for unfinished output, and empty it of what a killed run left.

        Raises ConfigError while another run writes there, be it of another process or of this one.
        """
        self.claim = Claim.of(self.root / self.unfinished)
        try:
            if (self.root / self.unfinished).exists():
                shutil.rmtree(self.root / self.unfinished)
            (self.root / self.unfinished).mkdir(parents=True)
        except OSError:  # a run that never began is not in the way of the next
            self._give_up()
            raise

    def publish(self, *names: str) -> None:
        """Move the complete run to its place; of an earlier run nothing remains, and nothing else is touched."""
        self._move(_products(names))
        if not names:  # before the place is given up: the checkpoint that lies there later is the next run's
            self.forget_checkpoint()
        self.discard()

    def forget_checkpoint(self) -> None:
        """Remove what training and scoring are resumed from: both are over, and their result in place."""
        self.checkpoint.unlink(missing_ok=True)
        shutil.rmtree(self.scored, ignore_errors=True)
        with suppress(OSError):  # something else lies there
            self.checkpoint.parent.rmdir()

    def replace(self, products: Sequence[tuple[str, tuple[str, ...]]], *, trained: bool = False) -> None:
        """Move what is complete to its place, and first remove what an earlier run left there.

        `products` are folders, such as 06_models/ranker, each with the patterns of the files to remove. Where it
        `trained`, its checkpoint goes with it.
        """
        self._move(products)
        if trained:  # before the place is given up, as in `publish`
            self.forget_checkpoint()
        self.discard()

    def _move(self, products: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        for name, patterns in products:
            place = self.root / self._place(name)
            for pattern in ("manifest.json", *patterns):
                for path in place.glob(pattern):
                    path.unlink()
        for staged in sorted((self.root / self.unfinished).rglob("*")):
            if staged.is_file():
                target = self.root / staged.relative_to(self.root / self.unfinished)
                target.parent.mkdir(parents=True, exist_ok=True)
                staged.replace(target)

    def discard(self) -> None:
        """Remove unfinished output, if there is any of this run: what another run writes there is not touched."""
        if self.claim is None:
            return
        try:
            if (self.root / self.unfinished).exists():
                shutil.rmtree(self.root / self.unfinished)
        finally:  # what could not be removed now is for the next run to remove
            self._give_up()

    def _give_up(self) -> None:
        if self.claim is not None:
            self.claim.release()
            self.claim = None

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


def _products(names: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return [(name, patterns) for name, patterns in PRODUCTS.items() if not names or name in names]


def _kg_of(manifest: Path) -> str | None:
    """The graph of the run that wrote a manifest; None without one, or when the file is not a manifest of ours."""
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
        return str(found["settings"]["load"]["kg"]) if "rxweave" in found else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # xgboost and xgboost-cpu exclude each other
            continue
    return found
