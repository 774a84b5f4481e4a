"""The Dagster project on a small demo graph: what there is, what it makes, and that it is what `rxweave run` makes."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster_runs import TINY, checks, made, metadata, project, run
from typer.testing import CliRunner

from rxweave import pipeline
from rxweave.cli import app
from rxweave.config import RunSettings
from rxweave.errors import InputError
from rxweave.finished_run import read_run
from rxweave.orchestration.evaluation import read_evaluation, write_evaluation
from rxweave.orchestration.folder import GraphFolder

ASSETS = {
    "knowledge_graph": ("load", set()),
    "xgboost_train_test_split": ("split", {"knowledge_graph"}),
    "hgt_embeddings": ("embed", {"knowledge_graph", "xgboost_train_test_split"}),
    "hgt_flattened_embeddings": ("embed", {"hgt_embeddings"}),
    "xgboost_trained_model": ("rank", {"hgt_embeddings", "xgboost_train_test_split"}),
    "xgboost_model_evaluation": ("rank", {"hgt_embeddings", "xgboost_train_test_split", "xgboost_trained_model"}),
    "xgboost_predictions": ("rank", {"hgt_embeddings", "xgboost_train_test_split", "xgboost_trained_model"}),
    "xgboost_ranked_results": ("rank", {"xgboost_predictions"}),
    "drug_clusters": ("cluster", {"hgt_embeddings"}),
    "disease_clusters": ("cluster", {"hgt_embeddings"}),
    "report": ("report", {"hgt_embeddings", "xgboost_model_evaluation", "xgboost_predictions"}),
}
"""Every asset with its group and what it is made of."""
CHECKS = {
    ("knowledge_graph", "every_row_is_accounted_for", False),
    ("knowledge_graph", "graph_is_fit_for_training", False),
    ("xgboost_train_test_split", "no_held_out_pair_leaks", True),
    ("hgt_embeddings", "embeddings_have_not_collapsed", True),
    ("xgboost_model_evaluation", "ranker_beats_the_degree_prior", False),
    ("xgboost_model_evaluation", "probabilities_are_calibrated", False),
}
"""Every check with its asset, and whether it blocks what comes after."""
LEAK = "no_held_out_pair_leaks"


@dataclass
class Finished:
    result: dg.ExecuteInProcessResult
    folder: Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Everything materialized once, on a graph that is also sampled, so that what is read back is not what was read."""
    out = tmp_path_factory.mktemp("dagster")
    return Finished(run(out, {**TINY, "load": {"kg": "demo:400", "limit_nodes": 360}}), out / "demo-400")


def test_the_assets_are_these() -> None:
    graph = project().resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.materializable_asset_keys]
    found = {
        node.key.to_user_string(): (node.group_name, {parent.to_user_string() for parent in node.parent_keys})
        for node in nodes
    }
    assert found == ASSETS
    assert all(node.description for node in nodes)


def test_the_checks_are_these() -> None:
    graph = project().resolve_asset_graph()
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    assert {(spec.asset_key.to_user_string(), spec.name, spec.blocking) for spec in specs} == CHECKS


def test_everything_is_made_and_every_check_runs(finished: Finished) -> None:
    assert finished.result.success
    assert made(finished.result) == set(ASSETS)
    assert not [event for event in finished.result.all_events if event.event_type_value == "HANDLED_OUTPUT"], (
        "files are ours alone"
    )
    assert set(checks(finished.result)) == {name for _, name, _ in CHECKS}
    assert checks(finished.result)[LEAK]
    assert not list(finished.folder.glob(".*")), "nothing unfinished stays, and no checkpoint"


def test_it_is_what_rxweave_run_makes(finished: Finished, tmp_path: Path) -> None:
    settings = RunSettings(**{**TINY, "load": {"kg": "demo:400", "limit_nodes": 360}})
    pipeline.run(settings, tmp_path)
    for name in (
        "02_graph/demo/split.parquet",
        "06_models/embeddings/hgt_embeddings.parquet",
        "06_models/embeddings/model.safetensors",
        "06_models/ranker/model_0.ubj",
        "07_model_output/predictions.parquet",
        "08_reporting/metrics.json",
    ):
        assert (tmp_path / name).read_bytes() == (finished.folder / name).read_bytes(), name
    ours, theirs = (json.loads((at / "08_reporting/manifest.json").read_text()) for at in (finished.folder, tmp_path))
    assert ours["settings"] == theirs["settings"]
    assert [each["stage"] for each in ours["stages"]] == ["load", "split", "embed", "rank", "predict", "report"]


def test_a_finished_folder_serves_the_other_commands(finished: Finished, tmp_path: Path) -> None:
    run_of_it = read_run(finished.folder)
    name = run_of_it.training.nodes["node_name"][run_of_it.training.rows_of(run_of_it.training.roles.disease)][0]
    shown = CliRunner().invoke(app, ["rank", "--run", str(finished.folder), "--disease", name, "--json"])
    assert shown.exit_code == 0, shown.output
    exported = CliRunner().invoke(app, ["export", "--run", str(finished.folder), "--to", "csv", "--out", str(tmp_path)])
    assert exported.exit_code == 0, exported.output


