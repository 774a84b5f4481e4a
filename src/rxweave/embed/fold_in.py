"""Embeddings of nodes that training has not seen: their features folded in, then the encoder's layers for them alone.

Nodes that training has seen keep their features, their states and their embeddings exactly: a new node receives from
them and sends them nothing. So adding nodes one by one or all at once differs only by what new nodes tell each other.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from rxweave.config import EmbedSettings
from rxweave.embed.attention.index import build_index, directed_edges
from rxweave.embed.feature_file import beside
from rxweave.embed.features import FEATURE_RMS, balanced_adjacency, folded_in, singular_vectors, svd_features
from rxweave.embed.hgt import HGT
from rxweave.embed.neighbours import hop, marked, offsets_among
from rxweave.graph.build import Graph
from rxweave.graph.extend import rows_within


def new_rows(training: Graph, larger: Graph) -> Int[np.ndarray, " new"]:
    """Give the rows of a larger graph that the training graph does not have, ascending."""
    new: Int[np.ndarray, " new"] = np.setdiff1d(np.arange(larger.num_nodes), rows_within(training, larger))
    return new


def features_with_new(
    training: Graph,
    larger: Graph,
    settings: EmbedSettings,
    *,
    seed: int,
    learnt: Float[Tensor, "nodes features"] | None,
    from_file: tuple[Int[np.ndarray, " present"], Float32[np.ndarray, "present width"]] | None = None,
) -> Float[Tensor, "larger features"]:
    """Give the input features of every node of `larger`: those of the run for its own nodes, and for new ones

    - `svd`: their balanced adjacency projected on the singular vectors (`features.folded_in`);
    - `learned`: the mean of their neighbours' features, weighted as the balanced adjacency weighs them, brought to the
      mean length of the features of nodes of their type;
    - `constant`: that constant.

    `training` is the graph that the features were made for, `learnt` its learnt features, if they were learnt. Facts
    between new nodes do not count here. `from_file` is what a feature file gave nodes of the training graph; new ones
    are among those without a vector.
    """
    features = _identity(training, larger, settings, seed, learnt)
    if from_file is not None:
        rows, vectors = from_file
        if learnt is None:
            return torch.from_numpy(beside(features, rows_within(training, larger)[rows], vectors))
        missing = beside(features[:1, :0], rows[:0], vectors[:0])[0]
        features[new_rows(training, larger), -len(missing) :] = missing
    return torch.from_numpy(features)


def _identity(
    training: Graph, larger: Graph, settings: EmbedSettings, seed: int, learnt: Float[Tensor, "nodes dim"] | None
) -> Float32[np.ndarray, "larger dim"]:
    """Give the features without those of a file; learnt ones are of both together."""
    dim = settings.feature_dim if learnt is None else learnt.shape[1]
    if settings.features == "constant":
        return np.full((larger.num_nodes, dim), FEATURE_RMS, np.float32)
    old, new = rows_within(training, larger), new_rows(training, larger)
    rows = balanced_adjacency(larger)[new][:, old].tocsr()
    features = np.zeros((larger.num_nodes, dim), np.float32)
    if learnt is not None:
        own = learnt.numpy()
        features[old] = own
        features[new] = _mean_of_neighbours(rows, own, _types(larger, new), _types(larger, old))
    else:
        found = singular_vectors(training, dim, seed=seed)
        features[old] = svd_features(training, dim, seed=seed, found=found)
        features[new] = folded_in(found, rows, dim)
    return features


@torch.no_grad()
def embed_new(
    encoder: HGT, features: Float[Tensor, "larger features"], training: Graph, larger: Graph
) -> Float[Tensor, "new embedding"]:
    """Give the embeddings of the nodes that `larger` has beyond `training`, in the order of their rows.

    States of known nodes are those of a pass over the training graph alone. On the CPU; as large as that pass.
    """
    old, new = rows_within(training, larger), new_rows(training, larger)
    offsets = tuple(larger.type_offsets.tolist())
    is_new = np.zeros(larger.num_nodes, bool)
    is_new[new] = True
    incoming = []
    for source, target, fact in directed_edges(larger):
        entering = is_new[target]
        incoming.append((source[entering], target[entering], fact[entering]))
    known = marked(larger.num_nodes, new, *(source for source, _, _ in incoming))
    messages = hop(incoming, known, new, offsets)
    place = np.empty(larger.num_nodes, np.int64)
    place[old] = np.arange(len(old))
    theirs = torch.from_numpy(place[known[~is_new[known]]])
    told, asked = torch.from_numpy(~is_new[known]), torch.from_numpy(is_new[known])

    own = features[torch.from_numpy(new)]
    states = [own if encoder.input is None else encoder.input(own, offsets_among(new, offsets))]
    known_states = encoder.states(features[torch.from_numpy(old)], build_index(training))
    for layer, of_known in zip(encoder.layers, known_states[:-1], strict=True):
        around = of_known.new_empty(len(known), of_known.shape[1])
        around[told] = of_known[theirs]
        around[asked] = states[-1]
        states.append(layer(around, messages))
    return encoder.output(states)


def _mean_of_neighbours(
    rows: sp.csr_matrix,
    own: Float[np.ndarray, "nodes features"],
    new_types: Int[np.ndarray, " new"],
    types: Int[np.ndarray, " nodes"],
) -> Float[np.ndarray, "new features"]:
    length = np.linalg.norm(own, axis=1)
    usual = np.array([length[types == node_type].mean() for node_type in new_types])
    mean = np.asarray(rows @ own)
    scaled: Float[np.ndarray, "new features"] = (
        mean * (usual / np.maximum(np.linalg.norm(mean, axis=1), 1e-12))[:, None]
    )
    return scaled


def _types(graph: Graph, rows: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    types: Int[np.ndarray, " rows"] = np.searchsorted(graph.type_offsets, rows, side="right") - 1
    return types
