"""Clusters against classes: scikit-learn's indices, and what shuffled classes give."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from rxweave.cluster.agreement import agreement
from rxweave.errors import InputError

KEYS = pl.Series([f"n{i}" for i in range(60)])


def classes_of(labels: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"node_key": KEYS[: len(labels)], "class": labels})


def test_equal_groups_agree_and_shuffled_ones_do_not(rng: np.random.Generator) -> None:
    labels = np.repeat(np.arange(3), 20)
    rand, information = agreement(labels, KEYS, classes_of([f"c{label}" for label in labels]), rng)
    assert (rand.value, information.value) == (pytest.approx(1), pytest.approx(1))
    assert rand.above_shuffled
    assert information.above_shuffled
    assert abs(rand.shuffled_mean) < 0.05
    assert 0 < information.shuffled_mean < 0.3
    assert "above what shuffled classes give" in str(rand)


def test_values_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    labels, known = rng.integers(0, 4, 50), rng.integers(0, 3, 50)
    found = agreement(labels, KEYS[:50], classes_of([str(each) for each in known]), rng)
    expected = [measure(known, labels) for measure in (adjusted_rand_score, normalized_mutual_info_score)]
    assert [each.value for each in found] == pytest.approx(expected)


def test_unrelated_classes_are_called_so(rng: np.random.Generator) -> None:
    labels = np.repeat(np.arange(3), 20)
    found = agreement(labels, KEYS, classes_of([f"c{i % 4}" for i in range(60)]), rng)
    assert not any(each.above_shuffled for each in found)
    assert "NOT above" in str(found[0])


def test_of_several_classes_the_most_frequent_counts(rng: np.random.Generator) -> None:
    several = pl.concat([classes_of(["a"] * 30 + ["b"] * 30), classes_of(["rare"] * 5)])
    rand, _ = agreement(np.repeat([0, 1], 30), KEYS, several, rng)
    assert (rand.value, rand.num_nodes, rand.num_classes) == (pytest.approx(1), 60, 2)


@pytest.mark.parametrize("labels", [["a"] * 60, ["a", "b"]])
def test_too_few_classes_are_refused(labels: list[str], rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="at least 10 nodes and 2 kinds"):
        agreement(np.zeros(60, int), KEYS, classes_of(labels), rng)
