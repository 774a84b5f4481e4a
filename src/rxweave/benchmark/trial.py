"""Part of a run in a process of its own: `python -m rxweave.benchmark.trial TRIAL JOURNAL`, the first of them JSON.

The journal gets one line of JSON for each thing that happened, at once, with the seconds since the process began; so a
trial that is stopped leaves what it has measured so far. `outcome.py` reads it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from rxweave.artifacts import plain
from rxweave.benchmark.machine import Since
from rxweave.benchmark.memory import peak
from rxweave.benchmark.watched import end_with_parent
from rxweave.config import RunSettings
from rxweave.embed.held_out import HeldOut
from rxweave.embed.history import Epoch
from rxweave.embed.memory_plan import MemoryPlanError
from rxweave.embed.store import write_embeddings
from rxweave.embed.train import Trained, choose_device, train
from rxweave.errors import CollapseError, RxweaveError, TrainingError
from rxweave.graph.build import Graph
from rxweave.graph.make_split import make_split
from rxweave.graph.primekg_shape import primekg_shaped
from rxweave.graph.sample import limit_nodes
from rxweave.graph.split import Split, training_graph
from rxweave.pipeline import describe, load, run, verdict_of
from rxweave.rank.baselines import baseline_scores
from rxweave.rank.decoder_scores import decoder_scores, scored_relations
from rxweave.validate.control import measure_trained
from rxweave.validate.verdict import Verdict, judge
from rxweave.watch import Watch

Part = Literal["embed", "validate", "run"]
Tell = Callable[..., None]
"""Writes a line of the journal: the name of what happened, and its figures."""

DEGREE_PRIOR = "degree prior"
"""What the verdict's gates on ranking come from."""
FEWEST_RANKED = 30
"""Held-out treatments of the validation part below which a sample's ranking is not asked about: it would be chance."""


@dataclass(frozen=True)
class Trial:
    """What is tried out: everything the process needs to know."""

    settings: RunSettings
    part: Part
    """How far it goes: `embed` loads and trains, `validate` judges the embeddings too, `run` is the whole road."""
    scale: float | None = None
    """Train on the PrimeKG-shaped graph of this scale in place of `load.kg`; not for `run`."""
    vectors: str | None = None
    """Where to write the vectors, as npy; not for `run`."""
    saves: bool = False
    """Keep checkpoints, and write the embeddings as `rxweave embed` does, into a folder that does not stay."""

    def command(self, journal: Path) -> list[str]:
        """Give the command line that tries it out in a new process."""
        asked = {**vars(self), "settings": self.settings.model_dump(mode="json")}
        return [sys.executable, "-m", "rxweave.benchmark.trial", json.dumps(asked), str(journal)]

    @classmethod
    def from_json(cls, text: str) -> Trial:
        values = json.loads(text)
        return cls(**{**values, "settings": RunSettings(**values["settings"])})


class _TellingWatch(Watch):
    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def stage(self, name: str) -> None:
        self.tell("stage", stage=name)

    def training(self, graph: Graph) -> None:
        self.tell("graph", name=graph.name, nodes=graph.num_nodes, facts=graph.num_facts, roles=vars(graph.roles))

    def epoch(self, epoch: Epoch) -> None:
        self.tell("epoch", epoch=vars(epoch))

    def warning(self, text: str) -> None:
        """Told with the epoch."""


def run_trial(trial: Trial, tell: Tell) -> None:
    """Try out one part; tells stages, the graph, every epoch, the verdict if there is one, and `done`."""
    since, watch = Since.now(), _TellingWatch(tell)
    device = choose_device(trial.settings.embed.device)
    if trial.part == "run":
        with tempfile.TemporaryDirectory(prefix="rxweave-trial-") as folder:
            result = run(trial.settings, Path(folder), watch=watch)
        tell("planned", plan=result.workspace.results["memory"])
    else:
        _embed_and_judge(trial, watch)
    tell(
        "done",
        peak=peak(),
        device_peak=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        share_of_others=since.share_of_others(),
    )


