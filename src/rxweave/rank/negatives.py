"""What the ranker learns from beside known treatments: contraindications, and pairs drawn from the rest."""

from __future__ import annotations

import numpy as np

from rxweave.errors import ConfigError
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs, pair_codes


def contraindicated_pairs(graph: Graph) -> Pairs:
    """Give the pairs labelled "not treat": contraindicated, and not also a known treatment."""
    treated, harmed = graph.pairs(graph.roles.treats), graph.pairs(graph.roles.contraindicated)
    diseases = graph.num_of(graph.roles.disease)
    return harmed[~np.isin(pair_codes(harmed, diseases), pair_codes(treated, diseases))]


def uniform_negatives(
    train_pairs: Pairs,
    *,
    num_drugs: int,
    num_diseases: int,
    ratio: int = 30,
    forbidden: Pairs | None = None,
    rng: np.random.Generator,
) -> Pairs:
    """Draw `ratio` distinct pairs per training pair, evenly over all drugs × diseases that are not known.

    Left out are the training pairs and the `forbidden` ones, which must both come from the TRAINING graph.
    Held-out pairs are *not* left out: the draw knows nothing of them. Leaving them out would tell the model
    that no held-out treatment is ever a negative, which only the test knows, and the measured quality would
    be that of a better world: treatments nobody has recorded yet are drawn as negatives as well. Being drawn
    says "unknown", which is true of a held-out pair as far as the training graph goes. PyKEEN's samplers do
    the same: their filter knows the training triples only, and the filter that knows all facts belongs to
    the evaluation (Bordes et al. 2013). What being drawn does to a pair's own score is undone in
    `Ranker.score`.

    Even draws over all drugs were the best of those compared for ranking all drugs of a disease on Hetionet;
    replacing one end of a treatment was worse, and negatives of matched degree much worse.

    Gives fewer pairs when the matrix has no more to give. Raises ConfigError for a ratio under 1.
    """
    if ratio < 1:
        raise ConfigError(f"negatives_per_positive is {ratio}; the ranker needs at least 1 negative per treatment.")
    known = train_pairs if forbidden is None else np.concatenate([train_pairs, forbidden])
    taken = np.unique(pair_codes(known, num_diseases))
    free = num_drugs * num_diseases - len(taken)
    drawn = rng.choice(free, min(ratio * len(train_pairs), free), replace=False)
    # The i-th free pair lies after as many taken ones as have at most i free pairs before them.
    code = drawn + np.searchsorted(taken - np.arange(len(taken)), drawn, side="right")
    return np.stack(np.divmod(code, num_diseases), axis=1)
