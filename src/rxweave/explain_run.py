"""Why a finished run ranks a drug for a disease as it does: one call from its output folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rxweave.config import FeatureSettings
from rxweave.explain.explanation import (
    Explanation,
    Standing,
    allowed_metapaths,
    named_paths_of_pair,
    number_of,
)
from rxweave.finished_run import FinishedRun, read_run
from rxweave.graph.pairs import Pairs, pair_codes
from rxweave.kg.names import find_node
from rxweave.rank.features import PairFeatures
from rxweave.rank.model import Ranker
from rxweave.rank.negatives import contraindicated_pairs
from rxweave.rank.paths import Metapath, fit_scale, named_paths

RANKER = "06_models/ranker"


def explain_pair(
    run: Path | FinishedRun,
    *,
    drug: str,
    disease: str,
    top: int = 10,
    through: str | None = None,
    without: Sequence[str] = (),
    max_length: int | None = None,
) -> Explanation:
    """Explain why the drug might treat the disease, from the training graph and the ranker of a finished run.

    `drug`, `disease` and `through` are names, synonyms, ids or keys. `top` paths are given, best first; `through`
    leaves those that go through this node, `without` those that use none of these relations, `max_length` those of at
    most so many steps. No held-out fact is ever on a path.

    A pair that the ranker learnt from is explained as it was learnt: from features, and along paths, without the
    drug–disease facts of its own fold, its own fact among them.

    Raises InputError for a folder without a finished run, a name that means nothing or several nodes, a relation that
    is not in the graph, and when no path goes through the node asked for: each says what there is.
    """
    done = run if isinstance(run, FinishedRun) else read_run(run)
    graph = done.training
    ends = (
        find_node(done.kg, drug, node_type=graph.roles.drug),
        find_node(done.kg, disease, node_type=graph.roles.disease),
    )
    middle = None if through is None else find_node(done.kg, through)
    pair = np.array([[number_of(graph, node) for node in ends]])
    ranker = Ranker.load(done.folder / RANKER)
    features = ranker.features(graph, done.embeddings if ranker.settings.features.uses_embeddings else None)
    standing = _standing(done, pair)
    fold = int(features.folds.of(pair)[0]) if standing.endswith("it learnt from") else None
    allowed = allowed_metapaths(graph, _metapaths(done, ranker, features), without=without, max_length=max_length)
    matrices = {**features.steps, **features.by_fold[fold].steps}
    kinds, paths = named_paths_of_pair(graph, matrices, allowed, *ends, top=top, through=middle)
    return Explanation(
        drug=ends[0],
        disease=ends[1],
        standing=standing,
        paths=paths,
        num_paths=sum(kind.num_chosen for kind in kinds),
        num_kinds=sum(kind.num_chosen > 0 for kind in kinds),
        num_left_out=sum(kind.num_walks - kind.num_paths for kind in kinds),
    )


def _standing(run: FinishedRun, pair: Pairs) -> Standing:
    size = run.training.num_of(run.training.roles.disease)
    standings: dict[Standing, Pairs] = {
        "treatment it learnt from": run.training.pairs(run.training.roles.treats),
        "contraindication it learnt from": contraindicated_pairs(run.training),
        "held-out treatment": run.split.held_out,
    }
    for standing, pairs in standings.items():
        if np.isin(pair_codes(pair, size), pair_codes(pairs, size))[0]:
            return standing
    return "not recorded"


def _metapaths(run: FinishedRun, ranker: Ranker, features: PairFeatures) -> list[tuple[Metapath, float]]:
    """The metapaths that the ranker counts, and their means; those it would count, if it looks at no paths."""
    if features.fixed_paths or features.varying_paths:
        return [*features.fixed_paths, *features.varying_paths]
    chosen = FeatureSettings()
    scale = fit_scale(
        run.training,
        max_length=chosen.max_path_length,
        damping=ranker.settings.features.damping,
        max_paths=chosen.max_paths,
        num_diseases=chosen.scale_diseases,
        rng=np.random.default_rng(ranker.seed),
    )
    paths = named_paths(run.training, scale.names, chosen.max_path_length)
    return list(zip(paths, scale.means.tolist(), strict=True))
