from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from rxweave.errors import InputError
from rxweave.kg.sources import load_kg

SLICE = Path(__file__).parents[1] / "data" / "triples" / "drkg.tsv"


def text_triples() -> pl.DataFrame:
    return pl.read_csv(SLICE, separator="\t", has_header=False, new_columns=["head", "relation", "tail"])


def test_the_same_triples_give_the_same_graph_as_from_text(tmp_path: Path) -> None:
    text = load_kg(SLICE)
    text_triples().write_parquet(tmp_path / "drkg.parquet")
    for path in (tmp_path / "drkg.parquet", tmp_path):
        kg = load_kg(path)
        assert kg.edges.equals(text.edges)
        assert kg.nodes.equals(text.nodes)
        assert (kg.roles, kg.relations) == (text.roles, text.relations)
        assert (kg.report.rows_read, kg.report.facts) == (text.report.rows_read, text.report.facts)
    assert len(kg.report.files[0].sha256) == 64


def test_types_may_stand_in_columns_of_their_own_and_ids_be_numbers(tmp_path: Path) -> None:
    table = {
        "X_ID": [1, 1, 2],
        "x_type": ["drug", "drug", "gene"],
        "predicate": ["indication", "indication", "linked"],
        "y_id": [7, 7, 7],
        "y_type": "disease",
        "weight": 1.0,
    }
    pl.DataFrame(table).write_parquet(tmp_path / "own.parquet")
    kg = load_kg(tmp_path / "own.parquet")
    assert kg.edges.rows() == [
        ("drug|triples|1", "indication", "disease|triples|7"),
        ("gene|triples|2", "linked", "disease|triples|7"),
    ]
    assert (kg.report.rows_read, kg.report.facts, kg.report.exact_duplicates) == (3, 2, 1)
    assert kg.roles.treats == ("indication",)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("Gene:1", "r", "Gene::2"), "head 'Gene:1' has no type and id"),
        (("Gene::1", "", "Gene::2"), "the relation is empty"),
        (("Gene::1", "r", None), "tail '' has no type and id"),
    ],
)
def test_a_malformed_row_is_named_or_skipped_and_counted(
    tmp_path: Path, row: tuple[str, str, str | None], reason: str
) -> None:
    bad = pl.DataFrame([row], schema=["head", "relation", "tail"], orient="row")
    pl.concat([text_triples(), bad]).write_parquet(tmp_path / "e.parquet")
    with pytest.raises(InputError, match=f"line 13: {reason}"):
        load_kg(tmp_path / "e.parquet")
    report = load_kg(tmp_path / "e.parquet", on_error="skip").report
    assert (report.rows_read, report.facts, report.rejected_rows) == (13, 8, 1)


def test_a_parquet_file_that_holds_no_triples_is_refused_with_its_columns(tmp_path: Path) -> None:
    text_triples().rename({"tail": "end"}).write_parquet(tmp_path / "e.parquet")
    with pytest.raises(InputError, match=r"lacks the column tail; it has head, relation, end"):
        load_kg(tmp_path / "e.parquet")
    text_triples().clear().write_parquet(tmp_path / "e.parquet")
    with pytest.raises(InputError, match="has no rows"):
        load_kg(tmp_path / "e.parquet")


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    text_triples().write_parquet(tmp_path / "e.parquet")
    whole = (tmp_path / "e.parquet").read_bytes()
    (tmp_path / "e.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        load_kg(tmp_path / "e.parquet")
