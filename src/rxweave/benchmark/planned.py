"""Predicted beside measured memory of real trainings, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rxweave.benchmark.memory import forget_peak, peak
from rxweave.benchmark.watched import thread_settings
from rxweave.config import EmbedSettings
from rxweave.errors import RxweaveError
from rxweave.graph.build import Graph

PRIMEKG = "primekg:"
"""Begins the name of a made-up graph of PrimeKG's shape; its scale follows."""


@dataclass(frozen=True)
class PlannedCase:
    """A graph (a source of `load_kg`, or `primekg:SCALE`) and the settings that it is trained with."""

    graph: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def told(self) -> str:
        """Give the case in words."""
        return ", ".join([self.graph, *(f"{name}={value}" for name, value in self.settings.items())])


FEW_DRAWN = {"batching": "sampled", "num_neighbours": (5, 2), "batch_facts": 512, "num_treatment_negatives": 64}
TEN_THREE = {"batching": "sampled", "num_neighbours": (10, 3)}
SMALL = (
    PlannedCase("demo"),
    PlannedCase("demo:6000", {"attention": "fused_cpu", "precision": "fp32"}),
    PlannedCase("primekg:0.0625"),
    PlannedCase("primekg:0.0625", {"attention": "gather", "embedding_dim": 256, "hidden_dim": 128, "num_layers": 3}),
    PlannedCase("primekg:0.125", {"features": "learned", "precision": "bf16"}),
    PlannedCase("primekg:0.125", {"attention": "csr", "precision": "fp32", "num_heads": 4}),
    PlannedCase("primekg:0.25", {"hidden_dim": 512, "num_treatment_negatives": 512, "precision": "fp32"}),
    PlannedCase("demo:6000", {"batching": "sampled"}),
    PlannedCase("primekg:0.125", {"batching": "sampled", "precision": "fp32"}),
    PlannedCase("primekg:0.25", {**FEW_DRAWN, "features": "constant", "contrastive_weight": 0}),
    PlannedCase("primekg:0.25", {**TEN_THREE, "precision": "fp32", "features": "learned", "accumulation_steps": 2}),
    PlannedCase("primekg:0.25", {"batching": "sampled", "attention": "csr", "precision": "fp32", "hidden_dim": 512}),
)
"""Minutes on two cores, below 4 GB each."""
FULL = (
    PlannedCase("primekg:0.5", {"precision": "fp32"}),
    PlannedCase("primekg:1", {"precision": "bf16"}),
    PlannedCase("primekg:1", {"precision": "bf16", "features": "learned"}),
)
"""PrimeKG's own size: up to 6 GB."""


@dataclass(frozen=True)
class PlannedRow:
    """What was predicted of a case and what it then took, in bytes."""

    case: PlannedCase
    predicted: int
    measured: int
    held: int
    """Of both, what the process held before the plan was made."""
    stage: str
    attention: str
    precision: str

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted / self.measured


def compare(cases: Sequence[PlannedCase], *, threads: int = 1) -> Iterator[PlannedRow]:
    """Train two epochs of each case in a process of its own; RxweaveError, with its last words, for one that fails."""
    for case in cases:
        command = [sys.executable, "-m", "rxweave.benchmark.planned", json.dumps(asdict(case))]
        done = subprocess.run(command, capture_output=True, text=True, env=thread_settings(threads))
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            raise RxweaveError(f"The training of {case.told()} failed: {''.join(last) or done.returncode}.")
        yield PlannedRow(case, **json.loads(done.stdout.splitlines()[-1]))


def table(rows: Sequence[PlannedRow]) -> str:
    """Give the rows as a table in Markdown."""
    lines = ["| training | runs on | predicted GB | measured GB | predicted / measured |", "|---|---|---|---|---|"]
    for row in rows:
        figures = f"{row.predicted / 1e9:.2f} | {row.measured / 1e9:.2f} | {row.ratio:.2f}"
        lines.append(f"| {row.case.told()} | {row.attention}, {row.precision} | {figures} |")
    return "\n".join(lines)


def measure_here(case: PlannedCase) -> dict[str, object]:
    """Train in this process and give the figures of a row: the process should have done nothing else."""
    from rxweave.embed.train import train

    graph = _graph(case.graph)
    forget_peak()  # of making the graph
    settings = EmbedSettings(num_epochs=2, device="cpu", **case.settings)
    trained = train(graph, settings, seed=0)
    measured = peak()
    if measured is None:
        raise RxweaveError("This system does not tell how much a process has held at most.")
    plan = trained.memory
    return {
        "predicted": plan.peak,
        "measured": measured,
        "held": plan.parts["process"],
        "stage": plan.stage,
        "attention": plan.attention,
        "precision": plan.precision,
    }


def _graph(name: str) -> Graph:
    if name.startswith(PRIMEKG):
        from rxweave.graph.primekg_shape import primekg_shaped

        return primekg_shaped(float(name.removeprefix(PRIMEKG)), seed=0)
    from rxweave.graph.build import build_graph
    from rxweave.kg.sources import load_kg

    return build_graph(load_kg(name, seed=0))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_here(PlannedCase(**json.loads(sys.argv[1])))) + "\n")
