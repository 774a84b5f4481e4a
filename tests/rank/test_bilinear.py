"""The bilinear member against kernel ridge regression on all pairs, written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from pair_graphs import random_graph, vectors_of
from sklearn.kernel_ridge import KernelRidge

from rxweave.graph.pairs import End
from rxweave.rank import bilinear
from rxweave.rank.bilinear import Bilinear, extended, fit_bilinear, side_vectors, strongest_directions


def sides_of(num_drugs: int, num_diseases: int, dims: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return tuple(
        rng.normal(size=(n, d)).astype(np.float32) for n, d in zip((num_drugs, num_diseases), dims, strict=True)
    )


TREATED = np.array([[0, 0], [1, 2], [3, 1], [3, 4]])


@pytest.mark.parametrize("dims", [(3, 2), (2, 4), (9, 3), (9, 9)])
def test_the_values_are_those_of_kernel_ridge_regression_on_every_pair(dims: tuple[int, int]) -> None:
    a, b = sides_of(7, 6, dims)
    kernel = np.kron(a @ a.T, b @ b.T).astype(np.float64)
    truth = np.zeros((7, 6))
    truth[TREATED[:, 0], TREATED[:, 1]] = 1
    expected = KernelRidge(alpha=0.7, kernel="precomputed").fit(kernel, truth.ravel()).predict(kernel).reshape(7, 6)
    fitted = fit_bilinear((a, b), TREATED, penalty=0.7)
    assert fitted is not None
    np.testing.assert_allclose(fitted.drugs @ fitted.diseases.T, expected, atol=2e-5)
    assert fitted.deviation == pytest.approx(expected.std(), rel=1e-4)
    pairs = np.stack(np.divmod(np.arange(42), 6), axis=1)
    np.testing.assert_allclose(fitted.scores(pairs), np.arcsinh(expected / expected.std()).ravel(), atol=1e-3)
    np.testing.assert_allclose(
        fitted.matrix(np.array([5, 0])), fitted.scores(pairs).reshape(7, 6)[:, [5, 0]], atol=1e-5
    )


@pytest.mark.parametrize("end", ["drug", "disease"])
def test_values_of_each_node_of_an_end_are_put_on_one_scale_of_their_own(end: End) -> None:
    """The order of a node's values stays; a node that nothing is known of keeps zeros."""
    a, b = sides_of(7, 6, (3, 4))
    a[2], b[5] = 0, 0
    raw, fitted = (fit_bilinear((a, b), TREATED, penalty=0.7, even=even) for even in (None, end))
    assert raw is not None
    assert fitted is not None
    value = (raw.drugs @ raw.diseases.T).astype(np.float64)
    axis = 0 if end == "disease" else 1
    deviation = value.std(axis=axis, keepdims=True)
    deviation[deviation < 1e-9] = 1
    expected = np.arcsinh((value - value.mean(axis=axis, keepdims=True)) / deviation)
    pairs = np.stack(np.divmod(np.arange(42), 6), axis=1)
    np.testing.assert_allclose(fitted.scores(pairs).reshape(7, 6), expected, atol=1e-5)
    np.testing.assert_allclose(fitted.matrix(np.array([5, 0])), expected[:, [5, 0]], atol=1e-5)


def test_without_vectors_or_treatments_there_is_no_such_member() -> None:
    a, b = sides_of(7, 6, (3, 2))
    assert fit_bilinear((a, b[:, :0]), TREATED, penalty=1.0) is None
    assert fit_bilinear((a * 0, b), TREATED, penalty=1.0) is None
    assert fit_bilinear((a, b), TREATED[:0], penalty=1.0) is None


def test_what_it_knows_of_each_end_has_no_drug_disease_fact_in_it() -> None:
    graph = random_graph(0)
    facts = {r: np.zeros(graph.facts[r].shape[1], bool) for r in graph.drug_disease_relations()}
    bare = graph.keep_facts(facts)
    with_them, without = (side_vectors(g, None, ("profiles",), dim=4, seed=0) for g in (graph, bare))
    for one, other in zip(with_them, without, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dense", [0, 1_000], ids=["lanczos", "dense"])
@pytest.mark.parametrize("shape", [(90, 7), (30, 200), (90, 120), (120, 90)])
def test_directions_keep_what_the_strongest_singular_vectors_of_numpy_keep(
    shape: tuple[int, int], dense: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bilinear, "DENSE", dense)
    profile = sp.random_array(shape, density=0.1, rng=np.random.default_rng(5), dtype=np.float32).tocsr()
    found = strongest_directions(profile, 40, seed=3)
    left, singular, _ = np.linalg.svd(profile.toarray().astype(np.float64), full_matrices=False)
    kept = left[:, :40] * singular[:40]
    assert found.shape[1] <= 40
    assert np.allclose(found @ found.T, kept @ kept.T, atol=1e-5)


@pytest.mark.parametrize("dense", [0, 1_000], ids=["lanczos", "dense"])
def test_directions_of_nodes_that_are_all_alike_or_share_nothing(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bilinear, "DENSE", dense)
    for profile in (sp.eye_array(90, 100), sp.csr_array((np.ones(90), (np.arange(90), np.arange(90) % 5)), (90, 100))):
        found = strongest_directions(sp.csr_array(profile), 40, seed=0)
        np.testing.assert_array_equal(found, strongest_directions(sp.csr_array(profile), 40, seed=0))
        strengths = np.linalg.eigvalsh(found.T @ found)[::-1]
        expected = np.linalg.svd(profile.toarray(), compute_uv=False)[:40] ** 2
        assert np.allclose(strengths, expected, atol=1e-8)


def test_profiles_and_embeddings_weigh_alike() -> None:
    graph = random_graph(0)
    vectors = vectors_of(graph)
    drugs, _ = side_vectors(graph, vectors, ("profiles", "embeddings"), dim=500, seed=0)
    alone, _ = side_vectors(graph, vectors, ("embeddings",), dim=500, seed=0)
    profile, _ = side_vectors(graph, vectors, ("profiles",), dim=500, seed=0)
    np.testing.assert_allclose(2 * (drugs @ drugs.T), alone @ alone.T + profile @ profile.T, atol=1e-4)
    lengths = np.linalg.norm(alone, axis=1)
    assert set(np.round(lengths, 4)) <= {0.0, 1.0}


def test_a_new_node_with_the_vectors_of_an_old_one_gets_its_values() -> None:
    a, b = sides_of(12, 6, (5, 4))
    fitted = fit_bilinear((a, b), TREATED, penalty=0.7)
    assert fitted is not None
    alike = a[[3, 0]] @ a.T
    drugs = extended(fitted.drugs, a, alike)
    np.testing.assert_allclose(drugs, fitted.drugs[[3, 0]], atol=1e-4)
    assert isinstance(fitted, Bilinear)
