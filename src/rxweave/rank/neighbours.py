"""How much a drug is like the drugs that treat a disease, and a disease like the diseases a drug treats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Float32, Int

SHARPNESS = 5.0
"""Factor of the cosine in the soft count log(1 + Σ exp(SHARPNESS · cosine))."""

SUMMARIES = ("max", "mean of top 3", "soft count")
"""The features of one similarity: highest cosine, mean of the three highest, log(1 + Σ exp(5 · cosine))."""


def summary_names(group: str, side: str, what: str = "") -> list[str]:
    """Give the names of the three features of a similarity of drugs, or of diseases (`side`), within a group."""
    sides = {"drug": "drug to the drugs of the disease", "disease": "disease to the diseases of the drug"}
    return [f"{group}: {sides[side]}{what and f' by {what}'}, {summary}" for summary in SUMMARIES]


@dataclass(frozen=True)
class Similarity:
    """Cosines of every node of a type to those nodes of the type that have a known treatment.

    Held whole (nodes × known nodes), not worked out block by block: a matrix product over another block may
    differ in its last bit, and then so could a score.
    """

    cosine: Float32[np.ndarray, "nodes known"]
    column: Int[np.ndarray, " nodes"]
    """Column of each known node in `cosine`; −1 for the others."""
    usable: Bool[np.ndarray, " nodes"]
    """False for a node whose vector says nothing: it has no fact in the training graph, or the vector is
    zero.
    """


def similarity(
    vectors: Float[np.ndarray, "nodes dim"],
    linked: Bool[np.ndarray, " nodes"],
    known: Bool[np.ndarray, " nodes"],
) -> Similarity:
    """Give the cosines of all nodes of one type to its known nodes, after centring on the mean of the type.

    Centring takes out what all nodes of a type share, which otherwise dominates every cosine (Mu & Viswanath
    2018). Nodes that are not `linked` or have a zero vector are left out of the mean and are not usable.
    """
    unit, usable = centred_unit(vectors, linked)
    known = known & usable
    column = np.full(len(vectors), -1)
    column[known] = np.arange(known.sum())
    return Similarity(unit @ unit[known].T, column, usable)


def centred_unit(
    vectors: Float[np.ndarray, "nodes dim"], linked: Bool[np.ndarray, " nodes"]
) -> tuple[Float32[np.ndarray, "nodes dim"], Bool[np.ndarray, " nodes"]]:
    """Give the vectors of one type centred and of length 1, and which are usable; the others are zero.

    Usable are those of linked nodes that are not zero; the mean is theirs.
    """
    usable = linked & np.any(vectors != 0, axis=1)
    centred = np.zeros(vectors.shape, np.float64)
    if usable.any():
        centred[usable] = vectors[usable] - vectors[usable].mean(axis=0, dtype=np.float64)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: Float32[np.ndarray, "nodes dim"] = (centred / np.maximum(length, 1e-12)).astype(np.float32)
    return unit, usable


def summarise(
    like: Similarity, queries: Int[np.ndarray, " queries"], lists: sp.csr_array
) -> Float32[np.ndarray, "queries lists 3"]:
    """Summarise, for each query node and each list of known nodes, the cosines of the query to the nodes
    listed.

    Row i of `lists` (lists × nodes) marks the nodes of list i. The query itself never counts, nor does a
    listed node that is not usable. Where nothing is left to compare with, max and top3 are NaN (missing) and
    the soft count is 0; all three are NaN for a query that is not usable, so no vector without meaning is
    ever compared.
    """
    listed = like.column[lists.indices] >= 0
    nodes = lists.indices[listed]
    lengths = np.bincount(np.repeat(np.arange(lists.shape[0]), np.diff(lists.indptr))[listed], minlength=lists.shape[0])
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    cosine = like.cosine[queries[:, None], like.column[nodes]]
    itself = queries[:, None] == nodes
    out = np.empty((len(queries), lists.shape[0], 3), np.float32)
    out[:, :, :2] = _best(cosine, itself, lengths, bounds)
    each_list = sp.csr_array(
        (np.ones(len(nodes), np.float32), np.arange(len(nodes)), bounds), shape=(lists.shape[0], len(nodes))
    )
    weight = np.where(itself, np.float32(0), np.exp(np.float32(SHARPNESS) * cosine))
    out[:, :, 2] = np.log1p(each_list @ weight.T).T
    out[~like.usable[queries]] = np.nan
    return out


def _best(
    cosine: Float32[np.ndarray, "queries entries"],
    itself: Bool[np.ndarray, "queries entries"],
    lengths: Int[np.ndarray, " lists"],
    bounds: Int[np.ndarray, " lists+1"],
) -> Float32[np.ndarray, "queries lists 2"]:
    """Give the highest cosine and the mean of the three highest per list; NaN where a list has no other
    node.
    """
    # One sort serves all lists: list i is moved to the values around 8·i, so lists stay in order and apart.
    shift = 8.0 * np.repeat(np.arange(len(lengths)), lengths)
    excluded = -3.0  # below any cosine, inside the list's own range
    ordered = np.sort(np.where(itself, excluded, cosine.astype(np.float64)) + shift, axis=1) - shift
    out = np.full((len(cosine), len(lengths), 2), np.nan, np.float32)
    total = np.zeros((len(cosine), len(lengths)))
    count = np.zeros((len(cosine), len(lengths)), np.int64)
    for place in (1, 2, 3):
        has = np.flatnonzero(lengths >= place)
        value = ordered[:, bounds[has + 1] - place]
        there = value > -2.0
        total[:, has] += np.where(there, value, 0.0)
        count[:, has] += there
        if place == 1:
            out[:, has, 0] = np.where(there, value, np.nan)
    np.divide(total, count, out=total, where=count > 0)
    out[:, :, 1] = np.where(count > 0, total, np.nan)
    return out
