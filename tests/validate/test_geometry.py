from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

from rxweave.embed.spectrum import effective_rank
from rxweave.validate.geometry import (
    components_for,
    mean_cosine,
    mean_cosine_interval,
    measure_cosines,
    measure_spread,
    participation_rank,
    rankme_interval,
)


def decaying(num: int, dim: int, *, seed: int = 0, power: float = 0.7, offset: float = 0.2) -> np.ndarray:
    scale = np.arange(1, dim + 1) ** -power
    vectors = np.random.default_rng(seed).normal(size=(num, dim)) * scale + offset
    return vectors.astype(np.float32)


def test_orthonormal_rows_have_cosine_0_and_full_rank() -> None:
    vectors = np.eye(6, 9, dtype=np.float32)
    cosines, spread = measure_cosines(vectors), measure_spread(vectors)
    assert cosines.mean == pytest.approx(0, abs=1e-12)
    assert spread.rankme == pytest.approx(6)
    # Six corners of a regular simplex: five equal directions, and centred corners at cosine −1/5.
    assert spread.centred_effective_rank == pytest.approx(5)
    assert spread.participation_rank == pytest.approx(5)
    assert cosines.centred_mean == pytest.approx(-1 / 5)
    assert (spread.components_90, spread.components_95) == (5, 5)
    assert spread.real_dimensions == spread.rank_limit == 5
    assert spread.dead_dimensions == 3


def test_identical_rows_have_cosine_1_and_no_spread() -> None:
    # A third is no binary fraction: its mean over 7 rows is rounded, and that noise must not count as spread.
    vectors = np.tile(np.float32([1 / 3, 2 / 3, -0.1]), (7, 1))
    cosines, spread = measure_cosines(vectors), measure_spread(vectors)
    assert cosines.mean == pytest.approx(1)
    assert np.isnan(cosines.centred_mean)
    assert spread.rankme == pytest.approx(1)
    assert spread.centred_effective_rank == spread.participation_rank == 0
    assert spread.components_90 == spread.real_dimensions == 0
    assert spread.dead_dimensions == 3


def test_rounding_around_one_point_is_not_taken_for_spread() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=64) * (1 + 3e-8 * rng.normal(size=(500, 64)))).astype(np.float32)
    assert len(np.unique(vectors, axis=0)) > 1
    assert measure_spread(vectors).components_90 <= 1


def test_hand_computed_spectrum() -> None:
    # Centred already: variances 8, 2 and 0 along the axes.
    vectors = np.float32([[2, 0, 0], [-2, 0, 0], [0, 1, 0], [0, -1, 0]])
    spread = measure_spread(vectors)
    assert spread.singular_values == pytest.approx([np.sqrt(8), np.sqrt(2), 0])
    assert (spread.components_90, components_for(spread.singular_values, 0.8)) == (2, 1)
    assert spread.participation_rank == pytest.approx(100 / 68)
    # Shares 2/3 and 1/3: exp(ln 3 − 2/3 ln 2).
    assert spread.rankme == pytest.approx(3 / 2 ** (2 / 3))
    # Pairs: two at −1, four at 0.
    assert measure_cosines(vectors).mean == pytest.approx(-2 / 6)


@pytest.mark.parametrize(("num", "dim"), [(40, 90), (200, 30), (60, 60)])
def test_components_and_singular_values_agree_with_scikit_learn(num: int, dim: int) -> None:
    vectors = decaying(num, dim)
    spread = measure_spread(vectors)
    pca = PCA(svd_solver="full").fit(vectors.astype(np.float64))
    found = len(pca.singular_values_)
    assert spread.singular_values[:found] == pytest.approx(pca.singular_values_, rel=1e-6, abs=1e-6)
    for share, components in ((0.90, spread.components_90), (0.95, spread.components_95)):
        assert components == np.argmax(np.cumsum(pca.explained_variance_ratio_) >= share) + 1


