"""The evaluation from end to end on a tiny graph: what it leaves, what it does again, and what it refuses."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tiny_study import SETTINGS, TINY, finished, plan_of, quiet
from typer.testing import CliRunner

from rxweave.benchmark.quality import catalogue, study, worker
from rxweave.benchmark.quality import repeat as again
from rxweave.benchmark.quality import task as tasks
from rxweave.benchmark.quality.catalogue import CHEAP, METHODS, chosen_methods
from rxweave.benchmark.quality.finished_runs import find_runs
from rxweave.benchmark.quality.pages import brief_sheets, write_pages
from rxweave.benchmark.quality.settings import quality_settings
from rxweave.benchmark.quality.study import study_quality
from rxweave.benchmark.quality.summary import check_reference, summarise
from rxweave.benchmark.quality.task import MANIFEST, PAIRS, SCORES
from rxweave.benchmark.quality.vectors import FILE, read_vectors, train_vectors
from rxweave.benchmark.tables import print_sheets
from rxweave.benchmark.watched import Ending
from rxweave.cli import app
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.errors import ConfigError, InputError, LeakError, RxweaveError
from rxweave.graph.leaks import NO_SPLIT, SPLIT_KEY, split_fingerprint
from rxweave.graph.make_split import make_split
from rxweave.graph.split import training_graph
from rxweave.pipeline import load
from rxweave.rank.pair_table import COLUMNS
from rxweave.validate.collapse import measure_collapse
from rxweave.validate.read import read_embeddings
from rxweave.validate.verdict import judge


def test_three_methods_and_two_seeds_from_end_to_end(
    tmp_path: Path, done_here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = finished(tmp_path, "hgt-decoder,degree-prior,common-neighbours")
    assert found.complete
    assert sorted(done_here) == sorted(
        f"{what}, seed {seed}"
        for what in ("training hgt", "hgt-decoder", "degree-prior", "common-neighbours")
        for seed in (0, 1)
    )
    rows = summarise(found, "degree-prior")
    assert [row.method for row in rows] == ["hgt-decoder", "degree-prior", "common-neighbours"]
    assert not rows[1].differences
    paths = write_pages(found, rows, "degree-prior")
    assert [path.name for path in paths] == ["quality.json", "quality.md", "quality.csv", "quality.html"]
    told = json.loads(paths[0].read_text())
    assert told["complete"]
    assert told["rows"][2]["estimates"]["disease_mrr"]["value"] > told["rows"][1]["estimates"]["disease_mrr"]["value"]
    print_sheets(brief_sheets(found, rows, "degree-prior"))  # into a terminal of 80 columns
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert f"{rows[0].estimates['auprc_per_disease'].value:.3f}" in printed
    marks = {found.finding for row in rows for found in row.differences}
    assert ("*" in printed.partition("Paired")[2].partition("*: established")[0]) == bool(marks - {"not established"})
    markdown = paths[1].read_text()
    assert "FOR COMPARISON ONLY" in markdown
    assert "research leads, not medical advice" in markdown
    lines = list(csv.DictReader(paths[2].read_text().splitlines()))
    assert {line["method"] for line in lines} == {row.method for row in rows}
    assert {len(line) for line in lines} == {14}
    measures = {line["measure"] for line in lines if line["method"] == "hgt-decoder"}
    assert {"disease_hits_at_1", "auprc_per_drug", "disease_recall_at_100", "matrix_recall_at_1000"} <= measures
    assert {"rank_correlation", "seconds", "training_peak_gb"} <= measures
    # Every row leads to the manifests it is made of, those of the training it shares among them.
    behind = [f"methods/hgt-decoder/seed-{seed}/{MANIFEST}" for seed in (0, 1)]
    behind += [f"embeddings/hgt/seed-{seed}/{MANIFEST}" for seed in (0, 1)]
    assert list(told["rows"][0]["manifests"].values()) == behind
    for at in behind:
        assert (tmp_path / at).is_file()
        assert f"]({at})" in markdown
        assert f'href="{at}"' in paths[3].read_text()
    assert next(line for line in lines if line["method"] == "hgt-decoder")["manifests"].split() == behind
    assert rows[0].training_peak_gb
    assert "by another state of the code" not in markdown
    for record in found.trained.values():
        record["code_sha256"] = "0"
    assert (
        "Trained by another state of the code than today's: hgt;"
        in write_pages(found, rows, "degree-prior")[1].read_text()
    )
    # The mean over seeds is that of the records, each of which has the metrics of its own matrix.
    means = [
        json.loads((tmp_path / f"methods/common-neighbours/seed-{seed}" / MANIFEST).read_text())["results"]["metrics"][
            "diseases_given_drug"
        ]["mrr"]["value"]
        for seed in (0, 1)
    ]
    assert rows[2].estimates["disease_mrr"].value == pytest.approx(np.mean(means))
    assert rows[2].stability is not None

    # A second call does nothing; a record that is cut short, or of other settings, is made again, and nothing else.
    done_here.clear()
    assert finished(tmp_path, "hgt-decoder,degree-prior,common-neighbours").complete
    assert done_here == []
    (tmp_path / "methods/degree-prior/seed-1" / MANIFEST).write_text("{")
    finished(tmp_path, "hgt-decoder,degree-prior,common-neighbours")
    assert done_here == ["degree-prior, seed 1"]
    done_here.clear()
    # Nor is a table with other columns taken, as an older version wrote it.
    with pytest.MonkeyPatch.context() as later:
        later.setattr(tasks, "COLUMNS", (*COLUMNS, "more"))
        finished(tmp_path, "hgt-decoder,degree-prior", seeds=(0,))
    assert sorted(done_here) == ["degree-prior, seed 0", "hgt-decoder, seed 0"]
    done_here.clear()
    finished(tmp_path, "hgt-decoder,degree-prior", seeds=(0,))
    assert tuple(pl.read_parquet(tmp_path / "methods/degree-prior/seed-1" / PAIRS).columns) == COLUMNS
    done_here.clear()
    longer = SETTINGS.but(embed=SETTINGS.embed.but(num_epochs=4))
    finished(tmp_path, "hgt-decoder,degree-prior", settings=longer, seeds=(0,))
    assert done_here == ["training hgt, seed 0", "hgt-decoder, seed 0"]


def test_a_record_says_all_that_reproduces_it(tmp_path: Path, done_here: list[str]) -> None:
    finished(tmp_path, "degree-prior", seeds=(1,))
    folder = tmp_path / "methods/degree-prior/seed-1"
    record = json.loads((folder / MANIFEST).read_text())
    assert record["seed"] == record["split_seed"] == 1
    assert record["command"].startswith("rxweave benchmark quality")
    assert record["settings"]["load"]["kg"] == "demo:400"
    assert record["settings"]["graph_seed"] == 0
    assert record["machine"]["versions"]["python"]
    assert record["cost"]["seconds"] >= 0
    graph = load(SETTINGS)[1]
    split = make_split(graph, SETTINGS.split, seed=1)
    assert record["split"]["fingerprint"] == split_fingerprint(split, graph)
    assert len(pl.read_parquet(folder / PAIRS)) == len(split.test)
    assert np.load(folder / SCORES)["scores"].shape == (graph.num_of("drug"), graph.num_of("disease"))


def treatments_of(folder: Path, *, swapped: bool = False) -> Path:
    """A split file of the tiny graph; its valid and test part change places when `swapped`."""
    graph = load(SETTINGS)[1]
    split = make_split(graph, SETTINGS.split, seed=0)
    drugs, diseases = (graph.nodes["node_key"][graph.rows_of(role)] for role in ("drug", "disease"))
    parts = {"train": split.train, "valid": split.test, "test": split.valid} if swapped else {
        part: getattr(split, part) for part in ("train", "valid", "test")
    }  # fmt: skip
    frames = [
        pl.DataFrame({"drug": drugs.gather(pairs[:, 0]), "disease": diseases.gather(pairs[:, 1])}).with_columns(
            pl.lit(part).alias("part")
        )
        for part, pairs in parts.items()
    ]
    pl.concat(frames).write_csv(folder / "treatments.csv")
    return folder / "treatments.csv"


def test_an_edited_split_file_is_another_split(tmp_path: Path, done_here: list[str]) -> None:
    """Its path stays, and so do the pairs held out: only which of them are tested is another."""
    file = treatments_of(tmp_path)
    settings = SETTINGS.but(split=SETTINGS.split.but(kind="file", file=str(file)))
    before = finished(tmp_path / "out", "degree-prior", seeds=(0,), settings=settings)
    pairs = before.scored["degree-prior", 0].folder / PAIRS
    tested = pl.read_parquet(pairs).select("drug_key", "disease_key")
    finished(tmp_path / "out", "degree-prior", seeds=(0,), settings=settings)
    assert len(done_here) == 1
    treatments_of(tmp_path, swapped=True)
    finished(tmp_path / "out", "degree-prior", seeds=(0,), settings=settings)
    assert len(done_here) == 2
    assert not pl.read_parquet(pairs).select("drug_key", "disease_key").equals(tested)
    # A worker that finds another file than was planned with refuses.
    treatments_of(tmp_path)
    with pytest.raises(InputError, match="a file it is read from has changed meanwhile"):
        worker.do(
            study._tasks(plan_of(tmp_path, "degree-prior", settings=settings), (), {0: "f" * 64, 1: ""}, {})[1][0]
        )


def test_an_edited_feature_file_is_another_training(tmp_path: Path) -> None:
    (tmp_path / "features.csv").write_text("node_key,embedding\na,[1]\n")
    settings = SETTINGS.but(embed=SETTINGS.embed.but(feature_file=str(tmp_path / "features.csv")))

    def mark() -> str:
        plan = plan_of(tmp_path, "hgt-decoder", settings=settings, seeds=(0,))
        trainings, scorings = study._tasks(plan, (), {0: "f" * 64}, {})
        assert scorings[0].vectors_mark == trainings[0].fingerprint
        return trainings[0].fingerprint

    before = mark()
    assert mark() == before
    (tmp_path / "features.csv").write_text("node_key,embedding\na,[2]\n")
    assert mark() != before


def test_embeddings_of_an_earlier_training_do_not_stand_in_for_one_that_failed(
    tmp_path: Path, done_here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finished(tmp_path, "hgt-decoder", seeds=(0,)).complete
    done_here.clear()
    longer = SETTINGS.but(embed=SETTINGS.embed.but(num_epochs=4))

    def broken(*_: object, **__: object) -> dict[str, str]:
        raise InputError("no memory left")

    monkeypatch.setattr(worker, "train_vectors", broken)
    found = finished(tmp_path, "hgt-decoder,degree-prior", settings=longer, seeds=(0,))
    assert done_here == ["degree-prior, seed 0", "training hgt, seed 0"]
    assert found.failures["hgt-decoder, seed 0"] == "its embeddings could not be trained"
    assert "no memory left" in found.failures["training hgt, seed 0"]
    assert not found.complete
    assert [row.method for row in summarise(found, "degree-prior")] == ["degree-prior"]
    assert not (tmp_path / "embeddings/hgt/seed-0" / FILE).exists()


def test_scores_of_before_do_not_stand_beside_a_row_that_keeps_none(
    tmp_path: Path, done_here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = finished(tmp_path, "degree-prior")
    assert summarise(before, "degree-prior")[0].stability is not None
    monkeypatch.setattr(worker, "MOST_KEPT", 10)
    larger = quality_settings({"load.kg": "demo:500"}, TINY)[0]
    found = finished(tmp_path, "degree-prior", settings=larger)
    assert found.complete
    assert not list(tmp_path.glob(f"methods/*/*/{SCORES}"))
    assert summarise(found, "degree-prior")[0].stability is None


def test_scores_of_another_graph_are_not_read_as_those_of_the_rows(tmp_path: Path, done_here: list[str]) -> None:
    """As versions left them that removed no scores: of a larger graph, every pair of this one has some."""
    found = finished(tmp_path, "degree-prior")
    for seed in (0, 1):
        kept = tmp_path / f"methods/degree-prior/seed-{seed}" / SCORES
        with np.load(kept) as file:
            larger = np.pad(file["scores"], 3)
        np.savez_compressed(kept, scores=larger)
    assert summarise(found, "degree-prior")[0].stability is None


def test_a_row_whose_pairs_are_gone_is_done_again_and_damaged_scores_say_nothing(
    tmp_path: Path, done_here: list[str]
) -> None:
    found = finished(tmp_path, "degree-prior")
    folder = tmp_path / "methods/degree-prior/seed-0"
    (folder / PAIRS).unlink()
    done_here.clear()
    assert finished(tmp_path, "degree-prior").complete
    assert len(done_here) == 1
    (folder / SCORES).write_bytes((folder / SCORES).read_bytes()[:-40])
    assert summarise(found, "degree-prior")[0].stability is None


def test_a_fresh_study_that_is_stopped_has_no_rows_of_before(
    tmp_path: Path, done_here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = "degree-prior,adamic-adar,hgt-decoder"
    told: list[str] = []
    finished(tmp_path, "degree-prior,adamic-adar", seeds=(0,))
    begun = tmp_path / "embeddings/hgt/seed-0/checkpoint.safetensors"
    begun.parent.mkdir(parents=True)
    begun.touch()
    with pytest.raises(InputError):  # what is refused removes nothing
        finished(tmp_path, methods, seeds=(0,), fresh=True, runs=(tmp_path / "nowhere",))
    assert len(list(tmp_path.glob(f"methods/*/*/{MANIFEST}"))) == 2
    assert begun.is_file()

    one_by_one = study._do

    def interrupted(task: tasks.Task, *more: Any) -> Ending:
        if task.name == "adamic-adar":
            raise KeyboardInterrupt
        return one_by_one(task, *more)

    with monkeypatch.context() as patch:
        patch.setattr(study, "_do", interrupted)
        found = study_quality(plan_of(tmp_path, methods, seeds=(0,), fresh=True), tell=told.append)
    assert not found.complete
    assert "the same command without --fresh goes on from there" in told[-1]
    assert set(found.records) == {("degree-prior", 0)}
    done_here.clear()
    assert finished(tmp_path, "degree-prior,adamic-adar", seeds=(0,)).complete
    assert done_here == ["adamic-adar, seed 0"]
    assert not begun.exists()  # nor does a training it did not reach go on from there


def test_seeds_of_folds_are_folds_and_test_every_treatment_once(tmp_path: Path, done_here: list[str]) -> None:
    folds = SETTINGS.but(split=SETTINGS.split.but(kind="folds", num_folds=4))
    found = finished(tmp_path, "degree-prior,common-neighbours", settings=folds, seeds=tuple(range(5)))
    tables = [pl.read_parquet(found.scored["degree-prior", seed].folder / PAIRS) for seed in range(5)]
    tested = pl.concat(tables[:4]).select("drug_key", "disease_key")
    assert len(tested) == len(tested.unique()) == len(found.graph.pairs(found.graph.roles.treats))
    assert not tables[4].select("drug_key", "disease_key").equals(tables[0].select("drug_key", "disease_key"))
    rows = summarise(found, "degree-prior")
    assert rows[1].stability is not None
    markdown = write_pages(found, rows, "degree-prior")[1].read_text()
    assert "of 4 in a set: 0 of set 0, 1 of set 0, 2 of set 0, 3 of set 0, 0 of set 1." in markdown
    third = SETTINGS.but(split=SETTINGS.split.but(kind="folds", num_folds=4, fold=3))
    with pytest.raises(ConfigError, match="every seed tests its own fold"):
        finished(tmp_path, "degree-prior", settings=third)


def test_a_row_can_be_done_again_from_its_manifest(
    tmp_path: Path, done_here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = finished(tmp_path / "out", "hgt-decoder,degree-prior", seeds=(1,))
    manifest, degrees = found.scored["hgt-decoder", 1].folder / MANIFEST, found.scored["degree-prior", 1].folder
    for at in (manifest, tmp_path / "out/embeddings/hgt/seed-1" / MANIFEST):
        result = CliRunner().invoke(app, ["benchmark", "repeat", str(at), "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["alike"]
    assert done_here[-2:] == ["hgt-decoder, seed 1", "training hgt, seed 1"]
    kept = CliRunner().invoke(app, ["benchmark", "repeat", str(manifest), "--out", str(tmp_path / "again")])
    assert "Scores bit for bit alike: yes." in kept.output
    assert (tmp_path / "again" / PAIRS).is_file()
    # A figure that does not come out again is told.
    record = json.loads(manifest.read_text())
    record["results"]["metrics"]["auprc"]["value"] += 0.01
    manifest.write_text(json.dumps(record))
    other = CliRunner().invoke(app, ["benchmark", "repeat", str(manifest)])
    assert other.exit_code == 1
    assert "Not the same." in other.output
    # Embeddings that have been made again otherwise are refused, and so are manifests that do not tell the task.
    longer = SETTINGS.but(embed=SETTINGS.embed.but(num_epochs=4))
    finished(tmp_path / "out", "hgt-decoder", seeds=(1,), settings=longer)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / MANIFEST).write_text(json.dumps(record))
    for at, told in (
        (tmp_path / "old" / MANIFEST, "are not those that were asked for"),
        (tmp_path / "none" / MANIFEST, "none"),
        (treatments_of(tmp_path), "is no manifest of rxweave benchmark quality"),
    ):
        refused = CliRunner().invoke(app, ["benchmark", "repeat", str(at)])
        assert isinstance(refused.exception, RxweaveError)
        assert told in str(refused.exception)
    # A folder stands for the manifest in it, and one without is told what it should have been.
    assert json.loads(CliRunner().invoke(app, ["benchmark", "repeat", str(degrees), "--json"]).stdout)["alike"]
    for at, told in (
        (
            tmp_path / "out",
            f"{tmp_path / 'out'} holds no manifest.json. Give that of a row",
        ),
        (tmp_path / "nowhere", f"There is no manifest at {tmp_path / 'nowhere'}."),
    ):
        refused = CliRunner().invoke(app, ["benchmark", "repeat", str(at)])
        assert isinstance(refused.exception, InputError)
        assert told in str(refused.exception)
    assert str(tmp_path / "out/embeddings/hgt/seed-1" / MANIFEST) in str(
        CliRunner().invoke(app, ["benchmark", "repeat", str(tmp_path / "out")]).exception
    )
    # What tells of something else is not replaced.
    untouched = (tmp_path / "old" / MANIFEST).read_bytes()
    refused = CliRunner().invoke(app, ["benchmark", "repeat", str(degrees), "--out", str(tmp_path / "old")])
    assert isinstance(refused.exception, InputError)
    assert f"--out {tmp_path / 'old'} holds a manifest.json already" in str(refused.exception)
    assert (tmp_path / "old" / MANIFEST).read_bytes() == untouched
    changed = {**record, "task": {**record["task"], "inputs": ["0" * 64]}}
    (tmp_path / "old" / MANIFEST).write_text(json.dumps(changed))
    with pytest.raises(RxweaveError, match="are not those that were asked for: their SHA-256"):
        again.repeat(tmp_path / "old" / MANIFEST, tmp_path / "new", study.NO_LIMITS, tell=quiet)


def test_a_manifest_that_is_not_whole_is_refused_before_anything_is_done(
    tmp_path: Path, done_here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = finished(tmp_path / "out", "degree-prior", seeds=(0,))
    folder = found.scored["degree-prior", 0].folder
    whole = json.loads((folder / MANIFEST).read_text())
    done_here.clear()
    (tmp_path / "cut").mkdir()
    cut = [{name: value for name, value in whole.items() if name != left_out} for left_out in
           ("task", "date", "cost", "machine", "results", "rxweave", "code_sha256")]  # fmt: skip
    cut += [{**whole, "results": results} for results in (None, {}, [], {"metrics": []})]
    cut += [{**whole, "cost": {"seconds": None}}, {**whole, "machine": "a laptop"}]
    for record in cut:
        (tmp_path / "cut" / MANIFEST).write_text(json.dumps(record))
        with pytest.raises(InputError, match="is no manifest of rxweave benchmark quality that can be done again"):
            again.repeat(tmp_path / "cut", tmp_path / "new", study.NO_LIMITS, tell=quiet)
    (tmp_path / "cut" / MANIFEST).write_text(json.dumps({**whole, "task": {**whole["task"], "name": "oracle"}}))
    with pytest.raises(InputError, match="'oracle', which this rxweave has not"):
        again.repeat(tmp_path / "cut", tmp_path / "new", study.NO_LIMITS, tell=quiet)
    assert done_here == []
    # A study takes such a row for unfinished.
    for results in (None, {}, "none"):
        (folder / MANIFEST).write_text(json.dumps({**whole, "results": results}))
        assert found.scored["degree-prior", 0].record() is None


def test_ctrl_c_leaves_what_is_finished_and_the_same_command_goes_on(tmp_path: Path, done_here: list[str]) -> None:
    """Among what is imported, polars alone would have the wait for a worker go on (pola-rs/polars#21739)."""
    words = ["benchmark", "quality", "--kg", "demo:400", "--seeds", "1", "--out", str(tmp_path), "--methods"]
    assert CliRunner().invoke(app, [*words, "degree-prior"]).exit_code == 0
    words = [sys.executable, "-m", "rxweave", *words, "degree-prior,node2vec", "-o", "walks.num_walks=2000"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until = time.monotonic() + 180
    while not (tmp_path / "methods/node2vec/seed-0/progress.txt").exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "1 of 2 are finished already" in output
    assert "the same command goes on from there" in output
    assert not json.loads((tmp_path / "quality.json").read_text())["complete"]
    assert "Not complete: the same command goes on." in (tmp_path / "quality.md").read_text()
    assert (tmp_path / "methods/degree-prior/seed-0" / MANIFEST).is_file()
    assert not (tmp_path / "methods/node2vec/seed-0" / MANIFEST).exists()


def test_one_split_for_all_seeds_leaves_the_training_alone_to_vary(tmp_path: Path, done_here: list[str]) -> None:
    found = finished(tmp_path, "degree-prior", split_seed=3)
    tables = [pl.read_parquet(found.scored["degree-prior", seed].folder / PAIRS) for seed in (0, 1)]
    assert tables[0].equals(tables[1])
    (row,) = summarise(found, "degree-prior")
    assert row.spread["disease_mrr"] == 0
    assert row.stability is not None
    assert row.stability.correlation == pytest.approx(1)


def test_a_method_that_fails_is_a_line_and_does_not_stop_the_others(
    tmp_path: Path, done_here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> np.ndarray:
        return np.full((2, 2), np.nan, np.float32)

    monkeypatch.setitem(METHODS, "degree-prior", replace(METHODS["degree-prior"], score=broken))
    found = finished(tmp_path, "degree-prior,common-neighbours", seeds=(0,))
    assert not found.complete
    assert "degree-prior gave float32 scores of shape (2, 2), 4 of them NaN" in found.failures["degree-prior, seed 0"]
    assert [row.method for row in summarise(found, "common-neighbours")] == ["common-neighbours"]


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    found = finished(tmp_path, "degree-prior", seeds=(0,), jobs=2)
    assert found.complete
    assert found.records["degree-prior", 0]["cost"]["peak_gb"] > 0
    assert not (tmp_path / "methods/degree-prior/seed-0/progress.txt").exists()


# Embeddings of finished runs.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "06_models" / "embeddings"
    graph = load(SETTINGS)[1]
    split = make_split(graph, SETTINGS.split, seed=0)
    train_vectors(training_graph(graph, split), split, SETTINGS, folder, quiet)
    return folder.parents[1]


def test_the_verdict_on_embeddings_looks_at_the_graph_too(tmp_path: Path) -> None:
    """A training of three epochs spreads well but tells facts apart no better than the untrained model."""
    graph = load(SETTINGS)[1]
    split = make_split(graph, SETTINGS.split, seed=0)
    training = training_graph(graph, split)
    found = train_vectors(training, split, SETTINGS, tmp_path / "svd", quiet)
    assert found["geometry"] == "warning"
    embeddings = read_embeddings(tmp_path / "svd" / FILE)
    alone = judge(measure_collapse(embeddings, active=training.degrees > 0), drug_type="drug", disease_type="disease")
    assert alone.level == "good"
    constant = SETTINGS.but(embed=SETTINGS.embed.but(features="constant"))
    found = train_vectors(training, split, constant, tmp_path / "constant", quiet)
    assert found["geometry"] == found["types"]["drug"] == found["types"]["disease"] == "collapsed"


def test_a_finished_run_is_used_instead_of_trained_again(tmp_path: Path, trained: Path, done_here: list[str]) -> None:
    assert finished(tmp_path, "hgt-decoder", seeds=(0,), runs=(trained,)).complete
    assert done_here == ["hgt-decoder, seed 0"]
    # Other embeddings in that place are another input.
    assert finished(tmp_path, "hgt-decoder", seeds=(0,)).complete
    assert done_here[1:] == ["training hgt, seed 0", "hgt-decoder, seed 0"]


Change = Callable[[dict[str, str]], dict[str, str]]


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (lambda about: {**about, SPLIT_KEY: NO_SPLIT}, LeakError, "trained on all facts of their graph"),
        (lambda about: {k: v for k, v in about.items() if k != SPLIT_KEY}, LeakError, "do not name the split"),
        (lambda about: {**about, SPLIT_KEY: "0" * 64}, LeakError, "trained on split 000000000000"),
        (lambda about: {**about, "seed": "1"}, LeakError, "trained with seed 1, and their split is not that of seed 1"),
        (
            lambda about: {**about, "settings": SETTINGS.embed.but(num_epochs=9).model_dump_json()},
            ConfigError,
            "was trained with embed.num_epochs=9, and 3 is asked for",
        ),
    ],
    ids=["whole graph", "unnamed", "other split", "other seed", "other settings"],
)
def test_embeddings_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, trained: Path, change: Change, error: type[Exception], told: str
) -> None:
    about = dict(pl.read_parquet_metadata(trained / "06_models" / "embeddings" / FILE))
    graph = load(SETTINGS)[1]
    made = Embeddings(graph.nodes, np.ones((graph.num_nodes, 16), np.float32), change(about))
    write_embeddings(made, tmp_path / "mine" / FILE)
    with pytest.raises(error, match=told) as raised:
        study_quality(plan_of(tmp_path / "out", "hgt-decoder", runs=(tmp_path / "mine",)), tell=quiet)
    assert "mine" in str(raised.value)


