"""`rxweave tune` on a finished run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
import pytest

from rxweave import pipeline
from rxweave.cli import main
from rxweave.errors import InputError
from rxweave.finished_tuning import NUMBERS, TABLE, tune_run
from rxweave.rank import tuning
from rxweave.settings import settings_from


def test_a_search_leaves_the_run_as_it_is_and_its_trials_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["embed.num_epochs=3", "embed.embedding_dim=32", "embed.hidden_dim=32", "embed.feature_dim=32"]
    options += ["rank.num_trees=5", "rank.num_draws=1", "rank.features.num_folds=2", "split.valid_fraction=0.3"]
    options += ["embed.accumulation_steps=1", "rank.bilinear_weight=0"]
    pipeline.run(settings_from({"load.kg": "demo:800", "seed": 0}, options), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    monkeypatch.setattr(tuning, "FEWEST", 10)
    monkeypatch.setattr(sys, "argv", ["rxweave", "tune", "--run", str(tmp_path), "--trials", "2", "--draws", "1"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    shown = capsys.readouterr().out
    assert "Validation: best of 2 trials" in shown
    assert "Test treatments" in shown
    table = pl.read_parquet(tmp_path / TABLE)
    told = json.loads((tmp_path / NUMBERS).read_text())
    assert len(table) == len(told["trials"]) == 2
    assert ("rxweave run …" in shown) == bool(told["options"])
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no output folder of rxweave run"):
        tune_run(tmp_path, trials=2)
