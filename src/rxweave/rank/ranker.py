"""Fitting the ranker: rows whose features never contain their own answer, several draws of negatives, a linear and a
bilinear member beside the trees, calibration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import xgboost as xgb
from jaxtyping import Float32, Int

from rxweave.config import RankSettings
from rxweave.embed.store import Embeddings
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.leaks import (
    check_no_leaks,
    check_no_leaks_in_embeddings,
    check_training_rows,
)
from rxweave.graph.pairs import ENDS, Pairs, pair_codes
from rxweave.graph.split import Split
from rxweave.rank.bilinear import fit_bilinear, side_vectors
from rxweave.rank.blend import TREES, Blend
from rxweave.rank.calibration import Calibration, fit_calibration
from rxweave.rank.features import aligned_vectors, decoder_feature, pair_features
from rxweave.rank.linear import LinearModel, fit_linear
from rxweave.rank.model import NOT_TREAT, TREATS, UNKNOWN, nodes_fingerprint
from rxweave.rank.model import Ranker as Ranker
from rxweave.rank.negatives import contraindicated_pairs, uniform_negatives
from rxweave.rank.paths import NO_PATHS, fit_scale

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole that is done, 0 to 1."""


def fit_ranker(
    training: Graph,
    split: Split,
    embeddings: Embeddings | None,
    settings: RankSettings,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Ranker:
    """Fit the ranker on the treatments of the training graph, and calibrate it on the validation treatments.

    Rows are the treatments and contraindications of the training graph, and `num_draws` draws of other pairs;
    every row's features leave out the drug–disease facts of its fold, its own among them. Where a split holds out
    diseases (drugs) whole, folds are of diseases (drugs), so that no row knows more than those to be ranked do.
    `embeddings` may be None when no feature group uses them; the bilinear member then goes by profiles alone. The
    validation part serves for the probabilities only, never for the order of pairs; without it, scores stay
    uncalibrated.

    Raises LeakError when a held-out pair can be reached: through the training graph, through embeddings made
    for another split, or as a labelled row (drawn rows are not asked: see `negatives.uniform_negatives`).
    Raises InputError for a graph without treatments, or too small to draw negatives from.
    """
    tell = progress or _silent
    if settings.features.folds_by == "split":
        settings = settings.but(features=settings.features.but(folds_by=split.unit))
    treated, harmed = training.pairs(training.roles.treats), contraindicated_pairs(training)
    labelled = np.concatenate([treated, harmed])
    _refuse_leaks(training, split, embeddings, labelled, settings)
    if len(treated) == 0:
        raise InputError(f"{training.name} has no treatment left to learn from; hold out fewer pairs.")
    path_seed, draw_seed, valid_seed = np.random.SeedSequence(seed).spawn(3)

    tell("counting paths", 0.0)
    scale = NO_PATHS
    if "paths" in settings.features.groups:
        scale = fit_scale(
            training,
            max_length=settings.features.max_path_length,
            damping=settings.features.damping,
            max_paths=settings.features.max_paths,
            num_diseases=settings.features.scale_diseases,
            rng=np.random.default_rng(path_seed),
        )
    vectors = None if embeddings is None else aligned_vectors(embeddings, training)
    decoder = decoder_feature(embeddings, vectors, training, settings.features)
    features = pair_features(training, vectors, scale, settings.features, seed=seed, decoder=decoder)

    def draw(positives: Pairs, ratio: int, draw_from: np.random.SeedSequence) -> Pairs:
        return uniform_negatives(
            positives,
            num_drugs=features.num_drugs,
            num_diseases=features.num_diseases,
            ratio=ratio,
            forbidden=labelled,
            rng=np.random.default_rng(draw_from),
        )

    tell("computing features", 0.1)
    # One draw cut in parts: no pair is drawn for two models, so `Ranker.score` has others to ask.
    drawn = draw(treated, settings.negatives_per_positive * settings.num_draws, draw_seed)
    per_model = len(drawn) // settings.num_draws
    if per_model == 0:
        raise InputError(
            f"{training.name} has {len(drawn)} pairs without a treatment or contraindication, too few to "
            f"draw negatives for {settings.num_draws} models. The ranker needs a larger graph."
        )
    drawn = drawn[: per_model * settings.num_draws]
    rows = features.training_rows(np.concatenate([labelled, drawn]))

    sizes = {TREATS: len(treated), NOT_TREAT: len(harmed), UNKNOWN: per_model}
    classes = tuple(name for name in sizes if sizes[name])
    shares = {TREATS: settings.treatment_weight, NOT_TREAT: settings.treatment_weight, UNKNOWN: 1.0}
    weights = tuple(shares[name] * per_model / sizes[name] for name in classes)
    label = np.repeat(np.arange(len(classes)), [sizes[name] for name in classes])
    boosters: list[xgb.Booster] = []
    linear: list[LinearModel] = []
    for i in range(settings.num_draws):
        tell(f"fitting model {i + 1} of {settings.num_draws}", 0.4 + 0.4 * i / settings.num_draws)
        start = len(labelled) + i * per_model
        mine = np.concatenate([rows[: len(labelled)], rows[start : start + per_model]])
        boosters.append(_fit_trees(mine, label, weights, settings, seed=seed * settings.num_draws + i))
        if settings.linear_weight:
            linear.append(fit_linear(mine, label, np.array(weights)[label], penalty=settings.linear_penalty))
    bilinear = None
    if settings.bilinear_weight:
        tell("fitting the bilinear member", 0.8)
        dim, inputs = settings.bilinear_dim, settings.bilinear_inputs
        sides = side_vectors(training, vectors, inputs, dim=dim, seed=seed)
        even = next((end for end in ENDS if end == settings.features.folds_by), None)
        bilinear = fit_bilinear(sides, treated, penalty=settings.bilinear_penalty, even=even)
    blend = {TREES: 1.0}
    if settings.linear_weight:
        blend["linear"] = settings.linear_weight
    if bilinear is not None:
        blend["bilinear"] = settings.bilinear_weight
    fitted = Ranker(
        boosters=tuple(boosters),
        linear=tuple(linear),
        bilinear=bilinear,
        blend=Blend({TREES: 1.0}, {}, {}),  # until it is measured
        settings=settings,
        classes=classes,
        class_weights=weights,
        feature_names=features.names,
        scale=scale,
        drawn=pair_codes(drawn, features.num_diseases).reshape(settings.num_draws, per_model),
        num_diseases=features.num_diseases,
        nodes_sha256=nodes_fingerprint(training),
        held_out=split.held_out,
        kept=split.kept,
        calibration=Calibration(),
        seed=seed,
    )
    # The pairs of one draw are plenty for a mean and a deviation, and the other models answer for its own.
    of_first_draw = rows[len(labelled) : len(labelled) + per_model]
    measured = fitted.member_scores(of_first_draw, drawn[:per_model])[0]
    fitted = replace(fitted, blend=Blend.of(measured, blend))
    if len(split.valid) == 0:
        return fitted
    tell("calibrating", 0.9)
    asked = np.concatenate([split.valid, draw(split.valid, settings.negatives_per_positive, valid_seed)])
    scores = fitted.score(features.scoring_rows(asked), asked)[:, 0]
    return replace(fitted, calibration=fit_calibration(scores, np.arange(len(asked)) < len(split.valid)))


def _silent(_what: str, _share: float) -> None:
    pass


def _refuse_leaks(
    training: Graph, split: Split, embeddings: Embeddings | None, labelled: Pairs, settings: RankSettings
) -> None:
    check_no_leaks(training, split)
    check_training_rows(labelled, split, training)
    if embeddings is not None and settings.uses_embeddings:
        check_no_leaks_in_embeddings(embeddings.metadata, split, training)


def _fit_trees(
    rows: Float32[np.ndarray, "rows features"],
    label: Int[np.ndarray, " rows"],
    weights: tuple[float, ...],
    settings: RankSettings,
    *,
    seed: int,
) -> xgb.Booster:
    """Fit one model; `label` numbers the classes, and each row weighs as its class."""
    goal: dict[str, object] = {"objective": "multi:softprob", "num_class": len(weights)}
    target = label
    if len(weights) == 2:
        # "treats" is class 0 here, and 1 to XGBoost.
        goal, target = {"objective": "binary:logistic"}, 1 - label
    data = xgb.QuantileDMatrix(
        rows,
        target,
        weight=np.array(weights, np.float32)[label],
        max_bin=settings.max_bin,
        nthread=settings.threads,
    )
    return xgb.train(
        goal
        | {
            "max_depth": settings.max_depth,
            "learning_rate": settings.learning_rate,
            "min_child_weight": settings.min_child_weight,
            "reg_lambda": settings.reg_lambda,
            "subsample": settings.subsample,
            "colsample_bytree": settings.colsample,
            "max_bin": settings.max_bin,
            "tree_method": "hist",
            "nthread": settings.threads,
            "seed": seed,
        },
        data,
        num_boost_round=settings.num_trees,
    )
