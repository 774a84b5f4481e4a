"""`rxweave report` and `rxweave ablation`: a finished run's report made again, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

from rxweave.cli import main
from rxweave.errors import InputError
from rxweave.finished_ablation import NUMBERS, TABLE, ablate_run
from rxweave.finished_report import read_report_data, report_again
from rxweave.settings import settings_from
from rxweave.watch import Watch
from rxweave.workspace import Workspace
from small_run import OPTIONS


@pytest.fixture
def copied(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def rxweave(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["rxweave", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def without_stages(page: str) -> str:
    """A page up to the run's record: the run itself could not yet tell how long its report would take."""
    return page[: page.index('<section id="made">')]


def test_the_report_made_again_is_that_of_the_run(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reporting = copied / "08_reporting"
    page, numbers = (reporting / "report.html").read_text(), (reporting / "metrics.json").read_text()
    (reporting / "report.html").unlink()
    assert rxweave(monkeypatch, "report", "--run", copied, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == (reporting / "report.html").stat().st_size < 15e6
    assert without_stages((reporting / "report.html").read_text()) == without_stages(page)
    assert (reporting / "metrics.json").read_text() == numbers


def test_reliability_of_a_run_that_did_not_measure_it_is_measured(copied: Path) -> None:
    path = copied / "08_reporting" / "metrics.json"
    measured = json.loads(path.read_text())
    before = measured.pop("reliability")
    path.write_text(json.dumps(measured))
    found = read_report_data(copied).reliability
    assert found is not None
    assert found.ece == pytest.approx(before["ece"], abs=1e-6)
    (copied / "06_models" / "ranker" / "model_0.ubj").unlink()
    assert read_report_data(copied).reliability is None


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda run: (run / "08_reporting" / "metrics.json").unlink(), "no output folder of a finished rxweave run"),
        (lambda run: (run / "08_reporting" / "metrics.json").write_text("{"), "metrics.json cannot be read"),
        (lambda run: (run / "08_reporting" / "metrics.json").write_text("[]"), "it holds a list, no object"),
        (lambda run: (run / "08_reporting" / "metrics.json").write_text("{}"), "does not hold the metrics"),
        (lambda run: (run / "06_models" / "embeddings" / "history.json").write_text("[1]"), "no history of training"),
        (lambda run: shutil.rmtree(run / "06_models" / "embeddings"), "no output folder"),
    ],
    ids=["no metrics", "cut short", "a list", "empty", "no history", "no embeddings"],
)
def test_a_folder_without_a_whole_run_is_refused_and_its_page_stays(copied: Path, break_it: object, told: str) -> None:
    assert callable(break_it)
    break_it(copied)
    page = (copied / "08_reporting" / "report.html").read_bytes()
    with pytest.raises(InputError, match=told):
        report_again(copied)
    assert (copied / "08_reporting" / "report.html").read_bytes() == page


def test_a_wrong_folder_is_one_message_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rxweave(monkeypatch, "report", "--run", tmp_path) == 2
    assert "no output folder of a finished rxweave run" in capsys.readouterr().err


def test_an_ablation_goes_into_the_folder_and_the_report(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = copied / "08_reporting" / "report.html"
    assert "Not measured for this run" in page.read_text()
    assert rxweave(monkeypatch, "ablation", "--run", copied) == 0
    printed = capsys.readouterr().out
    assert "without profiles" in " ".join(printed.split())
    table = pl.read_parquet(copied / TABLE)
    numbers = json.loads((copied / NUMBERS).read_text())
    assert numbers["rows"] == table.to_dicts()
    shown = page.read_text()
    assert "Not measured for this run" not in shown
    value = table.filter(variant="without profiles", part="test", measure="MRR, drugs given a disease")["value"][0]
    row = re.search(r'<table[^>]*id="ablation-test".*?without profiles</th>(.*?)</tr>', shown, re.S)
    assert row is not None
    assert f"{value:.3f}" in row[1]
    assert len(json.loads((page.with_name("metrics.json")).read_text())["ablation"]) == len(table)
    # The values of all groups together are those that the run itself measured.
    measured = json.loads(page.with_name("metrics.json").read_text())["methods"]["ranker"]
    whole = table.filter(kind="all", part="test", measure="MRR, drugs given a disease")["value"][0]
    assert whole == pytest.approx(measured["drugs_given_disease"]["mrr"]["value"])

    (copied / TABLE).write_bytes(b"PAR1")
    with pytest.raises(InputError, match="is no ablation"):
        report_again(copied)


def test_a_run_that_ranked_nothing_has_no_ablation(copied: Path) -> None:
    (copied / "06_models" / "ranker" / "ranker.json").unlink()
    with pytest.raises(InputError, match="holds no ranker"):
        ablate_run(copied)


def test_a_new_run_takes_the_ablation_of_the_old_one_away(copied: Path) -> None:
    for name in (TABLE, NUMBERS):
        (copied / name).write_text("old")
    work = Workspace(copied, settings_from({"load.kg": "demo:400"}, OPTIONS), Watch())
    work.begin()
    work.publish()
    assert not any((copied / name).exists() for name in (TABLE, NUMBERS))
