"""A place in the plane for every vector: principal components, or a map that keeps neighbours together."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from rxweave.errors import ConfigError

EXTRA = {"pacmap": "pacmap", "umap": "umap"}
"""Maps that the extra `map` brings, and the modules they need."""


def lay_out(unit: Float32[np.ndarray, "nodes dim"], method: str, *, seed: int) -> Float[np.ndarray, "nodes 2"]:
    """Give two coordinates for each vector by `method`: pca, pacmap (Wang et al. 2021) or umap (McInnes et al. 2018).

    Distances mean something on the first alone; on the other two only who is near whom does. Raises ConfigError when
    the extra `map` is needed and absent.
    """
    if method == "pca":
        return principal_plane(unit)
    if find_spec(EXTRA[method]) is None:
        raise ConfigError(f"The map {method!r} needs an extra: pip install 'rxweave[map]'. Or take cluster.map=pca.")
    made: Any
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both warn that a seed makes them run on one thread
        if method == "pacmap":
            from pacmap import PaCMAP

            made = PaCMAP(n_components=2, random_state=seed).fit_transform(unit, init="pca")
        else:
            from umap import UMAP

            made = UMAP(n_components=2, metric="cosine", random_state=seed).fit_transform(unit)
    return np.asarray(made, np.float64)


def principal_plane(vectors: Float32[np.ndarray, "nodes dim"]) -> Float[np.ndarray, "nodes 2"]:
    """Give the first two principal components; the sign is such that the largest loading is positive."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    plane = axes[:, ::-1][:, :2]
    if plane.shape[1] < 2:
        plane = np.concatenate([plane, np.zeros((len(plane), 1))], axis=1)
    largest = plane[np.abs(plane).argmax(axis=0), np.arange(2)]
    return np.asarray(centred @ (plane * np.where(largest < 0, -1.0, 1.0)))
