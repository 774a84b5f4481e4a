"""Vectors from files of bare arrays: NumPy's .npy and .npz, and safetensors. Nothing is ever unpickled."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.lib import format as npy

from rxweave.errors import InputError
from rxweave.validate.read.content import Content, as_float32, choose_part, decoding

ID_ARRAYS = ("node_id", "node_ids", "ids", "id", "names", "index", "keys")
TYPE_ARRAYS = ("node_type", "node_types", "types", "type")
"""Names of the arrays of an .npz file that say who the vectors belong to, the surest first."""


def read_npy(path: Path, part: str | None = None) -> Content:
    """Read a .npy matrix; it names no nodes. Raises InputError for what is no matrix, or for a file cut short."""
    if part is not None:
        raise InputError(f"{path} holds one array, which has no name: leave out #{part}.")
    with decoding(path, "a .npy array"):
        # Mapped, not read: numpy then compares the size of the file with what the array needs first.
        vectors, notes = as_float32(np.load(path, mmap_mode="r", allow_pickle=False), str(path))
    return Content(np.array(vectors) if isinstance(vectors, np.memmap) else vectors, None, notes)


def read_npz(path: Path, part: str | None = None) -> Content:
    """Read the one matrix of a .npz file, and its arrays of ids and types if it has them.

    `part` names the matrix where there are several. Raises InputError for pickled arrays, arrays that do not
    match, and an archive that is damaged.
    """
    with decoding(path, "a .npz archive"), zipfile.ZipFile(path) as archive:
        shapes = {name.removesuffix(".npy"): _shape(path, archive, name) for name in archive.namelist()}
        matrices = [name for name, shape in shapes.items() if len(shape) == 2]
        chosen = choose_part(path, part, list(shapes), "array", matrices)
        vectors, notes = as_float32(_array(archive, chosen), f"{path}, array {chosen!r},")
        nodes = {}
        for role, names in (("node_id", ID_ARRAYS), ("node_type", TYPE_ARRAYS)):
            name = next((name for name in names if name in shapes), None)
            if name is not None:
                nodes[role] = _texts(path, name, _array(archive, name), len(vectors))
    return Content(vectors, pl.DataFrame(nodes) if "node_id" in nodes else None, notes)


def read_safetensors(path: Path, part: str | None = None) -> Content:
    """Read the one matrix of a safetensors file; it names no nodes. `part` names it where there are several."""
    from safetensors import safe_open

    with decoding(path, "safetensors"), safe_open(path, framework="numpy") as tensors:
        names = list(tensors.keys())
        matrices = [name for name in names if len(tensors.get_slice(name).get_shape()) == 2]
        chosen = choose_part(path, part, names, "tensor", matrices)
        vectors, notes = as_float32(tensors.get_tensor(chosen), f"{path}, tensor {chosen!r},")
    return Content(vectors, None, notes)


def _shape(path: Path, archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    """Give the shape of an array without reading it; raise InputError if it is pickled or larger than its file."""
    with archive.open(name) as member:
        version = npy.read_magic(member)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(member)
    if dtype.hasobject:
        raise InputError(
            f"{path}: array {name.removesuffix('.npy')!r} is pickled, and a pickle can run code: it is not read. "
            "Save texts as np.array(ids, dtype=str)."
        )
    if math.prod(shape) * dtype.itemsize > archive.getinfo(name).file_size:
        raise InputError(f"{path}: array {name!r} is cut short. Write or copy the file again.")
    return tuple(shape)


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    member = name if name in archive.namelist() else f"{name}.npy"
    with archive.open(member) as file:
        return np.asarray(npy.read_array(file, allow_pickle=False))


def _texts(path: Path, name: str, values: np.ndarray, num_vectors: int) -> pl.Series:
    if values.shape != (num_vectors,) or values.dtype.kind not in "USiu":
        raise InputError(
            f"{path}: array {name!r} should hold a text or number for each of the {num_vectors:,} vectors; "
            f"it is {values.dtype} of shape {values.shape}."
        )
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    return pl.Series(name, values).cast(pl.String)
