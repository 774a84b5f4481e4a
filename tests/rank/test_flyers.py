from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import entropy

from rxweave.rank.flyers import FEW, LIST, Concentration, best_of_each, concentrations


def table(scores: np.ndarray, known: set[tuple[int, int]]) -> pl.DataFrame:
    """The columns of a predictions table that lists are made of."""
    order = np.argsort(-scores, axis=None, kind="stable")
    drug, disease = np.divmod(order, scores.shape[1])
    return pl.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "known": [(int(a), int(b)) in known for a, b in zip(drug, disease, strict=True)],
            **{
                f"{end}_{what}": [f"{end} {what} {i}" for i in number]
                for end, number in (("drug", drug), ("disease", disease))
                for what in ("key", "name", "id")
            },
        }
    )


def by_lists(found: tuple[Concentration, ...], end: str) -> Concentration:
    (each,) = (each for each in found if each.per_node and each.end == end)
    return each


def test_places_of_the_lists_are_counted_by_hand() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(40, 15))
    known = {(0, 0), (0, 1), (3, 1), (7, 2)} | {(9, i) for i in range(3)}
    found = concentrations(table(scores, known), 40, 15)
    assert [(each.end, each.per_node) for each in found] == [
        ("drug", True), ("disease", True), ("drug", False), ("disease", False),
    ]  # fmt: skip
    open_scores = scores.copy()
    for pair in known:
        open_scores[pair] = -np.inf
    for end, matrix in (("drug", open_scores), ("disease", open_scores.T)):
        each = by_lists(found, end)
        lists = [np.argsort(-matrix[:, i])[:LIST] for i in range(matrix.shape[1])]
        counts = np.bincount(np.concatenate(lists), minlength=len(matrix))
        assert each.places == counts.sum() == LIST * matrix.shape[1]
        assert each.distinct == np.count_nonzero(counts)
        assert each.entropy == pytest.approx(entropy(counts) / math.log(min(len(matrix), counts.sum())))
        assert each.few_share == pytest.approx(np.sort(counts)[-FEW:].sum() / counts.sum())
        assert [flyer.places for flyer in each.flyers] == sorted(counts.tolist(), reverse=True)[:FEW]
    for place, end in enumerate(("drug", "disease")):
        recorded = [f"{end} id {pair[place]}" for pair in known]
        for flyer in by_lists(found, end).flyers:
            assert flyer.known == recorded.count(flyer.id)
    assert by_lists(found, "drug").known_entropy == pytest.approx(entropy([2, 1, 1, 3]) / math.log(7))
    assert by_lists(found, "drug").known_few_share == 1


def test_drugs_that_score_high_with_everything_are_warned_of() -> None:
    rng = np.random.default_rng(0)
    known = {(i, i % 30) for i in range(60)}
    even = concentrations(table(rng.normal(size=(60, 30)), known), 60, 30)
    assert not any(each.few_take_most for each in even)
    popular = rng.normal(size=(60, 30)) + 10 * (np.arange(60) < FEW)[:, None]
    drugs = by_lists(concentrations(table(popular, known), 60, 30), "drug")
    assert drugs.few_take_most
    assert drugs.few_share > 0.9
    assert drugs.known_few_share == pytest.approx(10 / 60)
    assert drugs.entropy < by_lists(even, "drug").entropy
    assert {flyer.id for flyer in drugs.flyers} == {f"drug id {i}" for i in range(FEW)}


def test_no_warning_where_treatments_are_as_uneven_or_few_nodes_are_there() -> None:
    scores = np.random.default_rng(0).normal(size=(60, 30)) + 10 * (np.arange(60) < FEW)[:, None]
    found = by_lists(concentrations(table(scores, {(i, i) for i in range(20)}), 60, 30), "drug")
    assert found.few_take_most
    assert not replace(found, known_few_share=0.9).few_take_most
    assert not replace(found, candidates=19).few_take_most
    assert not replace(found, few_share=0.4).few_take_most


def test_lists_of_drugs_are_left_out_where_only_some_drugs_of_each_disease_are_kept() -> None:
    whole = table(np.random.default_rng(0).normal(size=(40, 15)), {(0, 0)})
    some = whole.filter(pl.col("rank").rank().over("disease_key") <= 20)
    found = concentrations(some, 40, 15)
    assert [(each.end, each.per_node) for each in found] == [("drug", True), ("drug", False), ("disease", False)]
    assert found[0] == concentrations(whole, 40, 15)[0]


def test_the_best_of_each_are_chosen_whatever_the_order_of_the_rows() -> None:
    whole = table(np.random.default_rng(0).normal(size=(40, 15)), {(0, 0), (5, 3)})
    found = best_of_each(whole.sample(fraction=1, shuffle=True, seed=1), "disease", 4)
    expected = whole.filter(~pl.col("known")).sort("rank").group_by("disease_key", maintain_order=True).head(4)
    assert found.equals(expected.sort("rank").select(found.columns))


def test_without_a_new_pair_or_a_treatment_there_is_little_to_say() -> None:
    whole = table(np.zeros((3, 2)), set())
    assert concentrations(whole.with_columns(known=pl.lit(value=True)), 3, 2) == ()
    assert math.isnan(concentrations(whole, 3, 2)[0].known_entropy)
    assert not concentrations(whole, 3, 2)[0].few_take_most
