"""The top of the whole matrix: how many test pairs it holds, and whether a few drugs or diseases fill it.

The questions are those of Every Cure's MATRIX pipeline (2026): Recall@n over all pairs, entropy of drugs and of
diseases among the top n ("frequent flyers" make it low), and the recall of known negatives, of which less is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from rxweave.errors import InputError
from rxweave.graph.filtered_ranks import values_at
from rxweave.graph.pairs import Pairs

TOPS = (100, 1_000, 10_000, 100_000)
"""Lengths of the top; those longer than the matrix are left out."""


@dataclass(frozen=True)
class TopOfMatrix:
    """The `n` best pairs of the whole matrix that training and validation do not know."""

    n: int
    recall: float
    """Share of the test pairs among them."""
    negatives_recall: float | None
    """Share of the known negatives (contraindications) among them, less being better; None where there are none."""
    drug_entropy: float
    """Entropy of the drugs among them: 0 when all are of one drug, 1 when they are as even as n pairs can be."""
    disease_entropy: float


@dataclass(frozen=True)
class Top:
    """Which scores are among the n best: those above `threshold`, and this share of those that equal it."""

    threshold: float
    share: float

    def weights(self, values: Float[np.ndarray, ...]) -> Float32[np.ndarray, ...]:
        """Give the probability that each is among the n best, ties being drawn."""
        inside: Float32[np.ndarray, ...] = np.float32(self.share) * (values == self.threshold)
        inside += values > self.threshold
        return inside


def top_of_matrix(
    scores: Float[np.ndarray, "drugs diseases"],
    test: Pairs,
    before_test: Pairs,
    negatives: Pairs | None = None,
    *,
    tops: Sequence[int] = TOPS,
) -> tuple[TopOfMatrix, ...]:
    """Give the measures of the top n for each n that the matrix has pairs for.

    `before_test` are the pairs of training and validation (`Split.before_test`), which are no candidates; the test
    pairs are. `negatives` are known not to be treatments; those among `before_test` or `test` do not count. Of tied
    scores at the edge of the top each counts by its chance to be drawn, so a constant matrix gains nothing. Raises
    InputError without test pairs.
    """
    if not len(test):
        raise InputError("There are no test pairs to look for. Make a split with a test part.")
    open_scores = candidates(scores, before_test)
    if negatives is not None:
        label = np.zeros(scores.shape, bool)
        label[tuple(negatives.T)] = True
        label[tuple(np.concatenate([before_test, test]).T)] = False
        negatives = np.argwhere(label)
    asked = values_at(scores, test)
    found = []
    for n, top in zip(*find_tops(open_scores, tops), strict=True):
        inside = top.weights(open_scores)
        found.append(
            TopOfMatrix(
                n,
                float(top.weights(asked).mean()),
                None
                if negatives is None or not len(negatives)
                else float(top.weights(values_at(scores, negatives)).mean()),
                evenness(inside.sum(axis=1, dtype=np.float64), n),
                evenness(inside.sum(axis=0, dtype=np.float64), n),
            )
        )
    return tuple(found)


def candidates(scores: Float[np.ndarray, "drugs diseases"], known: Pairs) -> Float32[np.ndarray, "drugs diseases"]:
    """Give the scores with NaN for the known pairs."""
    kept = np.array(scores, np.float32)
    kept[tuple(known.T)] = np.nan
    return kept


def find_tops(open_scores: Float32[np.ndarray, "drugs diseases"], tops: Sequence[int]) -> tuple[list[int], list[Top]]:
    """Give the lengths that there are pairs for, and the edge of each; NaN is no candidate."""
    num_open = int(np.count_nonzero(~np.isnan(open_scores)))
    lengths = [n for n in tops if n <= num_open]
    # NaN is sorted last, so the n-th smallest of the negatives is the n-th largest score.
    ordered = np.partition(-open_scores, [n - 1 for n in lengths], axis=None) if lengths else np.empty(0)
    found = []
    for n in lengths:
        threshold = float(-ordered[n - 1])
        above, level = (int(np.count_nonzero(hit)) for hit in (open_scores > threshold, open_scores == threshold))
        found.append(Top(threshold, (n - above) / level))
    return lengths, found


def evenness(counts: Float[np.ndarray, " nodes"] | Int[np.ndarray, " nodes"], n: int) -> float:
    """Give the entropy of the counts, of which n are to be shared out, over that of the most even ones: 0 to 1.

    1 where there is no choice. `counts` has an entry for every node, also for those that got none.
    """
    most = np.log(min(n, len(counts)))
    share = counts[counts > 0] / counts.sum()
    # Counts of tied pairs are shared out, and so can be more even than n whole pairs.
    return min(1.0, float(-(share * np.log(share)).sum() / most)) if most > 0 else 1.0
