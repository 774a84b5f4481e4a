"""What each group of features is worth: the ranker fitted again without it, and with it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float32

from rxweave.config import RankSettings
from rxweave.embed.store import Embeddings
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.split import Split
from rxweave.rank.baselines import degree_prior
from rxweave.rank.bootstrap import Estimate
from rxweave.rank.compare import holm
from rxweave.rank.metrics import evaluate_ranking
from rxweave.rank.pair_table import Side, compare_tables, pair_table
from rxweave.rank.ranker import Progress
from rxweave.rank.refit import refit_scores

Kind = Literal["all", "without", "alone", "baseline"]
PARTS = ("valid", "test")
MEASURES: Mapping[str, tuple[Side, str] | None] = {
    "MRR, diseases given a drug": ("disease", "mrr"),
    "Hits@10, diseases given a drug": ("disease", "at_10"),
    "MRR, drugs given a disease": ("drug", "mrr"),
    "Hits@10, drugs given a disease": ("drug", "at_10"),
    "AUPRC, all pairs": None,
}
"""Whose rank each measure is of, and how it is made of one; None for the one that is not a mean over pairs."""
SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "variant": pl.String, "kind": pl.String, "groups": pl.List(pl.String), "part": pl.String, "measure": pl.String,
    "value": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "difference": pl.Float64, "difference_low": pl.Float64, "difference_high": pl.Float64,
    "p_value": pl.Float64, "p_holm": pl.Float64, "num_pairs": pl.Int64,
}  # fmt: skip
"""Columns of the table of `ablate`."""


@dataclass(frozen=True)
class Variant:
    """A ranker that has other features."""

    name: str
    kind: Kind
    groups: tuple[str, ...]


def variants(settings: RankSettings, *, embeddings: bool = True) -> tuple[Variant, ...]:
    """Give all groups together, all but each in turn, and each alone.

    Groups are those of the pair features, and what else the bilinear member takes in ("embeddings", by default), unless
    there are no `embeddings`. What only the bilinear member takes in cannot be alone: trees need features. Raises
    InputError for a single group, which there is nothing to hold against.
    """
    own = settings.features.groups
    added = settings.bilinear_inputs if settings.bilinear_weight else ()
    groups = (*own, *(each for each in added if each not in own and (embeddings or each != "embeddings")))
    if len(groups) < 2:
        raise InputError(
            f"The ranker has one feature group ({', '.join(groups)}), so leaving it out leaves nothing. Rank with two "
            "or more: -o rank.features.groups=…."
        )
    without = [Variant(f"without {left}", "without", tuple(g for g in groups if g != left)) for left in groups]
    without = [each for each in without if set(each.groups) & set(own)]
    alone = [Variant(f"{group} alone", "alone", (group,)) for group in own]
    return (Variant("all groups", "all", groups), *without, *alone)


def settings_of(variant: Variant, settings: RankSettings) -> RankSettings:
    """Give the settings that fit a variant: features and inputs of the bilinear member cut to its groups.

    Without an input the bilinear member is left out.
    """
    features = tuple(each for each in settings.features.groups if each in variant.groups)
    inputs = tuple(each for each in settings.bilinear_inputs if each in variant.groups)
    bilinear = {"bilinear_inputs": inputs} if inputs else {"bilinear_weight": 0.0}
    return settings.but(features=settings.features.but(groups=features), **bilinear)


def ablate(
    training: Graph,
    split: Split,
    embeddings: Embeddings | None,
    settings: RankSettings,
    *,
    seed: int,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Give how every variant ranks the validation and the test treatments, with intervals, beside all groups.

    Columns as in SCHEMA: the value with its 95 % interval, and `difference`, variant minus all groups, over the same
    pairs (`compare.paired_difference`), null for AUPRC, with the p-value of the sign-flip test, alone and adjusted for
    the number of variants (Holm 1979). All variants have the same split, folds, negatives and seed. The last one is
    the degree prior, which knows no biology, and is not among those adjusted for. Raises InputError for a single
    feature group, and as `fit_ranker` does.
    """
    planned = variants(settings, embeddings=embeddings is not None)
    parts = {"valid": replace(split, valid=split.test[:0], test=split.valid), "test": split}
    parts = {part: asked for part, asked in parts.items() if len(asked.test)}
    base: dict[str, pl.DataFrame] = {}
    rows: list[dict[str, object]] = []
    for place, variant in enumerate((*planned, Variant("degree prior", "baseline", ()))):
        scores = _scores(
            variant, place / len(planned), 1 / len(planned), training, split, embeddings, settings, seed, progress
        )
        for part, asked in parts.items():
            table = pair_table(scores, asked, training)
            rows += _measured(variant, part, scores, asked, table, base.setdefault(part, table), seed)
    table = pl.DataFrame(rows, schema=SCHEMA)
    return _adjusted(table)


def _scores(
    variant: Variant,
    done: float,
    share: float,
    training: Graph,
    split: Split,
    embeddings: Embeddings | None,
    settings: RankSettings,
    seed: int,
    progress: Progress | None,
) -> Float32[np.ndarray, "drugs diseases"]:
    if variant.kind == "baseline":
        roles = training.roles
        return degree_prior(split.train, training.num_of(roles.drug), training.num_of(roles.disease))

    def tell(what: str, part: float) -> None:
        if progress:
            progress(f"{variant.name}: {what}", done + share * part)

    chosen = settings if variant.kind == "all" else settings_of(variant, settings)
    return refit_scores(training, split, embeddings, chosen, seed=seed, progress=tell)


def _measured(
    variant: Variant,
    part: str,
    scores: Float32[np.ndarray, "drugs diseases"],
    asked: Split,
    table: pl.DataFrame,
    base: pl.DataFrame,
    seed: int,
) -> list[dict[str, object]]:
    found = evaluate_ranking(scores, asked.test, asked.known, seed=seed)
    of_side = {"disease": found.diseases_given_drug, "drug": found.drugs_given_disease}
    rows = []
    for measure, how in MEASURES.items():
        row: dict[str, object] = {"variant": variant.name, "kind": variant.kind, "groups": list(variant.groups)}
        row |= {"part": part, "measure": measure, "num_pairs": len(asked.test)}
        if how is None:
            estimate = found.auprc
        else:
            side, metric = how
            estimate = getattr(of_side[side], "mrr" if metric == "mrr" else f"hits_{metric}")
            if variant.kind != "all":
                apart = compare_tables([table], [base], side, metric, seed=seed)
                row |= _named("difference", apart.difference) | {"p_value": apart.p_value}
        rows.append(row | _named("value", estimate))
    return rows


def _named(name: str, estimate: Estimate) -> dict[str, float]:
    prefix = "" if name == "value" else f"{name}_"
    return {name: estimate.value, f"{prefix}low": estimate.low, f"{prefix}high": estimate.high}


def _adjusted(table: pl.DataFrame) -> pl.DataFrame:
    """Adjust the p-values of each part and measure for the number of variants compared."""
    compared = table.with_row_index("row").filter(pl.col("p_value").is_not_null() & (pl.col("kind") != "baseline"))
    adjusted = [
        each.select("row", p_holm=pl.Series(holm(each["p_value"].to_list())))
        for each in compared.partition_by("part", "measure", maintain_order=True)
    ]
    return (
        table.drop("p_holm")
        .with_row_index("row")
        .join(pl.concat(adjusted), on="row", how="left", maintain_order="left")
        .select(*SCHEMA)
    )
