"""rxweave's own methods: the whole ranker, and each of its parts alone."""

from __future__ import annotations

from collections.abc import Callable

from rxweave.benchmark.quality.method import Context, Method, Scores
from rxweave.config import RankSettings
from rxweave.embed.treatment_scores import treatment_scores
from rxweave.graph.build import Graph
from rxweave.graph.split import Split
from rxweave.rank.matrix import score_pairs
from rxweave.rank.ranker import fit_ranker

FROM_EMBEDDINGS = ("neighbours", "embeddings")
Groups = Callable[[tuple[str, ...]], tuple[str, ...]]
"""Which feature groups a method uses, from those that are set."""


def _decoder(training: Graph, _split: Split, _seed: int, context: Context) -> Scores:
    assert context.vectors is not None  # the worker reads what a method needs
    return treatment_scores(context.vectors.of_nodes, context.vectors.decoder, training)


def _ranker(groups: Groups) -> Callable[[Graph, Split, int, Context], Scores]:
    def score(training: Graph, split: Split, seed: int, context: Context) -> Scores:
        settings = _with_groups(context.settings.rank, groups).but(threads=context.threads)
        embeddings = None if context.vectors is None else context.vectors.embeddings

        def tell(what: str, share: float) -> None:
            context.tell(f"{what}, {share:.0%}")

        ranker = fit_ranker(training, split, embeddings, settings, seed=seed, progress=tell)
        return score_pairs(ranker, ranker.features(training, embeddings), progress=tell).treats

    return score


def _with_groups(settings: RankSettings, groups: Groups) -> RankSettings:
    return settings.but(features=settings.features.but(groups=groups(settings.features.groups)))


OURS = (
    Method(
        "rxweave",
        "The whole ranker, with the feature groups that are set.",
        _ranker(lambda groups: groups),
        needs="hgt",
        decided_by=("rank",),
    ),
    Method(
        "hgt-xgb",
        "HGT embeddings by the neighbours of known treatments, degrees, XGBoost: no paths, no profiles.",
        _ranker(lambda groups: ("neighbours", "degrees", *(group for group in groups if group == "embeddings"))),
        needs="hgt",
        decided_by=("rank",),
    ),
    Method(
        "without-hgt",
        "The whole ranker without what it has from embeddings: what the HGT adds is the difference.",
        _ranker(lambda groups: tuple(group for group in groups if group not in FROM_EMBEDDINGS) or ("degrees",)),
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
        _ranker(lambda _: ("degrees", "paths")),
        decided_by=("rank",),
    ),
    Method(
        "paths-only-xgb",
        "Degree-weighted path counts alone, XGBoost.",
        _ranker(lambda _: ("paths",)),
        decided_by=("rank",),
    ),
)
