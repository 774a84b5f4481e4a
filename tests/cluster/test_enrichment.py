"""Enrichment: against Fisher's exact test and the false discovery rates of scipy.stats, and by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from planted import planted
from scipy.stats import false_discovery_control, fisher_exact

from rxweave.cluster.enrichment import benjamini_hochberg, enrich, tail
from rxweave.cluster.terms import Terms, terms_of


def random_terms(rng: np.random.Generator, nodes: int, terms: int, share: float) -> Terms:
    joined = sp.csr_array(rng.random((nodes, terms)) < share, dtype=float)
    names = pl.DataFrame({"node_key": [f"t{i}" for i in range(terms)], "node_name": [f"T {i}" for i in range(terms)]})
    return Terms("drug –hits→ gene", "gene", names, joined, direct=True)


def test_every_p_value_and_rate_is_that_of_scipy(rng: np.random.Generator) -> None:
    terms, labels = random_terms(rng, 90, 12, 0.15), rng.integers(-1, 4, size=90)
    found, num_tests = enrich(labels, np.arange(90), [terms], fdr=1.0, fewest=1)
    described = terms.joined.toarray().any(axis=1)
    joined, own = terms.joined.toarray()[described] > 0, labels[described]
    expected = {}
    for cluster in range(4):
        inside = own == cluster
        for term in range(12):
            counts = [[(joined[side, term] == value).sum() for side in (inside, ~inside)] for value in (True, False)]
            expected[cluster, f"t{term}"] = fisher_exact(counts, alternative="greater").pvalue
    assert num_tests == len(expected)
    rates = dict(zip(expected, false_discovery_control(list(expected.values())), strict=True))
    rows = list(found.select("cluster", "term_key", "p_value", "fdr", "joined_in_cluster").iter_rows())
    for cluster, key, p_value, rate, _ in rows:
        assert p_value == pytest.approx(expected[cluster, key])
        assert rate == pytest.approx(rates[cluster, key])
    assert {row[:2] for row in rows} == {pair for pair, p_value in expected.items() if p_value < 1 - 1e-12}


def test_counts_by_hand() -> None:
    # Nodes 0–3 in cluster 0, 4–5 in cluster 1, node 6 has no fact of the relation, node 7 is in no cluster.
    joined = sp.csr_array(np.array([[1, 0], [1, 0], [1, 1], [0, 1], [0, 1], [0, 1], [0, 0], [0, 1]], float))
    names = pl.DataFrame({"node_key": ["a", "b"], "node_name": ["A", "B"]})
    found, num_tests = enrich(
        np.array([0, 0, 0, 0, 1, 1, 1, -1]),
        np.arange(8),
        [Terms("r", "t", names, joined, direct=True)],
        fdr=1.0,
    )
    row = found.filter(pl.col("term_key") == "a", pl.col("cluster") == 0).row(0, named=True)
    assert (row["joined_in_cluster"], row["cluster_size"], row["joined"], row["background"]) == (3, 4, 3, 7)
    assert row["fold"] == pytest.approx((3 / 4) / (3 / 7))
    assert row["p_value"] == pytest.approx(4 / 35)  # C(4, 3) / C(7, 3)
    assert num_tests == 4


def test_rates_count_tests_that_are_not_listed() -> None:
    np.testing.assert_allclose(benjamini_hochberg(np.array([0.01, 0.03]), 4), [0.04, 0.06])
    assert len(benjamini_hochberg(np.empty(0), 0)) == 0


def test_a_tail_is_a_probability(rng: np.random.Generator) -> None:
    joined, size = rng.integers(1, 50, 200), rng.integers(1, 50, 200)
    k = rng.integers(0, np.minimum(joined, size) + 1)
    found = tail(k, 60, joined, size)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found[k == 0], 1)


def test_chance_facts_are_not_called_enriched(rng: np.random.Generator) -> None:
    found, num_tests = enrich(rng.integers(0, 5, 400), np.arange(400), [random_terms(rng, 400, 100, 0.1)])
    assert num_tests == 500
    assert len(found) <= 5


def test_neighbours_of_every_relation_and_those_of_genes() -> None:
    graph = planted()[0]
    by_relation = {terms.relation: terms for terms in terms_of(graph, "Drug")}
    assert [(terms.term_type, terms.direct) for terms in by_relation.values()] == [
        ("Gene", True),
        ("Disease", True),
        ("Pathway", False),
    ]
    genes, pathways = (by_relation[name].joined.toarray() for name in list(by_relation)[::2])
    member = np.tile(np.eye(4), (2, 1))
    np.testing.assert_array_equal(pathways, (genes @ member > 0).astype(float))
    assert [terms.term_type for terms in terms_of(graph, "Gene")] == ["Drug", "Pathway"]
