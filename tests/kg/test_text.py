from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxweave.errors import InputError
from rxweave.kg.text import drop_bad_rows, first_records, read_table

COLUMNS = ("id", "name", "kind")
ZSTD = "28b52ffd201ef1000069642c6e616d652c6b696e640a312c612c6b0a322c22622c2063222c6b0a"


def write(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_values_stay_as_written(tmp_path: Path) -> None:
    path = write(tmp_path, 'id,name,kind\n007,1e5,NA\nnull,,true\n 1 ,"",2020-01-01\n')
    table = read_table(path, COLUMNS)
    assert table.frame.rows() == [("007", "1e5", "NA"), ("null", "", "true"), (" 1 ", "", "2020-01-01")]
    assert set(table.frame.dtypes) == {pl.String}
    assert list(table.lines) == [2, 3, 4]


def test_quotes_commas_and_line_breaks_inside_names(tmp_path: Path) -> None:
    path = write(tmp_path, 'id,name,kind\n1,"a, ""b"" c",x\n2,"two\nlines",y\n3,plain,z\n')
    table = read_table(path, COLUMNS)
    assert table.frame["name"].to_list() == ['a, "b" c', "two\nlines", "plain"]
    assert list(table.lines) == [2, 3, 5]


def test_a_stray_quote_in_an_unquoted_name_is_a_character(tmp_path: Path) -> None:
    path = write(tmp_path, 'id,name,kind\n1,5" needle,x\n2,plain,y\n')
    assert read_table(path, COLUMNS).frame["name"].to_list() == ['5" needle', "plain"]


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lambda data: gzip.compress(data) + gzip.compress(b"4,d,k\n")]
)
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_packing_byte_order_mark_and_line_ends_change_nothing(tmp_path: Path, pack, bom, end) -> None:
    data = bom + b"id,name,kind\n1,caf\xc3\xa9,k\n2,b,k\n".replace(b"\n", end)
    path = write(tmp_path, pack(data))
    rows = read_table(path, COLUMNS).frame.rows()
    assert rows[:2] == [("1", "café", "k"), ("2", "b", "k")]
    assert first_records(path) == [["id", "name", "kind"], ["1", "café", "k"]]


def test_a_byte_order_mark_does_not_stick_to_the_first_value_without_a_header(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf1,a,k\n2,b,k\n")
    table = read_table(path, COLUMNS, header=False)
    assert table.frame["id"].to_list() == ["1", "2"]
    assert list(table.lines) == [1, 2]


def test_zstd_is_read_and_a_cut_one_is_refused(tmp_path: Path) -> None:
    # Written by `zstd -19 --no-check`: id,name,kind / 1,a,k / 2,"b, c",k
    packed = bytes.fromhex(ZSTD)
    path = write(tmp_path, packed, "table.csv.zst")
    assert read_table(path, COLUMNS).frame.rows() == [("1", "a", "k"), ("2", "b, c", "k")]
    with pytest.raises(InputError, match=r"cannot be unpacked.*zstd -d"):
        read_table(write(tmp_path, packed[:-4], "cut.csv.zst"), COLUMNS)


def test_size_and_checksum_are_those_of_the_file_on_disk(tmp_path: Path) -> None:
    packed = gzip.compress(b"id,name,kind\n1,a,k\n")
    path = write(tmp_path, packed, "table.csv.gz")
    file = read_table(path, COLUMNS).file
    assert (file.path, file.size) == (str(path), len(packed))
    assert file.sha256 == hashlib.sha256(packed).hexdigest()


def test_tabs_separate_where_the_first_line_has_one(tmp_path: Path) -> None:
    path = write(tmp_path, "id\tname\tkind\n1\ta, b\tk\n", "table.tsv")
    assert read_table(path, COLUMNS).frame.rows() == [("1", "a, b", "k")]


def test_columns_are_found_by_name_and_others_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "kind,extra,id,name\nk,e,1,a\n")
    table = read_table(path, COLUMNS, optional=("note", "extra"), categorical=True)
    assert table.frame.rows(named=True) == [{"kind": "k", "extra": "e", "id": "1", "name": "a"}]


