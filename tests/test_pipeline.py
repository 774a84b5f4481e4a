"""The whole road on small graphs: no leak on the way, the same result twice, and the demo's ceiling in reach."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from rxweave import pipeline
from rxweave.cli import app
from rxweave.config import RunSettings
from rxweave.embed.attention import MessageIndex, build_index
from rxweave.embed.held_out import HeldOut
from rxweave.embed.hgt import HGT
from rxweave.embed.store import Embeddings
from rxweave.embed.train import Trained, train
from rxweave.errors import LeakError
from rxweave.finished_run import read_run
from rxweave.graph.build import Graph
from rxweave.graph.make_split import make_split
from rxweave.graph.split import random_split, training_graph
from rxweave.graph.split_kinds import disease_split
from rxweave.rank.baselines import degree_prior
from rxweave.rank.ranker import Ranker, fit_ranker
from rxweave.settings import settings_from
from rxweave.validate.collapse import measure_collapse
from rxweave.workspace import peak_memory

SMALL = settings_from(
    {"load.kg": "demo:400"},
    [
        "embed.embedding_dim=64",
        "embed.hidden_dim=32",
        "embed.feature_dim=32",
        "embed.num_epochs=2",
        "rank.num_trees=10",
        "rank.num_draws=2",
        "embed.accumulation_steps=1",
        "embed.device=cpu",
    ],
)


def test_training_on_the_whole_graph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fingerprint of the split is stamped on embeddings only if the graph they were trained on honours it."""
    whole = pipeline.load(SMALL)[1]

    def careless(training: Graph, *arguments: object, **named: object) -> Trained:
        assert training.num_facts < whole.num_facts
        return train(whole, *arguments, **named)

    monkeypatch.setattr(pipeline, "train", careless)
    with pytest.raises(LeakError, match="synthetic drug"):
        pipeline.run(SMALL, tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


def test_held_out_pairs_are_in_no_graph_that_a_stage_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    for name in ("train", "fit_ranker", "baseline_scores", "decoder_scores", "measure_on_graph"):
        original = getattr(pipeline, name)

        def watched(*arguments: object, name: str = name, original=original, **named: object):
            seen[name] = next(each for each in arguments if isinstance(each, Graph))
            return original(*arguments, **named)

        monkeypatch.setattr(pipeline, name, watched)
    result = pipeline.run(SMALL, tmp_path)
    split = pl.read_parquet(tmp_path / "02_graph" / "demo" / "split.parquet")
    held = set(split.filter(pl.col("part") != "train").select("drug_key", "disease_key").iter_rows())
    assert held
    assert len(seen) == 5
    for name, graph in seen.items():
        keys = graph.nodes["node_key"].to_list()
        for r in graph.drug_disease_relations():
            facts = {(keys[a], keys[b]) for a, b in graph.facts[r].T.tolist()}
            facts |= {(b, a) for a, b in facts}
            assert not facts & held, name
    assert result.verdict.usefulness_tested


@pytest.mark.parametrize("kind", ["random", "disease"])
def test_only_validation_pairs_are_looked_at_while_training(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Enough(Exception):
        pass

    looked: list[HeldOut] = []

    def watched(*_: object, held_out: HeldOut, **__: object) -> Trained:
        looked.append(held_out)
        raise Enough

    monkeypatch.setattr(pipeline, "train", watched)
    settings = SMALL.but(split=SMALL.split.but(kind=kind))
    with pytest.raises(Enough):
        pipeline.run(settings, tmp_path)
    split = make_split(pipeline.load(settings)[1], settings.split, seed=settings.seed)
    np.testing.assert_array_equal(looked[0].pairs, split.valid)
    assert not set(map(tuple, looked[0].known.tolist())) & set(map(tuple, split.test.tolist()))
    np.testing.assert_array_equal(looked[0].test, split.test)


def test_early_stopping_by_test_pairs_is_refused(small_graph: Graph) -> None:
    split = random_split(small_graph, seed=0)
    careless = replace(HeldOut.of(split), pairs=split.test)
    with pytest.raises(LeakError, match=r"looked at while training are test pairs, first 'synthetic drug"):
        train(training_graph(small_graph, split), SMALL.embed, seed=0, held_out=careless)


def test_a_ranker_scores_no_graph_that_holds_what_it_was_fitted_without(small_graph: Graph, tmp_path: Path) -> None:
    """Made from the whole graph, its features would hold the answers; a saved ranker knows this too."""
    split = disease_split(small_graph, seed=0)
    training = training_graph(small_graph, split)
    settings = SMALL.rank.but(features=SMALL.rank.features.but(groups=("degrees",)), num_trees=2)
    ranker = fit_ranker(training, split, None, settings, seed=0)
    assert ranker.settings.features.folds_by == "disease"
    ranker.save(tmp_path)
    pairs = split.test
    for each in (ranker, Ranker.load(tmp_path)):
        each.features(training, None)
        assert each.bilinear is not None
        assert each.bilinear.even is not None
        assert each.bilinear.even.end == "disease"
        np.testing.assert_array_equal(each.bilinear.scores(pairs), ranker.bilinear.scores(pairs))
        with pytest.raises(LeakError, match=r"join a held-out pair, first 'synthetic drug"):
            each.features(small_graph, None)


def test_a_run_with_held_out_diseases_ends_to_end(tmp_path: Path) -> None:
    """Zero-shot by disease: no test or validation disease has a treatment in training, and the report says so."""
    arguments = ["run", "--kg", "demo:400", "--out", str(tmp_path), "--split", "disease", "--embedding-dim", "64"]
    arguments += ["--hidden-dim", "32", "--num-epochs", "2", "--device", "cpu", "--json"]
    for setting in ("embed.feature_dim=32", "rank.num_trees=10", "rank.num_draws=1"):
        arguments += ["-o", setting]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    pairs = pl.read_parquet(tmp_path / "02_graph" / "demo" / "split.parquet")
    parts = {part: set(pairs.filter(part=part)["disease_key"]) for part in ("train", "valid", "test")}
    assert all(parts.values())
    assert not parts["train"] & (parts["valid"] | parts["test"])
    assert not parts["valid"] & parts["test"]
    metrics = json.loads((tmp_path / "08_reporting" / "metrics.json").read_text())
    assert metrics["split"]["unit"] == "disease"
    assert metrics["split"]["notes"][0].startswith("Zero-shot by disease: ")
    assert 0 < metrics["methods"]["ranker"]["drugs_given_disease"]["mrr"]["value"] <= 1
    assert metrics["split"]["notes"][0] in (tmp_path / "08_reporting" / "report.html").read_text()
    run = read_run(tmp_path)
    assert (run.split.unit, run.split.notes) == ("disease", tuple(metrics["split"]["notes"]))


def test_the_encoder_never_gets_the_facts_that_a_step_scores(
    small_graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges, measured = [], []
    original = HGT.states

    def watched(self: HGT, features: torch.Tensor, index: MessageIndex) -> list[torch.Tensor]:
        (edges if torch.is_grad_enabled() else measured).append(index.num_edges)
        return original(self, features, index)

    monkeypatch.setattr(HGT, "states", watched)
    settings = SMALL.embed.but(num_epochs=3, masked_share=0.4)
    train(small_graph, settings, seed=0)
    every_edge = build_index(small_graph).num_edges
    assert len(edges) == 3
    assert set(measured) == {every_edge}  # the final embeddings use every fact
    for visible in edges:
        assert visible == pytest.approx(0.6 * every_edge, rel=0.02)


def test_the_same_settings_give_the_same_files_but_for_what_tells_the_time(tmp_path: Path) -> None:
    runs = [pipeline.run(SMALL, tmp_path / name) for name in ("first", "second")]
    assert runs[0].metrics == runs[1].metrics
    first, second = (
        {str(p.relative_to(tmp_path / name)): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("first", "second")
    )
    assert first.keys() == second.keys()
    differ = {Path(name).name for name in first if first[name] != second[name]}
    assert differ <= {"manifest.json", "history.json", "training.parquet", "report.html"}
    for name in ("hgt_embeddings.parquet", "hgt_embeddings.csv", "model.safetensors", "members.safetensors"):
        assert any(Path(each).name == name for each in first)
    history, again = (
        pl.read_parquet(tmp_path / name / "06_models" / "embeddings" / "training.parquet")
        for name in ("first", "second")
    )
    times = ["seconds", "measuring_seconds", "memory", "peak_memory"]
    assert history.drop(times).equals(again.drop(times))


@pytest.mark.parametrize("good_at", ["valid", "test"])
def test_the_verdict_rests_on_validation_pairs(small_graph: Graph, good_at: str) -> None:
    """A decoder that ranks only the validation pairs passes, one that ranks only the test pairs does not."""
    split = random_split(small_graph, seed=0)
    training = training_graph(small_graph, split)
    size = (small_graph.num_of("drug"), small_graph.num_of("disease"))
    decoder = np.zeros(size, np.float32)
    decoder[tuple(getattr(split, good_at).T)] = 1
    scores = {"HGT decoder": decoder, "degree prior": degree_prior(split.train, *size)}
    vectors = np.random.default_rng(0).standard_normal((small_graph.num_nodes, 64)).astype(np.float32)
    collapse = measure_collapse(Embeddings(small_graph.nodes, vectors, {}))
    verdict = pipeline.verdict_of(collapse, training, scores, split, seed=0)
    ranked = {finding.level for finding in verdict.findings if "MRR" in finding.measure}
    assert ranked == ({"good"} if good_at == "valid" else {"warning"})


def test_a_limit_above_the_size_of_a_graph_leaves_it_whole() -> None:
    kg, graph = pipeline.load(settings_from({"preset": "quick", "load.kg": "demo:400"}))
    assert (graph.num_nodes, len(kg.nodes)) == (400, 400)
    assert kg.truth is not None


@pytest.mark.slow
def test_the_demo_reaches_nine_tenths_of_its_oracle_within_2_gb(tmp_path: Path) -> None:
    result = pipeline.run(RunSettings(), tmp_path)
    assert result.verdict.level == "good"
    assert result.kg.truth is not None
    assert result.metrics["ranker"].auroc.value >= 0.9 * result.kg.truth.oracle_auroc
    assert result.metrics["HGT decoder"].auroc.value > result.metrics["degree prior"].auroc.value
    assert peak_memory() < 2e9
