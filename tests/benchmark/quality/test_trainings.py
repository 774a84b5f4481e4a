"""Trainings of the evaluation: what decides them, what their records say, and which rows are of which vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rxweave.benchmark.quality import study
from rxweave.benchmark.quality.catalogue import chosen_methods
from rxweave.benchmark.quality.finished_runs import find_runs
from rxweave.benchmark.quality.settings import quality_settings
from rxweave.benchmark.quality.study import Plan
from rxweave.benchmark.quality.task import Task
from rxweave.benchmark.quality.vectors import FILE
from rxweave.config import EmbedSettings, RunSettings
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.errors import ConfigError
from rxweave.graph.leaks import SPLIT_KEY, split_fingerprint
from rxweave.graph.make_split import make_split
from rxweave.pipeline import load

TINY = [
    "embed.num_epochs=3", "embed.embedding_dim=16", "embed.hidden_dim=16", "embed.feature_dim=16",
    "embed.num_heads=2", "embed.accumulation_steps=1", "embed.device=cpu",
]  # fmt: skip
SETTINGS, PEERS = quality_settings({"load.kg": "demo:400"}, TINY)


def quiet(text: str) -> None:
    pass


def with_embed(**changes: object) -> RunSettings:
    return SETTINGS.but(embed=SETTINGS.embed.but(**changes))


def plan_of(out: Path, **changes: object) -> Plan:
    plan = Plan(chosen_methods("hgt-decoder"), (0,), SETTINGS, PEERS, out, command="rxweave benchmark quality …")
    return replace(plan, **changes)  # type: ignore[arg-type]


def training_of(plan: Plan) -> Task:
    (training,), _ = study._tasks(plan, (), {0: "f" * 64}, {})
    return training


# What decides a training.


@pytest.mark.parametrize("stopping", [None, 2], ids=["to its end", "early stopping"])
def test_how_often_it_is_measured_decides_a_training_that_measurements_end(
    tmp_path: Path, stopping: int | None
) -> None:
    marks = [
        training_of(plan_of(tmp_path, settings=with_embed(early_stopping=stopping, measure_every=every))).fingerprint
        for every in (1, 3)
    ]
    assert (marks[0] != marks[1]) == (stopping is not None)


def run_with(folder: Path, embed: EmbedSettings, **about: str) -> Path:
    """The embeddings of a run, as far as is asked of them before they are used."""
    graph = load(SETTINGS)[1]
    told = {"seed": "0", "settings": embed.model_dump_json(), **about}
    told.setdefault(SPLIT_KEY, split_fingerprint(make_split(graph, SETTINGS.split, seed=0), graph))
    write_embeddings(Embeddings(graph.nodes, np.ones((graph.num_nodes, 4), np.float32), told), folder / FILE)
    return folder


def test_a_run_that_measurements_ended_otherwise_is_refused(tmp_path: Path) -> None:
    graph = load(SETTINGS)[1]
    splits = {0: make_split(graph, SETTINGS.split, seed=0)}
    stopped = SETTINGS.embed.but(early_stopping=2, measure_every=1)
    run = run_with(tmp_path / "run", stopped)
    with pytest.raises(ConfigError, match=r"was trained with embed\.measure_every=1, and 3 is asked for"):
        find_runs([run], splits, graph, stopped.but(measure_every=3))
    with pytest.raises(ConfigError, match=r"was trained with embed\.early_stopping=2, and None is asked for"):
        find_runs([run], splits, graph, SETTINGS.embed)
    plain = run_with(tmp_path / "plain", SETTINGS.embed.but(measure_every=1))
    assert find_runs([plain], splits, graph, SETTINGS.embed.but(measure_every=3)) == {0: plain}
