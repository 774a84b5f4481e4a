"""`rxweave cluster`: what it writes into a run's folder, the page that opens offline, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

from rxweave.artifacts import script_json
from rxweave.cli import main
from rxweave.cluster.write import file_name
from rxweave.finished_run import EMBEDDINGS
from small_run import run_small

QUICK = ["-o", "cluster.pairs=2", "-o", "cluster.resolutions=1,2"]


@pytest.fixture(scope="module")
def run_folder(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, which gets clusters."""
    return Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("run"), dirs_exist_ok=True))


def rxweave(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["rxweave", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_a_run_gets_tables_and_a_page(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rxweave(monkeypatch, "cluster", "--type", "drug", "--run", run_folder, *QUICK, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    nodes = pl.read_parquet(run_folder / "07_model_output" / "clusters_drug_nodes.parquet")
    again = pl.read_csv(run_folder / "07_model_output" / "clusters_drug_nodes.csv")
    assert nodes["cluster"].to_list() == again["cluster"].to_list()
    assert sum(told["nodes"].values()) == len(nodes)
    assert len(told["clusters"]) == nodes["cluster"].drop_nulls().n_unique()
    page = (run_folder / "08_reporting" / "clusters_drug.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|url\(|fetch\(", page)
    assert "not medical advice" in page
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', page, re.S)[1])
    assert len(data["x"]) == len(data["n"]) == nodes["x"].drop_nulls().len()


def test_an_embeddings_file_and_classes_that_mean_nothing(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run_folder / EMBEDDINGS / "hgt_embeddings.parquet"
    ids = pl.read_parquet(file).filter(pl.col("node_type") == "disease")["node_key"]
    classes = tmp_path / "classes.csv"
    pl.DataFrame({"node_key": ids, "class": [f"c{i % 3}" for i in range(len(ids))]}).write_csv(classes)
    given = ["--type", "disease", "--embeddings", file, "--classes", classes, "--out", tmp_path / "made"]
    assert rxweave(monkeypatch, "cluster", *given, *QUICK) == 0
    shown = capsys.readouterr().out
    assert "Against the classes" in shown
    assert (tmp_path / "made" / "clusters_disease.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--type", "durg", "--run", "RUN"], "Closest: 'drug'"),
        (["--type", "drug"], "nothing to cluster"),
        (["--type", "drug", "--run", "RUN", "--classes", "nowhere.csv"], "no file, and no node type"),
        (["--type", "drug", "--run", "RUN", "--graph", "demo"], "leave out"),
        (["--type", "drug", "--embeddings", "x.parquet"], "needs --out"),
        (["--type", "drug", "--run", "RUN", "-o", "cluster.resolutions=0"], "must be above 0"),
        (["--type", "drug", "--run", "/nowhere"], "no output folder"),
    ],
)
def test_what_cannot_work_is_refused(
    arguments: list[str],
    message: str,
    run_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(run_folder) if each == "RUN" else each for each in arguments]
    assert rxweave(monkeypatch, "cluster", *given) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_new_run_takes_the_clusters_of_the_old_one_away(finished_run: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    stale = tmp_path / "08_reporting" / "clusters_drug.html"
    stale.write_text("old", encoding="utf-8")
    run_small(tmp_path)
    assert not stale.exists()


def test_names_cannot_leave_the_script_they_stand_in() -> None:
    text = script_json({"n": ["</script><b>&"]})
    assert "<" not in text
    assert json.loads(text) == {"n": ["</script><b>&"]}


def test_types_become_names_of_files() -> None:
    assert [file_name(name) for name in ("gene/protein", "Side Effect", "..")] == [
        "gene-protein",
        "Side-Effect",
        "nodes",
    ]
