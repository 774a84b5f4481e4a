"""`rxweave rank`: a finished run's predictions for one disease or drug, and what it refuses."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from rxweave import pipeline
from rxweave.cli import main
from rxweave.errors import InputError
from rxweave.finished_run import read_run
from rxweave.leads import PREDICTIONS, leads_for
from small_run import run_small


@pytest.fixture(scope="module")
def table(finished_run: Path) -> pl.DataFrame:
    return pl.read_parquet(finished_run / PREDICTIONS)


def rxweave(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["rxweave", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_drugs_of_a_disease_come_in_the_order_of_the_whole_ranking(finished_run: Path, table: pl.DataFrame) -> None:
    disease = table["disease_name"][-1]
    found = leads_for(finished_run, disease=disease)
    expected = table.filter(pl.col("disease_name") == disease).sort("rank")
    assert found.drop("place").equals(expected)
    assert found["place"].to_list() == list(range(1, len(expected) + 1))
    assert found["prob_treats"].is_sorted(descending=True)
    assert leads_for(finished_run, disease=disease, top=3).equals(found.head(3))


def test_new_only_leaves_known_treatments_out_and_keeps_the_places(finished_run: Path, table: pl.DataFrame) -> None:
    drug = table.filter("known")["drug_name"][0]
    everything, new = leads_for(finished_run, drug=drug), leads_for(finished_run, drug=drug, new_only=True)
    assert everything["known"].any()
    assert new.equals(everything.filter(~pl.col("known")))


def test_specific_order_is_by_the_percentile_among_the_other_ends_pairs(
    finished_run: Path, table: pl.DataFrame
) -> None:
    disease = table["disease_name"][0]
    found = leads_for(finished_run, disease=disease, order="specific")
    assert found["percentile_for_drug"].is_sorted(descending=True)
    ties = found.group_by("percentile_for_drug", maintain_order=True).agg(pl.col("rank").is_sorted())
    assert ties["rank"].explode().all()
    assert set(found["drug_key"]) == set(leads_for(finished_run, disease=disease)["drug_key"])


def test_an_id_in_other_letters_case_finds_the_node(finished_run: Path, table: pl.DataFrame) -> None:
    by_id = leads_for(finished_run, drug=table["drug_id"][0].lower())
    assert by_id["drug_name"].unique().to_list() == [table["drug_name"][0]]


def test_the_command_prints_json_and_writes_the_whole_list(
    finished_run: Path,
    table: pl.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    disease, file = table["disease_name"][0], tmp_path / "list.csv"
    asked = ("rank", "--run", finished_run, "--disease", disease, "--top", 4)
    assert rxweave(monkeypatch, *asked, "--csv", file, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["place"] for row in rows] == [1, 2, 3, 4]
    assert len(pl.read_csv(file)) == len(table.filter(pl.col("disease_name") == disease))
    assert rxweave(monkeypatch, *asked) == 0
    assert "not medical advice" in capsys.readouterr().out


def test_a_misspelt_name_gets_the_closest(
    finished_run: Path, table: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = table["disease_name"][0]
    assert rxweave(monkeypatch, "rank", "--run", finished_run, "--disease", name + "x") == 2
    assert f"'{name}'" in " ".join(capsys.readouterr().err.split()).partition("Closest:")[2]


def test_neither_or_both_of_drug_and_disease_are_refused(finished_run: Path) -> None:
    for asked in ({}, {"drug": "a", "disease": "b"}):
        with pytest.raises(InputError, match="one disease"):
            leads_for(finished_run, **asked)


def test_a_folder_without_predictions_says_why(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finished rxweave run"):
        leads_for(tmp_path, drug="a")
    collapsed = tmp_path / "collapsed"
    shutil.copytree(finished_run, collapsed)
    (collapsed / PREDICTIONS).unlink()
    with pytest.raises(InputError, match="collapsed"):
        leads_for(collapsed, drug="a")


def test_looking_up_loads_no_model(finished_run: Path, table: pl.DataFrame) -> None:
    code = (
        "import sys; from rxweave.leads import leads_for; from pathlib import Path; "
        f"leads_for(Path({str(finished_run)!r}), drug={table['drug_name'][0]!r}); "
        "print([m for m in ('torch', 'xgboost', 'sklearn', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_of_a_large_run_a_drugs_first_diseases_come_from_a_table_of_their_own_and_all_from_the_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where in ("rxweave.rank.whole_matrix.score_all", "rxweave.rank.matrix_files.write_scores"):
        module, _, name = where.rpartition(".")
        whole = getattr(importlib.import_module(module), name)
        monkeypatch.setattr(pipeline, name, partial(whole, most=100))
    predictions = pl.read_parquet(run_small(tmp_path) / PREDICTIONS)
    drug, disease = predictions["drug_key"][0], predictions["disease_key"][0]
    best = pl.read_parquet(tmp_path / "07_model_output/predictions_by_drug.parquet").filter(drug_key=drug)
    first = leads_for(tmp_path, drug=drug, top=3)
    assert first["disease_key"].to_list() == best.sort("rank")["disease_key"].head(3).to_list()
    assert first["rank"].null_count() == 0
    everything = leads_for(tmp_path, drug=drug)
    assert everything["rank"].null_count() == len(everything) >= len(best)
    assert everything["disease_key"].head(3).to_list() == first["disease_key"].to_list()
    new = leads_for(tmp_path, drug=drug, top=3, new_only=True)
    assert not new["known"].any()
    training = read_run(tmp_path).training
    assert len(leads_for(tmp_path, disease=disease)) == training.num_of(training.roles.drug)
    assert leads_for(tmp_path, disease=disease, order="specific", top=2)["place"].to_list() == [1, 2]