def test_cosines_agree_with_scikit_learn() -> None:
    vectors = decaying(120, 20)
    pairs = np.triu_indices(120, 1)
    cosine = cosine_similarity(vectors.astype(np.float64))[pairs]
    centred = cosine_similarity(vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64))[pairs]
    got = measure_cosines(vectors)
    assert got.mean == pytest.approx(cosine.mean(), abs=1e-10)
    assert got.centred_mean == pytest.approx(centred.mean(), abs=1e-10)
    assert got.p95 == pytest.approx(np.quantile(cosine, 0.95), abs=1e-5)


@pytest.mark.parametrize(("num", "dim"), [(40, 90), (200, 30)])
def test_rankme_agrees_with_a_singular_value_decomposition(num: int, dim: int) -> None:
    vectors = decaying(num, dim)
    assert measure_spread(vectors).rankme == pytest.approx(effective_rank(vectors), rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 40), st.integers(2, 20), st.integers(0, 10_000), st.floats(0.01, 100))
def test_rotation_and_scale_change_no_measure(num: int, dim: int, seed: int, scale: float) -> None:
    vectors = decaying(num, dim, seed=seed)
    turn = ortho_group.rvs(dim, random_state=seed)
    turned = (scale * vectors.astype(np.float64) @ turn).astype(np.float32)
    for one, other in (
        (measure_cosines(vectors), measure_cosines(turned)),
        (measure_spread(vectors), measure_spread(turned)),
    ):
        for name in ("mean", "centred_mean", "p95", "rankme", "centred_effective_rank", "participation_rank"):
            if hasattr(one, name):
                assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-3, abs=1e-4), name


def test_weights_count_like_copies() -> None:
    vectors = decaying(9, 5)
    copies = np.arange(1, 10)
    weighted = measure_spread(vectors, copies.astype(np.float64))
    repeated = measure_spread(np.repeat(vectors, copies, axis=0))
    assert weighted.singular_values == pytest.approx(repeated.singular_values[:5], rel=1e-6)
    assert weighted.rankme == pytest.approx(repeated.rankme)
    assert weighted.components_90 == repeated.components_90


def test_zero_vectors_have_no_direction() -> None:
    vectors = np.float32([[1, 0], [0, 0], [0, 0], [1, 1]])
    assert measure_cosines(vectors).mean == pytest.approx(np.sqrt(0.5))
    nothing = np.zeros((5, 3), np.float32)
    assert np.isnan(measure_cosines(nothing).mean)
    assert measure_spread(nothing).rankme == 0


@pytest.mark.parametrize("num", [0, 1, 2])
def test_too_few_vectors_give_undefined_measures_not_errors(num: int) -> None:
    vectors = np.ones((num, 3), np.float32)
    assert measure_spread(vectors).rank_limit == max(num - 1, 0)
    assert np.isnan(measure_cosines(vectors).mean) == (num < 2)
    assert np.isnan(mean_cosine_interval(vectors)).all()
    assert np.isnan(rankme_interval(vectors)).all()


def test_lengths_beyond_the_square_root_of_float32_do_not_overflow() -> None:
    vectors = decaying(20, 4)
    expected = measure_cosines(vectors)
    for scale in (1e25, 1e-30):
        got = measure_cosines((vectors * np.float32(scale)).astype(np.float32))
        assert got.mean == pytest.approx(expected.mean, rel=1e-5)


def test_dimensions_a_narrow_layer_cannot_reach_are_not_real() -> None:
    rng = np.random.default_rng(0)
    narrow = rng.normal(size=(400, 12)) @ rng.normal(size=(12, 24)) + rng.normal(size=24)
    rounded = narrow * (1 + 3e-6 * rng.normal(size=narrow.shape))
    spread = measure_spread(rounded.astype(np.float32))
    assert spread.singular_values[12] > 0
    assert spread.real_dimensions == 12


