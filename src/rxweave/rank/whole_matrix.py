"""Scores of matrices too large to ask every model about every pair: a first pass, then the whole ranker for the best.

Every pair gets the score of the ranker's linear and bilinear members; the trees, which take most of the time, are asked
about the pairs that lead in that pass. Blocks of diseases are written as they are done, so that a killed run goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from rxweave.artifacts import atomic_path
from rxweave.rank.blend import TREES
from rxweave.rank.features import PairFeatures
from rxweave.rank.matrix import PairScores, score_pairs
from rxweave.rank.model import Ranker
from rxweave.rank.ranker import Progress

SHORTLIST = 200
"""Drugs of each disease, the best of the first pass, that the whole ranker is asked about."""


MOST_PAIRS = 20_000_000
"""Largest matrix of which every pair is asked of the whole ranker, and written to one table."""


def score_all(
    ranker: Ranker, features: PairFeatures, parts: Path, *, progress: Progress | None = None, most: int = MOST_PAIRS
) -> PairScores:
    """Score every drug with every disease: of up to `most` pairs all with the whole ranker, else by shortlists.

    `parts` is a folder for what is done, which `score_whole_matrix` goes on from.
    """
    first_pass = bool(ranker.linear) or ranker.bilinear is not None
    if features.num_drugs * features.num_diseases <= most or not first_pass:
        return score_pairs(ranker, features, progress=progress)
    return score_whole_matrix(ranker, features, parts, progress=progress)


@dataclass(frozen=True, eq=False)
class _Block:
    """Scores of all drugs with some diseases; rows are diseases."""

    treats: Float32[np.ndarray, "block drugs"]
    not_treat: Float32[np.ndarray, "block drugs"] | None
    whole: Bool[np.ndarray, "block drugs"]


def score_whole_matrix(
    ranker: Ranker,
    features: PairFeatures,
    folder: Path,
    *,
    shortlist: int = SHORTLIST,
    block_size: int | None = None,
    progress: Progress | None = None,
) -> PairScores:
    """Score every drug with every disease, the whole ranker asked about the `shortlist` best drugs of each disease.

    The first pass is the blend of one linear model and the bilinear member, on the scale of the trees; a pair
    that is not on its disease's shortlist keeps that score, and `PairScores.whole` says which are. Both scores estimate
    the same log-odds, so pairs of both kinds are ordered together. Blocks lie in `folder` until the caller takes it
    away; those of this very ranker, graph and shortlist are not worked out again. Memory: the result (9 bytes a pair
    with contraindications, else 5) and two blocks. Features are worked out in this thread while another scores. Raises
    ValueError for a ranker with neither a linear nor a bilinear member: it has no first pass.
    """
    if not ranker.linear and ranker.bilinear is None:
        raise ValueError("a ranker of trees alone has no first pass; use matrix.score_pairs")
    shape = features.num_drugs, features.num_diseases
    three = len(ranker.classes) == 3
    found = PairScores(
        np.empty(shape, np.float32), np.empty(shape, np.float32) if three else None, np.zeros(shape, bool)
    )
    size = min(block_size or features.block_size, features.num_diseases)
    parts = folder / _fingerprint(ranker, features, shortlist, size)
    parts.mkdir(parents=True, exist_ok=True)
    # One thread scores a block (XGBoost and NumPy let others run) while this one works out the features of the next.
    with ThreadPoolExecutor(1) as scorer:
        waiting = None
        # The scorer may still read the one while the other is filled.
        buffers = cycle([np.empty(features.num_drugs * size * len(features.names), np.float32) for _ in range(2)])
        for start in range(0, features.num_diseases, size):
            if progress:
                progress("scoring pairs", start / features.num_diseases)
            diseases = np.arange(start, min(start + size, features.num_diseases))
            file = parts / f"{start:07d}.npy"
            if file.is_file():
                _put(found, diseases, _read(file, three=three))
                continue
            rows = features.block(diseases, buffer=next(buffers))
            if waiting is not None:
                waiting.result()
            waiting = scorer.submit(_score_and_keep, ranker, rows, diseases, shortlist, file, found)
        if waiting is not None:
            waiting.result()
    return found


def _score_and_keep(
    ranker: Ranker,
    rows: Float32[np.ndarray, "drugs block features"],
    diseases: Int[np.ndarray, " block"],
    shortlist: int,
    file: Path,
    found: PairScores,
) -> None:
    block = _score_block(ranker, rows, diseases, shortlist)
    layers = [block.treats, *([] if block.not_treat is None else [block.not_treat]), block.whole.astype(np.float32)]
    with atomic_path(file) as temporary, temporary.open("wb") as out:
        np.save(out, np.stack(layers), allow_pickle=False)
    _put(found, diseases, block)


def _score_block(
    ranker: Ranker,
    rows: Float32[np.ndarray, "drugs block features"],
    diseases: Int[np.ndarray, " block"],
    shortlist: int,
) -> _Block:
    num_drugs, count, _ = rows.shape
    first, harms = _first_pass(ranker, rows, diseases)
    whole = np.zeros((count, num_drugs), bool)
    best = np.argpartition(-first, min(shortlist, num_drugs) - 1, axis=1)[:, :shortlist]
    np.put_along_axis(whole, best, values=np.True_, axis=1)
    place, drug = np.nonzero(whole)
    scores = ranker.score(rows[drug, place], np.stack([drug, diseases[place]], axis=1))
    first[place, drug] = scores[:, 0]
    if harms is not None:
        harms[place, drug] = scores[:, 1]
    return _Block(first, harms, whole)


def _first_pass(
    ranker: Ranker, rows: Float32[np.ndarray, "drugs block features"], diseases: Int[np.ndarray, " block"]
) -> tuple[Float32[np.ndarray, "block drugs"], Float32[np.ndarray, "block drugs"] | None]:
    """The members but the trees, blended; and the linear model's log-odds of not_treat against unknown."""
    members: dict[str, Float[np.ndarray, "block drugs"]] = {}
    harms = None
    if ranker.linear:
        treats, against = _linear(ranker, rows.reshape(-1, rows.shape[2]), diseases)
        members["linear"] = treats.reshape(rows.shape[:2]).T
        harms = np.ascontiguousarray(against.reshape(rows.shape[:2]).T, np.float32)
    if ranker.bilinear is not None:
        members["bilinear"] = ranker.bilinear.matrix(diseases).T
    if len(ranker.classes) == 2:
        harms = None
    elif harms is None:
        harms = np.zeros((len(diseases), rows.shape[0]), np.float32)
    return np.ascontiguousarray(ranker.blend.without(TREES)(members), np.float32), harms


