"""Embeddings of any tool: one reader for Parquet, CSV, TSV, NumPy, word2vec, GloVe, h5ad and safetensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from rxweave.embed.store import Embeddings
from rxweave.errors import InputError
from rxweave.validate.read.arrays import read_npy, read_npz, read_safetensors
from rxweave.validate.read.content import Content, examples
from rxweave.validate.read.h5ad import read_h5ad
from rxweave.validate.read.nodes import completed, read_ids, read_types, with_types
from rxweave.validate.read.parquet import read_parquet
from rxweave.validate.read.text import read_text

NOTES = "reading_notes"
"""Key in the metadata of embeddings that were read: what was converted, assumed or left unread, a note a line."""

READERS: dict[str, Callable[[Path, str | None], Content]] = {
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".npy": read_npy,
    ".npz": read_npz,
    ".h5ad": read_h5ad,
    ".safetensors": read_safetensors,
}
TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".tab", ".vec", ".w2v", ".word2vec", ".glove", ".emb", ".embeddings")
PACKED_ENDINGS = (".gz", ".bz2", ".xz", ".zst")
ID_ENDINGS = (".ids", ".tsv", ".txt")
"""What the list of ids beside a matrix may be named: vectors.ids beside vectors.npy."""

_MAGIC = {b"PAR1": ".parquet", b"\x93NUMPY": ".npy", b"PK\x03\x04": ".npz", b"\x89HDF": ".h5ad"}
_PICKLED = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".model", ".kv")


def read_embeddings(path: Path, *, types: Path | None = None, ids: Path | None = None) -> Embeddings:
    """Read the embeddings of any tool; the ending of the name tells the format.

    - `.parquet`: a column of lists or arrays, or a column per dimension.
    - `.csv`, `.tsv`, `.txt` and word2vec's endings, plain or packed (.gz, .bz2, .xz, .zst): a table with a column
      of vectors (`[0.1, 0.2]`), one with a column per dimension (`emb_0, emb_1, …`, any common beginning), or
      lines of an id and numbers, with word2vec's first line or without.
    - `.npy`, `.safetensors`: a matrix. `.npz`: a matrix and, if there, `ids` and `types`. `.h5ad`: X or obsm.

    `FILE#NAME` names the array, tensor or column where a file holds several. `ids` names the nodes of a file that
    does not; by default it is the file beside it of the same name that ends in .ids, .tsv or .txt. `types` is a
    table of id (or node_key) and type, which replaces the file's own types and must name every node; without
    types anywhere, all nodes are one type, "node". Notes on what was converted or assumed are in the metadata
    under `reading_notes`, one a line. Raises InputError for a file that is missing, damaged, cut short or of
    another kind than its name says, for vectors that differ in length, hold NaN, infinite values or no numbers,
    for nodes without id or with two vectors, and for ids or types that do not match.
    """
    path, part = _split_part(path)
    content = _reader_of(path)(path, part)
    nodes, notes = content.nodes, content.notes
    if nodes is None:
        beside = ids or _ids_beside(path)
        nodes = read_ids(beside, len(content.vectors), path)
        notes += () if ids else (f"The ids were taken from {beside}, which lies beside the vectors.",)
    elif ids is not None:
        raise InputError(f"{path} names its nodes itself (first {nodes['node_id'][0]!r}): leave out the ids {ids}.")
    if types is not None:
        nodes, typing_notes = with_types(nodes, read_types(types), types)
        notes += typing_notes
    nodes, naming_notes = completed(nodes, path)
    _check_finite(path, content, nodes["node_id"].to_list())
    metadata = content.metadata | ({NOTES: "\n".join(notes)} if (notes := notes + naming_notes) else {})
    return Embeddings(nodes, content.vectors, metadata)


def notes_of(embeddings: Embeddings) -> list[str]:
    """Give what was converted, assumed or left unread when these embeddings were read."""
    return embeddings.metadata.get(NOTES, "").splitlines()


def _split_part(path: Path) -> tuple[Path, str | None]:
    name, hash_sign, part = path.name.rpartition("#")
    if hash_sign and name and not path.exists():
        return path.with_name(name), part
    return path, None


def _reader_of(path: Path) -> Callable[[Path, str | None], Content]:
    """Give the reader a file's name asks for; raise InputError if there is none, or the content is another's."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the file of embeddings in it.")
    if not path.is_file():
        raise InputError(f"{path} does not exist. Train embeddings first (rxweave embed), or check the path.")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None
    if not start:
        raise InputError(f"{path} is empty. Write it again.")
    name = path.name.lower()
    found = next((ending for magic, ending in _MAGIC.items() if start.startswith(magic)), None)
    ending = path.suffix.lower()
    is_text = name.endswith((*TEXT_ENDINGS, *(text + packed for text in TEXT_ENDINGS for packed in PACKED_ENDINGS)))
    if not is_text and ending not in READERS:
        hint = f" It begins like {found}: name it so." if found else ""
        if ending in _PICKLED:
            hint = " A pickle can run code when it is read: save the vectors with numpy.save or as Parquet instead."
        raise InputError(
            f"{path}: embeddings are read from {', '.join((*READERS, *TEXT_ENDINGS))}, text also packed "
            f"({', '.join(PACKED_ENDINGS)}).{hint}"
        )
    expected = None if is_text else ending.replace(".pq", ".parquet")
    if found != expected and expected != ".safetensors":
        was = f"begins like {found}: rename it" if found else "does not begin like one: write or copy it again"
        raise InputError(f"{path} is named {ending} but {was}.")
    return read_text if is_text else READERS[ending]


def _ids_beside(path: Path) -> Path:
    candidates = [path.with_suffix(ending) for ending in ID_ENDINGS if path.with_suffix(ending) != path]
    found = [candidate for candidate in candidates if candidate.is_file()]
    if not found:
        raise InputError(
            f"{path} holds vectors but no node ids. Give them with --ids FILE (ids= in Python), an id per line in the "
            "order of the vectors or a table with node_id and node_type, or put such a file beside it as "
            f"{' or '.join(candidate.name for candidate in candidates)}."
        )
    return found[0]


def _check_finite(path: Path, content: Content, ids: list[str]) -> None:
    bad = np.flatnonzero(~np.isfinite(content.vectors).all(axis=1))
    if len(bad):
        first = int(bad[0])
        column = int(np.flatnonzero(~np.isfinite(content.vectors[first]))[0])
        raise InputError(
            f"{path}: {len(bad):,} of {len(content.vectors):,} vectors hold NaN or infinite values (as float32), those "
            f"of {examples(ids[row] for row in bad)}; the first is {content.vectors[first, column]} in dimension "
            f"{column}. Mend them, or leave these nodes out."
        )
