"""What the nodes of a cluster have in common: neighbours in the graph that they are joined to more often than chance.

The facts tested are those the vectors were trained on, so enrichment describes a cluster; it is no proof of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.stats import false_discovery_control, hypergeom

from rxweave.cluster.terms import Terms

SCHEMA = {
    "cluster": pl.Int32,
    "relation": pl.String,
    "term_type": pl.String,
    "term_name": pl.String,
    "joined_in_cluster": pl.Int64,
    "cluster_size": pl.Int64,
    "joined": pl.Int64,
    "background": pl.Int64,
    "fold": pl.Float64,
    "p_value": pl.Float64,
    "fdr": pl.Float64,
    "term_key": pl.String,
    "direct": pl.Boolean,
}


def enrich(
    labels: Int[np.ndarray, " compared"],
    rows: Int[np.ndarray, " compared"],
    terms: Sequence[Terms],
    *,
    fdr: float = 0.05,
    fewest: int = 3,
) -> tuple[pl.DataFrame, int]:
    """Give the terms that a cluster's nodes are joined to more often than by chance, the surest first, and the tests.

    `rows` are the compared nodes' numbers within their type, which the rows of `terms` have too; a label of −1 is of
    a node in no cluster, which belongs to the background alone. Per relation the
    background is the N compared nodes with any such fact. Of a cluster's n nodes among them k are joined to a term
    that K of the N are joined to: p = P(X ≥ k), X hypergeometric (N, K, n) (Fisher's exact test, one-sided). Terms
    with K below `fewest` or equal to N are not tested. False discovery rates are those of Benjamini & Hochberg 1995
    over all tests, of all clusters, relations and terms together; up to `fdr` is given.

    Columns: `cluster, relation, term_type, term_name, joined_in_cluster` (k), `cluster_size` (n), `joined` (K),
    `background` (N), `fold` = (k/n) / (K/N), `p_value, fdr, term_key`, and `direct`: False for terms of a node's genes.
    """
    num = int(labels.max()) + 1
    parts, num_tests = [pl.DataFrame(schema=SCHEMA).drop("fdr")], 0
    for each in terms:
        joined = each.joined[rows]
        described = np.diff(joined.indptr) > 0
        joined, own = joined[described], labels[described]
        background, inside = len(own), np.flatnonzero(own >= 0)
        size = np.bincount(own[inside], minlength=num)
        per_term = np.bincount(joined.indices, minlength=joined.shape[1])
        tested = np.flatnonzero((per_term >= fewest) & (per_term < background))
        num_tests += len(tested) * int((size > 0).sum())
        member = sp.csr_array((np.ones(len(inside)), (own[inside], inside)), shape=(num, background))
        both = (member @ joined[:, tested]).tocoo()
        cluster, column, k = both.row, tested[both.col], both.data.astype(np.int64)
        parts.append(
            pl.DataFrame(
                {
                    "cluster": cluster.astype(np.int32),
                    "relation": [each.relation] * len(k),
                    "term_type": [each.term_type] * len(k),
                    "term_name": each.terms["node_name"][column],
                    "joined_in_cluster": k,
                    "cluster_size": size[cluster],
                    "joined": per_term[column],
                    "background": np.full(len(k), background),
                    "fold": (k / size[cluster]) / (per_term[column] / background) if len(k) else np.empty(0),
                    "p_value": tail(k, background, per_term[column], size[cluster]),
                    "term_key": each.terms["node_key"][column],
                    "direct": [each.direct] * len(k),
                },
                schema={name: kind for name, kind in SCHEMA.items() if name != "fdr"},
            )
        )
    table = pl.concat(parts)
    rates = benjamini_hochberg(table["p_value"].to_numpy(), num_tests)
    table = table.with_columns(fdr=pl.Series(rates, dtype=pl.Float64)).select(*SCHEMA)
    return table.filter(pl.col("fdr") <= fdr).sort("cluster", "p_value", "relation", "term_key"), num_tests


def tail(
    k: Int[np.ndarray, " tests"], background: int, joined: Int[np.ndarray, " tests"], size: Int[np.ndarray, " tests"]
) -> Float[np.ndarray, " tests"]:
    """Give P(X ≥ k) of a hypergeometric X: `size` nodes drawn of `background`, of which `joined` count."""
    if not len(k):
        return np.empty(0)
    return np.clip(np.asarray(hypergeom.sf(k - 1, background, joined, size), np.float64), 0.0, 1.0)


def benjamini_hochberg(p_values: Float[np.ndarray, " given"], num_tests: int) -> Float[np.ndarray, " given"]:
    """Give false discovery rates among `num_tests` tests, of which those not given have a p-value of 1."""
    padded = np.concatenate([p_values, np.ones(num_tests - len(p_values))])
    return np.asarray(false_discovery_control(padded)[: len(p_values)]) if len(padded) else padded
