"""PyTorch Geometric's HGTConv with the recipe that users of it take: what our own training is measured against.

A vector per node (or one for all), two layers, a dot product of the two ends as the score, and binary cross-entropy
with one drawn negative per treatment. HGTConv makes tensors of edges × width, which for a whole knowledge graph needs
tens of gigabytes: as in published comparisons, at most `most_edges` facts of each relation are kept, drawn once, and
the layers are narrow. The treatments it is trained on stay in the messages, as they do in those recipes.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxweave.benchmark.quality.method import Context, Method, Scores
from rxweave.benchmark.quality.settings import PlainHgtSettings
from rxweave.graph.build import Graph
from rxweave.graph.split import Split


def capped(graph: Graph, most_edges: int, rng: np.random.Generator) -> Graph:
    """Give the graph with at most so many facts of each relation, drawn evenly; treatments stay whole."""
    keep = {}
    for r, facts in enumerate(graph.facts):
        if facts.shape[1] > most_edges and graph.relations[r].name not in graph.roles.treats:
            kept = np.zeros(facts.shape[1], bool)
            kept[rng.choice(facts.shape[1], most_edges, replace=False)] = True
            keep[r] = kept
    return graph.keep_facts(keep)


def _score(training: Graph, split: Split, seed: int, context: Context) -> Scores:
    # PyG draws its weights from torch's own generator.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        return _train_and_score(training, split, context.peers.plain_hgt, np.random.default_rng(seed), context)


def _train_and_score(
    training: Graph, split: Split, settings: PlainHgtSettings, rng: np.random.Generator, context: Context
) -> Scores:
    from rxweave.benchmark.pyg_baseline import PatchedHGTConv  # HGTConv's outputs, its backward pass much faster

    data = capped(training, settings.most_edges, rng).to_pyg()
    dim = settings.hidden_dim
    features = nn.ParameterDict(
        {
            t: nn.Parameter(
                torch.randn(training.num_of(t), dim) if settings.features == "learned" else torch.ones(1, dim),
                requires_grad=settings.features == "learned",
            )
            for t in training.node_types
        }
    )
    layers = nn.ModuleList(
        PatchedHGTConv(dim, dim, data.metadata(), settings.num_heads) for _ in range(settings.num_layers)
    )
    edges = {edge_type: data[edge_type].edge_index for edge_type in data.edge_types}

    def ends() -> tuple[Tensor, Tensor]:
        states: dict[str, Any] = {t: features[t].expand(training.num_of(t), -1) for t in training.node_types}
        for layer in layers:
            # A type that receives nothing comes back as None: it keeps its state.
            states = {t: states[t] if new is None else new for t, new in layer(states, edges).items()}
        return states[training.roles.drug], states[training.roles.disease]

    weights = [*layers.parameters(), *(each for each in features.parameters() if each.requires_grad)]
    optimiser = torch.optim.Adam(weights, lr=settings.learning_rate)
    positive = torch.from_numpy(split.train)
    label = torch.cat([torch.ones(len(positive)), torch.zeros(len(positive))])
    for epoch in range(settings.num_epochs):
        if epoch % 10 == 0:
            context.tell(f"epoch {epoch} of {settings.num_epochs}")
        drugs, diseases = ends()
        drawn = [torch.from_numpy(rng.integers(0, len(end), len(positive))) for end in (drugs, diseases)]
        drug, disease = (torch.cat([positive[:, i], drawn[i]]) for i in range(2))
        loss = F.binary_cross_entropy_with_logits((drugs[drug] * diseases[disease]).sum(dim=1), label)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    with torch.no_grad():
        drugs, diseases = ends()
        scores: Scores = (drugs @ diseases.T).numpy()
    return scores


PLAIN_HGT = (
    Method(
        "pyg-hgt",
        "PyG's HGTConv as it is commonly used: narrow, facts capped, dot product, one negative per treatment.",
        _score,
        decided_by=("plain_hgt",),
        package="torch_geometric",
        extra="pyg",
    ),
)
