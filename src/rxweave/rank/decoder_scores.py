"""What the embeddings say of treatment on their own, through the decoder they were trained with."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32

from rxweave.embed.train import Trained
from rxweave.graph.build import Graph


def decoder_scores(trained: Trained, graph: Graph) -> Float32[np.ndarray, "drugs diseases"]:
    """Give the decoder's score of treatment for every pair: the mean over the relations that mean treatment.

    It is the honest test of the embeddings: no degrees, no paths. `graph` is the graph they were trained on.
    """
    drugs = torch.from_numpy(trained.vectors[graph.rows_of(graph.roles.drug)])
    diseases = torch.from_numpy(trained.vectors[graph.rows_of(graph.roles.disease)])
    decoder = trained.decoder.cpu()
    treating = [r for r in graph.drug_disease_relations() if graph.relations[r].name in graph.roles.treats]
    with torch.no_grad():
        # DistMult is symmetric in its ends, so the direction in which the relation is written does not matter.
        scores = torch.stack([decoder.matrix(drugs, diseases, r) for r in treating]).mean(0)
    return scores.numpy()
