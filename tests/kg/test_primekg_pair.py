"""PrimeKG's two files give the graph of its one."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from rxweave.errors import InputError
from rxweave.kg.sources import load_kg

SLICE = Path(__file__).parents[1] / "data" / "primekg" / "kg.csv"


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """The slice of kg.csv as nodes.tab and edges.csv, as its makers split it."""
    kg = pl.read_csv(SLICE, infer_schema=False).fill_null("")
    sides = [
        kg.select(pl.col(f"{side}_{part}").alias(f"node_{part}") for part in ("index", "id", "type", "name", "source"))
        for side in "xy"
    ]
    nodes = pl.concat(sides).unique("node_index", keep="first", maintain_order=True)
    nodes.write_csv(tmp_path / "nodes.tab", separator="\t", quote_style="non_numeric")
    kg.select("relation", "display_relation", "x_index", "y_index").write_csv(tmp_path / "edges.csv")
    return tmp_path


@pytest.mark.parametrize("name", ["", "edges.csv"])
def test_the_pair_gives_the_graph_of_kg_csv(pair: Path, name: str) -> None:
    whole, kg = load_kg(SLICE), load_kg(pair / name)
    assert kg.edges.equals(whole.edges)
    assert kg.nodes.drop("node_name").equals(whole.nodes.drop("node_name"))
    assert (kg.name, kg.relations, kg.roles) == (whole.name, whole.relations, whole.roles)
    counts = ("rows_read", "facts", "exact_duplicates", "swapped_duplicates", "self_loops", "empty_names")
    assert all(getattr(kg.report, count) == getattr(whole.report, count) for count in counts)
    assert len(kg.report.files) == 2


def test_an_isolated_node_of_the_node_file_stays(pair: Path) -> None:
    with (pair / "nodes.tab").open("a") as file:
        file.write("99\t5\tpathway\tlonely\tREACTOME\n")
    assert load_kg(pair).report.isolated_nodes == 1


@pytest.mark.parametrize(
    ("file", "line", "reason"),
    [
        ("edges.csv", "indication,indication,1,77", r"edges.csv, line 26: y_index '77' is not in the node file"),
        ("edges.csv", ",indication,1,2", r"edges.csv, line 26: the relation is empty"),
        ("nodes.tab", "99\t\tpathway\tx\tREACTOME", r"nodes.tab, line 10: node_id is empty"),
        ("nodes.tab", "1\t5\tpathway\tx\tREACTOME", r"nodes.tab, line 10: node_index 1 stands for a node above"),
    ],
)
def test_a_malformed_row_is_named_or_skipped_and_counted(pair: Path, file: str, line: str, reason: str) -> None:
    with (pair / file).open("a") as appended:
        appended.write(f"{line}\n")
    with pytest.raises(InputError, match=reason):
        load_kg(pair)
    report = load_kg(pair, on_error="skip").report
    assert report.facts == 11
    assert report.rejected_rows == (file == "edges.csv")
    assert [row.line for row in report.rejected_examples] == [26 if file == "edges.csv" else 10]


def test_the_edges_alone_are_told_what_they_lack(pair: Path) -> None:
    (pair / "nodes.tab").unlink()
    with pytest.raises(InputError, match=r"beside it lies no node file with the columns node_index.*nodes.tab into"):
        load_kg(pair)
