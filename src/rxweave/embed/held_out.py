"""Treatments that the training graph does not hold, ranked while it is trained on: when to stop, and what to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32

from rxweave.embed.decoder import DistMult
from rxweave.embed.feature_file import FEATURES_KEY
from rxweave.embed.guards import under_alarm
from rxweave.embed.history import Epoch
from rxweave.embed.treatment_scores import scored_relations, treatment_scores
from rxweave.errors import LeakError
from rxweave.graph.build import Graph
from rxweave.graph.filtered_ranks import expected_ranks
from rxweave.graph.leaks import SPLIT_KEY, check_no_leaks_in_embeddings, check_no_test_pairs, check_not_joined
from rxweave.graph.pairs import Pairs, check_pairs
from rxweave.graph.split import Split
from rxweave.kg.parquet import is_parquet
from rxweave.kg.tables import Roles


@dataclass(frozen=True)
class HeldOut:
    """Treatment pairs to be ranked, and all pairs that a filtered rank leaves out; test pairs have no place here."""

    pairs: Pairs
    known: Pairs
    test: Pairs = field(default_factory=lambda: np.empty((0, 2), np.int64))
    """Those that neither may hold: what they decided could not be tested with them."""
    kept: tuple[str, ...] = ()
    """Relations that may join held-out pairs (`Split.kept`)."""
    split: Split | None = None
    """The split they are of, which vectors of a feature file must not have seen more of."""

    @classmethod
    def of(cls, split: Split) -> HeldOut:
        """Give the validation pairs of a split, ranked among all but what training and validation know."""
        return cls(split.valid, split.before_test, split.test, split.kept, split)


def check_held_out(graph: Graph, held_out: HeldOut) -> None:
    """Raise LeakError when the training graph joins a held-out or a test pair, or a test pair is among those looked
    at, InputError when the graph cannot score treatments.
    """
    for pairs in (held_out.pairs, held_out.test):
        check_not_joined(graph, check_pairs(graph, pairs), kept=held_out.kept)
    for pairs in (held_out.pairs, held_out.known):
        check_no_test_pairs(graph, pairs, held_out.test)
    scored_relations(graph)


def check_feature_file(path: Path, held_out: HeldOut, graph: Graph) -> str:
    """Give a sentence on whether the vectors of a feature file can have seen held-out pairs.

    Embeddings of rxweave name the split they were trained on: raises LeakError when it is not this one, or none. Of
    other files nothing can be proven, nor of the feature file that such embeddings were themselves trained with, and
    the sentence says so.
    """
    metadata = pl.read_parquet_metadata(path) if is_parquet(path) else {}
    if SPLIT_KEY not in metadata or held_out.split is None:
        return (
            f"{path.name} does not say what its vectors were made from, so that they have not seen the held-out "
            "treatments is not proven: make them from what says nothing of treatments, such as texts or structures."
        )
    try:
        check_no_leaks_in_embeddings(metadata, held_out.split, graph)
    except LeakError as error:
        raise LeakError(f"embed.feature_file {path}: {error}") from None
    told = f"{path.name} has embeddings that were trained on this very split"
    if FEATURES_KEY not in metadata:
        return f"{told}."
    return (
        f"{told}, with a feature file of their own (SHA-256 {metadata[FEATURES_KEY][:12]}): what that was made from "
        "they do not say, so that they have not seen the held-out treatments is not proven."
    )


def held_out_mrr(
    vectors: Float32[np.ndarray, "nodes dim"], decoder: DistMult, graph: Graph, held_out: HeldOut
) -> float:
    """Give the mean reciprocal filtered rank of the held-out pairs by the decoder alone, mean of both sides.

    Every pair counts once on either side: its disease among all diseases, its drug among all drugs.
    """
    scores = treatment_scores(vectors, decoder, graph)
    drug_side = expected_ranks(scores.T, held_out.pairs[:, ::-1], held_out.known[:, ::-1])
    disease_side = expected_ranks(scores, held_out.pairs, held_out.known)
    return float(((1 / drug_side).mean() + (1 / disease_side).mean()) / 2)


def best_epoch(history: Sequence[Epoch], roles: Roles) -> int | None:
    """Give the number of the epoch with the best held-out score, the first of equals; None before there is one.

    An epoch after which drugs or diseases are under their rank alarm counts only if every measured one is.
    """
    measured = [epoch for epoch in history if not np.isnan(epoch.held_out)]
    if not measured:
        return None
    ours = {roles.drug, roles.disease}
    sound = [epoch for epoch in measured if not ours & under_alarm(epoch)]
    return max(sound or measured, key=lambda epoch: epoch.held_out).number
