"""Embeddings of any tool: each format written by someone else and read back, and one clear error for each mistake."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

from rxweave import cli
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.errors import InputError
from rxweave.validate import read
from rxweave.validate.read import blocks, notes_of, read_embeddings

Ids = list[str]
Writer = Callable[[Path, Ids, Ids, np.ndarray], Path]


def write_lines(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def table_text(header: list[str], rows: list[list[str]], separator: str = ",") -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def wide_text(ids: Ids, types: Ids, vectors: np.ndarray, prefix: str, start: int = 0, separator: str = ",") -> str:
    header = ["node_id", "node_type", *(f"{prefix}{i + start}" for i in range(vectors.shape[1]))]
    rows = [[i, t, *map(repr, v)] for i, t, v in zip(ids, types, vectors.tolist(), strict=True)]
    return table_text(header, rows, separator)


def list_text(ids: Ids, types: Ids, vectors: np.ndarray, spell: Callable[[np.ndarray], str]) -> str:
    rows = [[i, t, spell(v)] for i, t, v in zip(ids, types, vectors, strict=True)]
    return table_text(["node_id", "node_type", "embedding"], rows)


def numpy_text(vector: np.ndarray) -> str:
    with np.printoptions(threshold=sys.maxsize, floatmode="unique", linewidth=20):
        return str(vector)


def json_text(vector: np.ndarray) -> str:
    return json.dumps(vector.tolist())


def parquet_of(dtype: Callable[[int], pl.DataType]) -> Writer:
    def write(path: Path, ids: Ids, types: Ids, vectors: np.ndarray) -> Path:
        column = pl.Series("z", vectors.tolist(), dtype=dtype(vectors.shape[1]))
        pl.DataFrame({"Entity": ids, "type": types, "score": 1.0}).with_columns(column).write_parquet(path)
        return path

    return write


def wide_parquet(path: Path, ids: Ids, types: Ids, vectors: np.ndarray) -> Path:
    columns = {f"dim{i}": vectors[:, i] for i in range(vectors.shape[1])}
    pl.DataFrame({**columns, "id": ids, "kind": types}).write_parquet(path)
    return path


def text_of(ending: str, text: Callable[[Ids, Ids, np.ndarray], str], pack: Callable[[bytes], bytes] = bytes) -> Writer:
    def write(path: Path, ids: Ids, types: Ids, vectors: np.ndarray) -> Path:
        path = path.with_suffix(ending)
        path.write_bytes(pack(text(ids, types, vectors).encode()))
        return path

    return write


def zstd(path: Path, ids: Ids, types: Ids, vectors: np.ndarray) -> Path:
    pl.read_csv(wide_text(ids, types, vectors, "emb_").encode(), infer_schema=False).lazy().sink_csv(
        path.with_suffix(".csv.zst"), compression="zstd"
    )
    return path.with_suffix(".csv.zst")


def npz(path: Path, ids: Ids, types: Ids, vectors: np.ndarray) -> Path:
    np.savez_compressed(path.with_suffix(".npz"), vectors=vectors, ids=np.array(ids), types=np.array(types))
    return path.with_suffix(".npz")


TYPED: dict[str, Writer] = {
    "parquet list": parquet_of(lambda dim: pl.List(pl.Float32)),
    "parquet array of float64": parquet_of(lambda dim: pl.Array(pl.Float64, dim)),
    "parquet, a column per dimension": wide_parquet,
    "csv of json lists": text_of(".csv", lambda i, t, v: list_text(i, t, v, json_text)),
    "csv of numpy's text": text_of(".csv", lambda i, t, v: list_text(i, t, v, numpy_text)),
    "csv emb_0": text_of(".csv", lambda i, t, v: wide_text(i, t, v, "emb_")),
    "csv 0": text_of(".csv", lambda i, t, v: wide_text(i, t, v, "")),
    "csv V1": text_of(".csv", lambda i, t, v: wide_text(i, t, v, "dimV", 1)),
    "tsv dim_0": text_of(".tsv", lambda i, t, v: wide_text(i, t, v, "dim_", separator="\t")),
    "semicolons": text_of(".csv", lambda i, t, v: wide_text(i, t, v, "emb_", separator=";")),
    "crlf and byte order mark": text_of(
        ".csv", lambda i, t, v: "\ufeff" + wide_text(i, t, v, "emb_").replace("\n", "\r\n")
    ),
    "csv.gz": text_of(".csv.gz", lambda i, t, v: wide_text(i, t, v, "emb_"), gzip.compress),
    "csv.bz2": text_of(".csv.bz2", lambda i, t, v: wide_text(i, t, v, "emb_"), bz2.compress),
    "txt.xz": text_of(".txt.xz", lambda i, t, v: list_text(i, t, v, json_text), lzma.compress),
    "csv.zst": zstd,
    "npz": npz,
}


def npy(path: Path, ids: Ids, types: Ids, vectors: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), np.asfortranarray(vectors))
    write_lines(path.with_suffix(".ids"), *ids)
    return path.with_suffix(".npy")


def safetensors(path: Path, ids: Ids, types: Ids, vectors: np.ndarray) -> Path:
    save_file({"entity.weight": vectors}, path.with_suffix(".safetensors"))
    write_lines(path.with_suffix(".txt"), *ids)
    return path.with_suffix(".safetensors")


def lines_of(ending: str, separator: str, *, header: bool, end: str = "\n") -> Writer:
    def write(path: Path, ids: Ids, types: Ids, vectors: np.ndarray) -> Path:
        first = f"{len(ids)} {vectors.shape[1]}\n" if header else ""
        rows = [separator.join([i, *map(repr, v)]) + end for i, v in zip(ids, vectors.tolist(), strict=True)]
        path.with_suffix(ending).write_text(first + "".join(rows), encoding="utf-8", newline="")
        return path.with_suffix(ending)

    return write


UNTYPED: dict[str, Writer] = {
    "npy": npy,
    "safetensors": safetensors,
    "word2vec": lines_of(".vec", " ", header=True),
    "word2vec's own program": lines_of(".w2v", " ", header=True, end=" \n"),
    "word2vec on Windows": lines_of(".txt", " ", header=True, end="\r\n"),
    "glove": lines_of(".txt", " ", header=False),
    "tabs without a header": lines_of(".tsv", "\t", header=False),
}

matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@st.composite
def named_vectors(draw: st.DrawFn, letters: st.SearchStrategy[str]) -> tuple[Ids, Ids, np.ndarray]:
    vectors = draw(matrices)
    names = st.lists(letters, min_size=len(vectors), max_size=len(vectors))
    ids = [f"n{i}{name}" for i, name in enumerate(draw(names))]
    return ids, [f"t{name}" for name in draw(names)], vectors


ANY = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=3)
ONE_LINE = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S"), exclude_characters='"'), max_size=3)


@pytest.mark.parametrize("kind", TYPED)
@settings(max_examples=12, deadline=None)
@given(named_vectors(ANY))
def test_ids_types_and_every_finite_float32_come_back(
    tmp_path_factory: pytest.TempPathFactory, kind: str, written: tuple[Ids, Ids, np.ndarray]
) -> None:
    ids, types, vectors = written
    if kind in ("csv.zst", "crlf and byte order mark"):  # which hold one record a line
        ids, types = ([name.replace("\n", " ") for name in names] for names in (ids, types))
    got = read_embeddings(TYPED[kind](tmp_path_factory.mktemp("read") / "e.parquet", ids, types, vectors))
    assert got.vectors.dtype == np.float32
    assert np.array_equal(got.vectors, vectors)
    assert got.nodes["node_id"].to_list() == ids
    assert got.nodes["node_type"].to_list() == types


@pytest.mark.parametrize("kind", UNTYPED)
@settings(max_examples=12, deadline=None)
@given(named_vectors(ONE_LINE))
def test_formats_without_types_give_ids_and_vectors_back_as_one_type(
    tmp_path_factory: pytest.TempPathFactory, kind: str, written: tuple[Ids, Ids, np.ndarray]
) -> None:
    ids, types, vectors = written
    got = read_embeddings(UNTYPED[kind](tmp_path_factory.mktemp("read") / "e.npy", ids, types, vectors))
    assert np.array_equal(got.vectors, vectors)
    assert got.nodes["node_id"].to_list() == ids
    assert got.node_types == ("node",)
    assert "No node types were given" in notes_of(got)[-1]


@settings(max_examples=20, deadline=None)
@given(named_vectors(ANY), st.integers(16, 200))
def test_blocks_of_any_size_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, written: tuple[Ids, Ids, np.ndarray], size: int
) -> None:
    path = TYPED["csv of json lists"](tmp_path_factory.mktemp("read") / "e", *written)
    whole = read_embeddings(path)
    with pytest.MonkeyPatch.context() as patch:
        # The header is read from the first block, so that much must fit.
        patch.setattr(blocks, "BLOCK_BYTES", size + len(path.read_bytes().split(b'"\n')[0]) + 40)
        parts = read_embeddings(path)
    assert parts.nodes.equals(whole.nodes)
    assert np.array_equal(parts.vectors, whole.vectors)


def test_our_own_parquet_keeps_keys_sources_and_metadata(tmp_path: Path) -> None:
    nodes = pl.DataFrame(
        {
            "node_key": ["drug|S|1", "gene|S|1"],
            "node_id": ["1", "1"],
            "node_name": ["a, b", "β"],
            "node_type": ["drug", "gene"],
            "node_source": ["S", "S"],
        }
    )
    made = Embeddings(nodes, np.eye(2, dtype=np.float32), {"seed": "3", "note": "ü\nline"})
    write_embeddings(made, tmp_path / "e.parquet", tmp_path / "e.csv")
    got = read_embeddings(tmp_path / "e.parquet")
    assert got.nodes.equals(nodes)
    assert got.metadata == made.metadata
    assert read_embeddings(tmp_path / "e.csv").nodes["node_key"].to_list() == ["drug|1", "gene|1"]


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", np.int64, np.uint8])
def test_other_kinds_of_numbers_are_converted_and_said(tmp_path: Path, dtype: object) -> None:
    np.save(tmp_path / "e.npy", np.arange(6).reshape(3, 2).astype(dtype))
    got = read_embeddings(tmp_path / "e.npy", ids=write_lines(tmp_path / "who", "a", "b", "c"))
    assert got.vectors.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert any("converted to float32" in note for note in notes_of(got))
    assert all(flag for flag in [got.vectors.flags.c_contiguous, got.vectors.flags.writeable])


def test_parquet_says_which_numbers_it_held(tmp_path: Path) -> None:
    pl.DataFrame({"id": ["a"], "v": [[1.5, 2.5]]}).write_parquet(tmp_path / "e.parquet")
    assert "Float64 numbers" in notes_of(read_embeddings(tmp_path / "e.parquet"))[0]


def test_ids_with_spaces_need_word2vecs_first_line(tmp_path: Path) -> None:
    lines = ["type 2 diabetes 1 2", "asthma 3 4"]
    got = read_embeddings(write_lines(tmp_path / "e.vec", "2 2", *lines))
    assert got.nodes["node_id"].to_list() == ["type 2 diabetes", "asthma"]
    assert got.vectors.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(InputError, match="line 2: 5 fields, expected 3"):
        read_embeddings(write_lines(tmp_path / "e.vec", *lines[::-1]))


def test_spaces_around_numbers_and_blank_lines_are_all_right(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "e.csv", "id,emb_0,emb_1", "a , 1 , 2", "", "b,3 ,4", "")
    assert read_embeddings(path).vectors.tolist() == [[1, 2], [3, 4]]


def test_quotes_inside_a_name_are_part_of_it(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "e.csv", "id,emb_0", '5" tube,1', 'a"b"c,2')
    assert read_embeddings(path).nodes["node_id"].to_list() == ['5" tube', 'a"b"c']


def test_a_matrix_of_savetxt_has_no_ids_and_says_so(tmp_path: Path) -> None:
    for name, separator in (("spaces.txt", " "), ("commas.csv", ",")):
        np.savetxt(tmp_path / name, [[0.5, 1.5], [2.5, 3.5]], delimiter=separator)
        with pytest.raises(InputError, match="no node ids"):
            read_embeddings(tmp_path / name)
        got = read_embeddings(tmp_path / name, ids=write_lines(tmp_path / "who", "a", "b"))
        assert got.vectors.tolist() == [[0.5, 1.5], [2.5, 3.5]]


def test_a_pandas_index_holds_the_ids_only_if_nothing_else_does(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "index.csv", ",0,1", "x,1,2", "y,3,4")
    assert read_embeddings(path).nodes["node_id"].to_list() == ["x", "y"]
    path = write_lines(tmp_path / "both.csv", ",gene_id,type,label,emb_0,emb_1,id", "0,q,drug,l,1,2,x")
    assert read_embeddings(path).nodes.row(0) == ("drug|x", "x", "l", "drug")


def test_a_name_after_the_hash_sign_chooses_among_several(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", a=np.eye(2), b=np.ones((2, 3)), ids=["x", "y"])
    with pytest.raises(InputError, match=r"holds 2 \(a, b\).*e\.npz#a"):
        read_embeddings(tmp_path / "e.npz")
    assert read_embeddings(tmp_path / "e.npz#b").dim == 3
    with pytest.raises(InputError, match="no array named 'c'; it has a, b"):
        read_embeddings(tmp_path / "e.npz#c")
    pl.DataFrame({"id": ["x"], "p": [[1.0]], "q": [[2.0, 3.0]]}).write_parquet(tmp_path / "e.parquet")
    assert read_embeddings(tmp_path / "e.parquet#q").dim == 2
    both = write_lines(tmp_path / "e.csv", "id,pca0,pca1,hgt0,hgt1", "a,1,2,3,4")
    assert read_embeddings(tmp_path / f"{both.name}#hgt").vectors.tolist() == [[3, 4]]


def test_ids_are_found_beside_a_matrix_or_named(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.eye(2))
    with pytest.raises(InputError, match=r"--ids FILE.*e\.ids or e\.tsv or e\.txt"):
        read_embeddings(tmp_path / "e.npy")
    write_lines(tmp_path / "e.tsv", "node_id\tcategory\tname", "a\tdrug\tA", "b\tgene\tB")
    assert read_embeddings(tmp_path / "e.npy").nodes.rows() == [
        ("drug|a", "a", "A", "drug"),
        ("gene|b", "b", "B", "gene"),
    ]
    two = write_lines(tmp_path / "two.tsv", "c\tdrug", "d\tdrug")
    assert read_embeddings(tmp_path / "e.npy", ids=two).nodes["node_key"].to_list() == ["drug|c", "drug|d"]
    titled = write_lines(tmp_path / "titled.txt", "node_id", "Fe2+, aqueous", "b c")
    assert read_embeddings(tmp_path / "e.npy", ids=titled).nodes["node_id"].to_list() == ["Fe2+, aqueous", "b c"]
    pl.DataFrame({"id": [7, 8]}).write_parquet(tmp_path / "who.parquet")
    assert read_embeddings(tmp_path / "e.npy", ids=tmp_path / "who.parquet").nodes["node_id"].to_list() == ["7", "8"]


def test_ids_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.eye(2))
    with pytest.raises(InputError, match=r"has 3 nodes but .* has 2 vectors"):
        read_embeddings(tmp_path / "e.npy", ids=write_lines(tmp_path / "long", "a", "b", "c"))
    with pytest.raises(InputError, match="1 of 2 nodes have an empty node_id, first vector 1"):
        read_embeddings(tmp_path / "e.npy", ids=write_lines(tmp_path / "hole", "", "b"))
    with pytest.raises(InputError, match="column node_id"):
        read_embeddings(tmp_path / "e.npy", ids=write_lines(tmp_path / "odd", "a\tb\tc", "d\te\tf"))
    own = write_lines(tmp_path / "e.csv", "id,emb_0", "a,1")
    with pytest.raises(InputError, match="names its nodes itself"):
        read_embeddings(own, ids=write_lines(tmp_path / "one", "a"))
    with pytest.raises(InputError, match=r"nothing, .* does not exist.*--ids"):
        read_embeddings(tmp_path / "e.npy", ids=tmp_path / "nothing")


@pytest.mark.parametrize(
    "lines",
    [
        ["node_id,node_type", "b,gene", "a,drug", "z,gene"],
        ["Type,ID,more", "gene,b,1", "drug,a,2"],
        ["b,gene", "a,drug"],
    ],
)
def test_types_are_joined_by_id_in_any_order(tmp_path: Path, lines: list[str]) -> None:
    path = write_lines(tmp_path / "e.vec", "a 1.5 2", "b 3 4")
    types = write_lines(tmp_path / "t.csv", *lines)
    assert read_embeddings(path, types=types).nodes["node_type"].to_list() == ["drug", "gene"]
    assert notes_of(read_embeddings(path, types=types)) == []


def test_types_of_a_nodes_table_are_found_by_key_even_in_files_that_know_ids_only(tmp_path: Path) -> None:
    keys = pl.DataFrame(
        {"node_key": ["drug|S|1", "gene|S|1"], "node_id": ["1", "1"], "node_type": ["drug", "gene"], "node_name": "x"}
    )
    keys.write_parquet(tmp_path / "nodes.parquet")
    path = write_lines(tmp_path / "e.vec", "gene|S|1 1.5 2", "drug|S|1 3 4")
    got = read_embeddings(path, types=tmp_path / "nodes.parquet").nodes
    assert got["node_type"].to_list() == ["gene", "drug"]
    assert got["node_name"].to_list() == ["x", "x"]


def test_types_replace_those_of_the_file_and_say_so(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "e.csv", "id,type,emb_0", "a,x,1", "b,y,2")
    got = read_embeddings(path, types=write_lines(tmp_path / "t.tsv", "a\tdrug", "b\tdrug"))
    assert got.node_types == ("drug",)
    assert "types in the file were replaced" in notes_of(got)[0]


def test_types_that_leave_nodes_out_or_contradict_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "e.vec", "3 1", "a 1", "b 2", "c 3")
    with pytest.raises(InputError, match="no type for 2 of 3 nodes: 'b', 'c'"):
        read_embeddings(path, types=write_lines(tmp_path / "few.csv", "a,drug", "z,gene"))
    with pytest.raises(InputError, match="more than one type to 1 node_ids: 'a'"):
        read_embeddings(path, types=write_lines(tmp_path / "two.csv", "a,drug", "a,gene", "b,gene", "c,gene"))
    with pytest.raises(InputError, match="column node_id"):
        read_embeddings(path, types=write_lines(tmp_path / "none.csv", "x,y,z", "1,2,3"))
    twice = write_lines(tmp_path / "twice.csv", "a,drug", "a,drug", "b,gene", "c,gene", "z,q", "z,r")
    assert read_embeddings(path, types=twice).nodes["node_type"].to_list() == ["drug", "gene", "gene"]


TEXT_MISTAKES = {
    "ragged list": (
        'id,embedding\na,"[1, 2]"\nb,"[1, 2, 3]"\n',
        r"line 3 \(node 'b'\).*has 3 numbers, the first has 2",
    ),
    "word in list": ('id,embedding\na,"[1, two]"\n', r"line 2 \(node 'a'\), number 2: 'two' is not a number"),
    "hole in list": ('id,embedding\na,"[1,,2]"\n', "number 2: '' is not a number"),
    "shortened list": ('id,embedding\na,"[1 2 ... 3 4]"\n', "shortened to '…'"),
    "list without end": ("id;embedding\na;[1, 2, 3]\nb;[1, 2, 3\n", r"line 3 \(node 'b'\).*bracket has no pair"),
    "nan in list": ('id,embedding\na,"[1, 2]"\nb,"[nan, 2]"\n', r"1 of 2 vectors hold NaN.*'b'.*nan in dimension 0"),
    "open quote": ('id,embedding\na,"[1, 2]"\nb,"[1, 2\n', "line 3: a quote is opened and not closed"),
    "quote that closes early": ('id,emb_0\na,1\n"b"c,2\n', "line 3: its quotes are wrong"),
    "short row": ("id,emb_0,emb_1\na,1,2\nb,1\n", "line 3: 2 fields, expected 3"),
    "long row": ("id,emb_0,emb_1\na,1,2\nb,1,2,3\n", "line 3: 4 fields, expected 3"),
    "word": ("id,emb_0,emb_1\na,1,2\nb,1,two\n", r"line 3 \(node 'b'\), emb_1: 'two' is not a number"),
    "empty field": ("id,emb_0,emb_1\na,1,2\nb,,2\n", "emb_0: '' is not a number"),
    "underscores": ("id,emb_0\na,1_000\n", "'1_000' is not a number"),
    "infinite": ("id,emb_0\na,1\nb,inf\nc,-inf\n", r"2 of 3 vectors hold NaN or infinite.*'b', 'c'; the first is inf"),
    "too large for float32": ("id,emb_0\na,1e39\n", "infinite"),
    "gap in the columns": ("id,emb_0,emb_2\na,1,2\n", "emb_0 to emb_1; emb_1 is missing"),
    "column twice": ("id,emb_0,emb_0\na,1,2\n", "more than one column named emb_0"),
    "number twice": ("id,emb_0,emb_00\na,1,2\n", "'emb_0' and 'emb_00' have one number"),
    "no vectors": ("id,name\na,b\n", "holds no embeddings: .*it has id, name"),
    "no ids": ("colour,size,emb_0\na,b,1\n", "which column holds the node ids.*colour, size"),
    "duplicated ids": ("id,emb_0\na,1\nb,2\na,3\n", "2 vectors belong to 1 nodes.*'node|a'"),
    "empty id": ("id,emb_0\na,1\n,2\n", "1 of 2 nodes have an empty node_id, first vector 2"),
    "empty type": ("id,type,emb_0\na,,1\n", "empty node_type"),
    "header only": ("id,emb_0\n", "no rows"),
    "header without end": ("id,emb_0", "no rows"),
    "data instead of a header": ("a,drug,0.5,0.25\n", "has no header: its first line holds numbers"),
    "blank": ("\n\n", "is empty"),
    "words": ("once upon a time\nthere was\n", "neither a header nor vectors"),
    "zero byte": ("id,emb_0\na\0,1\n", "is no text: byte 10"),
    "fewer than declared": ("3 2\na 1 2\nb 3 4\n", "says on line 1 that it holds 3 vectors; it holds 2"),
    "more than declared": ("1 2\na 1 2\nb 3 4\n", "says on line 1 that it holds 1 vectors; it holds 2"),
    "narrower than declared": ("2 2\na 1 2\nb 3\n", r"line 3: 2 fields, expected 3"),
    "absurd width": ("1 999999999999\na 1 2\n", "cannot hold as many"),
    "no width": ("5 0\na 1 2\n", "cannot hold as many"),
    "decimal commas": ("id;emb_0;emb_1\na;0,5;1\n", "'0,5' is not a number"),
}


@pytest.mark.parametrize("mistake", TEXT_MISTAKES)
def test_each_mistake_in_text_is_one_clear_error(tmp_path: Path, mistake: str) -> None:
    text, message = TEXT_MISTAKES[mistake]
    (tmp_path / "e.txt").write_text(text, encoding="utf-8", newline="")
    with pytest.raises(InputError, match=message) as raised:
        read_embeddings(tmp_path / "e.txt")
    assert "e.txt" in str(raised.value)


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_bytes("id,emb_0\na,1\nü,2\n".encode("latin-1"))
    with pytest.raises(InputError, match="line 3: byte 0xfc is not UTF-8"):
        read_embeddings(tmp_path / "e.csv")
    (tmp_path / "e.csv").write_bytes("id,emb_0\na,1\n".encode("utf-16"))
    with pytest.raises(InputError, match="UTF-16"):
        read_embeddings(tmp_path / "e.csv")


def test_a_last_line_without_an_end_is_read_and_noted(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("id,type,emb_0\na,t,1\nb,t,2.5")
    got = read_embeddings(tmp_path / "e.csv")
    assert got.vectors.tolist() == [[1], [2.5]]
    assert "last line has no end" in notes_of(got)[0]


ARRAYS = {
    "vector": (np.arange(3.0), "must be a matrix.*float64 of shape"),
    "three axes": (np.zeros((2, 2, 2)), "must be a matrix"),
    "words": (np.array([["a", "b"]]), "must be a matrix of numbers"),
    "true and false": (np.ones((2, 2), bool), "must be a matrix of numbers"),
    "complex": (np.ones((2, 2), complex), "must be a matrix of numbers"),
    "fields": (np.zeros((2, 2), "f4,f4"), "must be a matrix of numbers"),
    "no rows": (np.zeros((0, 2)), "nodes but|empty"),
    "no columns": (np.zeros((2, 0)), "empty"),
    "nan": (np.array([[0.0], [np.nan]]), "1 of 2 vectors hold NaN.*'b'"),
    "too large": (np.array([[0.0], [1e300]]), "infinite values .as float32.*'b'"),
}


@pytest.mark.parametrize("mistake", ARRAYS)
def test_each_array_that_is_no_embedding_is_one_clear_error(tmp_path: Path, mistake: str) -> None:
    values, message = ARRAYS[mistake]
    np.save(tmp_path / "e.npy", values)
    with pytest.raises(InputError, match=message):
        read_embeddings(tmp_path / "e.npy", ids=write_lines(tmp_path / "who", "a", "b"))


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.array([[1, "a"]], object))
    with pytest.raises(InputError, match="pickle"):
        read_embeddings(tmp_path / "e.npy", ids=write_lines(tmp_path / "who", "a"))
    np.savez(tmp_path / "e.npz", vectors=np.eye(2), ids=np.array(["a", None], object))
    with pytest.raises(InputError, match=r"'ids' is pickled.*dtype=str"):
        read_embeddings(tmp_path / "e.npz")
    (tmp_path / "e.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match="pickle can run code"):
        read_embeddings(tmp_path / "e.pkl")


def test_npz_arrays_must_match(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", vectors=np.eye(2), ids=np.array([1, 2, 3]))
    with pytest.raises(InputError, match="'ids' should hold a text or number for each of the 2 vectors"):
        read_embeddings(tmp_path / "e.npz")
    np.savez(tmp_path / "e.npz", vectors=np.eye(2), ids=np.array([b"a", "ü".encode()]))
    assert read_embeddings(tmp_path / "e.npz").nodes["node_id"].to_list() == ["a", "ü"]
    np.savez(tmp_path / "e.npz", ids=np.array([1, 2, 3]))
    with pytest.raises(InputError, match="one array of vectors; it holds none"):
        read_embeddings(tmp_path / "e.npz")


PARQUETS = {
    "ragged": ({"id": ["a", "b"], "v": [[1.0], [1.0, 2.0]]}, "row 2 has 2 numbers, the first row has 1"),
    "missing vector": ({"id": ["a", "b"], "v": [[1.0], None]}, "row 2 has 0 numbers"),
    "missing first vector": ({"id": ["a", "b"], "v": [None, [1.0]]}, "the first row has 0"),
    "missing number": ({"id": ["a", "b"], "v": [[1.0, 2.0], [None, 1.0]]}, "1 numbers are missing, first in row 2"),
    "missing in a column": ({"id": ["a", "b"], "e0": [1.0, None], "e1": [1.0, 2.0]}, "missing, first in column e0"),
    "words": ({"id": ["a"], "v": [["x"]]}, "no embeddings.*id, v"),
    "no vectors": ({"id": ["a"], "w": [1]}, "no embeddings"),
    "two columns of vectors": ({"id": ["a"], "v": [[1.0]], "w": [[1.0]]}, r"holds 2 \(v, w\).*#v"),
    "no rows": ({"id": pl.Series([], dtype=pl.String), "v": pl.Series([], dtype=pl.List(pl.Float32))}, "no rows"),
    "no ids": ({"v": [[1.0]], "p": [1], "q": [2]}, "which column holds the node ids"),
    "empty id": ({"id": ["a", None], "v": [[1.0], [2.0]]}, "empty node_id"),
    "duplicated ids": ({"id": [1, 1], "v": [[1.0], [2.0]]}, "2 vectors belong to 1 nodes"),
    "nan": ({"id": ["a", "b"], "v": [[1.0], [float("nan")]]}, "1 of 2 vectors hold NaN.*'b'"),
}


@pytest.mark.parametrize("mistake", PARQUETS)
def test_each_mistake_in_parquet_is_one_clear_error(tmp_path: Path, mistake: str) -> None:
    columns, message = PARQUETS[mistake]
    pl.DataFrame(columns).write_parquet(tmp_path / "e.parquet")
    with pytest.raises(InputError, match=message):
        read_embeddings(tmp_path / "e.parquet")


def test_files_under_a_wrong_name_are_told_their_own(tmp_path: Path) -> None:
    pl.DataFrame({"id": ["a"], "v": [[1.0]]}).write_parquet(tmp_path / "e.csv")
    with pytest.raises(InputError, match=r"named \.csv but begins like \.parquet: rename it"):
        read_embeddings(tmp_path / "e.csv")
    write_lines(tmp_path / "e.npy", "id,emb_0", "a,1")
    with pytest.raises(InputError, match=r"named \.npy but does not begin like one"):
        read_embeddings(tmp_path / "e.npy")
    (tmp_path / "e.csv").rename(tmp_path / "e.data")
    with pytest.raises(InputError, match=r"read from \.parquet, .*begins like \.parquet"):
        read_embeddings(tmp_path / "e.data")
    (tmp_path / "nil.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        read_embeddings(tmp_path / "nil.parquet")
    with pytest.raises(InputError, match="is a folder"):
        read_embeddings(tmp_path)
    with pytest.raises(InputError, match=r"none\.vec does not exist"):
        read_embeddings(tmp_path / "none.vec")


def test_safetensors_with_several_matrices_must_be_told_which(tmp_path: Path) -> None:
    save_file({"a": np.eye(2, dtype=np.float16), "b": np.ones(3, np.float32)}, tmp_path / "e.safetensors")
    who = write_lines(tmp_path / "who", "x", "y")
    assert read_embeddings(tmp_path / "e.safetensors", ids=who).vectors.tolist() == [[1, 0], [0, 1]]
    save_file({"a": np.eye(2), "b": np.ones((2, 2))}, tmp_path / "e.safetensors")
    with pytest.raises(InputError, match=r"holds 2 \(a, b\)"):
        read_embeddings(tmp_path / "e.safetensors", ids=who)


def test_without_anndata_h5ad_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "e.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setattr("rxweave.validate.read.h5ad.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'rxweave\[anndata\]'"):
        read_embeddings(tmp_path / "e.h5ad")


@pytest.fixture
def h5ad(tmp_path: Path) -> Callable[..., Path]:
    """Writes an h5ad file of three observations with anndata; skipped where that is not installed."""
    anndata = pytest.importorskip("anndata", reason="anndata is not installed")
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")

    def write(**parts: object) -> Path:
        obs = pandas.DataFrame({"category": ["drug", "gene", "drug"], "n": [1, 2, 3]}, index=["a", "b", "ü c"])
        obs["category"] = pandas.Categorical(obs["category"])
        with anndata.settings.override(allow_write_nullable_strings=True):
            anndata.AnnData(obs=obs, **parts).write_h5ad(tmp_path / "e.h5ad")
        return tmp_path / "e.h5ad"

    return write


def test_h5ad_gives_x_with_ids_and_types_and_names_what_it_left(h5ad: Callable[..., Path]) -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    got = read_embeddings(h5ad(X=vectors, obsm={"X_pca": np.eye(3)}))
    assert np.array_equal(got.vectors, vectors)
    assert got.nodes["node_key"].to_list() == ["drug|a", "gene|b", "drug|ü c"]
    assert "X was read; it also holds X_pca" in notes_of(got)[0]


def test_h5ad_reads_obsm_and_sparse_matrices(h5ad: Callable[..., Path]) -> None:
    from scipy.sparse import csr_matrix

    only = h5ad(obsm={"X_hgt": np.eye(3)})
    assert read_embeddings(only).vectors.tolist() == np.eye(3).tolist()
    sparse = h5ad(X=csr_matrix(np.eye(3, 4)), obsm={"X_a": np.eye(3), "X_b": np.eye(3, 5)})
    assert read_embeddings(sparse.with_name("e.h5ad#X_b")).dim == 5
    assert read_embeddings(sparse).vectors.tolist() == np.eye(3, 4).tolist()


def test_a_damaged_h5ad_is_one_clear_error(h5ad: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = h5ad(X=np.eye(3))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cannot be read as an h5ad file .*truncated"):
        read_embeddings(path)
    # What the HDF5 library does at worst: it takes the program down.
    monkeypatch.setattr(
        "rxweave.validate.read.h5ad._IN_A_SECOND_PYTHON", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    )
    with pytest.raises(InputError, match=r"ended with code -11"):
        read_embeddings(path)


def test_validate_takes_ids_and_types_and_says_what_it_assumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def validate(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rxweave", "validate", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    monkeypatch.setenv("COLUMNS", "200")
    vectors = np.random.default_rng(0).standard_normal((60, 32))
    np.save(tmp_path / "e.npy", vectors)
    names = [f"n{i}" for i in range(60)]
    who = write_lines(tmp_path / "who.txt", *names)
    types = write_lines(
        tmp_path / "types.csv", *(f"{name},{'drug' if i % 2 else 'gene'}" for i, name in enumerate(names))
    )
    code, out, err = validate(tmp_path / "e.npy", "--ids", who, "--types", types, "--json")
    assert code == 0
    assert {each["node_type"] for each in json.loads(out)["types"]} == {"drug", "gene"}
    assert "float64" in err
    code, out, err = validate(tmp_path / "e.npy", "--ids", who)
    assert "all nodes are judged as one type" in err
    for option in ("--ids", "--types"):
        code, out, err = validate(tmp_path / "e.npy", "--ids", who, option, tmp_path / "absent.txt")
        assert (code, out) == (2, "")
        assert f"Check the path of {option}" in err
    code, out, err = validate(tmp_path / "e.npy", "--ids", who, "--out", who / "page")
    assert (code, out) == (2, "")
    assert "a file is in the way" in err
    code, out, err = validate(tmp_path / "e.npy")
    assert (code, out) == (2, "")
    assert err.count("rxweave: ") == 1
    assert "--ids FILE" in err
    assert "Traceback" not in err


def test_a_panic_of_the_parquet_library_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: object, **__: object) -> None:
        raise pl.exceptions.PanicException("index out of bounds")

    pl.DataFrame({"id": ["a"], "v": [[1.0]]}).write_parquet(tmp_path / "e.parquet")
    monkeypatch.setattr(pl, "read_parquet", panic)
    with pytest.raises(InputError, match=r"as a Parquet file \(index out of bounds\)"):
        read_embeddings(tmp_path / "e.parquet")


def test_every_ending_that_is_promised_has_a_reader() -> None:
    promised = read_embeddings.__doc__ or ""
    for ending in read.READERS:
        assert ending.replace(".pq", ".parquet") in promised


@pytest.mark.slow
@pytest.mark.parametrize("name", ["list.csv", "wide.csv", "wide.csv.gz", "e.vec", "e.parquet"])
def test_130_000_vectors_of_512_numbers_are_read_in_30_s_and_2_2_gb(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((130_000, 512)).astype(np.float32)
    ids = pl.DataFrame({"node_id": [f"n{i}" for i in range(len(vectors))], "node_type": ["drug"] * len(vectors)})
    wide = pl.concat([ids, pl.DataFrame(vectors, schema=[f"emb_{i}" for i in range(512)])], how="horizontal")
    if name == "list.csv":
        table = ids.with_columns(embedding=pl.Series(vectors).cast(pl.List(pl.String)).list.join(", "))
        table.with_columns(pl.format("[{}]", "embedding").alias("embedding")).write_csv(tmp_path / name)
    elif name.startswith("wide"):
        wide.lazy().sink_csv(tmp_path / name, compression="gzip" if name.endswith("gz") else "uncompressed")
    elif name == "e.vec":
        with (tmp_path / name).open("wb") as file:
            file.write(b"130000 512\n")
            wide.drop("node_type").write_csv(file, include_header=False, separator=" ")
    else:
        wide.write_parquet(tmp_path / name)
    script = (
        "import sys, time\nfrom pathlib import Path\nstart = time.perf_counter()\n"
        "from rxweave.validate.read import read_embeddings\n"
        "shape = read_embeddings(Path(sys.argv[1])).vectors.shape\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]\n"
        "print(*shape, time.perf_counter() - start, peak)"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / name], capture_output=True, text=True, check=True)
    rows, dim, seconds, kilobytes = map(float, done.stdout.split())
    assert (rows, dim) == vectors.shape
    assert seconds <= 30
    assert kilobytes <= 2.2e6
