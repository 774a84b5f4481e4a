"""What trained embeddings say of treatment on their own, to be ranked beside the baselines."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from rxweave.embed.train import Trained
from rxweave.embed.treatment_scores import scored_relations, treatment_scores
from rxweave.graph.build import Graph

__all__ = ["decoder_scores", "scored_relations"]


def decoder_scores(trained: Trained, graph: Graph) -> Float32[np.ndarray, "drugs diseases"]:
    """Give `treatment_scores` of a trained model; `graph` is the graph that it was trained on."""
    return treatment_scores(trained.vectors, trained.decoder, graph)