def test_a_folder_without_embeddings_and_two_runs_of_a_seed_are_refused(tmp_path: Path, trained: Path) -> None:
    graph = load(SETTINGS)[1]
    splits = {0: make_split(graph, SETTINGS.split, seed=0)}
    with pytest.raises(InputError, match="no output folder of rxweave run"):
        find_runs([tmp_path], splits, graph, SETTINGS.embed)
    with pytest.raises(ConfigError, match="both of seed 0"):
        find_runs([trained, trained], splits, graph, SETTINGS.embed)
    assert find_runs([trained], splits, graph, SETTINGS.embed) == {0: trained / "06_models" / "embeddings"}


def test_a_worker_refuses_embeddings_of_another_split_whatever_it_was_told(trained: Path) -> None:
    graph = load(SETTINGS)[1]
    other = make_split(graph, SETTINGS.split, seed=5)
    with pytest.raises(LeakError, match="were trained on split"):
        read_vectors(trained / "06_models" / "embeddings", training_graph(graph, other), other)


# The command line.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--methods", "degree-piror"], "Closest: 'degree-prior'"),
        (["--methods", ","], "names none"),
        (["--reference", "rxweave", "--methods", "cheap"], "none of the methods asked for"),
        (["-o", "triples.epochs=3"], "There is no setting 'triples.epochs' of the peers"),
        (["--seeds", "0"], "There are 0 seeds"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_cannot_work_is_refused_before_anything_is_done(tmp_path: Path, words: list[str], told: str) -> None:
    words = ["benchmark", "quality", "--kg", "demo:400", "--out", str(tmp_path / "out"), *words]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, ConfigError)
    assert told in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_second_study_in_the_same_folder_is_refused(tmp_path: Path, done_here: list[str]) -> None:
    words = ["benchmark", "quality", "--kg", "demo:400", "--methods", "degree-prior", "--seeds", "1", "--out"]
    first = (
        "from pathlib import Path; from rxweave.claim import Claim; "
        f"held = Claim.of(Path({str(tmp_path / 'methods')!r})); print('held', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", first], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        refused = CliRunner().invoke(app, [*words, str(tmp_path)])
        process.communicate(b"\n")
    assert isinstance(refused.exception, ConfigError)
    assert f"Another run writes to {tmp_path} (process {process.pid})" in str(refused.exception)
    assert done_here == []
    assert CliRunner().invoke(app, [*words, str(tmp_path)]).exit_code == 0


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), InputError("no such file")], ids=["Ctrl-C", "error"])
def test_a_study_that_is_ended_gives_its_folder_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: BaseException
) -> None:
    held: list[str] = []
    while_it_works: list[str] = []

    class Noted:
        @staticmethod
        def of(folder: Path) -> Noted:
            held.append(str(folder))
            return Noted()

        def release(self) -> None:
            held.clear()

    def ended(*_: object, **__: object) -> None:
        while_it_works.extend(held)
        raise ending

    monkeypatch.setattr(study, "Claim", Noted)
    monkeypatch.setattr(study, "study_quality", ended)
    result = CliRunner().invoke(app, ["benchmark", "quality", "--kg", "demo:400", "--out", str(tmp_path)])
    assert result.exit_code != 0
    assert while_it_works == [str(tmp_path / "methods")]
    assert held == []


