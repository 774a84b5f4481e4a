"""The untrained model: what features and graph alone give; and what a verdict on a training compares with it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from rxweave.embed.hgt import HGT, HGTShape
from rxweave.embed.layerwise import embed_layer_by_layer
from rxweave.embed.neighbours import IncomingEdges
from rxweave.embed.store import Embeddings
from rxweave.embed.train import Trained
from rxweave.graph.build import Graph
from rxweave.validate.collapse import CollapseReport, measure_collapse
from rxweave.validate.on_graph import GraphReport, measure_on_graph


def measure_trained(trained: Trained, embeddings: Embeddings, *, seed: int) -> tuple[CollapseReport, GraphReport]:
    """Give all that the verdict on a training rests on but held-out ranks: its vectors, alone and beside its graph.

    `embeddings` are the vectors of `trained`. Without the graph, nodes that share all their neighbours would count as
    twins, and nothing would tell what was learnt from what was there before.
    """
    graph = trained.graph
    collapse = measure_collapse(embeddings, seed=seed, active=graph.degrees > 0)
    return collapse, measure_on_graph(embeddings, graph, untrained=untrained_vectors(trained, seed=seed), seed=seed)


def untrained_vectors(trained: Trained, *, seed: int = 0) -> Float32[np.ndarray, "nodes dim"]:
    """Give what an encoder of the same shape, with fresh weights, makes of the same features and graph.

    Embeddings that know no more of their facts than these owe nothing to training. Computed on the CPU, layer by
    layer, so that they need no more memory than the training did.
    """
    return fresh_vectors(trained.encoder.shape, trained.features, trained.graph, seed=seed)


def fresh_vectors(
    shape: HGTShape, features: Float[Tensor, "nodes features"], graph: Graph, *, seed: int = 0
) -> Float32[np.ndarray, "nodes dim"]:
    """Give what `untrained_vectors` gives, from the shape of the encoder and its input."""
    encoder = HGT(shape, generator=torch.Generator().manual_seed(seed))
    return embed_layer_by_layer(encoder, features.detach().cpu(), IncomingEdges.of(graph)).numpy()