def _embed_and_judge(trial: Trial, watch: _TellingWatch) -> None:
    settings, seed = trial.settings, trial.settings.seed
    watch.stage("load")
    graph = load(settings)[1] if trial.scale is None else _made_up(trial.scale, settings)
    watch.stage("split")
    training, split = _split(graph, settings)
    watch.stage("embed")
    watch.training(training)
    with tempfile.TemporaryDirectory(prefix="rxweave-trial-") as folder:
        trained = train(
            training,
            settings.embed if split is not None else settings.embed.but(early_stopping=None),  # needs held-out pairs
            seed=seed,
            on_epoch=watch.epoch,
            on_warning=watch.warning,
            checkpoint=Path(folder) / "training.safetensors" if trial.saves else None,
            held_out=None if split is None else HeldOut.of(split),
        )
        if trial.saves:
            watch.stage("save")
            embeddings = describe(trained, settings, split)
            write_embeddings(embeddings, Path(folder) / "embeddings.parquet", Path(folder) / "embeddings.csv")
    watch.tell("planned", plan=trained.memory.plain())
    watch.tell("trained", device=trained.device, attention=trained.attention.name, precision=trained.precision.name)
    if trial.vectors is not None:
        np.save(trial.vectors, trained.vectors)
    if trial.part == "validate":
        watch.stage("validate")
        _judge(trained, training, split, settings, watch.tell)


def _made_up(scale: float, settings: RunSettings) -> Graph:
    graph = primekg_shaped(scale, seed=settings.seed)
    limit = settings.load.limit_nodes
    return graph if limit is None else limit_nodes(graph, limit, seed=settings.seed)


def _split(graph: Graph, settings: RunSettings) -> tuple[Graph, Split | None]:
    """The training graph and split of a run; a sample that has kept too few treatments is trained on whole."""
    try:
        split = make_split(graph, settings.split, seed=settings.seed)
        training = training_graph(graph, split)
        scored_relations(training)
        return training, split
    except RxweaveError:
        if settings.load.limit_nodes is None:
            raise
        return graph, None


def _judge(trained: Trained, training: Graph, split: Split | None, settings: RunSettings, tell: Tell) -> None:
    """The verdict as a run gives it; where too few treatments are held out, without asking about their ranking."""
    seed, roles = settings.seed, training.roles
    embeddings = describe(trained, settings, split)
    collapse, on_graph = measure_trained(trained, embeddings, seed=seed)
    if split is None or len(split.valid) < FEWEST_RANKED:
        verdict = judge(collapse, graph=on_graph, drug_type=roles.drug, disease_type=roles.disease)
    else:
        scores = {"HGT decoder": decoder_scores(trained, training)} | baseline_scores(training, split.train)
        verdict = verdict_of(collapse, training, scores, split, seed=seed, on_graph=on_graph)
    _tell_verdict(tell, verdict, num_ranked=0 if split is None else len(split.valid))


def _tell_verdict(tell: Tell, verdict: Verdict, *, num_ranked: int) -> None:
    ranked = [finding for finding in verdict.findings if finding.threshold.source == DEGREE_PRIOR]
    tell(
        "verdict",
        level=verdict.level,
        types=verdict.types,
        problems=[str(finding) for finding in verdict.problems],
        num_ranked=num_ranked,
        ranking={finding.measure: [finding.value, finding.threshold.good] for finding in ranked},
    )


def attempt(trial: Trial, tell: Tell) -> None:
    """Run a trial; what ends it is told as `failed`, a finding, or as `refused`: it cannot be tried like this."""
    try:
        run_trial(trial, tell)
    except MemoryPlanError as error:
        tell("failed", reason=str(error), status="out of memory")
    except (CollapseError, TrainingError) as error:
        tell("failed", reason=str(error), status="failed")
    except (RxweaveError, OSError) as error:
        tell("refused", reason=str(error))


def main() -> None:
    """Try out what the command line gives, into the journal it names."""
    trial, journal = Trial.from_json(sys.argv[1]), Path(sys.argv[2])
    end_with_parent()
    started = time.perf_counter()

    def tell(what: str, **figures: Any) -> None:
        line = {"what": what, "at": time.perf_counter() - started, **plain(figures)}
        with journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    attempt(trial, tell)


if __name__ == "__main__":
    main()
