"""AUROC and AUPRC with one drawn negative per test pair: FOR COMPARISON ONLY with papers that report nothing else.

Drawn evenly from the whole matrix, nearly all negatives are pairs that nobody would ask about, so that the degree prior
scores high, and methods that differ twofold in ranking look alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.metrics import average_precision_score, roc_auc_score

from rxweave.graph.filtered_ranks import values_at
from rxweave.graph.pairs import Pairs
from rxweave.rank.negatives import uniform_negatives


@dataclass(frozen=True)
class OneToOne:
    """Means over draws of the negatives, and the standard deviation between draws."""

    auroc: float
    auprc: float
    """Chance is 0.5, not the prevalence."""
    auroc_sd: float
    auprc_sd: float
    num_draws: int


def one_to_one(
    scores: Float[np.ndarray, "drugs diseases"], test: Pairs, known: Pairs, *, seed: int, num_draws: int = 10
) -> OneToOne:
    """Give AUROC and AUPRC of the test pairs beside as many others, drawn evenly from all pairs that are not known.

    One seed draws the same negatives for every method.
    """
    rng = np.random.default_rng(seed)
    found = np.empty((num_draws, 2))
    positive = values_at(scores, test)
    for draw in range(num_draws):
        drawn = uniform_negatives(
            test, num_drugs=scores.shape[0], num_diseases=scores.shape[1], ratio=1, forbidden=known, rng=rng
        )
        values = np.concatenate([positive, values_at(scores, drawn)])
        label = np.arange(len(values)) < len(test)
        # Ranks, since scikit-learn refuses infinite scores.
        order = np.unique(values, return_inverse=True)[1]
        found[draw] = roc_auc_score(label, order), average_precision_score(label, order)
    (auroc, auprc), (auroc_sd, auprc_sd) = found.mean(axis=0).tolist(), found.std(axis=0).tolist()
    return OneToOne(auroc, auprc, auroc_sd, auprc_sd, num_draws)
