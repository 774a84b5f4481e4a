"""The cleaning ledger: every kind counted, with lines that a person finds in the file."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from rxweave.errors import InputError
from rxweave.kg.ledger import ledger_of
from rxweave.kg.sources import load_kg
from rxweave.kg.store import write_kg

DATA = Path(__file__).parents[1] / "data"
PRIMEKG = DATA / "primekg" / "kg.csv"


def lines_of(ledger: pl.DataFrame, kind: str) -> list[int]:
    return ledger.filter(kind=kind)["line"].to_list()


def test_examples_stand_where_the_ledger_says() -> None:
    ledger = ledger_of(load_kg(PRIMEKG).report)
    counts = dict(ledger.select("kind", "count").iter_rows())
    assert counts == {
        "exact duplicate": 5,
        "swapped duplicate": 8,
        "self-loop": 1,
        "node without a name": 1,
        "node with several names": 1,
    }
    # By hand in kg.csv: line 5 repeats the self-loop of line 4; lines 8 to 11 say again, either way round and under
    # another display relation, what lines 6 and 7 say.
    assert lines_of(ledger, "exact duplicate") == [5, 8, 9, 10, 11]
    assert lines_of(ledger, "self-loop") == [4]
    swapped = lines_of(ledger, "swapped duplicate")
    assert swapped[:2] == [3, 7]
    assert len(swapped) == 8
    written = PRIMEKG.read_text().splitlines()
    for row in ledger.filter(pl.col("line").is_not_null()).iter_rows(named=True):
        assert row["example"].split(", ")[0] == written[row["line"] - 1].split(",")[0]
        assert row["file"] == str(PRIMEKG)


def test_lines_are_those_of_the_file_also_after_rejected_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("Drug::1\tr\tGene::1\nbroken\nDrug::2\tr\nDrug::1\tr\tGene::1\n\nGene::1\tr\tDrug::1\n")
    kg = load_kg(path, on_error="skip")
    ledger = ledger_of(kg.report)
    assert lines_of(ledger, "exact duplicate") == [4]
    assert lines_of(ledger, "swapped duplicate") == [6]
    assert lines_of(ledger, "rejected row") == [2, 3]
    assert ledger.filter(kind="rejected row")["count"].unique().to_list() == [2]


def test_it_is_written_beside_the_tables(tmp_path: Path) -> None:
    kg = load_kg(PRIMEKG)
    write_kg(kg, tmp_path)
    assert pl.read_parquet(tmp_path / "ledger.parquet").equals(ledger_of(kg.report))


def test_a_clean_graph_has_no_line_but_what_is_tolerated() -> None:
    assert ledger_of(load_kg("demo:300").report).filter(~pl.col("kind").str.starts_with("node without")).height == 0


def test_strict_refuses_with_counts_and_first_examples() -> None:
    with pytest.raises(InputError) as caught:
        load_kg(PRIMEKG, strict=True)
    message = str(caught.value)
    assert "exact duplicate: 5 (first, line 5: protein_protein" in message
    assert "node with several names: 1 (first: disease|MONDO|5148: 'type 2" in message
    assert "swapped" not in message


def test_strict_refuses_skipped_rows_too(tmp_path: Path) -> None:
    (tmp_path / "kg.csv").write_text(PRIMEKG.read_text() + "indication\n")
    with pytest.raises(InputError, match=r"rejected row: 1 \(first, line 26: 1 fields"):
        load_kg(tmp_path / "kg.csv", strict=True, on_error="skip")


def test_strict_lets_swapped_copies_and_self_loops_through(tmp_path: Path) -> None:
    lines = PRIMEKG.read_text().splitlines()
    unique = list(dict.fromkeys(lines))
    kept = [
        line for line in unique if ",enzyme," not in line and "diabetes type II" not in line and ",,HPO" not in line
    ]
    (tmp_path / "kg.csv").write_text("\n".join(kept))
    report = load_kg(tmp_path / "kg.csv", strict=True).report
    assert report.swapped_duplicates > 0
    assert report.self_loops == 1
