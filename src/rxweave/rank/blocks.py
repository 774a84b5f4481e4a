"""The features of drug–disease pairs, a block of diseases at a time, so that memory stays bounded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int

from rxweave.graph.pairs import End, Pairs
from rxweave.rank.folds import FoldFacts, PairFolds
from rxweave.rank.neighbours import Similarity, summarise
from rxweave.rank.paths import Metapath, Step, pair_counts, path_counts, scaled

BLOCK_BYTES = 128 * 2**20
"""Size of the feature array of one block of diseases, unless one disease alone needs more."""

PATH_DISEASES = 256
"""Diseases at once where paths are counted for a list of pairs."""


@dataclass(frozen=True, eq=False)
class PairFeatures:
    """Features of any drug–disease pair of one graph, worked out by blocks of diseases.

    `block` gives all drugs × some diseases, `training_rows` and `scoring_rows` a list of pairs; all give the
    columns `names`. Missing values are NaN, which XGBoost sends down the branch it learned for them.
    """

    names: tuple[str, ...]
    num_fixed: int
    """The first columns are the same in every fold."""
    drug_side: Float32[np.ndarray, "drugs _"]
    """Columns that depend on the drug alone; `disease_side` likewise."""
    disease_side: Float32[np.ndarray, "diseases _"]
    drug_factors: Float32[np.ndarray, "drugs _"]
    """Columns that are a product of a number of the drug and one of the disease."""
    disease_factors: Float32[np.ndarray, "diseases _"]
    decoder: Float32[np.ndarray, "drugs diseases"] | None
    """A column that is known for each pair; None: no such column."""
    steps: dict[Step, sp.csr_array]
    """Damped matrices of the steps that do not join drugs and diseases."""
    fixed_paths: tuple[tuple[Metapath, float], ...]
    """Metapaths of such steps only, each with its mean count."""
    varying_paths: tuple[tuple[Metapath, float], ...]
    drug_similarities: tuple[Similarity, ...]
    """Each gives three columns: how like the drug is to the drugs known for the disease."""
    disease_similarities: tuple[Similarity, ...]
    """The same the other way round: how like the disease is to the diseases that the drug is known for."""
    counted: tuple[End, ...]
    """Whose degrees are columns."""
    folds: PairFolds
    by_fold: dict[int | None, FoldFacts]
    """Key None: all facts, for scoring."""

    @property
    def num_drugs(self) -> int:
        return len(self.drug_side)

    @property
    def num_diseases(self) -> int:
        return len(self.disease_side)

    @property
    def block_size(self) -> int:
        """Number of diseases in a block that keeps its feature array within BLOCK_BYTES."""
        return max(1, BLOCK_BYTES // (4 * self.num_drugs * len(self.names)))

    def block(
        self, diseases: Int[np.ndarray, " block"], *, buffer: Float32[np.ndarray, " _"] | None = None
    ) -> Float32[np.ndarray, "drugs block features"]:
        """Give the features of every drug with each of these diseases, for scoring.

        `buffer`, at least as long as the result, is overwritten and holds it: getting fresh memory
        for every block takes about a third of the time.
        """
        shape = (self.num_drugs, len(diseases), len(self.names))
        out = np.empty(shape, np.float32) if buffer is None else buffer[: math.prod(shape)].reshape(shape)
        everyone = np.arange(self.num_drugs)
        self._fill_fixed(out[:, :, : self.num_fixed], everyone, diseases)
        self._fill_varying(out[:, :, self.num_fixed :], everyone, diseases, None)
        return out

    def training_rows(self, pairs: Pairs, *, block_size: int | None = None) -> Float32[np.ndarray, "rows features"]:
        """Give the features of pairs to learn from: each without the drug–disease facts of its own fold."""
        return self._rows(pairs, self.folds.of(pairs), block_size or self.block_size)

    def scoring_rows(self, pairs: Pairs, *, block_size: int | None = None) -> Float32[np.ndarray, "rows features"]:
        """Give the features of pairs to be scored, from all training facts; never learn from these."""
        return self._rows(pairs, None, block_size or self.block_size)

    def _rows(
        self, pairs: Pairs, folds: Int[np.ndarray, " rows"] | None, size: int
    ) -> Float32[np.ndarray, "rows features"]:
        out = np.empty((len(pairs), len(self.names)), np.float32)
        known_at, end = self.num_fixed, len(self.names)
        paths_at = known_at - len(self.fixed_paths), end - len(self.varying_paths)
        for diseases, here in _by_disease(pairs, size):
            self._fill_rows(out[:, : paths_at[0]], pairs, here, diseases, self._fill_sides)
            for fold, mine in _by_fold(folds, here):
                fill = partial(self._fill_known, fold=fold)
                self._fill_rows(out[:, known_at : paths_at[1]], pairs, mine, diseases, fill)
        # Paths for the pairs alone: the more diseases at once, the fewer times their common ends are worked out.
        for diseases, here in _by_disease(pairs, max(size, PATH_DISEASES)):
            self._fill_pair_paths(out[:, paths_at[0] : known_at], pairs, here, diseases, self.steps, self.fixed_paths)
            for fold, mine in _by_fold(folds, here):
                steps = {**self.steps, **self.by_fold[fold].steps}
                self._fill_pair_paths(out[:, paths_at[1] :], pairs, mine, diseases, steps, self.varying_paths)
        return out

    def _fill_pair_paths(
        self,
        out: Float32[np.ndarray, "rows paths"],
        pairs: Pairs,
        rows: Int[np.ndarray, " some"],
        diseases: Int[np.ndarray, " block"],
        steps: dict[Step, sp.csr_array],
        paths: tuple[tuple[Metapath, float], ...],
    ) -> None:
        place = np.searchsorted(diseases, pairs[rows, 1])
        counts = pair_counts(steps, [path for path, _ in paths], diseases, pairs[rows, 0], place)
        for column, (_, mean) in enumerate(paths):
            out[rows, column] = scaled(counts[:, column], mean)

    def _fill_rows(
        self,
        out: Float32[np.ndarray, "rows columns"],
        pairs: Pairs,
        rows: Int[np.ndarray, " some"],
        diseases: Int[np.ndarray, " block"],
        fill: Callable[..., None],
    ) -> None:
        """Fill these rows by way of a block of their drugs × their diseases."""
        drugs, drug_place = np.unique(pairs[rows, 0], return_inverse=True)
        block = np.empty((len(drugs), len(diseases), out.shape[1]), np.float32)
        fill(block, drugs, diseases)
        out[rows] = block[drug_place, np.searchsorted(diseases, pairs[rows, 1])]

    def _fill_fixed(
        self,
        out: Float32[np.ndarray, "drugs block fixed"],
        drugs: Int[np.ndarray, " drugs"],
        diseases: Int[np.ndarray, " block"],
    ) -> None:
        paths_at = out.shape[2] - len(self.fixed_paths)
        self._fill_sides(out[:, :, :paths_at], drugs, diseases)
        self._fill_paths(out[:, :, paths_at:], self.steps, self.fixed_paths, drugs, diseases)

    def _fill_sides(
        self,
        out: Float32[np.ndarray, "drugs block columns"],
        drugs: Int[np.ndarray, " drugs"],
        diseases: Int[np.ndarray, " block"],
    ) -> None:
        sizes = [part.shape[1] for part in (self.drug_side, self.disease_side, self.drug_factors)]
        drug_side, disease_side, products, decoder = np.split(out, np.cumsum(sizes), axis=2)
        drug_side[:] = self.drug_side[drugs, None]
        disease_side[:] = self.disease_side[diseases]
        np.multiply(self.drug_factors[drugs, None], self.disease_factors[diseases], out=products)
        if self.decoder is not None:
            decoder[:, :, 0] = self.decoder[np.ix_(drugs, diseases)]

    def _fill_varying(
        self,
        out: Float32[np.ndarray, "drugs block varying"],
        drugs: Int[np.ndarray, " drugs"],
        diseases: Int[np.ndarray, " block"],
        fold: int | None,
    ) -> None:
        paths_at = out.shape[2] - len(self.varying_paths)
        self._fill_known(out[:, :, :paths_at], drugs, diseases, fold)
        steps = {**self.steps, **self.by_fold[fold].steps}
        self._fill_paths(out[:, :, paths_at:], steps, self.varying_paths, drugs, diseases)

    def _fill_known(
        self,
        out: Float32[np.ndarray, "drugs block columns"],
        drugs: Int[np.ndarray, " drugs"],
        diseases: Int[np.ndarray, " block"],
        fold: int | None,
    ) -> None:
        facts = self.by_fold[fold]
        at = 0
        if self.drug_similarities:
            treated_by = facts.known[:, diseases].T.tocsr()
            for like in self.drug_similarities:
                out[:, :, at : at + 3] = summarise(like, drugs, treated_by)
                at += 3
        if self.disease_similarities:
            treating = facts.known[drugs]
            for like in self.disease_similarities:
                out[:, :, at : at + 3] = summarise(like, diseases, treating).transpose(1, 0, 2)
                at += 3
        if self.counted:
            for joined in facts.joined.values():
                itself = joined[drugs][:, diseases].toarray()
                of_ends = {"drug": joined.sum(axis=1)[drugs, None], "disease": joined.sum(axis=0)[diseases]}
                for end in self.counted:
                    out[:, :, at] = of_ends[end] - itself
                    at += 1

    def _fill_paths(
        self,
        out: Float32[np.ndarray, "drugs block paths"],
        steps: dict[Step, sp.csr_array],
        paths: tuple[tuple[Metapath, float], ...],
        drugs: Int[np.ndarray, " drugs"],
        diseases: Int[np.ndarray, " block"],
    ) -> None:
        some = drugs if len(drugs) < self.num_drugs else None
        counts = path_counts(steps, [path for path, _ in paths], diseases, some)
        for column, ((_, mean), count) in enumerate(zip(paths, counts, strict=True)):
            out[:, :, column] = scaled(count, mean)


def _by_disease(pairs: Pairs, size: int) -> Iterator[tuple[Int[np.ndarray, " block"], Int[np.ndarray, " rows"]]]:
    """Give `size` of the pairs' diseases at a time, ascending, and the rows of their pairs."""
    order = np.argsort(pairs[:, 1], kind="stable")
    wanted, first = np.unique(pairs[order, 1], return_index=True)
    bounds = np.append(first, len(pairs))
    for start in range(0, len(wanted), size):
        diseases = wanted[start : start + size]
        yield diseases, order[bounds[start] : bounds[start + len(diseases)]]


def _by_fold(
    folds: Int[np.ndarray, " rows"] | None, here: Int[np.ndarray, " some"]
) -> Iterator[tuple[int | None, Int[np.ndarray, " mine"]]]:
    """Give the rows of each fold among these; without folds all of them, as of none."""
    if folds is None:
        yield None, here
        return
    for fold in np.unique(folds[here]).tolist():
        yield fold, here[folds[here] == fold]
