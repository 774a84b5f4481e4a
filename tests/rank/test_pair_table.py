"""Metrics over seeds from small tables, against the metrics of whole matrices."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from pair_graphs import planted_graph, split_at

from rxweave.errors import InputError
from rxweave.graph.split import Split
from rxweave.rank.metrics import evaluate_ranking
from rxweave.rank.pair_table import compare_precision, compare_tables, over_seeds, pair_table

METRICS = {
    "drug": ("drug", "mrr"),
    "disease": ("disease", "mrr"),
    "hits": ("disease", "at_10"),
    "macro": ("drug", "precision"),
    "macro of drugs": ("disease", "precision"),
}


def made(seed: int, *, levels: int | None = None) -> tuple[np.ndarray, Split, pl.DataFrame]:
    graph = planted_graph()
    split, _ = split_at(graph, num_valid=10, num_test=30, seed=seed)
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(graph.num_of("drug"), graph.num_of("disease")))
    if levels is not None:
        scores = rng.integers(levels, size=scores.shape)
    return scores.astype(np.float32), split, pair_table(scores.astype(np.float32), split, graph)


@pytest.mark.parametrize("levels", [None, 3])
def test_one_seed_gives_what_the_whole_matrix_gives(levels: int | None) -> None:
    scores, split, table = made(0, levels=levels)
    found = over_seeds([table], seed=0, metrics=METRICS)
    expected = evaluate_ranking(scores, split.test, split.known, seed=0)
    assert found["drug"].value == pytest.approx(expected.drugs_given_disease.mrr.value)
    assert found["disease"].value == pytest.approx(expected.diseases_given_drug.mrr.value)
    assert found["hits"].value == pytest.approx(expected.diseases_given_drug.hits_at_10.value)
    assert found["macro"].value == pytest.approx(expected.drugs_given_disease.macro_auprc.value)
    assert found["macro of drugs"].value == pytest.approx(expected.diseases_given_drug.macro_auprc.value)
    assert found["auroc"].value == pytest.approx(expected.auroc.value)
    assert found["auprc"].value == pytest.approx(expected.auprc.value)
    # The same diseases are drawn again, so the intervals are alike up to the draw.
    for name, mrr in (("drug", expected.drugs_given_disease.mrr), ("disease", expected.diseases_given_drug.mrr)):
        assert found[name].low == pytest.approx(mrr.low, abs=0.03)
        assert found[name].high == pytest.approx(mrr.high, abs=0.03)


def test_several_seeds_give_the_mean_of_all() -> None:
    tables = [made(seed)[2] for seed in range(3)]
    found = over_seeds(tables, seed=0, metrics=METRICS)
    singles = [over_seeds([table], seed=0, metrics=METRICS) for table in tables]
    for name in ("drug", "disease", "hits", "auroc", "auprc"):
        assert found[name].value == pytest.approx(np.mean([single[name].value for single in singles]))


def test_the_same_seed_thrice_is_no_more_certain_than_once() -> None:
    table = made(0)[2]
    once, thrice = (over_seeds([table] * count, seed=0, metrics=METRICS)["drug"] for count in (1, 3))
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low)


def test_each_disease_counts_once_in_the_average_precision_of_diseases() -> None:
    """One disease with three drugs, at places 1, 2 and 4, and one with one at place 2; by hand."""
    rows = {"a": [1.0, 1.0, 3 / 4], "b": [0.5]}
    table = pl.DataFrame(
        {
            "drug_key": list("wxyz"),
            "disease_key": list("aaab"),
            "drug_precision": [*rows["a"], *rows["b"]],
            "score": [4.0, 3.0, 2.0, 1.0],
            "above": [0, 0, 1, 1],
            "level": [0, 0, 0, 0],
            "negatives": [9, 9, 9, 9],
        }
    )
    macro = {"macro": ("drug", "precision")}
    assert over_seeds([table], seed=0, metrics=macro)["macro"].value == pytest.approx((2.75 / 3 + 0.5) / 2)
    half = table.with_columns(pl.col("drug_precision") / 2)
    apart = compare_tables([table], [half], "drug", "precision", seed=0)
    assert apart.difference.value == pytest.approx((2.75 / 3 + 0.5) / 4)


def test_diseases_are_drawn_again_on_both_sides_and_drugs_for_a_mean_over_drugs() -> None:
    """All test pairs of one disease are one observation, however many drugs they have: no width, no certainty."""
    table = made(0)[2]
    one = table.with_columns(pl.lit("d").alias("disease_key"))
    found = over_seeds([one], seed=0, metrics=METRICS)
    for name in ("drug", "disease", "hits", "auroc", "auprc"):
        assert found[name].low == pytest.approx(found[name].value) == pytest.approx(found[name].high)
    assert found["macro of drugs"].low < found["macro of drugs"].high
    better = one.with_columns(pl.lit(1.0).alias("disease_rank"), pl.lit(1.0).alias("disease_precision"))
    better = better.with_columns(pl.lit(0).alias("above"), pl.lit(0).alias("level"))
    assert compare_tables([better], [one], "disease", "mrr", seed=0).p_value == 1
    assert compare_precision([better], [one], seed=0).p_value == 1
    assert compare_tables([better], [one], "disease", "precision", seed=0).p_value < 0.01
    spread = better.with_columns(table["disease_key"]), table
    assert compare_tables([spread[0]], [spread[1]], "disease", "mrr", seed=0).p_value < 0.05


def test_pooled_precision_is_compared_on_the_same_pairs() -> None:
    tables = [made(seed)[2] for seed in range(2)]
    found = compare_precision(tables, tables, seed=0)
    assert (found.difference.value, found.p_value) == (0, 1)
    best = [table.with_columns(pl.lit(0).alias("above"), pl.lit(0).alias("level")) for table in tables]
    apart = compare_precision(best, tables, seed=0)
    alone = over_seeds(tables, seed=0, metrics=METRICS)["auprc"].value
    assert apart.difference.value == pytest.approx(1 - alone)
    assert apart.difference.low > 0
    assert apart.p_value < 0.01
    with pytest.raises(InputError, match="of other test pairs"):
        compare_precision(tables, tables[::-1], seed=0)


def test_tables_of_other_pairs_are_refused() -> None:
    tables = [made(seed)[2] for seed in range(2)]
    assert compare_tables(tables, tables, "drug", "mrr", seed=0).p_value == 1
    with pytest.raises(InputError, match="of other test pairs"):
        compare_tables(tables, tables[::-1], "drug", "mrr", seed=0)
