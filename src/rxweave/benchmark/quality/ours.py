"""rxweave's own methods: the whole ranker, and each of its parts alone."""

from __future__ import annotations

from collections.abc import Callable

from rxweave.benchmark.quality.method import Context, Method, Scores
from rxweave.config import FROM_EMBEDDINGS, RankSettings
from rxweave.embed.treatment_scores import treatment_scores
from rxweave.graph.build import Graph
from rxweave.graph.split import Split
from rxweave.rank.refit import refit_scores

Change = Callable[[RankSettings], RankSettings]
"""How a method's ranker differs from the one that is set."""


def _decoder(training: Graph, _split: Split, _seed: int, context: Context) -> Scores:
    assert context.vectors is not None  # the worker reads what a method needs
    return treatment_scores(context.vectors.of_nodes, context.vectors.decoder, training)


def _ranker(change: Change) -> Callable[[Graph, Split, int, Context], Scores]:
    def score(training: Graph, split: Split, seed: int, context: Context) -> Scores:
        settings = change(context.settings.rank).but(threads=context.threads)
        embeddings = None if context.vectors is None else context.vectors.embeddings

        def tell(what: str, share: float) -> None:
            context.tell(f"{what}, {share:.0%}")

        return refit_scores(training, split, embeddings, settings, seed=seed, progress=tell)

    return score


def _as_set(settings: RankSettings) -> RankSettings:
    return settings


def _hgt_only(settings: RankSettings) -> RankSettings:
    more = tuple(group for group in settings.features.groups if group in ("embeddings", "decoder"))
    return _with_groups(settings, ("neighbours", "degrees", *more)).but(bilinear_inputs=("embeddings",))


def _without_hgt(settings: RankSettings) -> RankSettings:
    groups = tuple(group for group in settings.features.groups if group not in FROM_EMBEDDINGS)
    return _with_groups(settings, groups or ("degrees",)).but(bilinear_inputs=("profiles",))


def _trees_on(*groups: str) -> Change:
    return lambda settings: _with_groups(settings, groups).but(linear_weight=0.0, bilinear_weight=0.0)


def _with_groups(settings: RankSettings, groups: tuple[str, ...]) -> RankSettings:
    return settings.but(features=settings.features.but(groups=groups))


OURS = (
    Method(
        "rxweave",
        "The whole ranker, as it is set.",
        _ranker(_as_set),
        needs="hgt",
        decided_by=("rank",),
    ),
    Method(
        "hgt-xgb",
        "The ranker with HGT embeddings and degrees alone: XGBoost, linear and bilinear member; no paths, no profiles.",
        _ranker(_hgt_only),
        needs="hgt",
        decided_by=("rank",),
    ),
    Method(
        "hgt-trees",
        "XGBoost alone on degrees and likeness, by HGT embeddings, to drugs and diseases of known treatments.",
        _ranker(_trees_on("degrees", "neighbours")),
        needs="hgt",
        decided_by=("rank",),
    ),
    Method(
        "without-hgt",
        "The whole ranker without what it has from embeddings: what the HGT adds is the difference.",
        _ranker(_without_hgt),
        decided_by=("rank",),
    ),
    Method("hgt-decoder", "The HGT's own DistMult decoder: what the embeddings say alone.", _decoder, needs="hgt"),
    Method(
        "hgt-constant",
        "The same decoder of an HGT whose nodes all start from one vector: a control that collapses.",
        _decoder,
        needs="hgt-constant",
    ),
    Method(
        "paths-xgb",
        "Degree-weighted path counts and degrees, XGBoost; no embeddings (after Himmelstein et al. 2017).",
        _ranker(_trees_on("degrees", "paths")),
        decided_by=("rank",),
    ),
    Method(
        "paths-only-xgb",
        "Degree-weighted path counts alone, XGBoost.",
        _ranker(_trees_on("paths")),
        decided_by=("rank",),
    ),
)
