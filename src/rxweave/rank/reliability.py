"""Do probabilities mean what they say? Predicted against observed, on held-out pairs that calibration has not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.filtered_ranks import values_at
from rxweave.graph.pairs import Pairs
from rxweave.graph.split import Split
from rxweave.rank.model import Ranker
from rxweave.rank.negatives import contraindicated_pairs, uniform_negatives

BINS = 15
"""Equal-mass bins of the expected calibration error: as many as Guo et al. (2017) use."""
CURVE_BINS = 10
"""Bins of equal width of the curve: most pairs are hopeless, so equal-mass bins show little but zero."""
LIKELY = 0.1
"""Probability from which on a pair is looked at by itself: below it lie the hopeless ones, which are easy."""


@dataclass(frozen=True)
class Bin:
    """Pairs of like probability."""

    predicted: float
    """Mean probability."""
    observed: float
    """Share that are treatments, with its 95 % interval (Wilson 1927) in `low` and `high`."""
    low: float
    high: float
    pairs: int
    treatments: int


@dataclass(frozen=True)
class Reliability:
    """How far probabilities of treatment hold for the pairs they were measured on."""

    ece: float
    """Expected calibration error over `bins`: mean of |observed − predicted|, each bin weighing by its pairs (Naeini
    et al. 2015; Guo et al. 2017). It counts noise too: even exact probabilities do not give 0."""
    ece_equal_width: float
    """The same over `curve`."""
    ece_likely: float
    """The same over the bins of `curve` from probability LIKELY on, NaN without any: the pairs that someone may act on.
    The error over all pairs cannot be much above twice the share of treatments, however wrong these are."""
    brier: float
    """Mean squared difference of probability and label (Brier 1950)."""
    brier_base_rate: float
    """That of giving every pair the share of treatments: what knowing nothing of the pairs costs."""
    bins: tuple[Bin, ...]
    """BINS bins with as many pairs each, ties together; a bin of equal values only may be larger."""
    curve: tuple[Bin, ...]
    """Those of CURVE_BINS bins of equal width that hold a pair."""
    num_treatments: int
    num_others: int
    negatives_per_positive: int
    """The mix that the probabilities are stated for: so many pairs without a record to one treatment."""
    calibrated_on: int
    """Validation treatments that the calibration was fitted on; 0: scores are used as they are."""


def measure_reliability(
    probability: Float[np.ndarray, " pairs"],
    treated: Bool[np.ndarray, " pairs"],
    *,
    negatives_per_positive: int,
    calibrated_on: int,
) -> Reliability:
    """Hold probabilities, 0 to 1, against which pairs are treatments.

    Raises InputError without pairs of either kind, or for a probability outside 0 to 1.
    """
    positive = int(treated.sum())
    if not 0 < positive < len(treated):
        raise InputError(
            f"Reliability needs treatments and other pairs; got {positive} and {len(treated) - positive}. Hold out "
            "treatments (split.test_fraction)."
        )
    wrong = ~((probability >= 0) & (probability <= 1))
    if wrong.any():
        raise InputError(
            f"{int(wrong.sum())} of {len(probability)} probabilities are not between 0 and 1, first "
            f"{float(probability[wrong][0])}. Pass probabilities, not scores."
        )
    exact = probability.astype(np.float64)
    edges = np.quantile(exact, np.linspace(0, 1, BINS + 1)[1:-1])
    bins = _bins(exact, treated, np.searchsorted(edges, exact))
    curve = _bins(exact, treated, np.searchsorted(np.arange(1, CURVE_BINS) / CURVE_BINS, exact, side="right"))
    rate = positive / len(treated)
    return Reliability(
        ece=_error(bins),
        ece_equal_width=_error(curve),
        ece_likely=_error(tuple(each for each in curve if each.predicted >= LIKELY)),
        brier=float(np.mean((exact - treated) ** 2)),
        brier_base_rate=rate * (1 - rate),
        bins=bins,
        curve=curve,
        num_treatments=positive,
        num_others=len(treated) - positive,
        negatives_per_positive=negatives_per_positive,
        calibrated_on=calibrated_on,
    )


def held_out_reliability(
    ranker: Ranker, scores: Float32[np.ndarray, "drugs diseases"], split: Split, graph: Graph, *, seed: int
) -> Reliability | None:
    """Give the reliability of a ranker's probabilities on the test treatments and pairs drawn beside them.

    `scores` are those of all pairs (`matrix.PairScores.treats`), `graph` the training graph. None when there are no
    other pairs to draw.
    """
    ratio = ranker.settings.negatives_per_positive
    pairs, treated = held_out_pairs(split, graph, ratio=ratio, rng=np.random.default_rng(seed))
    if treated.all():
        return None
    return measure_reliability(
        ranker.calibration.probability(values_at(scores, pairs)),
        treated,
        negatives_per_positive=ratio,
        calibrated_on=ranker.calibration.num_treatments,
    )


def held_out_pairs(
    split: Split, graph: Graph, *, ratio: int, rng: np.random.Generator
) -> tuple[Pairs, Bool[np.ndarray, " pairs"]]:
    """Give the test treatments with `ratio` pairs for each that no part of the split knows, and which are treatments.

    Contraindicated pairs are not drawn: the mix is that of calibration, treatments and pairs without a record.
    """
    drawn = uniform_negatives(
        split.test,
        num_drugs=graph.num_of(graph.roles.drug),
        num_diseases=graph.num_of(graph.roles.disease),
        ratio=ratio,
        forbidden=np.concatenate([split.known, contraindicated_pairs(graph)]),
        rng=rng,
    )
    return np.concatenate([split.test, drawn]), np.arange(len(split.test) + len(drawn)) < len(split.test)


def _bins(
    probability: Float[np.ndarray, " pairs"], treated: Bool[np.ndarray, " pairs"], which: Int[np.ndarray, " pairs"]
) -> tuple[Bin, ...]:
    """The bins that hold a pair, lowest first."""
    pairs, treatments = np.bincount(which), np.bincount(which, treated)
    predicted = np.bincount(which, probability) / np.maximum(pairs, 1)
    found = []
    for b in np.flatnonzero(pairs).tolist():
        low, high = wilson(int(treatments[b]), int(pairs[b]))
        share = float(treatments[b] / pairs[b])
        found.append(Bin(float(predicted[b]), share, low, high, int(pairs[b]), int(treatments[b])))
    return tuple(found)


def _error(bins: tuple[Bin, ...]) -> float:
    gaps = sum(each.pairs * abs(each.observed - each.predicted) for each in bins)
    return gaps / sum(each.pairs for each in bins) if bins else math.nan


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Give the 95 % interval of a share (Wilson 1927)."""
    z = 1.959963984540054
    share, spread = successes / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    reach = z * np.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    # At the two ends the formula gives 0 and 1 up to rounding.
    low = 0.0 if successes == 0 else float(middle - reach)
    return low, 1.0 if successes == trials else float(middle + reach)
