"""Trainings of the evaluation: what decides them, what their records say, and which rows are of which vectors."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tiny_study
from tiny_study import SETTINGS, quiet
from typer.testing import CliRunner

from rxweave.benchmark.quality import repeat as again
from rxweave.benchmark.quality import study, vectors, worker
from rxweave.benchmark.quality.finished_runs import find_runs
from rxweave.benchmark.quality.pages import brief_sheets, write_pages
from rxweave.benchmark.quality.study import Plan
from rxweave.benchmark.quality.summary import summarise
from rxweave.benchmark.quality.task import MANIFEST, Task
from rxweave.benchmark.quality.vectors import FILE
from rxweave.cli import app
from rxweave.config import EmbedSettings, RunSettings
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.embed.train import train
from rxweave.errors import ConfigError, InputError, LeakError, RxweaveError
from rxweave.graph.leaks import SPLIT_KEY, split_fingerprint
from rxweave.graph.make_split import make_split
from rxweave.pipeline import load
from rxweave.validate.read import read_embeddings

plan_of = partial(tiny_study.plan_of, methods="hgt-decoder", seeds=(0,))
finished = partial(tiny_study.finished, methods="hgt-decoder", seeds=(0,))


def with_embed(**changes: object) -> RunSettings:
    return SETTINGS.but(embed=SETTINGS.embed.but(**changes))


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


def test_of_folds_a_run_is_for_the_seed_that_tests_its_fold(tmp_path: Path) -> None:
    """`rxweave run --seed 0 -o split.fold=3` is that of seed 3 of four: both test fold 3 of the set of seed 0."""
    graph = load(SETTINGS)[1]
    folds = SETTINGS.split.but(kind="folds", num_folds=4)
    plan = plan_of(tmp_path, settings=SETTINGS.but(split=folds))
    splits = {seed: make_split(graph, of, seed=drawn) for seed in range(6) for of, drawn in [plan.split_of(seed)]}

    def run_of(name: str, fold: int, seed: int) -> Path:
        mark = split_fingerprint(make_split(graph, folds.but(fold=fold), seed=seed), graph)
        return run_with(tmp_path / name, SETTINGS.embed, **{"seed": str(seed), SPLIT_KEY: mark})

    third, of_next = run_of("third", 3, 0), run_of("next", 1, 1)
    assert find_runs([third, of_next], splits, graph, SETTINGS.embed, folds=True) == {3: third, 5: of_next}
    with pytest.raises(ConfigError, match="are both of seed 0"):
        find_runs([third, third], splits, graph, SETTINGS.embed, folds=True)
    elsewhere = run_with(tmp_path / "elsewhere", SETTINGS.embed, **{"seed": "3", SPLIT_KEY: third_mark(third)})
    with pytest.raises(ConfigError, match="are both for seed 3"):
        find_runs([third, elsewhere], splits, graph, SETTINGS.embed, folds=True)
    with pytest.raises(LeakError, match=r"rxweave run --split folds --seed 0 -o split\.fold=3"):
        find_runs([run_of("other", 3, 3)], splits, graph, SETTINGS.embed, folds=True)


def third_mark(run: Path) -> str:
    return pl.read_parquet_metadata(run / FILE)[SPLIT_KEY]


# What a record says, and which rows are of which vectors.


def edit(manifest: Path, **results: object) -> None:
    record = json.loads(manifest.read_text())
    record["results"] |= results
    manifest.write_text(json.dumps(record))


def test_a_training_done_again_is_compared_by_its_vectors(tmp_path: Path, done_here: list[str]) -> None:
    finished(tmp_path / "out")
    manifest = tmp_path / "out/embeddings/hgt/seed-0" / MANIFEST
    found = again.repeat(manifest, tmp_path / "same", study.NO_LIMITS, tell=quiet)
    assert found.alike
    assert not found.unknown
    assert {"epochs", "link loss", "held-out MRR", "vectors", "geometry", "drug"} <= found.values.keys()
    assert found.values["vectors"][0] == json.loads(manifest.read_text())["results"]["vectors_sha256"]
    results = json.loads(manifest.read_text())["results"]
    edit(manifest, vectors_sha256="0" * 64, last_epoch={**results["last_epoch"], "held_out": 0.5})
    told = CliRunner().invoke(app, ["benchmark", "repeat", str(manifest)])
    assert told.exit_code == 1
    assert "Not the same. Other than recorded: held-out MRR, vectors." in told.output
    # A record of before says too little for that, and this is said.
    record = json.loads(manifest.read_text())
    for name in ("vectors_sha256", "last_epoch", "kept_epoch"):
        del record["results"][name]
    manifest.write_text(json.dumps(record))
    old = CliRunner().invoke(app, ["benchmark", "repeat", str(manifest)])
    assert old.exit_code == 0
    assert "only its verdicts could be compared" in " ".join(old.output.split())


def test_rows_are_of_the_vectors_and_not_of_their_settings(tmp_path: Path, done_here: list[str]) -> None:
    """The record of a training is lost, and other code trains otherwise: its rows are done again, and told apart."""
    finished(tmp_path)
    training, row = tmp_path / "embeddings/hgt/seed-0", tmp_path / "methods/hgt-decoder/seed-0"
    (training / MANIFEST).unlink()
    done_here.clear()
    finished(tmp_path)
    assert done_here == ["training hgt, seed 0"]  # the same vectors: the row holds
    before = (row / MANIFEST).read_text()
    (training / MANIFEST).unlink()
    done_here.clear()
    with pytest.MonkeyPatch.context() as other_code:
        other_code.setattr(vectors, "train", lambda graph, embed, **more: train(graph, embed, **{**more, "seed": 9}))
        finished(tmp_path)
    assert done_here == ["training hgt, seed 0", "hgt-decoder, seed 0"]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / MANIFEST).write_text(before)
    with pytest.raises(RxweaveError, match="are not those that were asked for"):
        again.repeat(tmp_path / "old", tmp_path / "new", study.NO_LIMITS, tell=quiet)
    assert again.repeat(row, tmp_path / "newer", study.NO_LIMITS, tell=quiet).alike


def test_a_training_whose_files_are_lost_or_damaged_is_done_again(tmp_path: Path, done_here: list[str]) -> None:
    finished(tmp_path)
    folder = tmp_path / "embeddings/hgt/seed-0"
    file, model, manifest = folder / FILE, folder / "model.safetensors", folder / MANIFEST
    file.unlink()
    done_here.clear()
    found = finished(tmp_path)
    assert found.complete, found.failures
    assert done_here == ["training hgt, seed 0"]  # the same vectors again: the row holds

    def others() -> None:
        of = read_embeddings(file)
        write_embeddings(Embeddings(of.nodes, of.vectors + 1, of.metadata), file)

    training = Task.from_json(json.dumps(json.loads(manifest.read_text())["task"]))
    for damaged, damage in (
        (model, model.unlink),
        (model, lambda: model.write_bytes(model.read_bytes()[:-8])),
        (file, lambda: file.write_bytes(b"PAR1 and no more")),
        (file, others),
        (manifest, lambda: edit_whole(manifest, results=None)),
    ):
        whole = damaged.read_bytes()
        assert study._finished(training, quiet) is not None
        damage()
        assert study._finished(training, quiet) is None
        damaged.write_bytes(whole)


def edit_whole(manifest: Path, **record: object) -> None:
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **record}))


def test_a_feature_file_that_changed_meanwhile_is_refused_by_name(tmp_path: Path, done_here: list[str]) -> None:
    file = features_in(tmp_path)
    finished(tmp_path / "out", settings=with_embed(feature_file=str(file)))
    manifest = tmp_path / "out/embeddings/hgt/seed-0" / MANIFEST
    file.write_text(file.read_text().replace("[0.5, ", "[0.25, "))
    with pytest.raises(RxweaveError, match=r"features\.csv is not the file that was asked for: its SHA-256"):
        again.repeat(manifest, tmp_path / "again", study.NO_LIMITS, tell=quiet)
    assert not (tmp_path / "again" / MANIFEST).exists()


def features_in(folder: Path) -> Path:
    drugs = load(SETTINGS)[1].nodes.filter(node_type="drug")["node_key"]
    rows = [f'{key},"[{0.5 if number else 0.75}, {number}]"' for number, key in enumerate(drugs)]
    (folder / "features.csv").write_text("\n".join(["node_key,embedding", *rows]) + "\n")
    return folder / "features.csv"


def test_what_is_not_proven_of_a_feature_file_stands_below_the_tables(tmp_path: Path, done_here: list[str]) -> None:
    found = finished(tmp_path / "out", settings=with_embed(feature_file=str(features_in(tmp_path))))
    caveat = "so that they have not seen the held-out treatments is not proven"
    record = json.loads((tmp_path / "out/embeddings/hgt/seed-0" / MANIFEST).read_text())
    assert any(caveat in note for note in record["results"]["notes"])
    rows = summarise(found, "hgt-decoder")
    _, markdown, _, html = write_pages(found, rows, "hgt-decoder")
    for page in (markdown.read_text(), html.read_text()):
        assert "Training hgt, seed 0: features.csv does not say" in page
        assert caveat in page
    assert any(caveat in note for sheet in brief_sheets(found, rows, "hgt-decoder") for note in sheet.notes)


# What a training costs, and what it starts from.


@pytest.fixture
def stopped(tmp_path: Path, done_here: list[str]) -> Path:
    """The folder of a study whose training was stopped after its second epoch, with a checkpoint."""

    def write(path: Path, text: str) -> None:
        if text.startswith("epoch 3"):
            raise InputError("stopped here")

    settings = with_embed(checkpoint_every=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "write_text", write)
        assert "stopped here" in finished(tmp_path / "out", settings=settings).failures["training hgt, seed 0"]
    assert (tmp_path / "out/embeddings/hgt/seed-0/checkpoint.safetensors").is_file()
    return tmp_path / "out"


def test_the_cost_of_a_resumed_training_is_that_of_all_its_parts(stopped: Path) -> None:
    found = finished(stopped, settings=with_embed(checkpoint_every=1))
    record = found.trained["hgt", 0]
    earlier = record["results"]["earlier"]
    history = pl.read_parquet(stopped / "embeddings/hgt/seed-0/training.parquet").to_dict(as_series=False)
    assert earlier["epochs"] == 2
    assert earlier["seconds"] == pytest.approx(sum(history["seconds"][:2]))
    assert record["cost"]["seconds"] > sum(history["seconds"]) - 0.01
    assert record["cost"]["peak_gb"] >= round(max(history["peak_memory"][:2]) / 1e9, 3)
    page = write_pages(found, summarise(found, "hgt-decoder"), "hgt-decoder")[1].read_text()
    assert "Stopped on the way and resumed: training hgt of seed 0 (after epoch 2)." in page


def test_fresh_trains_from_nothing(stopped: Path) -> None:
    found = finished(stopped, settings=with_embed(checkpoint_every=1), fresh=True)
    assert found.trained["hgt", 0]["results"]["earlier"] is None
    page = write_pages(found, summarise(found, "hgt-decoder"), "hgt-decoder")[1].read_text()
    assert "Stopped on the way" not in page


def test_a_fresh_training_that_is_stopped_at_once_leaves_nothing_older_to_go_on_from(stopped: Path) -> None:
    def write(path: Path, text: str) -> None:
        raise InputError("stopped at once")

    settings = with_embed(checkpoint_every=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "write_text", write)
        finished(stopped, settings=settings, fresh=True)
    assert finished(stopped, settings=settings).trained["hgt", 0]["results"]["earlier"] is None
