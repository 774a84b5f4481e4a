"""Do clusters match classes that are known? Two indices, each beside the same of shuffled classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Int
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from rxweave.errors import InputError

SHUFFLES = 200
FEWEST = 10
ALPHA = 0.05


@dataclass(frozen=True)
class Agreement:
    """One index of clusters against classes, and what shuffled classes give."""

    measure: str
    value: float
    shuffled_mean: float
    shuffled_interval: tuple[float, float]
    """Between which 95 % of the shuffles lie."""
    p_value: float
    """One-sided, (1 + shuffles at least as high) / (1 + shuffles): at least 1/201."""
    num_nodes: int
    num_classes: int

    @property
    def above_shuffled(self) -> bool:
        return self.p_value <= ALPHA

    def __str__(self) -> str:
        said = "above" if self.above_shuffled else "NOT above"
        return (
            f"{self.measure} {self.value:.3f} on {self.num_nodes:,} nodes of {self.num_classes:,} classes, {said} what "
            f"shuffled classes give ({self.shuffled_mean:.3f}, p = {self.p_value:.3f})"
        )


def agreement(
    labels: Int[np.ndarray, " clustered"], keys: pl.Series, classes: pl.DataFrame, rng: np.random.Generator
) -> tuple[Agreement, ...]:
    """Give how far clusters and classes agree, on the clustered nodes that have a class.

    The adjusted Rand index (Hubert & Arabie 1985), −0.5 to 1, 0 by chance; and normalised mutual information (Strehl &
    Ghosh 2002; by the arithmetic mean of the entropies), 0 to 1, which is above 0 by chance too, more so the more
    clusters there are. `keys` are the clustered nodes' keys, `classes` has a row of `node_key` and `class` for each
    class of a node; of several the most frequent counts, of equally frequent ones the first by name. Raises InputError
    for fewer than 10 such nodes, or when all have one class.
    """
    frequent = (
        classes.select("node_key", pl.col("class").cast(pl.String))
        .unique()
        .join(pl.DataFrame({"node_key": keys, "cluster": labels}), on="node_key")
        .with_columns(frequency=pl.len().over("class"))
        .sort("node_key", "frequency", "class", descending=[False, True, False])
        .unique("node_key", keep="first", maintain_order=True)
    )
    num_classes = frequent["class"].n_unique()
    if len(frequent) < FEWEST or num_classes < 2:
        raise InputError(
            f"{len(frequent)} clustered nodes have a class, of {num_classes} kinds; at least {FEWEST} nodes and 2 "
            "kinds are needed. Do the ids of the classes match those of the embeddings?"
        )
    own = frequent["cluster"].to_numpy()
    known = np.unique(frequent["class"].to_numpy().astype(str), return_inverse=True)[1]
    shuffles = [rng.permutation(known) for _ in range(SHUFFLES)]
    measures: dict[str, Callable[..., float]] = {
        "adjusted Rand index": adjusted_rand_score,
        "normalised mutual information": normalized_mutual_info_score,
    }
    found = []
    for name, measure in measures.items():
        value = float(measure(known, own))
        shuffled = np.array([measure(each, own) for each in shuffles])
        low, high = np.quantile(shuffled, [0.025, 0.975])
        p_value = (1 + int((shuffled >= value - 1e-12).sum())) / (1 + SHUFFLES)
        interval = (float(low), float(high))
        found.append(Agreement(name, value, float(shuffled.mean()), interval, p_value, len(frequent), num_classes))
    return tuple(found)
