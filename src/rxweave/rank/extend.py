"""A fitted ranker for a graph with more nodes than it was fitted on: same trees, same scale, same leak guard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from rxweave.embed.store import Embeddings
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.extend import pairs_within
from rxweave.graph.pairs import ENDS, pair_codes
from rxweave.rank.bilinear import Bilinear, Even, extended, side_vectors
from rxweave.rank.features import aligned_vectors
from rxweave.rank.model import Ranker, nodes_fingerprint
from rxweave.rank.neighbours import centred_unit
from rxweave.rank.profiles import profile_steps, profiles, whole_profile


def ranker_for(ranker: Ranker, fitted_on: Graph, larger: Graph, everyone: Embeddings | None) -> Ranker:
    """Give a ranker that scores `larger`, which holds every node of the graph that it was fitted on, and new ones.

    Nothing of the model changes, and the bilinear member gets factors for the new nodes (`bilinear.extended`) from what
    they have in common with the old ones; `everyone` are the embeddings of both. The pairs it was told are unknown, and
    those it was fitted without, are numbered anew, so that neither is mistaken for a pair of a new node. Raises
    InputError when `fitted_on` is not the graph it was fitted on, or when `larger` lacks one of its nodes.
    """
    if nodes_fingerprint(fitted_on) != ranker.nodes_sha256:
        raise InputError(
            f"The drugs and diseases of {fitted_on.name} are not those that the ranker was fitted on. Give the graph "
            "of its own run."
        )
    drawn = np.stack(np.divmod(ranker.drawn.ravel(), ranker.num_diseases), axis=1)
    num_diseases = larger.num_of(larger.roles.disease)
    return replace(
        ranker,
        drawn=pair_codes(pairs_within(drawn, fitted_on, larger), num_diseases).reshape(ranker.drawn.shape),
        num_diseases=num_diseases,
        nodes_sha256=nodes_fingerprint(larger),
        held_out=pairs_within(ranker.held_out, fitted_on, larger),
        bilinear=_bilinear_for(ranker, fitted_on, larger, everyone),
    )


def _bilinear_for(ranker: Ranker, fitted_on: Graph, larger: Graph, everyone: Embeddings | None) -> Bilinear | None:
    if ranker.bilinear is None:
        return None
    inputs = ranker.settings.bilinear_inputs
    vectors = None if everyone is None else aligned_vectors(everyone, larger)
    place = larger.nodes.with_row_index("row").select("node_key", "row")
    old_rows = (
        fitted_on.nodes.join(place, on="node_key", how="left", maintain_order="left")["row"].to_numpy().astype(np.int64)
    )
    before = None if vectors is None else vectors[old_rows]
    sides = side_vectors(fitted_on, before, inputs, dim=ranker.settings.bilinear_dim, seed=ranker.seed)
    known_factors = (ranker.bilinear.drugs, ranker.bilinear.diseases)
    factors = []
    even = ranker.bilinear.even
    for end, role, own, known, others in zip(
        ENDS,
        (fitted_on.roles.drug, fitted_on.roles.disease),
        sides,
        known_factors,
        known_factors[::-1],
        strict=True,
    ):
        rows = larger.rows_of(role)
        old = old_rows[fitted_on.rows_of(role)] - rows.start
        new = np.setdiff1d(np.arange(larger.num_of(role)), old)
        grown = np.empty((larger.num_of(role), known.shape[1]), np.float32)
        grown[old] = known
        grown[new] = extended(known, own, _alike(larger, role, vectors, inputs, new, old))
        factors.append(grown)
        if even is not None and even.end == end:
            # Over the nodes that it was fitted on, as for the old.
            measured = Even.of(end, grown, others)
            measured.means[old], measured.deviations[old] = even.means, even.deviations
            even = measured
    return replace(ranker.bilinear, drugs=factors[0], diseases=factors[1], even=even)


def _alike(
    larger: Graph,
    role: str,
    vectors: Float[np.ndarray, "nodes dim"] | None,
    inputs: Sequence[str],
    new: Int[np.ndarray, " new"],
    old: Int[np.ndarray, " old"],
) -> Float[np.ndarray, "new old"]:
    """The products of what `side_vectors` gives for new nodes with that for old ones; the old keep their own mean."""
    parts: list[Float[np.ndarray, "new old"]] = []
    if "profiles" in inputs:
        profile = whole_profile(profiles(larger, role, profile_steps(larger, role)))
        if profile is not None:
            parts.append((profile[new] @ profile[old].T).toarray())
    if vectors is not None and "embeddings" in inputs:
        rows = larger.rows_of(role)
        linked = larger.degrees[rows] > 0
        unit, usable = centred_unit(vectors[rows][old], linked[old])
        mean = vectors[rows][old][usable].mean(axis=0, dtype=np.float64) if usable.any() else 0.0
        shifted = (vectors[rows][new] - mean) * linked[new, None]
        length = np.maximum(np.linalg.norm(shifted, axis=1, keepdims=True), 1e-12)
        parts.append((shifted / length) @ unit.T)
    return sum(parts, np.zeros((len(new), len(old)))) / max(1, len(parts))