def test_mean_cosine_interval_agrees_with_leaving_out_each_node() -> None:
    vectors = decaying(30, 6)
    left_out = np.array([mean_cosine(np.delete(vectors, i, 0).astype(np.float64)) for i in range(30)])
    error = np.sqrt(29 / 30 * ((left_out - left_out.mean()) ** 2).sum())
    low, high = mean_cosine_interval(vectors)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=1e-6)
    assert (high + low) / 2 == pytest.approx(measure_cosines(vectors).mean)


@pytest.mark.parametrize(("num", "dim"), [(60, 90), (150, 24)])
def test_intervals_hold_the_spread_of_fresh_samples(num: int, dim: int) -> None:
    samples = [decaying(num, dim, seed=seed) for seed in range(60)]
    for measured, intervals in (
        ([measure_spread(sample).rankme for sample in samples], [rankme_interval(s) for s in samples]),
        ([measure_cosines(sample).mean for sample in samples], [mean_cosine_interval(s) for s in samples]),
    ):
        half_widths = [(high - low) / 2 for low, high in intervals]
        assert np.mean(half_widths) == pytest.approx(1.96 * np.std(measured), rel=0.4)
        assert all(low <= value <= high for value, (low, high) in zip(measured, intervals, strict=True))


def test_participation_rank_counts_equal_variances() -> None:
    assert participation_rank(np.array([2.0, 2.0, 2.0, 0.0])) == pytest.approx(3)
    assert participation_rank(np.zeros(3)) == 0


def isoscore_step_by_step(vectors: np.ndarray) -> float:
    """Rudman et al. 2022, algorithm 1, as printed."""
    n = vectors.shape[1]
    turned = PCA(n_components=n).fit_transform(vectors.astype(np.float64))
    variance = np.diag(np.cov(turned.T))
    scaled = np.sqrt(n) * variance / np.linalg.norm(variance)
    defect = np.linalg.norm(scaled - 1) / np.sqrt(2 * (n - np.sqrt(n)))
    phi = (n - defect**2 * (n - np.sqrt(n))) ** 2 / n**2
    return (n * phi - 1) / (n - 1)


@pytest.mark.parametrize("power", [0.0, 0.5, 2.0])
def test_isoscore_is_that_of_the_published_steps(power: float) -> None:
    vectors = decaying(300, 12, power=power)
    assert measure_spread(vectors).isoscore == pytest.approx(isoscore_step_by_step(vectors), abs=1e-9)


def test_isoscore_of_hand_cases() -> None:
    assert measure_spread(np.float32([[1, 0], [-1, 0], [0, 1], [0, -1]])).isoscore == pytest.approx(1)
    assert measure_spread(np.float32([[1, 0], [-1, 0], [2, 0]])).isoscore == pytest.approx(0)
    # Variances 3, 1, 0: (3 + 1)² / (9 + 1) = 1.6 directions, (1.6 − 1) / 2.
    root = np.sqrt(3)
    three = np.float32([[root, 0, 0], [-root, 0, 0], [0, 1, 0], [0, -1, 0]])
    assert measure_spread(three).isoscore == pytest.approx(0.3)
    assert np.isnan(measure_spread(np.ones((4, 1), np.float32)).isoscore)


def test_the_common_mean_holds_its_share() -> None:
    vectors = np.random.default_rng(0).normal(size=(4000, 10))
    assert measure_spread(vectors.astype(np.float32)).common_mean_share == pytest.approx(0, abs=0.01)
    # An offset of 3 against a mean squared length of 10: 9 / 19.
    vectors[:, 0] += 3
    assert measure_spread(vectors.astype(np.float32)).common_mean_share == pytest.approx(9 / 19, abs=0.01)
    assert measure_spread(np.ones((5, 2), np.float32)).common_mean_share == pytest.approx(1)
    assert np.isnan(measure_spread(np.zeros((5, 2), np.float32)).common_mean_share)
