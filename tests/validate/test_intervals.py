from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, sem

from rxweave.validate.geometry import components_for, measure_spread
from rxweave.validate.intervals import bootstrap_mean, bootstrap_ratio, half_samples, share_interval, spread_intervals


def test_the_interval_of_a_mean_agrees_with_scipy(rng: np.random.Generator) -> None:
    values = rng.gamma(2.0, size=150)
    ours = bootstrap_mean(values, rng)
    theirs = bootstrap((values,), np.mean, method="percentile", rng=1).confidence_interval
    assert ours == pytest.approx(tuple(theirs), abs=0.06)


def test_the_interval_of_a_ratio_holds_the_true_ratio_about_as_often_as_it_says(rng: np.random.Generator) -> None:
    held = 0
    for _ in range(100):
        below = rng.gamma(3.0, size=80)
        low, high = bootstrap_ratio(below * rng.normal(0.7, 0.3, size=80), below, rng)
        held += low <= 0.7 <= high
    assert 86 <= held <= 100


@pytest.mark.parametrize(("marked", "num"), [(0, 40), (40, 40), (3, 1000), (17, 23)])
def test_the_interval_of_a_share_agrees_with_scipy(marked: int, num: int) -> None:
    expected = binomtest(marked, num).proportion_ci(method="wilson")
    assert share_interval(marked, num) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_weights_count_a_vector_as_often_as_the_nodes_it_stands_for() -> None:
    vectors = decaying(200, 20, 0)
    vectors[:100] *= 3  # the first half has the larger part of the variance, and stands for few nodes
    weights = np.repeat([0.1, 10.0], 100)
    interval = spread_intervals(vectors.astype(np.float32), np.random.default_rng(0), weights).participation_rank
    value = measure_spread(vectors.astype(np.float32), weights).participation_rank
    alone = measure_spread(vectors.astype(np.float32)).participation_rank
    assert interval[0] <= value <= interval[1]
    assert not interval[0] <= alone <= interval[1] or alone == pytest.approx(value, rel=0.05)


def test_half_samples_give_the_standard_error_of_a_mean(rng: np.random.Generator) -> None:
    values = rng.normal(size=400)
    ((low, high),) = half_samples(
        lambda half: np.array([values[half].mean()]), np.array([values.mean()]), 400, rng, halves=200
    )
    assert (low + high) / 2 == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(1.96 * sem(values), rel=0.15)


def decaying(num: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(num, dim)) * np.arange(1, dim + 1) ** -0.7
    return vectors.astype(np.float32)


@pytest.mark.parametrize(("num", "dim"), [(150, 24), (400, 60), (60, 90)])
def test_spread_intervals_are_as_wide_as_fresh_samples_spread(num: int, dim: int) -> None:
    spreads = [measure_spread(decaying(num, dim, seed)) for seed in range(60)]
    intervals = [spread_intervals(decaying(num, dim, seed), np.random.default_rng(0)) for seed in range(10)]
    half = np.mean([(i.participation_rank[1] - i.participation_rank[0]) / 2 for i in intervals])
    assert half == pytest.approx(1.96 * np.std([s.participation_rank for s in spreads]), rel=0.4)
    half = np.mean([(i.components_90[1] - i.components_90[0]) / 2 for i in intervals])
    assert half == pytest.approx(1.96 * np.std([s.components_90 for s in spreads]), rel=0.6, abs=0.5)


def test_spread_intervals_are_around_the_values_themselves() -> None:
    vectors = decaying(300, 40, 0)
    spread, intervals = measure_spread(vectors), spread_intervals(vectors, np.random.default_rng(0))
    for name in ("components_90", "components_95", "participation_rank"):
        low, high = getattr(intervals, name)
        assert low <= getattr(spread, name) <= high
    assert intervals.components_90[0] > components_for(spread.singular_values, 0.8)


@pytest.mark.parametrize("vectors", [np.ones((2, 4)), np.zeros((30, 4)), np.full((30, 4), 0.1), np.ones((0, 4))])
def test_too_few_vectors_and_one_point_have_no_interval(vectors: np.ndarray, rng: np.random.Generator) -> None:
    assert np.isnan(spread_intervals(vectors.astype(np.float32), rng).participation_rank).all()
    assert np.isnan(bootstrap_mean(np.ones(2), rng)).all()
    assert np.isnan(bootstrap_ratio(np.ones(9), np.zeros(9), rng)).all()
    assert np.isnan(half_samples(lambda half: np.ones(1), np.ones(1), 5, rng)[0]).all()


def test_the_same_generator_gives_the_same_interval() -> None:
    values = np.arange(50.0)
    assert bootstrap_mean(values, np.random.default_rng(3)) == bootstrap_mean(values, np.random.default_rng(3))
