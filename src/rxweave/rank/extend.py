"""A fitted ranker for a graph with more nodes than it was fitted on: same trees, same scale, same leak guard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.extend import pairs_within
from rxweave.graph.pairs import pair_codes
from rxweave.rank.model import Ranker, nodes_fingerprint


def ranker_for(ranker: Ranker, fitted_on: Graph, larger: Graph) -> Ranker:
    """Give a ranker that scores `larger`, which holds every node of the graph that it was fitted on, and new ones.

    Nothing of the model changes; the pairs it was told are unknown, and those it was fitted without, are numbered anew,
    so that neither is mistaken for a pair of a new node. Raises InputError when `fitted_on` is not the graph it was
    fitted on, or when `larger` lacks one of its nodes.
    """
    if nodes_fingerprint(fitted_on) != ranker.nodes_sha256:
        raise InputError(
            f"The drugs and diseases of {fitted_on.name} are not those that the ranker was fitted on. Give the graph "
            "of its own run."
        )
    drawn = np.stack(np.divmod(ranker.drawn.ravel(), ranker.num_diseases), axis=1)
    num_diseases = larger.num_of(larger.roles.disease)
    return replace(
        ranker,
        drawn=pair_codes(pairs_within(drawn, fitted_on, larger), num_diseases).reshape(ranker.drawn.shape),
        num_diseases=num_diseases,
        nodes_sha256=nodes_fingerprint(larger),
        held_out=pairs_within(ranker.held_out, fitted_on, larger),
    )