def _linear(
    ranker: Ranker, rows: Float32[np.ndarray, "pairs features"], diseases: Int[np.ndarray, " block"]
) -> tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """The first linear model's log-odds; the second's of pairs that the first was told are unknown."""
    margins = ranker.linear[0].margins(rows)
    if len(ranker.linear) > 1:
        drug, place = np.divmod(ranker.drawn[0], ranker.num_diseases)
        told = np.isin(place, diseases)
        at = drug[told] * len(diseases) + np.searchsorted(diseases, place[told])
        margins[at] = ranker.linear[1].margins(rows[at])
    return ranker.log_odds(margins)


def _put(found: PairScores, diseases: Int[np.ndarray, " block"], block: _Block) -> None:
    found.treats[:, diseases] = block.treats.T
    if found.not_treat is not None and block.not_treat is not None:
        found.not_treat[:, diseases] = block.not_treat.T
    if found.whole is not None:
        found.whole[:, diseases] = block.whole.T


def _read(file: Path, *, three: bool) -> _Block:
    layers = np.load(file, allow_pickle=False)
    return _Block(layers[0], layers[1] if three else None, layers[-1] > 0)


def _fingerprint(ranker: Ranker, features: PairFeatures, shortlist: int, size: int) -> str:
    """What the scores of a block hang on: the ranker with every model, and the facts behind the features."""
    told = hashlib.sha256()
    described = [ranker.settings.model_dump_json(), ranker.nodes_sha256, ranker.classes, ranker.class_weights]
    blend = asdict(ranker.blend)
    told.update(json.dumps([*described, blend, list(features.names), shortlist, size]).encode())
    for array in _arrays(ranker, features):
        told.update(np.ascontiguousarray(array).tobytes())
    for booster in ranker.boosters:
        told.update(bytes(booster.save_raw("ubj")))
    return told.hexdigest()[:16]


def _arrays(ranker: Ranker, features: PairFeatures) -> Iterator[np.ndarray]:
    yield from (ranker.scale.means, ranker.drawn, features.drug_side, features.disease_side)
    for model in ranker.linear:
        yield from vars(model).values()
    if ranker.bilinear is not None:
        yield from (ranker.bilinear.drugs, ranker.bilinear.diseases, np.array(ranker.bilinear.deviation))
        if ranker.bilinear.even is not None:
            yield from (ranker.bilinear.even.means, ranker.bilinear.even.deviations)
    yield from (features.drug_factors, features.disease_factors)
    if features.decoder is not None:
        yield features.decoder
    for like in (*features.drug_similarities, *features.disease_similarities):
        yield from (like.cosine, like.column, like.usable)
    steps = {**features.steps, **features.by_fold[None].steps}
    for matrix in steps.values():
        yield from (matrix.indptr, matrix.indices)
