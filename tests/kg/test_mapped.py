"""Any table of facts, by naming its columns."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from rxweave.errors import ConfigError, InputError
from rxweave.kg.sources import load_kg

COLUMNS = ("head=drug", "head_type='Drug'", "head_name=drug name", "relation=kind", "tail=target", "tail_type=what")
TABLE = {
    "drug": ["DB1", "DB1", "DB2", "DB1"],
    "drug name": ["Aspirin", "Aspirin", "", "aspirin"],
    "kind": ["treats", "binds", "treats", "treats"],
    "target": ["7", "007", "7", "7"],
    "what": ["Disease", "Gene", "Disease", "Disease"],
    "score": ["1", "2", "3", "4"],
}


@pytest.fixture(params=["csv", "tsv", "parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    table, path = pl.DataFrame(TABLE), tmp_path / f"facts.{request.param}"
    if request.param == "parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path, separator="\t" if request.param == "tsv" else ",")
    return path


def test_columns_make_a_graph_with_types_and_names(path: Path) -> None:
    kg = load_kg(path, columns=COLUMNS)
    assert set(kg.edges.rows()) == {
        ("Drug|triples|DB1", "treats", "Disease|triples|7"),
        ("Drug|triples|DB1", "binds", "Gene|triples|007"),
        ("Drug|triples|DB2", "treats", "Disease|triples|7"),
    }
    names = dict(kg.nodes.select("node_key", "node_name").iter_rows())
    assert names["Drug|triples|DB1"] == "Aspirin"
    assert names["Drug|triples|DB2"] == "DB2"
    assert kg.report.empty_names == 3
    assert (kg.report.rows_read, kg.report.exact_duplicates) == (4, 1)
    assert kg.roles.treats == ("treats",)


def test_a_row_without_an_end_is_named_or_skipped_and_counted(path: Path) -> None:
    pl.DataFrame({**TABLE, "target": ["7", "007", "", "7"]}).write_csv(path, separator="\t")
    with pytest.raises(InputError, match=r"line 4: tail 'Disease::' has no type and id"):
        load_kg(path, columns=COLUMNS)
    report = load_kg(path, columns=COLUMNS, on_error="skip").report
    assert (report.rows_read, report.facts, report.exact_duplicates, report.rejected_rows) == (4, 2, 1, 1)


def test_a_column_that_is_not_there_is_told_with_the_closest(path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks the column targte.*Closest: 'target'"):
        load_kg(path, columns=[*COLUMNS[:4], "tail=targte", "tail_type=what"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["head=a", "tail=b"], "columns lacks relation"),
        (["haed=a"], r"'haed=a'; expected part=column.*Closest: 'head"),
        (["head=a", "head=b"], "must name head once"),
        (["head"], "must name head once"),
        (["head=a", "relation=b", "tail=c", "head_type=d"], "the type of one end"),
        ([], "columns is empty"),
        (["head='a'", "relation='b'", "tail='c'"], "constants only"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path: Path, columns: list[str], message: str) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match=message):
        load_kg(tmp_path / "x.csv", columns=columns)


def test_a_folder_or_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        load_kg(tmp_path, columns=COLUMNS)
    with pytest.raises(InputError, match="does not exist"):
        load_kg(tmp_path / "no.csv", columns=COLUMNS)