def test_an_empty_last_column_is_not_taken_for_a_short_row(tmp_path: Path) -> None:
    path = write(tmp_path, "id,name,kind\n1,a,\n2,,\n")
    assert read_table(path, COLUMNS).frame.rows() == [("1", "a", ""), ("2", "", "")]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "id,name,kind\n\n1,a,k\n  \r\n2,b,k\n\n\n")
    table = read_table(path, COLUMNS)
    assert table.frame["id"].to_list() == ["1", "2"]
    assert list(table.lines) == [3, 5]
    assert table.num_rows == 2


BAD_ROWS = {
    "2 fields, expected 3 (id, name, kind)": b"9,short",
    "4 fields, expected 3 (id, name, kind)": b"9,much,too,long",
    "byte 0xe9 at position 6 of the line is not UTF-8": b"9,caf\xe9,k",
    "a quote is opened and not closed": b'9,"open,k',
    "its quotes are wrong (',' expected after '\"')": b'9,"a"b,k',
}


@pytest.mark.parametrize(("reason", "row"), BAD_ROWS.items())
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_malformed_row_is_named_by_its_line_or_skipped_and_listed(
    tmp_path: Path, reason: str, row: bytes, place: int
) -> None:
    lines = [b"1,a,k", b'2,"b ""q"", c",k']
    lines.insert(place, row)
    path = write(tmp_path, b"id,name,kind\n" + b"\n".join(lines) + b"\n")
    with pytest.raises(InputError) as caught:
        read_table(path, COLUMNS)
    assert f"{path}, line {place + 2}: {reason}" in str(caught.value)
    assert "on_error" in str(caught.value)

    table = read_table(path, COLUMNS, on_error="skip")
    assert table.frame.rows() == [("1", "a", "k"), ("2", 'b "q", c', "k")]
    assert (table.num_rows, table.num_rejected) == (3, 1)
    assert [(row.line, row.reason) for row in table.rejected] == [(place + 2, reason)]
    assert list(table.lines) == [line for line in (2, 3, 4) if line != place + 2]


def test_only_the_first_examples_are_listed_but_all_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "id,name,kind\n1,a,k\n" + "x\n" * 25)
    table = read_table(path, COLUMNS, on_error="skip")
    assert table.num_rejected == 25
    assert [row.line for row in table.rejected] == list(range(3, 13))


def test_an_unclosed_quote_costs_its_own_line_only(tmp_path: Path) -> None:
    rows = "".join(f"{i},n{i},k\n" for i in range(60))
    path = write(tmp_path, 'id,name,kind\n0,"open,k\n' + rows)
    table = read_table(path, COLUMNS, on_error="skip")
    assert table.frame.height == 60
    assert [row.line for row in table.rejected] == [2]


def test_marked_rows_are_refused_with_the_line_the_reason_and_how_many_there_are(tmp_path: Path) -> None:
    path = write(tmp_path, "id,name,kind\n1,a,k\n\n2,b,\n3,c,\n")
    table = read_table(path, COLUMNS)
    bad = table.frame["kind"] == ""
    with pytest.raises(InputError, match=r"line 4: 2 has no kind \(2 rows are like it\)"):
        drop_bad_rows(table, bad, lambda row: f"{row['id']} has no kind", "stop")
    left = drop_bad_rows(table, bad, lambda row: f"{row['id']} has no kind", "skip")
    assert left.frame["id"].to_list() == ["1"]
    assert (left.num_rows, left.num_rejected) == (3, 2)
    assert [(row.line, row.reason) for row in left.rejected] == [(4, "2 has no kind"), (5, "3 has no kind")]
    assert [int(line) for line in left.lines] == [2]


def test_nothing_marked_leaves_the_table_as_it_is(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "id,name,kind\n1,a,k\n"), COLUMNS)
    assert drop_bad_rows(table, table.frame["id"] == "x", str, "stop") is table