def test_the_command_writes_its_tables(tmp_path: Path, done_here: list[str]) -> None:
    words = ["benchmark", "quality", "--kg", "demo:400", "--methods", "degree-prior,adamic-adar", "--seeds", "2"]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "Paired difference to degree-prior" in result.output
    as_json = CliRunner().invoke(app, [*words, "--out", str(tmp_path), "--json"])
    assert json.loads(as_json.stdout)["reference"] == "degree-prior"
    assert len(done_here) == 4


def test_seeds_from_another_first_one_share_what_is_done(tmp_path: Path, done_here: list[str]) -> None:
    words = ["benchmark", "quality", "--kg", "demo:400", "--methods", "degree-prior", "--out", str(tmp_path), "--json"]
    for first, count, seeds, done in (("0", "2", [0, 1], 2), ("1", "2", [1, 2], 3)):
        result = CliRunner().invoke(app, [*words, "--first-seed", first, "--seeds", count])
        assert [row["seeds"] for row in json.loads(result.stdout)["rows"]] == [seeds]
        assert len(done_here) == done


def test_methods_are_chosen_by_name_group_and_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [method.name for method in chosen_methods("cheap, degree-prior")] == list(CHEAP)
    assert len(chosen_methods("all")) == len(METHODS)
    assert check_reference(None, chosen_methods("cheap")) == CHEAP[0]
    monkeypatch.setattr(catalogue, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"needs pykeen, which is not installed: pip install 'rxweave\[baselines\]'"):
        chosen_methods("transe")
