"""The ranker as scikit-learn knows classifiers: for cross-validation, grid search and pipelines of theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from rxweave.config import RankSettings
from rxweave.embed.store import Embeddings
from rxweave.errors import InputError, did_you_mean
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs, pair_codes, pair_keys
from rxweave.graph.split import split_of_pairs, training_graph, treatment_pairs
from rxweave.rank.ranker import fit_ranker

Keys = np.ndarray
"""Rows of a drug's and a disease's node key, as text."""


class PairRanker(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier of drug–disease pairs: 1 treats, 0 not known to.

    `fit` takes every treatment of `graph` that is not among its rows out of the graph, with all drug–disease facts of
    the pair, so that what is predicted afterwards was not seen, in whatever folds one cuts the pairs. The pairs
    labelled 0 are for scoring: the ranker draws its own unknown pairs. `embeddings` must have been trained without the
    held-out pairs, which is checked and hardly ever so in cross-validation: leave them out there, and with them what
    needs them. Probabilities are not calibrated.
    """

    def __init__(
        self,
        graph: Graph,
        embeddings: Embeddings | None = None,
        settings: RankSettings | None = None,
        seed: int = 0,
    ) -> None:
        self.graph = graph
        self.embeddings = embeddings
        self.settings = settings
        self.seed = seed

    def fit(self, X: Keys, y: Any) -> PairRanker:
        """Fit on the rows labelled 1, which must be treatments of the graph.

        Raises InputError for rows that are not, for keys that the graph does not have, and for labels other than 0 and
        1; LeakError for embeddings that have seen a held-out pair.
        """
        pairs, label = self._pairs(X), np.asarray(y)
        if len(label) != len(pairs) or not np.isin(label, (0, 1)).all():
            raise InputError(f"y has {len(label)} labels for {len(pairs)} pairs; expected one each, 0 or 1.")
        known, size = treatment_pairs(self.graph), self.graph.num_of(self.graph.roles.disease)
        train = np.unique(pairs[label == 1], axis=0)
        unknown = ~np.isin(pair_codes(train, size), pair_codes(known, size))
        if unknown.any():
            first = pair_keys(self.graph, train[unknown][:1]).row(0)
            raise InputError(
                f"{int(unknown.sum())} of the {len(train)} pairs labelled 1 are no treatments of {self.graph.name}, "
                f"first {first[0]!r} for {first[1]!r}. Label them 0, or add them to the graph."
            )
        held_out = known[~np.isin(pair_codes(known, size), pair_codes(train, size))]
        none = known[:0]
        split = split_of_pairs(self.graph, train=train, valid=none, test=held_out)
        self.training_ = training_graph(self.graph, split)
        settings = self.settings or RankSettings()
        self.ranker_ = fit_ranker(self.training_, split, self.embeddings, settings, seed=self.seed)
        self.features_ = self.ranker_.features(self.training_, self.embeddings)
        self.classes_ = np.array([0, 1])
        self.n_features_in_ = 2
        return self

    def decision_function(self, X: Keys) -> Float[np.ndarray, " rows"]:
        """Give the ranker's score of each pair: its log-odds of treatment."""
        check_is_fitted(self)
        pairs = self._pairs(X)
        return self.ranker_.score(self.features_.scoring_rows(pairs), pairs)[:, 0].astype(np.float64)

    def predict_proba(self, X: Keys) -> Float[np.ndarray, "rows 2"]:
        """Give the probability of 0 and of 1, for a mix of one treatment to `negatives_per_positive` other pairs."""
        check_is_fitted(self)
        pairs = self._pairs(X)
        treats = self.ranker_.predict_proba(self.features_.scoring_rows(pairs), pairs)[:, 0]
        return np.stack([1 - treats, treats], axis=1)

    def predict(self, X: Keys) -> Int[np.ndarray, " rows"]:
        """Give 1 for the pairs whose probability is at least a half."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)

    def _pairs(self, rows: Keys) -> Pairs:
        keys = np.asarray(rows)
        if keys.ndim != 2 or keys.shape[1] != 2:
            raise InputError(f"X has shape {keys.shape}; expected rows of two node keys, of a drug and of a disease.")
        found = np.empty(keys.shape, np.int64)
        for end, role in enumerate((self.graph.roles.drug, self.graph.roles.disease)):
            names = self.graph.nodes["node_key"][self.graph.rows_of(role)].to_list()
            place = {name: row for row, name in enumerate(names)}
            for row, key in enumerate(keys[:, end].tolist()):
                if key not in place:
                    raise InputError(
                        f"X, row {row}: {key!r} is no {role} of {self.graph.name}.{did_you_mean(str(key), names)}"
                    )
                found[row, end] = place[key]
        return found
