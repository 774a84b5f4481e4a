"""Logistic regression on pairs of embeddings: what the plainest classifier makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32
from sklearn.linear_model import LogisticRegression

from rxweave.benchmark.quality.method import Context, Method, Scores
from rxweave.benchmark.quality.settings import LogisticSettings
from rxweave.benchmark.quality.validation import mrr_of_valid
from rxweave.graph.build import Graph
from rxweave.graph.leaks import check_training_rows
from rxweave.graph.pairs import Pairs
from rxweave.graph.split import Split
from rxweave.rank.negatives import uniform_negatives


def hadamard_scores(
    drugs: Float32[np.ndarray, "drugs dim"],
    diseases: Float32[np.ndarray, "diseases dim"],
    split: Split,
    training: Graph,
    settings: LogisticSettings,
    *,
    seed: int,
) -> Scores:
    """Give the log-odds of a logistic regression on the product of the two vectors, dimension by dimension.

    It learns from the training pairs and pairs drawn as unknown; of the penalties the one is taken that ranks the
    validation pairs best (mean reciprocal rank, both sides). Vectors are scaled to length 1, and each product to
    standard deviation 1 over the rows learnt from. Raises LeakError when a training pair is held out.
    """
    a, b = _unit(drugs), _unit(diseases)
    rows = _rows(split, training, settings, seed=seed)
    features = a[rows[:, 0]] * b[rows[:, 1]]
    spread = features.std(axis=0) + 1e-12
    fitted = _fit(features / spread, len(split.train), settings.penalties)
    return _best_of([np.asarray((a * (weights / spread)) @ b.T, np.float32) for weights in fitted], split)


def concat_scores(
    drugs: Float32[np.ndarray, "drugs dim"],
    diseases: Float32[np.ndarray, "diseases dim"],
    split: Split,
    training: Graph,
    settings: LogisticSettings,
    *,
    seed: int,
) -> Scores:
    """Give the same on both vectors side by side: a sum of one number of the drug and one of the disease.

    Without a product of the two it can say which drugs and diseases are treated much, and not which go together: every
    disease gets the same order of drugs.
    """
    a, b = _unit(drugs), _unit(diseases)
    rows = _rows(split, training, settings, seed=seed)
    features = np.concatenate([a[rows[:, 0]], b[rows[:, 1]]], axis=1)
    spread = features.std(axis=0) + 1e-12
    scores = []
    for weights in _fit(features / spread, len(split.train), settings.penalties):
        of_drug, of_disease = np.split(weights / spread, [a.shape[1]])
        scores.append(np.add.outer(a @ of_drug, b @ of_disease).astype(np.float32))
    return _best_of(scores, split)


def _rows(split: Split, training: Graph, settings: LogisticSettings, *, seed: int) -> Pairs:
    """The training pairs, then as many times others as are set, drawn as the ranker draws them."""
    check_training_rows(split.train, split, training)
    drawn = uniform_negatives(
        split.train,
        num_drugs=training.num_of(training.roles.drug),
        num_diseases=training.num_of(training.roles.disease),
        ratio=settings.negatives_per_positive,
        rng=np.random.default_rng(seed),
    )
    return np.concatenate([split.train, drawn])


def _fit(
    features: Float[np.ndarray, "rows dim"], num_positive: int, penalties: Sequence[float]
) -> list[Float[np.ndarray, " dim"]]:
    label = np.arange(len(features)) < num_positive
    fitted = []
    for penalty in penalties:
        model = LogisticRegression(C=penalty, max_iter=500, class_weight="balanced")
        fitted.append(model.fit(features, label).coef_[0])
    return fitted


def _best_of(matrices: list[Scores], split: Split) -> Scores:
    """The matrix that ranks the validation pairs best."""
    return max(matrices, key=lambda scores: mrr_of_valid(scores, split)) if len(split.valid) else matrices[-1]


def _unit(vectors: Float32[np.ndarray, "nodes dim"]) -> Float[np.ndarray, "nodes dim"]:
    exact = vectors.astype(np.float64)
    length = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.asarray(exact / np.where(length > 0, length, 1))


def _on_hgt(training: Graph, split: Split, seed: int, context: Context, *, product: bool) -> Scores:
    assert context.vectors is not None
    vectors = context.vectors.of_nodes
    drugs, diseases = (vectors[training.rows_of(role)] for role in (training.roles.drug, training.roles.disease))
    fit = hadamard_scores if product else concat_scores
    return fit(drugs, diseases, split, training, context.peers.logistic, seed=seed)


def _hadamard(training: Graph, split: Split, seed: int, context: Context) -> Scores:
    return _on_hgt(training, split, seed, context, product=True)


def _concat(training: Graph, split: Split, seed: int, context: Context) -> Scores:
    return _on_hgt(training, split, seed, context, product=False)


REGRESSION = (
    Method(
        "logistic-hadamard",
        "Logistic regression on the product of the two HGT embeddings.",
        _hadamard,
        needs="hgt",
        decided_by=("logistic",),
    ),
    Method(
        "logistic-concat",
        "Logistic regression on the two HGT embeddings side by side; one order of drugs for all diseases.",
        _concat,
        needs="hgt",
        decided_by=("logistic",),
    ),
)
