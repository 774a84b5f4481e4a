"""A bounded search for the ranker's settings, on validation treatments; the test treatments choose nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from rxweave.config import RankSettings
from rxweave.embed.store import Embeddings
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.split import Split
from rxweave.rank.compare import holm
from rxweave.rank.pair_table import compare_tables, pair_table, per_pair
from rxweave.rank.ranker import Progress
from rxweave.rank.refit import refit_scores

SPACE: Mapping[str, tuple[int | float, ...]] = {
    "num_trees": (150, 300, 600),
    "max_depth": (4, 6, 8),
    "learning_rate": (0.03, 0.06, 0.12),
    "min_child_weight": (1.0, 5.0, 20.0),
    "reg_lambda": (1.0, 5.0, 20.0),
    "colsample": (0.15, 0.3, 0.6),
    "negatives_per_positive": (10, 30, 60),
    "treatment_weight": (0.1, 0.25, 1.0),
    "linear_weight": (0.0, 0.15, 0.3, 0.6),
    "linear_penalty": (0.03, 0.1, 0.3),
    "bilinear_weight": (0.0, 0.15, 0.3, 0.6),
    "bilinear_penalty": (0.3, 1.0, 3.0),
}
"""What a trial draws each setting from."""
FEWEST = 30
"""Validation treatments below which differences between settings are chance."""


@dataclass(frozen=True, eq=False)
class Tuned:
    """What a search found."""

    trials: pl.DataFrame
    """A row a trial, the first that of the settings given: `trial`, the settings of SPACE, the two MRRs on validation,
    `goal` (their mean), `difference` from the first over the same pairs with `p_value` and `p_holm`, `seconds`.
    """
    best: RankSettings
    """Those of the highest goal; the ones given when no trial was better."""
    established: bool
    """Whether the best differs from the first beyond chance, over all trials (Holm 1979, 0.05, both sides)."""
    changed: Mapping[str, int | float]
    """The settings in which the best differs from those given."""


def tune(
    training: Graph,
    split: Split,
    embeddings: Embeddings | None,
    settings: RankSettings,
    *,
    trials: int,
    seed: int,
    minutes: float | None = None,
    draws: int = 3,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Tuned:
    """Try settings drawn at random (Bergstra & Bengio 2012) and rank the validation treatments with each.

    The budget is `trials`, the given settings being the first, and if given `minutes`, after which no trial begins.
    Models are averaged over `draws` draws here to save time; the settings that come back keep their own number. The
    goal is the mean of the two mean reciprocal ranks, of diseases given a drug and of drugs given a disease. The best
    of many looks better on the pairs it was chosen by than it will on others: read its test metrics, once. Raises
    InputError for fewer than FEWEST validation treatments, and as `fit_ranker` does.
    """
    if len(split.valid) < FEWEST:
        raise InputError(
            f"{len(split.valid)} validation treatments are too few to choose settings by ({FEWEST} needed); hold out "
            "more with -o split.valid_fraction=…."
        )
    asked = replace(split, valid=split.test[:0], test=split.valid)
    rng = np.random.default_rng(seed)
    started = clock()
    tables: list[pl.DataFrame] = []
    rows: list[dict[str, object]] = []
    tried: list[RankSettings] = []
    for number in range(trials):
        if minutes is not None and number and clock() - started > 60 * minutes:
            break
        values = {} if number == 0 else {name: of[rng.integers(len(of))] for name, of in SPACE.items()}
        chosen = settings.but(**values)
        began = clock()
        tell = _of_trial(number, trials, progress)
        scores = refit_scores(training, split, embeddings, chosen.but(num_draws=draws), seed=seed, progress=tell)
        table = pair_table(scores, asked, training)
        sides = {side: float(per_pair(table, side, "mrr").mean()) for side in ("disease", "drug")}
        row: dict[str, object] = {"trial": number, **{name: getattr(chosen, name) for name in SPACE}}
        row |= {"disease_mrr": sides["disease"], "drug_mrr": sides["drug"], "goal": np.mean(list(sides.values()))}
        rows.append(row | _against(tables, table, seed) | {"seconds": clock() - began})
        tables.append(table)
        tried.append(chosen)
    found = pl.DataFrame(rows, infer_schema_length=None)
    adjusted = [None, *(holm(found["p_value"][1:].to_list()) if len(found) > 1 else [])]
    found = found.with_columns(p_holm=pl.Series(adjusted, dtype=pl.Float64))
    place = int(np.argmax(found["goal"].to_numpy()))
    p = found["p_holm"][place]
    changed = {name: getattr(tried[place], name) for name in SPACE}
    changed = {name: value for name, value in changed.items() if value != getattr(settings, name)}
    return Tuned(found, tried[place], p is not None and p < 0.05, changed)


def _against(tables: list[pl.DataFrame], table: pl.DataFrame, seed: int) -> dict[str, float | None]:
    """The difference from the first trial, both sides' reciprocal ranks together, and its p-value."""
    if not tables:
        return {"difference": None, "p_value": None}
    sides = [compare_tables([table], [tables[0]], side, "mrr", seed=seed) for side in ("disease", "drug")]
    # Two tests of one question: the smaller p-value, doubled (Bonferroni).
    return {
        "difference": float(np.mean([side.difference.value for side in sides])),
        "p_value": min(1.0, 2 * min(side.p_value for side in sides)),
    }


def _of_trial(number: int, trials: int, progress: Progress | None) -> Progress | None:
    if progress is None:
        return None
    return lambda what, part: progress(f"trial {number + 1} of {trials}: {what}", (number + part) / trials)
