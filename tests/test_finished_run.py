"""A run read back from its folder: the same verdict as the run gave, for its own vectors, and a probe for others."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rxweave import pipeline
from rxweave.cli import main
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.embed.treatment_scores import scores_as_told, treatment_scores
from rxweave.errors import InputError, LeakError
from rxweave.finished_run import EMBEDDINGS, FinishedRun, read_ranker, read_run
from rxweave.pipeline import RunResult
from rxweave.rank.features import DECODER, aligned_vectors
from rxweave.settings import settings_from
from rxweave.usefulness import graph_evidence, run_evidence, validate_beside
from rxweave.validate.page import render_page

OPTIONS = [
    "embed.embedding_dim=64",
    "embed.hidden_dim=32",
    "embed.feature_dim=64",
    "embed.num_epochs=8",
    "embed.learning_rate=0.005",
    "rank.num_trees=5",
    "rank.num_draws=1",
    "rank.features.groups=degrees,decoder",
    "embed.accumulation_steps=1",
    "embed.device=cpu",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    out = tmp_path_factory.mktemp("run")
    return out, pipeline.run(settings_from({"load.kg": "demo:600", "seed": 3}, OPTIONS), out)


@pytest.fixture(scope="module")
def run(made: tuple[Path, RunResult]) -> FinishedRun:
    return read_run(made[0])


def ranked(verdict: object) -> list[tuple[str, float, float]]:
    return [(f.measure, f.value, f.threshold.good) for f in verdict.findings if "MRR" in f.measure]


def with_vectors(run: FinishedRun, vectors: np.ndarray) -> Embeddings:
    return Embeddings(run.embeddings.nodes, vectors.astype(np.float32), {})


def test_a_runs_own_vectors_get_the_verdict_of_the_run(made: tuple[Path, RunResult], run: FinishedRun) -> None:
    found = validate_beside(run.embeddings, run=run, seed=3)
    theirs = made[1].verdict
    assert found.verdict.level == theirs.level
    assert ranked(found.verdict) == ranked(theirs)
    ours = {(f.node_type, f.measure): (f.value, f.level) for f in found.verdict.findings}
    assert ours.keys() == {(f.node_type, f.measure) for f in theirs.findings}
    for finding in theirs.findings:
        assert ours[finding.node_type, finding.measure] == (pytest.approx(finding.value, abs=1e-4), finding.level)
    assert found.verdict.usefulness_tested


def test_the_file_of_embeddings_scores_treatments_as_the_models_decoder_does(run: FinishedRun) -> None:
    own = run.embeddings
    told = scores_as_told(aligned_vectors(own, run.training), own.metadata, run.training)
    np.testing.assert_array_equal(told, treatment_scores(own.vectors, run.decoder, run.training))
    assert DECODER in read_ranker(run.folder).features(run.training, own).names


def test_the_model_gives_the_vectors_again_and_the_states_behind_them(run: FinishedRun) -> None:
    states = run.layer_states(run.features())
    assert len(states) == run.settings.num_layers + 1
    found = validate_beside(run.embeddings, run=run)
    assert len(found.layers) == len(states)
    assert all(0 < share < 1.2 for share in found.layers)
    assert found.untrained is not None
    assert found.untrained.node_types == found.collapse.node_types
    assert found.graph.untrained_link_auroc < found.graph.link_auroc
    html = render_page(found, "run", {})
    assert html.count("<small>untrained ") == 9 * len(found.collapse.types)
    assert "after layer 2" in html


@pytest.mark.parametrize("form", ["csv", "shuffled"])
def test_its_own_vectors_are_known_in_any_file(made: tuple[Path, RunResult], run: FinishedRun, form: str) -> None:
    if form == "csv":
        from rxweave.validate.read import read_embeddings

        given = read_embeddings(made[0] / EMBEDDINGS / "hgt_embeddings.csv")
    else:
        order = np.random.default_rng(0).permutation(run.embeddings.num_nodes)
        given = Embeddings(run.embeddings.nodes[order.tolist()], run.embeddings.vectors[order], {})
    assert run.owns(given)
    assert run_evidence(run, given, seed=0) == run_evidence(run, run.embeddings, seed=0)


def test_other_vectors_are_ranked_by_a_probe_and_that_is_said(run: FinishedRun) -> None:
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(64, 64)))[0]
    turned = with_vectors(run, run.embeddings.vectors @ rotation)
    assert not run.owns(turned)
    found = validate_beside(turned, run=run)
    assert not found.verdict.usefulness_tested
    assert found.untrained is None
    assert any("held out from a probe" in note for note in found.verdict.notes)
    assert len(ranked(found.verdict)) == 2
    evidence = graph_evidence(turned, run.training, seed=0)
    assert evidence.diseases_given_drug.value > evidence.diseases_given_drug.prior
    assert evidence.drugs_given_disease.value > evidence.drugs_given_disease.prior


def test_random_vectors_do_not_rank_above_the_prior_with_a_graph_or_a_run(run: FinishedRun) -> None:
    random = with_vectors(run, np.random.default_rng(1).normal(size=run.embeddings.vectors.shape))
    for found in (validate_beside(random, run=run), validate_beside(random, graph=run.training)):
        levels = {f.measure: f.level for f in found.verdict.findings if "MRR" in f.measure}
        assert levels["MRR of diseases given a drug"] == "warning"
        assert found.verdict.level == "warning"


def test_with_a_graph_alone_the_probe_is_tested_on_other_folds(run: FinishedRun) -> None:
    evidence = graph_evidence(run.embeddings, run.training, seed=0)
    assert evidence is not None
    assert not evidence.held_out
    for side in (evidence.diseases_given_drug, evidence.drugs_given_disease):
        assert side.value > side.prior
        assert side.interval[0] < side.value < side.interval[1]
    assert graph_evidence(run.embeddings, run.training, seed=0) == evidence
    without = replace(run.training, roles=replace(run.training.roles, treats=("off-label use",)))
    few = without.keep_facts({r: np.arange(fact.shape[1]) < 20 for r, fact in enumerate(without.facts)})
    assert graph_evidence(run.embeddings, few, seed=0) is None


def test_only_embedded_nodes_take_part_in_the_probe(run: FinishedRun) -> None:
    """Half of the drugs without a vector: as good as a graph without them."""
    drugs = run.embeddings.of_type("drug")
    left_out = set(drugs[::2].tolist())
    rows = np.array([row for row in range(run.embeddings.num_nodes) if row not in left_out])
    given = Embeddings(run.embeddings.nodes[rows.tolist()], run.embeddings.vectors[rows], {})
    evidence = graph_evidence(given, run.training, seed=0)
    assert evidence is not None
    assert (
        evidence.drugs_given_disease.prior
        > graph_evidence(run.embeddings, run.training, seed=0).drugs_given_disease.prior
    )


@pytest.fixture
def copy(made: tuple[Path, RunResult], tmp_path: Path) -> Path:
    shutil.copytree(made[0], tmp_path / "copy")
    return tmp_path / "copy"


def test_a_folder_that_is_no_run_or_not_whole_is_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no output folder of rxweave run"):
        read_run(tmp_path)
    for name, message in (
        (f"{EMBEDDINGS}/model.safetensors", "no trained model"),
        ("02_graph/demo/edges.parquet", "no loaded graph"),
        ("02_graph/demo/split.removed.parquet", "split"),
    ):
        hidden = (copy / name).rename(copy / "hidden")
        with pytest.raises(InputError, match=message):
            read_run(copy)
        hidden.rename(copy / name)
    config = copy / EMBEDDINGS / "config.json"
    told = json.loads(config.read_text())
    told["relations"] = told["relations"][::-1]
    config.write_text(json.dumps(told))
    with pytest.raises(InputError, match="of another graph"):
        read_run(copy)


def test_embeddings_of_another_split_are_refused(copy: Path, run: FinishedRun) -> None:
    other = Embeddings(run.embeddings.nodes, run.embeddings.vectors, {"split": "0" * 64})
    write_embeddings(other, copy / EMBEDDINGS / "hgt_embeddings.parquet")
    with pytest.raises(LeakError, match="trained on split"):
        read_run(copy)


def test_the_command_validates_a_run(
    made: tuple[Path, RunResult], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["rxweave", "validate", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0)

    assert call("--run", made[0], "--seed", "3", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == made[1].verdict.level
    assert len(told["dirichlet_share_per_layer"]) == 3
    assert {each["node_type"] for each in told["untrained_types"]} == set(told["judged"])
    assert call("--run", made[0], "--graph", "demo") == 2
    assert "leave out --graph" in capsys.readouterr().err
    assert call() == 2
    assert "nothing to validate" in capsys.readouterr().err
