"""Vectors from AnnData's h5ad files (Virshup et al. 2021), through the `anndata` extra.

The HDF5 library can crash on a damaged file, and takes the whole program with it. The file is therefore opened
by a second Python, which hands the vectors back as files of its own, or dies alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rxweave.errors import InputError
from rxweave.validate.read.content import Content, as_float32, choose_part, decoding
from rxweave.validate.read.nodes import INDEX_NAMES, node_columns

MAX_DENSE = 1 << 29
"""Numbers (2 GiB as float32) up to which a sparse matrix is made dense."""
TIMEOUT_S = 600
"""Seconds after which a file counts as damaged: 130,000 vectors of 512 numbers take a few."""

_IN_A_SECOND_PYTHON = "from rxweave.validate.read.h5ad import hand_over; hand_over()"


def read_h5ad(path: Path, part: str | None = None) -> Content:
    """Read X, or a matrix of obsm, of an h5ad file, with the observations as nodes; nothing else is read.

    `part` is "X" or a name in obsm such as "X_pca". Without it X is read where the file has one, else the only
    matrix of obsm. A sparse matrix is made dense. Types come from a column of obs (`node_type`, `type`,
    `category` …); ids are the names of the observations. Raises InputError without anndata, for a damaged file,
    and for a sparse matrix that is too large.
    """
    if find_spec("anndata") is None:
        raise InputError(f"{path} needs anndata to be read: pip install 'rxweave[anndata]'.")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _IN_A_SECOND_PYTHON, str(path), folder, *([part] if part else [])]
        with decoding(path, "an h5ad file"):
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
            if done.returncode:
                raise OSError(f"the HDF5 library ended with code {done.returncode}")
            answer = json.loads(done.stdout.splitlines()[-1])
            if "error" in answer:
                raise InputError(answer["error"])
            vectors = np.load(Path(folder, "vectors.npy"), allow_pickle=False)
            return Content(vectors, pl.read_parquet(Path(folder, "nodes.parquet")), tuple(answer["notes"]))


def hand_over() -> None:
    """Read the file named on the command line into a folder; print the notes, or what is wrong, as JSON."""
    path, folder, part = Path(sys.argv[1]), Path(sys.argv[2]), next(iter(sys.argv[3:]), None)
    try:
        content = _read_here(path, part)
    except InputError as error:
        answer: dict[str, object] = {"error": str(error)}
    else:
        np.save(folder / "vectors.npy", content.vectors)
        assert content.nodes is not None
        content.nodes.write_parquet(folder / "nodes.parquet")
        answer = {"notes": content.notes}
    sys.stdout.write(json.dumps(answer) + "\n")


def _read_here(path: Path, part: str | None) -> Content:
    h5py, read_elem = import_module("h5py"), import_module("anndata.io").read_elem
    with decoding(path, "an h5ad file"), h5py.File(path, "r") as file:
        obsm = sorted(file["obsm"]) if "obsm" in file else []
        has_x = "X" in file and file["X"].attrs.get("encoding-type") != "null"
        choices = ["X"] * has_x + obsm
        chosen = choose_part(path, part, choices, "matrix", ["X"] if has_x else obsm)
        where = chosen if chosen == "X" else f"obsm/{chosen}"
        vectors, notes = as_float32(_dense(path, where, read_elem(file[where])), f"{path}, {where},")
        nodes = _nodes(read_elem(file["obs"]))
    others = [name for name in choices if name != chosen]
    if part is None and others:
        notes += (f"Of {path}, {where} was read; it also holds {', '.join(others)} (as {path}#{others[0]}).",)
    return Content(vectors, nodes, notes)


def _dense(path: Path, where: str, values: Any) -> np.ndarray:
    """Give a matrix as an array; AnnData holds them as arrays, sparse matrices or tables."""
    if hasattr(values, "toarray"):
        rows, columns = values.shape
        if rows * columns > MAX_DENSE:
            raise InputError(
                f"{path}: {where} is a sparse matrix of {rows:,} × {columns:,}, too large to be made dense. Such a "
                "matrix is rarely an embedding: name the one in obsm, as FILE#X_pca."
            )
        values = values.toarray()
    return np.asarray(values)


def _nodes(obs: Any) -> pl.DataFrame:
    columns = node_columns(["node_id", *(name for name in obs.columns if name.lower() not in INDEX_NAMES)])
    roles = {role: name for role, name in columns.items() if role in ("node_key", "node_name", "node_type")}
    nodes = {"node_id": pl.Series(obs.index.astype(str).to_list(), dtype=pl.String)}
    for role, name in roles.items():
        texts = zip(obs[name].astype(str), obs[name].isna(), strict=True)
        nodes[role] = pl.Series([None if missing else text for text, missing in texts], dtype=pl.String)
    return pl.DataFrame(nodes)
