"""The record of a training: complete in memory, on disk, and through a checkpoint."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_training import SEED, SETTINGS

from rxweave.artifacts import plain
from rxweave.embed.history import Epoch, epochs_from, history_table, write_history
from rxweave.embed.schedule import rate
from rxweave.embed.train import train
from rxweave.graph.build import Graph

FULL = Epoch(
    2, 1.5, 0.5, 0.25, 1.625, 9.0, {"drug": 30.0}, {"drug": 0.2}, {"drug": 0.0}, {"drug": 9.0}, 3.5, 1e-3, 7, 8,
    {"flat loss": "Nothing is learnt."},
)  # fmt: skip
BARE = Epoch(1, 2.0, math.nan, 0.0, 2.0, 9.0)


def test_the_table_has_a_row_per_epoch_and_empty_places_for_what_is_not_known() -> None:
    table = history_table([BARE, FULL])
    assert table["epoch"].to_list() == [1, 2]
    assert table["treatment"].to_list() == [None, 0.5]
    assert table["effective_rank/drug"].to_list() == [None, 30.0]
    assert table["rank_alarm/drug"].to_list() == [None, 9.0]
    assert table["warnings"].to_list() == ["", "Nothing is learnt."]
    assert table["peak_memory"].dtype == pl.Int64


def test_every_field_of_an_epoch_is_in_the_table() -> None:
    columns = {name.partition("/")[0] for name in history_table([FULL]).columns}
    assert columns == {"epoch" if field.name == "number" else field.name for field in fields(Epoch)}


def test_the_file_says_what_its_columns_are(tmp_path: Path) -> None:
    path = tmp_path / "training.parquet"
    write_history([BARE, FULL], path)
    assert pl.read_parquet(path).equals(history_table([BARE, FULL]))
    told = pl.read_parquet_metadata(path)
    for column in pl.read_parquet(path).columns:
        measure, slash, _ = column.partition("/")
        assert told[f"{measure}/<node type>" if slash else column]


def test_epochs_survive_json() -> None:
    told = json.loads(json.dumps(plain([FULL, replace(FULL, mean_cosine={"drug": math.nan})])))
    first, second = epochs_from(told)
    assert first == FULL
    assert math.isnan(second.mean_cosine["drug"])
    with pytest.raises(TypeError):
        epochs_from([{"number": 1, "colour": "red"}])


def test_training_fills_the_record(small_graph: Graph) -> None:
    trained = train(small_graph, SETTINGS, seed=SEED)
    for epoch in trained.history:
        assert epoch.gradient_norm > 0
        assert epoch.peak_memory >= epoch.memory > 1e6
        assert set(epoch.effective_rank) == set(epoch.mean_cosine) == set(epoch.rank_alarm) == {*small_graph.node_types}
    rates = [epoch.learning_rate / SETTINGS.learning_rate for epoch in trained.history]
    assert rates == pytest.approx([rate(step, 6) for step in range(6)])


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    rates = [rate(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert rates[10:61] == [1.0] * 51
    assert np.diff(rates[60:98]).max() < 0
    assert rates[-1] == 0.05
