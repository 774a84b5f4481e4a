"""Embeddings alone: wide CSV, NumPy with a table of ids, word2vec text, TensorBoard's projector, h5ad."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float32

from rxweave.embed.store import CHUNK_ROWS
from rxweave.errors import ConfigError, InputError
from rxweave.export.content import Content, Progress

COLUMNS = ("node_key", "node_id", "node_name", "node_type", "node_source")


def _chunks(
    content: Content, progress: Progress, what: str
) -> Iterator[tuple[pl.DataFrame, Float32[np.ndarray, "rows dim"]]]:
    embeddings = content.embeddings
    for start in range(0, embeddings.num_nodes, CHUNK_ROWS):
        progress(what, start / embeddings.num_nodes)
        rows = slice(start, start + CHUNK_ROWS)
        yield embeddings.nodes[rows], embeddings.vectors[rows]


def write_wide_csv(content: Content, path: Path, progress: Progress) -> None:
    """Write the node columns and `emb_0, emb_1, …`, a number in each."""
    names = [f"emb_{i}" for i in range(content.embeddings.dim)]
    with path.open("wb") as file:
        for number, (nodes, vectors) in enumerate(_chunks(content, progress, path.name)):
            wide = nodes.select(*COLUMNS).hstack(pl.DataFrame(vectors, schema=names))
            wide.write_csv(file, include_header=number == 0)


def write_npy(content: Content, folder: Path, progress: Progress) -> None:
    """Write `embeddings.npy`, float32 nodes × dim, and `embeddings.tsv`, the node of each row."""
    progress("embeddings.npy", 0.0)
    np.save(folder / "embeddings.npy", np.ascontiguousarray(content.embeddings.vectors), allow_pickle=False)
    content.embeddings.nodes.select(*COLUMNS).write_csv(folder / "embeddings.tsv", separator="\t")


def write_word2vec(content: Content, folder: Path, progress: Progress) -> None:
    """Write `embeddings.vec`, word2vec's text (a line of counts, then word and numbers), and `words.tsv`.

    A word is the node's key with "_" for every blank, since blanks end a word there; `words.tsv` says whose it is.
    Raises InputError when two keys give one word.
    """
    nodes = content.embeddings.nodes
    words = nodes.select(word=pl.col("node_key").str.replace_all(r"\s", "_")).hstack(nodes.select(*COLUMNS))
    repeated = words.filter(pl.col("word").is_duplicated())
    if len(repeated):
        raise InputError(
            f"Two nodes would be the word {repeated['word'][0]!r} in word2vec text. Choose another format."
        )
    words.write_csv(folder / "words.tsv", separator="\t")
    with (folder / "embeddings.vec").open("wb") as file:
        file.write(f"{content.embeddings.num_nodes} {content.embeddings.dim}\n".encode())
        for chunk, vectors in _chunks(content, progress, "embeddings.vec"):
            named = chunk.select(pl.col("node_key").str.replace_all(r"\s", "_"))
            _lines(named.hstack(pl.DataFrame(vectors)), " ", file)


def write_projector(content: Content, folder: Path, progress: Progress) -> None:
    """Write `tensors.tsv`, numbers alone, and `metadata.tsv` with a head, as TensorBoard's projector loads them."""
    with (folder / "tensors.tsv").open("wb") as file:
        for _, vectors in _chunks(content, progress, "tensors.tsv"):
            _lines(pl.DataFrame(vectors), "\t", file)
    # The projector splits at tabs and line ends and knows no quotes.
    plain = content.embeddings.nodes.select(
        pl.col(name).str.replace_all(r"[\t\r\n]", " ") for name in ("node_name", "node_type", "node_id", "node_key")
    )
    plain.write_csv(folder / "metadata.tsv", separator="\t", quote_style="never")


def write_h5ad(content: Content, folder: Path, progress: Progress) -> None:
    """Write `embeddings.h5ad`: X and obsm["X_hgt"] the vectors, obs the nodes by key, uns["rxweave"] how they came.

    Raises ConfigError without anndata.
    """
    if find_spec("anndata") is None:
        raise ConfigError("h5ad needs an extra: pip install 'rxweave[anndata]'. Or leave it out of --to.")
    import anndata
    import pandas as pd

    progress("embeddings.h5ad", 0.0)
    embeddings = content.embeddings

    def texts(values: pl.Series) -> Any:
        # Categories of plain objects: pandas 3 has strings of its own, which anndata before 0.11 cannot read.
        kinds = pd.Index(values.unique().sort().to_list(), dtype=object)
        return pd.Categorical(values.to_list(), categories=kinds)

    obs = pd.DataFrame(
        {name: texts(embeddings.nodes[name].fill_null("")) for name in COLUMNS[1:]},
        index=pd.Index(embeddings.nodes["node_key"].to_list(), dtype=object, name="node_key"),
    )
    var = pd.DataFrame(index=pd.Index([f"emb_{i}" for i in range(embeddings.dim)], dtype=object))
    told = {**embeddings.metadata, "graph": content.graph_name, "licence": content.licence}
    made: Any = anndata.AnnData(
        X=embeddings.vectors, obs=obs, var=var, obsm={"X_hgt": embeddings.vectors}, uns={"rxweave": told}
    )
    made.write_h5ad(folder / "embeddings.h5ad", compression="gzip")


def _lines(table: pl.DataFrame, separator: str, file: Any) -> None:
    table.write_csv(file, include_header=False, separator=separator, quote_style="never")
