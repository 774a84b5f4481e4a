"""The collapse benchmark: what it counts, that it finds collapse, and that it goes on after a kill."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from rxweave.benchmark import collapse, collapse_runs
from rxweave.benchmark.collapse import (
    JOURNAL,
    append_to,
    chosen_settings,
    collapse_sheet,
    read_journal,
    study_collapse,
    tasks_for,
    write_collapse,
)
from rxweave.benchmark.collapse_runs import (
    CONTROL,
    SETTINGS,
    Outcome,
    Setting,
    Task,
    held_out_auroc,
    run_task,
    split_for,
)
from rxweave.errors import ConfigError, TrainingError
from rxweave.graph.build import Graph
from rxweave.graph.leaks import check_no_leaks
from rxweave.graph.split import training_graph

SOUND = Outcome("random pairs", "pairs", "indication", 0, "f", "good", 0.9, 0.7)


def made(task: Task) -> Outcome:
    """A run that takes no time: sound, but for the control."""
    level = "collapsed" if task.setting is CONTROL else "good"
    return Outcome(task.setting.name, task.setting.held_out, task.target, task.seed, task.fingerprint, level, 0.9, 0.7)


def quiet(text: str) -> None:
    pass


def test_it_is_110_different_runs_and_each_setting_is_valid() -> None:
    tasks = tasks_for(SETTINGS, 5)
    assert len(tasks) == 110
    assert len({task.fingerprint for task in tasks}) == 110
    assert len({setting.name for setting in SETTINGS}) == 11
    for task in tasks:
        assert task.embed.features != "constant"
    assert CONTROL not in SETTINGS


@pytest.mark.parametrize("held_out", ["diseases", "drugs", "area"])
def test_nodes_are_held_out_with_all_their_pairs(small_graph: Graph, held_out: str) -> None:
    split = split_for(held_out, small_graph, seed=1)
    end = 0 if held_out == "drugs" else 1
    parts = [set(pairs[:, end].tolist()) for pairs in (split.train, split.valid, split.test)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts))
    check_no_leaks(training_graph(small_graph, split), split)
    np.testing.assert_array_equal(split.test, split_for(held_out, small_graph, seed=1).test)


def test_an_area_is_of_diseases_that_share_genes(small_graph: Graph) -> None:
    def overlap(held_out: str, seed: int) -> float:
        split = split_for(held_out, small_graph, seed=seed)
        diseases = np.unique(split.held_out[:, 1])
        rows = small_graph.rows_of("disease")
        touches = np.zeros((rows.stop - rows.start, small_graph.num_nodes), bool)
        for relation, (source, target) in zip(small_graph.relations, small_graph.facts, strict=True):
            if relation.name == "disease_protein":
                touches[source - rows.start, target] = True
        part = touches[diseases].astype(float)
        both = part @ part.T
        either = part.sum(axis=1)[:, None] + part.sum(axis=1) - both
        return float((both / np.maximum(either, 1))[~np.eye(len(diseases), dtype=bool)].mean())

    seeds = range(6)
    assert np.mean([overlap("area", seed) for seed in seeds]) > 1.2 * np.mean(
        [overlap("diseases", seed) for seed in seeds]
    )


def test_the_auroc_asks_within_the_held_out_diseases(small_graph: Graph) -> None:
    split = split_for("diseases", small_graph, seed=0)
    size = small_graph.num_of("drug"), small_graph.num_of("disease")
    scores = np.random.default_rng(0).normal(size=size).astype(np.float32)
    wanted, others = [], []
    known, test = ({tuple(pair) for pair in pairs.tolist()} for pairs in (split.known, split.test))
    for disease in {pair[1] for pair in test}:
        for drug in range(size[0]):
            if (drug, disease) in test:
                wanted.append(scores[drug, disease])
            elif (drug, disease) not in known:
                others.append(scores[drug, disease])
    truth = [True] * len(wanted) + [False] * len(others)
    assert held_out_auroc(scores, split, "diseases") == pytest.approx(roc_auc_score(truth, wanted + others))
    # A score that knows only which diseases were held out tells nothing.
    scores[:, np.unique(split.test[:, 1])] = -1
    assert held_out_auroc(scores, split, "diseases") == 0.5


@pytest.mark.parametrize(
    ("change", "collapsed", "at_chance"),
    [
        ({}, False, False),
        ({"verdict": "warning"}, False, False),
        ({"verdict": "collapsed"}, True, False),
        ({"auroc": 0.5}, True, True),
        ({"auroc": 0.47}, True, True),
        ({"auroc": 0.47, "held_out": "diseases"}, False, True),
        ({"auroc": 0.5, "held_out": "diseases"}, True, True),
    ],
)
def test_what_counts_as_collapse(change: dict[str, object], collapsed: bool, at_chance: bool) -> None:
    outcome = replace(SOUND, **change)
    assert (outcome.collapsed, outcome.at_chance) == (collapsed, at_chance)


def test_finished_runs_are_not_run_again_and_failed_and_cut_off_ones_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Task] = []

    def counted(task: Task) -> Outcome:
        ran.append(task)
        if len(ran) == 5:
            raise KeyboardInterrupt
        outcome = made(task)
        return replace(outcome, verdict="", error="out of luck") if len(ran) == 3 else outcome

    monkeypatch.setattr(collapse, "run_task", counted)
    some = SETTINGS[:2]
    stopped = study_collapse(tmp_path, settings=some, seeds=2, tell=quiet)
    assert (stopped.complete, len(stopped.runs), stopped.num_failed) == (False, 4, 1)
    with (tmp_path / JOURNAL).open("a") as journal:
        journal.write('{"setting": "random pa')  # killed while writing
    assert len(read_journal(tmp_path / JOURNAL)) == 3
    done = study_collapse(tmp_path, settings=some, seeds=2, tell=quiet)
    assert done.complete
    assert done.passed
    assert (len(done.runs), len(done.controls)) == (8, 4)
    assert len(ran) == 5 + (12 - 3)
    again = study_collapse(tmp_path, settings=some, seeds=2, tell=quiet)
    assert (again.runs, len(ran)) == (done.runs, 14)
    study_collapse(tmp_path, settings=some, seeds=2, fresh=True, tell=quiet)
    assert len(ran) == 26


def test_a_run_with_other_settings_is_another_run() -> None:
    task = Task(Setting("random pairs"), "indication", 0)
    others = [
        replace(task, seed=1),
        replace(task, target="contraindication"),
        replace(task, graph="demo:300"),
        replace(task, setting=Setting("random pairs", embed={"num_layers": 1})),
        replace(task, setting=Setting("random pairs", held_out="drugs")),
    ]
    assert len({each.fingerprint for each in (task, *others)}) == 6


def test_outcomes_come_back_from_the_journal(tmp_path: Path) -> None:
    unmeasured = replace(SOUND, fingerprint="g", auroc=float("nan"), problems=("warning: drug: hubness",))
    for outcome in (SOUND, unmeasured):
        append_to(tmp_path / "j", outcome)
    found = read_journal(tmp_path / "j")
    assert found["f"] == SOUND
    assert found["g"].problems == unmeasured.problems
    assert np.isnan(found["g"].auroc)


@pytest.mark.parametrize(
    ("change", "code"),
    [({}, 0), ({"verdict": "collapsed"}, 1), ({"verdict": "", "error": "no"}, 1)],
)
def test_the_report_counts_and_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], code: int
) -> None:
    def run(task: Task) -> Outcome:
        return replace(made(task), **(change if task.seed == 1 and task.setting is SETTINGS[0] else {}))

    monkeypatch.setattr(collapse, "run_task", run)
    report = study_collapse(tmp_path, settings=SETTINGS[:1], seeds=2, tell=quiet)
    assert report.passed == (code == 0)
    told = json.loads(write_collapse(report, tmp_path)[0].read_text())
    assert told["passed"] == report.passed
    assert told["num_collapsed"] == sum(row["collapsed"] for row in told["runs"])
    rows = collapse_sheet(report).rows
    assert [row[2] for row in rows] == (["1 of 2"] * 2 if change == {"verdict": "collapsed"} else ["0 of 2"] * 2) + [
        "2 of 2",
        "2 of 2",
    ]


def test_a_control_that_is_not_found_collapsed_fails_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collapse, "run_task", lambda task: replace(made(task), verdict="good"))
    report = study_collapse(tmp_path, settings=SETTINGS[:1], seeds=1, tell=quiet)
    assert (report.num_collapsed, report.num_unseen, report.passed) == (0, 2, False)


def test_an_error_of_training_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(task: Task) -> None:
        raise TrainingError("NaN in step 3")

    monkeypatch.setattr(collapse_runs, "_train_and_judge", fails)
    assert run_task(Task(SETTINGS[0], "indication", 0)).error == "NaN in step 3"


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    assert [each.name for each in chosen_settings("1 layer; 32 dims, 2 heads")] == ["1 layer", "32 dims, 2 heads"]
    with pytest.raises(ConfigError, match="1 layer"):
        chosen_settings("1 layers")
    with pytest.raises(ConfigError, match="jobs is 0"):
        study_collapse(tmp_path, jobs=0, tell=quiet)


@pytest.mark.slow
def test_a_real_run_is_sound_and_its_control_collapsed() -> None:
    few = {"num_epochs": 8, "feature_dim": 64}
    sound = run_task(Task(Setting("few epochs", embed=few), "indication", 0, "demo:400"))
    control = run_task(Task(Setting("control", embed={**few, "features": "constant"}), "indication", 0, "demo:400"))
    assert (sound.error, control.error) == ("", "")
    assert (sound.collapsed, control.collapsed) == (False, True)
    assert sound.auroc > max(0.7, control.auroc)
    assert "collapsed: drug: edge_share" in control.problems
