"""Why a finished run ranks a drug for a disease as it does: one call from its output folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rxweave.config import FeatureSettings
from rxweave.explain.alike import alike_treatments
from rxweave.explain.attention import with_attention
from rxweave.explain.explanation import ExplainingPath, Explanation, Standing
from rxweave.explain.filters import allowed_metapaths
from rxweave.explain.named import number_of
from rxweave.explain.named_paths import named_paths_of_pair
from rxweave.explain.paths import PathsOfKind
from rxweave.explain.score import score_parts
from rxweave.finished_run import FinishedRun, read_ranker, read_run
from rxweave.graph.pairs import Pairs, pair_codes
from rxweave.kg.names import find_node
from rxweave.rank.features import PairFeatures, aligned_vectors
from rxweave.rank.model import Ranker
from rxweave.rank.negatives import contraindicated_pairs
from rxweave.rank.paths import Metapath, fit_scale, named_paths


def explain_pair(
    run: Path | FinishedRun,
    *,
    drug: str,
    disease: str,
    top: int = 10,
    through: str | None = None,
    without: Sequence[str] = (),
    max_length: int | None = None,
    attention: bool = False,
) -> Explanation:
    """Explain why the drug might treat the disease, from the training graph, ranker and model of a finished run.

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
    ranker = read_ranker(done.folder)
    features = ranker.features(graph, done.embeddings)
    standing = _standing(done, pair)
    learnt = standing.endswith("it learnt from")
    facts = features.by_fold[int(features.folds.of(pair)[0]) if learnt else None]
    allowed = allowed_metapaths(graph, _metapaths(done, ranker, features), without=without, max_length=max_length)
    matrices = {**features.steps, **facts.steps}
    kinds, paths = named_paths_of_pair(graph, matrices, allowed, *ends, top=top, through=middle)
    if attention and paths:
        paths = with_attention(paths, done.encoder, done.layer_states(done.features()), graph)
    vectors = aligned_vectors(done.embeddings, graph)
    row = (features.training_rows if learnt else features.scoring_rows)(pair)
    return Explanation(
        drug=ends[0],
        disease=ends[1],
        standing=standing,
        score=score_parts(ranker, row, pair),
        paths=paths,
        num_paths=sum(kind.num_chosen for kind in kinds),
        num_kinds=sum(kind.num_chosen > 0 for kind in kinds),
        num_left_out=_left_out(kinds),
        alike=alike_treatments(graph, facts.known, int(pair[0, 0]), int(pair[0, 1]), vectors),
        notes=_notes(kinds, paths, learnt=learnt),
    )


def _left_out(kinds: Sequence[PathsOfKind]) -> int:
    return sum(kind.num_walks - kind.num_paths for kind in kinds)


def _notes(kinds: Sequence[PathsOfKind], paths: Sequence[ExplainingPath], *, learnt: bool) -> tuple[str, ...]:
    notes = []
    if learnt:
        notes.append(
            "The ranker learnt from this pair. It is explained as it was learnt: score, paths and likeness do without "
            "the drug–disease facts of its fold, its own among them; its score in the run's predictions is another. "
            "Its label was learnt all the same, so a high score proves little."
        )
    if paths:
        notes.append(
            "Weight is on the ranker's scale, arcsinh(strength / mean of the kind). A path goes down for each before "
            "it that leads through the same node, or over the same types of node."
        )
    if _left_out(kinds):
        notes.append(
            f"The ranker also counts {_left_out(kinds):,} walks that come back to a node: no paths, and not shown."
        )
    return tuple(notes)


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
