"""The ranker fitted again with other settings, to see how it then scores: for ablations, searches and comparisons."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float32

from rxweave.config import RankSettings
from rxweave.embed.store import Embeddings
from rxweave.graph.build import Graph
from rxweave.graph.split import Split
from rxweave.rank.ranker import Progress, fit_ranker
from rxweave.rank.whole_matrix import score_all


def refit_scores(
    training: Graph,
    split: Split,
    embeddings: Embeddings | None,
    settings: RankSettings,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Float32[np.ndarray, "drugs diseases"]:
    """Give the scores of all pairs by a ranker fitted with these settings, as a run would score them.

    A matrix too large for every model goes by shortlists here too. Raises as `fit_ranker` does.
    """

    def half(which: int) -> Progress:
        return lambda what, share: progress(what, (which + share) / 2) if progress else None

    ranker = fit_ranker(training, split, embeddings, settings, seed=seed, progress=half(0))
    features = ranker.features(training, embeddings)
    with TemporaryDirectory(prefix="rxweave-") as parts:
        return score_all(ranker, features, Path(parts), progress=half(1)).treats