def test_a_file_without_one_sound_row_is_refused_even_when_skipping(tmp_path: Path) -> None:
    path = write(tmp_path, "id,name,kind\n1,a\n2,b\n")
    with pytest.raises(InputError, match=r"none of its 2 rows can be used. Line 2: 2 fields"):
        read_table(path, COLUMNS, on_error="skip")
    table = read_table(write(tmp_path, "id,name,kind\n1,a,k\n"), COLUMNS)
    with pytest.raises(InputError, match=r"none of its 1 rows can be used. Line 2: wrong"):
        drop_bad_rows(table, table.frame["id"] == "1", lambda row: "wrong", "skip")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.csv.bz2", bz2.compress(b"id,name,kind\n1,a,k\n")[:-9], "is cut short"),
        ("hurt.csv.bz2", b"BZh9" + b"\xff" * 40, "is damaged bzip2"),
        ("cut.csv.gz", gzip.compress(b"id,name,kind\n" + bytes(range(32, 127)) * 9, mtime=0)[:-12], "is cut short"),
        ("cut2.csv.gz", gzip.compress(b"id,name,kind\n1,a,k\n", mtime=0)[:12], "is cut short"),
        ("hurt.csv.gz", b"\x1f\x8b\x08\x00" + b"\x00" * 6 + b"\xff" * 40, "is damaged gzip"),
        ("plain.csv.gz", b"id,name,kind\n1,a,k\n", "is named .gz but is not packed"),
        ("plain.csv.zst", b"id,name,kind\n1,a,k\n", "is named .zst but is not packed"),
        ("empty.csv", b"", "is empty"),
        ("blank.csv", b"\n  \r\n", "is empty"),
        ("blank.csv.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("header.csv", b"id,name,kind\n", "has a header but no rows"),
        ("header.csv", b"id,name,kind", "has a header but no rows"),
        ("wide.csv", "id,name,kind\n1,a,k\n".encode("utf-16"), "UTF-16 text: save it as UTF-8"),
        ("zip.csv", b"PK\x03\x04rest", "is a zip archive: unpack it first"),
        (
            "lacks.csv",
            b"id,nam,type\n1,a,k\n",
            "lacks the columns name, kind; its first line has id, nam, type.",
        ),
        ("near.csv", b"id,nam,kind\n1,a,k\n", "Closest: 'nam'"),
        ("twice.csv", b"id,name,kind,id\n1,a,k,2\n", "more than one column named id"),
        ("quote.csv", b'id,"name,kind\n1,a,k\n', "line 1: a quote is opened and not closed"),
    ],
)
def test_a_file_that_is_no_table_is_one_clear_error(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = write(tmp_path, content, name)
    with pytest.raises(InputError) as caught:
        read_table(path, COLUMNS)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_says_what_lies_near(tmp_path: Path) -> None:
    write(tmp_path, "x", "nodes.tsv")
    with pytest.raises(InputError, match=r"node.tsv does not exist.*holds nodes.tsv.*Closest: 'nodes.tsv'"):
        read_table(tmp_path / "node.tsv", COLUMNS)
    with pytest.raises(InputError, match=r"gone does not exist.*holds nodes.tsv"):
        read_table(tmp_path / "gone" / "deeper" / "node.tsv", COLUMNS)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; a file was expected"):
        read_table(tmp_path, COLUMNS)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8),
    separator=st.sampled_from(",\t"),
    categorical=st.booleans(),
)
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    separator: str,
    categorical: bool,
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    path = write(tmp_path_factory.getbasetemp(), text.getvalue(), "roundtrip.csv")
    table = read_table(path, COLUMNS, categorical=categorical)
    assert table.frame.rows() == rows
    begins, line = [], 2
    for row in rows:
        begins.append(line)
        line += 1 + sum(cell.count("\n") for cell in row)
    assert list(table.lines) == begins
