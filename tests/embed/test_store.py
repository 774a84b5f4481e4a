from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rxweave.embed import store
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.errors import InputError
from rxweave.validate.read import read_embeddings


def make_embeddings(num: int = 7, dim: int = 3, *, metadata: dict[str, str] | None = None) -> Embeddings:
    rng = np.random.default_rng(0)
    types = ["drug" if i % 2 else "disease" for i in range(num)]
    nodes = pl.DataFrame(
        {
            "node_key": [f"{kind}|SRC|{i}" for i, kind in enumerate(types)],
            "node_id": [str(i) for i in range(num)],
            "node_name": [f'name {i}, "quoted", β' for i in range(num)],
            "node_type": types,
            "node_source": ["SRC"] * num,
        }
    )
    return Embeddings(nodes, rng.normal(size=(num, dim)).astype(np.float32), metadata or {})


def write_lines(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_parquet_round_trip_keeps_nodes_vectors_and_metadata(tmp_path: Path) -> None:
    metadata = {"seed": "3", "config": json.dumps({"a": 1}), "note": "ümlaut\nline"}
    given_ = make_embeddings(metadata=metadata)
    path = tmp_path / "hgt_embeddings.parquet"
    write_embeddings(given_, path)
    got = read_embeddings(path)
    assert got.nodes.equals(given_.nodes)
    assert np.array_equal(got.vectors, given_.vectors)
    assert got.metadata == metadata
    assert pl.read_parquet_schema(path)["embedding"] == pl.Array(pl.Float32, 3)


def test_csv_has_the_promised_columns_and_plain_python_reads_the_vectors(tmp_path: Path) -> None:
    given_ = make_embeddings()
    write_embeddings(given_, tmp_path / "e.parquet", tmp_path / "e.csv")
    with (tmp_path / "e.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["node_id", "node_name", "node_type", "embedding"]
    assert [row["node_name"] for row in rows] == given_.nodes["node_name"].to_list()
    read_back = np.array([json.loads(row["embedding"]) for row in rows], np.float32)
    assert np.array_equal(read_back, given_.vectors)


def test_csv_written_in_many_chunks_reads_back_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CHUNK_ROWS", 2)
    given_ = make_embeddings(7)
    write_embeddings(given_, tmp_path / "e.parquet", tmp_path / "e.csv")
    got = read_embeddings(tmp_path / "e.csv")
    assert np.array_equal(got.vectors, given_.vectors)
    assert got.nodes["node_id"].to_list() == given_.nodes["node_id"].to_list()
    assert got.nodes["node_key"].to_list()[:2] == ["disease|0", "drug|1"]


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=5),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_every_finite_float32_survives_both_files(
    tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray
) -> None:
    folder = tmp_path_factory.mktemp("store")
    nodes = make_embeddings(len(vectors)).nodes
    write_embeddings(Embeddings(nodes, vectors, {}), folder / "e.parquet", folder / "e.csv")
    assert np.array_equal(read_embeddings(folder / "e.parquet").vectors, vectors)
    assert np.array_equal(read_embeddings(folder / "e.csv").vectors, vectors)


def test_wide_csv_is_read_in_numeric_column_order(tmp_path: Path) -> None:
    columns = [f"emb_{i}" for i in range(11)]
    order = [*columns[5:], *columns[:5]]
    values = {name: i for i, name in enumerate(columns)}
    path = write_lines(
        tmp_path / "wide.csv",
        ",".join(["node_id", "node_type", *order]),
        ",".join(["7", "drug", *(str(values[name]) for name in order)]),
    )
    got = read_embeddings(path)
    assert got.vectors.tolist() == [list(range(11))]
    assert got.nodes.row(0, named=True) == {
        "node_key": "drug|7",
        "node_id": "7",
        "node_name": "7",
        "node_type": "drug",
    }


@pytest.mark.parametrize("text", ["[1.5, -2e-3]", "[1.5,-2e-3]", "[ 1.5  -2e-3 ]", "1.5 -2e-3"])
def test_vector_text_with_commas_or_numpy_spaces_is_read(tmp_path: Path, text: str) -> None:
    path = write_lines(tmp_path / "e.csv", "node_id,node_name,node_type,embedding", f'7,x,drug,"{text}"')
    assert read_embeddings(path).vectors.tolist() == np.array([[1.5, -2e-3]], np.float32).tolist()


def test_gzip_bom_and_crlf_are_read(tmp_path: Path) -> None:
    path = tmp_path / "e.csv.gz"
    text = '\ufeffnode_id,node_name,node_type,embedding\r\n7,x,drug,"[1, 2]"\r\n'
    path.write_bytes(gzip.compress(text.encode()))
    assert read_embeddings(path).vectors.tolist() == [[1.0, 2.0]]


def test_parquet_with_float64_lists_is_read(tmp_path: Path) -> None:
    table = pl.DataFrame({"node_id": [1, 2], "node_type": ["drug", "drug"], "embedding": [[1.0, 2.0], [3.0, 4.0]]})
    table.write_parquet(tmp_path / "e.parquet")
    got = read_embeddings(tmp_path / "e.parquet")
    assert got.vectors.dtype == np.float32
    assert got.vectors.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert got.nodes["node_id"].to_list() == ["1", "2"]


def test_not_a_number_is_refused_with_the_node_and_the_count() -> None:
    given_ = make_embeddings()
    vectors = given_.vectors.copy()
    vectors[4, 1] = np.nan
    vectors[5, 0] = np.inf
    with pytest.raises(InputError, match=r"2 of 7 vectors.*'disease\|SRC\|4'.*dimension 1: nan"):
        Embeddings(given_.nodes, vectors, {})


def test_nodes_and_vectors_must_match(tmp_path: Path) -> None:
    given_ = make_embeddings(7)
    with pytest.raises(InputError, match="7 nodes but 6 vectors"):
        Embeddings(given_.nodes, given_.vectors[:6], {})
    with pytest.raises(InputError, match="node_type"):
        Embeddings(given_.nodes.drop("node_type"), given_.vectors, {})
    with pytest.raises(InputError, match="empty"):
        Embeddings(given_.nodes.clear(), given_.vectors[:0], {})


def test_rows_of_a_type_keep_file_order_and_an_unknown_type_gets_a_hint() -> None:
    given_ = make_embeddings(5)
    assert given_.of_type("disease").tolist() == [0, 2, 4]
    assert given_.node_types == ("disease", "drug")
    assert (given_.num_nodes, given_.dim) == (5, 3)
    with pytest.raises(InputError, match=r"'diseases'.*Closest: 'disease'"):
        given_.of_type("diseases")


def test_neither_file_appears_when_the_csv_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_embeddings(make_embeddings(), tmp_path / "e.parquet", tmp_path / "e.csv")
    assert list(tmp_path.iterdir()) == []


def test_two_vectors_for_one_node_are_refused() -> None:
    given_ = make_embeddings()
    nodes = given_.nodes.with_columns(node_key=pl.lit("disease|5148"))
    with pytest.raises(InputError, match=r"7 vectors share their node_key.*'disease\|5148'"):
        Embeddings(nodes, given_.vectors, {})