def test_the_wide_table_has_the_vectors(finished: Finished) -> None:
    embeddings = read_run(finished.folder).embeddings
    wide = pl.read_parquet(finished.folder / "06_models/embeddings/hgt_flattened_embeddings.parquet")
    assert wide.columns == ["node_key", "node_id", "node_name", "node_type", *(f"dim_{i}" for i in range(32))]
    assert (wide.select(pl.selectors.starts_with("dim_")).to_numpy() == embeddings.vectors).all()
    assert wide["node_key"].equals(embeddings.nodes["node_key"])


def test_ranked_results_are_the_best_new_drugs_of_each_disease(finished: Finished) -> None:
    output = finished.folder / "07_model_output"
    found, all_pairs = (
        pl.read_parquet(output / "ranked_results.parquet"),
        pl.read_parquet(output / "predictions.parquet"),
    )
    assert found["rank"].is_sorted()
    for disease in found["disease_key"].unique().to_list():
        new = all_pairs.filter(~pl.col("known") & (pl.col("disease_key") == disease)).sort("rank")
        mine = found.filter(pl.col("disease_key") == disease)
        assert mine["drug_key"].to_list() == new["drug_key"].head(20).to_list()
        assert mine["place"].to_list() == list(range(1, len(mine) + 1))


def test_an_evaluation_is_kept_to_the_last_digit_undefined_numbers_too(finished: Finished, tmp_path: Path) -> None:
    """A test part of few pairs leaves intervals and errors undefined."""
    found = read_evaluation(finished.folder / "06_models/ranker")
    assert found.reliability is not None
    undefined = replace(found, reliability=replace(found.reliability, ece_likely=float("nan")))
    write_evaluation(undefined, tmp_path)
    again = read_evaluation(tmp_path)
    assert repr(again) == repr(undefined)


def test_metadata_tell_what_was_made(finished: Finished) -> None:
    trained = metadata(finished.result, "hgt_embeddings")
    assert (trained["dimensions"], trained["epochs"], trained["nodes"], trained["device"]) == (32, 2, 360, "cpu")
    assert Path(trained["output_file"]).is_file()
    assert trained["losses"].startswith("![losses](data:image/")
    assert trained["peak_memory_gb"] > 0
    predicted = metadata(finished.result, "xgboost_predictions")
    assert "not medical advice" in predicted["top_new_predictions"]
    assert predicted["dagster/row_count"] == predicted["pairs_scored"]
    evaluated = metadata(finished.result, "xgboost_model_evaluation")["metrics"]
    assert "| ranker |" in evaluated
    assert "| degree prior |" in evaluated


def test_collapsed_embeddings_stop_everything_after_them(tmp_path: Path) -> None:
    result = run(tmp_path, {**TINY, "embed": {**TINY["embed"], "features": "constant"}})
    assert not result.success
    assert not checks(result)["embeddings_have_not_collapsed"]
    assert made(result) == {"knowledge_graph", "xgboost_train_test_split", "hgt_embeddings"}
    assert not (tmp_path / "demo-400" / "07_model_output").exists()
    (found,) = (e for e in result.get_asset_check_evaluations() if e.check_name == "embeddings_have_not_collapsed")
    assert found.metadata["verdict"].value == "collapsed"
    assert "Change:" in str(found.metadata["problems"].value)


def test_a_split_that_leaks_stops_everything_after_it(finished: Finished, tmp_path: Path) -> None:
    """A training pair is called a test pair; the facts that join it are still in the training graph."""
    folder = GraphFolder(finished.folder)
    path = folder.graph / "split.parquet"
    whole, about = pl.read_parquet(path), pl.read_parquet_metadata(path)
    about.pop("ARROW:schema", None)
    moved = whole.with_row_index().with_columns(
        part=pl.when(pl.col("index") == 0).then(pl.lit("test")).otherwise(pl.col("part"))
    )
    assert whole["part"][0] == "train"
    before = path.read_bytes()
    try:
        moved.drop("index").write_parquet(path, metadata=about)
        of_split = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("xgboost_train_test_split"), LEAK))
        result = run(finished.folder.parent, selection=of_split)
    finally:
        path.write_bytes(before)
    assert checks(result) == {LEAK: False}
    assert not result.success


def test_predictions_are_never_of_another_training(finished: Finished) -> None:
    folder = GraphFolder(finished.folder)
    folder.check_same_model("06_models/ranker", "xgboost_trained_model")
    path = finished.folder / "06_models/ranker/manifest.json"
    before = path.read_text()
    try:
        path.write_text(before.replace(folder.model(), "of another training"))
        with pytest.raises(InputError, match=r"trained anew since. Materialize xgboost_trained_model"):
            folder.check_same_model("06_models/ranker", "xgboost_trained_model")
    finally:
        path.write_text(before)


def test_a_graph_with_too_few_nodes_for_clusters_is_no_failure_and_old_clusters_go(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished.folder, tmp_path / finished.folder.name)
    copied = tmp_path / finished.folder.name
    assert list(copied.rglob("clusters_drug*"))
    monkeypatch.setattr("rxweave.cluster.clusters.FEWEST", 10_000)
    settings = {**TINY, "load": {"kg": "demo:400", "limit_nodes": 360}}
    result = run(tmp_path, settings, selection=dg.AssetSelection.assets("drug_clusters"))
    assert result.success
    assert metadata(result, "drug_clusters")["clusters"] == 0
    assert "at least 10000 are needed" in str(metadata(result, "drug_clusters")["cautions"])
    assert not list(copied.rglob("clusters_drug*"))
    assert list(copied.rglob("clusters_disease*"))
