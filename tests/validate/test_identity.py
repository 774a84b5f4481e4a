from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict

from rxweave.graph.build import Graph
from rxweave.validate.identity import EdgeCounts, edge_share


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_linear_image_of_the_numbers_is_foretold_and_noise_is_not() -> None:
    rng = generator()
    numbers = rng.normal(size=(300, 12)).astype(np.float32)
    image = (numbers @ rng.normal(size=(12, 40))).astype(np.float32)
    assert edge_share(image, numbers, rng).value > 0.99
    noise = edge_share(rng.normal(size=(300, 40)).astype(np.float32), numbers, rng)
    assert -0.1 < noise.value < 0.01
    half = edge_share((image + np.sqrt(12) * rng.normal(size=image.shape)).astype(np.float32), numbers, rng)
    assert half.value == pytest.approx(0.5, abs=0.06)
    assert half.interval[0] < half.value < half.interval[1]


def test_it_agrees_with_ridge_regression_of_scikit_learn() -> None:
    rng = generator()
    numbers = rng.normal(size=(200, 8)).astype(np.float32)
    vectors = (numbers @ rng.normal(size=(8, 10)) + rng.normal(size=(200, 10))).astype(np.float32)
    scaled = (numbers - numbers.mean(0)) / numbers.std(0)
    guess = cross_val_predict(Ridge(alpha=0.01 * 160), scaled, vectors, cv=5)
    expected = r2_score(vectors, guess, multioutput="variance_weighted")
    assert edge_share(vectors, numbers, rng).value == pytest.approx(expected, abs=0.02)


def test_rotation_and_scale_do_not_change_it() -> None:
    rng = generator()
    numbers = rng.normal(size=(120, 5)).astype(np.float32)
    vectors = (numbers @ rng.normal(size=(5, 16)) + rng.normal(size=(120, 16))).astype(np.float32)
    turned = (30 * vectors @ ortho_group.rvs(16, random_state=0)).astype(np.float32)
    assert edge_share(turned, numbers, generator()).value == pytest.approx(
        edge_share(vectors, numbers, generator()).value, abs=1e-4
    )


def test_few_nodes_one_point_and_no_numbers_are_undefined() -> None:
    rng = generator()
    numbers = rng.normal(size=(60, 3)).astype(np.float32)
    vectors = rng.normal(size=(60, 4)).astype(np.float32)
    assert np.isnan(edge_share(vectors[:49], numbers[:49], rng).value)
    assert np.isnan(edge_share(np.ones((60, 4), np.float32), numbers, rng).value)
    assert np.isnan(edge_share(vectors, numbers[:, :0], rng).value)


def test_edge_counts_are_those_of_the_graph(small_graph: Graph) -> None:
    counts = EdgeCounts(small_graph)
    kinds = sum(1 if relation.symmetric else 2 for relation in small_graph.relations)
    assert counts.counts.shape == (small_graph.num_nodes, kinds)
    loops = sum(int((source == target).sum()) for source, target in small_graph.facts)
    assert loops == 0
    assert (counts.counts.sum(axis=1) == small_graph.degrees).all()


def test_nodes_with_the_same_numbers_of_edges_all_around_get_the_same_numbers(small_graph: Graph) -> None:
    rows = np.arange(small_graph.num_nodes)[small_graph.rows_of("pathway")]
    numbers = EdgeCounts(small_graph).of_rows(rows)
    assert numbers.shape[0] == len(rows)
    assert np.isfinite(numbers).all()
    # Pathways meet genes only: their own kind, and what their genes meet.
    one_kind = EdgeCounts(small_graph).counts[rows]
    assert (np.count_nonzero(one_kind, axis=1) == 1).all()
    assert numbers.shape[1] > 1
