"""`rxweave explain`: what joins a drug and a disease in a finished run, what may be asked, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rxweave import pipeline
from rxweave.cli import main
from rxweave.errors import ConfigError, InputError
from rxweave.explain.explanation import ExplainingPath, Explanation
from rxweave.explain_run import explain_pair
from rxweave.finished_run import FinishedRun, read_run
from rxweave.leads import PREDICTIONS
from rxweave.rank.folds import pair_folds
from rxweave.rank.model import Ranker
from rxweave.settings import settings_from

OPTIONS = [
    "embed.embedding_dim=32",
    "embed.hidden_dim=32",
    "embed.feature_dim=32",
    "embed.num_epochs=5",
    "embed.learning_rate=0.003",
    "rank.num_trees=15",
    "rank.num_draws=2",
    "embed.accumulation_steps=1",
    "embed.device=cpu",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    out = tmp_path_factory.mktemp("run")
    pipeline.run(settings_from({"load.kg": "demo:500", "seed": 1}, OPTIONS), out)
    return read_run(out)


def keys_of(run: FinishedRun, pair: np.ndarray) -> dict[str, str]:
    graph = run.training
    return {
        end: graph.nodes["node_key"][graph.rows_of(end).start + int(number)]
        for end, number in zip(("drug", "disease"), pair, strict=True)
    }


@pytest.fixture(scope="module")
def held_out(run: FinishedRun) -> Explanation:
    return explain_pair(run, **keys_of(run, run.split.test[0]))


def facts_of(run: FinishedRun) -> set[tuple[str, str, str]]:
    keys = run.training.nodes["node_key"].to_list()
    return {
        (keys[source], relation.name, keys[target])
        for relation, facts in zip(run.training.relations, run.training.facts, strict=True)
        for source, target in facts.T.tolist()
    }


def stated(path: ExplainingPath) -> list[tuple[str, str, str]]:
    facts = []
    for step in path.steps:
        ends = sorted([step.source.node_key, step.target.node_key])
        if step.direction != "both ways":
            ends = [step.source.node_key, step.target.node_key]
        if step.direction == "against":
            ends.reverse()
        facts.append((ends[0], step.relation, ends[1]))
    return facts


def test_every_step_is_a_fact_of_the_training_graph_as_its_direction_says(
    run: FinishedRun, held_out: Explanation
) -> None:
    facts = facts_of(run)
    assert held_out.standing == "held-out treatment"
    assert len(held_out.paths) == 10
    assert {step.direction for path in held_out.paths for step in path.steps} == {"along", "against", "both ways"}
    for path in held_out.paths:
        assert set(stated(path)) <= facts
        assert path.nodes[0] == held_out.drug
        assert path.nodes[-1] == held_out.disease
        assert len(set(path.nodes)) == len(path.nodes)
        assert 0 < path.share <= 1


def test_a_treatment_it_learnt_from_is_explained_without_its_own_fold(run: FinishedRun) -> None:
    pair = run.split.train[0]
    found = explain_pair(run, **keys_of(run, pair), top=500)
    assert found.standing == "treatment it learnt from"
    ranker = Ranker.load(run.folder / "06_models" / "ranker")
    folds = pair_folds(run.training, num_folds=ranker.settings.features.num_folds, seed=ranker.seed)
    graph = run.training
    rows = {key: row for row, key in enumerate(graph.nodes["node_key"])}
    drugs, diseases = graph.rows_of("drug").start, graph.rows_of("disease").start
    used = [
        (rows[source] - drugs, rows[target] - diseases)
        for path in found.paths
        for source, relation, target in stated(path)
        if relation == "indication"
    ]
    assert used
    assert not (folds.of(np.array(used)) == folds.of(pair[None])).any()


def test_the_score_is_that_of_the_predictions_and_the_sum_of_its_parts(run: FinishedRun, held_out: Explanation) -> None:
    table = pl.read_parquet(run.folder / PREDICTIONS)
    row = table.filter(drug_key=held_out.drug.node_key, disease_key=held_out.disease.node_key).row(0, named=True)
    assert held_out.score.probability == pytest.approx(row["prob_treats"], abs=1e-6)
    parts = sum(group.part for group in held_out.score.groups)
    assert held_out.score.base + parts == pytest.approx(held_out.score.score, abs=1e-4)
    assert {group.group for group in held_out.score.groups} == {"interaction", "degrees", "paths", "profiles"}
    for group in held_out.score.groups:
        assert sum(feature.part for feature in group.features) == pytest.approx(group.part, abs=1e-9)


def test_the_features_of_paths_are_what_the_paths_and_walks_add_up_to(run: FinishedRun) -> None:
    """Of a held-out pair and of one learnt from: the ranker saw the very counts that are explained."""
    for pair in (run.split.test[0], run.split.train[0]):
        found = explain_pair(run, **keys_of(run, pair), top=5000)
        features = {
            feature.name.removeprefix("paths: "): feature.value
            for group in found.score.groups
            if group.group == "paths"
            for feature in group.features
        }
        seen = {path.metapath for path in found.paths}
        assert {name for name, value in features.items() if value and value > 0} >= seen
        whole = [path for path in found.paths if path.num_of_kind == 1]
        assert whole
        for path in whole:  # walks that come back to a node only ever add
            assert features[path.metapath] >= path.weight - 1e-5
        assert sum(features[path.metapath] == pytest.approx(path.weight, rel=1e-4) for path in whole) > len(whole) / 2


def test_attention_is_shown_for_every_step_when_asked_for(run: FinishedRun, held_out: Explanation) -> None:
    found = explain_pair(run, **keys_of(run, run.split.test[0]), attention=True)
    assert [str(path) for path in found.paths] == [str(path) for path in held_out.paths]
    for path in found.paths:
        for step in path.steps:
            assert step.attention is not None
            assert len(step.attention.forward) == len(step.attention.back) == run.settings.num_layers
            assert all(0 < share < 1 for share in (*step.attention.forward, *step.attention.back))
    assert all(step.attention is None for path in held_out.paths for step in path.steps)


def test_known_treatments_like_it_are_of_the_training_graph(run: FinishedRun, held_out: Explanation) -> None:
    facts = facts_of(run)
    assert {each.other for each in held_out.alike} == {"drug", "disease"}
    for each in held_out.alike:
        assert (each.drug.node_key, "indication", each.disease.node_key) in facts
        assert (each.drug == held_out.drug) == (each.other == "disease")
        assert (each.disease == held_out.disease) == (each.other == "drug")


def test_filters_leave_paths_out(run: FinishedRun, held_out: Explanation) -> None:
    asked = keys_of(run, run.split.test[0])
    node = held_out.paths[0].nodes[1]
    through = explain_pair(run, **asked, through=node.node_key, top=5)
    assert all(node in path.nodes[1:-1] for path in through.paths)
    assert 0 < through.num_paths < held_out.num_paths
    short = explain_pair(run, **asked, max_length=2, top=1000)
    assert {len(path.steps) for path in short.paths} == {2}
    relation = held_out.paths[0].steps[0].relation
    without = explain_pair(run, **asked, without=[relation], top=1000)
    assert relation not in {step.relation for path in without.paths for step in path.steps}
    assert 0 < without.num_paths < held_out.num_paths


def test_what_is_not_there_is_refused_with_what_is(run: FinishedRun, held_out: Explanation) -> None:
    asked = keys_of(run, run.split.test[0])
    with pytest.raises(InputError, match=r"no such relation \(it has .*Closest: 'drug_protein'"):
        explain_pair(run, **asked, without=["drug_proteins"])
    with pytest.raises(ConfigError, match="paths of 2 to 3 steps"):
        explain_pair(run, **asked, max_length=4)
    with pytest.raises(
        InputError, match=r"None of the [\d,]+ paths .* goes through .*most of them go through synthetic"
    ):
        explain_pair(run, **asked, through=off_all_paths(run, asked))
    with pytest.raises(InputError, match="No path that is asked for joins"):
        explain_pair(run, **asked, through=off_all_paths(run, asked), without=[r.name for r in run.training.relations])
    with pytest.raises(InputError, match="is not in demo"):
        explain_pair(run, drug="aspirin", disease=asked["disease"])


def off_all_paths(run: FinishedRun, asked: dict[str, str]) -> str:
    for key in run.training.nodes.filter(node_type="gene/protein")["node_key"]:
        try:
            explain_pair(run, **asked, through=key)
        except InputError:
            return str(key)
    raise AssertionError("every gene is on a path")


def rxweave(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["rxweave", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_command_prints_json_or_a_table(
    run: FinishedRun,
    held_out: Explanation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["explain", "--run", run.folder]
    asked += ["--drug", held_out.drug.node_name, "--disease", held_out.disease.node_name, "--top", 3]
    assert rxweave(monkeypatch, *asked, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["drug"]["node_key"] == held_out.drug.node_key
    assert [path["weight"] for path in told["paths"]] == [path.weight for path in held_out.paths[:3]]
    assert told["score"]["score"] == held_out.score.score
    picture = tmp_path / "paths.svg"
    assert rxweave(monkeypatch, *asked, "--figure", picture, "--attention") == 0
    out = capsys.readouterr().out
    assert "not medical advice" in out
    assert "attention" in out
    assert "not medical advice" in picture.read_text()
    assert rxweave(monkeypatch, *asked, "--figure", tmp_path / "paths.pdf") == 2


def test_a_wrong_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rxweave(monkeypatch, "explain", "--run", tmp_path, "--drug", "a", "--disease", "b") == 2
    assert "no output folder of rxweave run" in capsys.readouterr().err
