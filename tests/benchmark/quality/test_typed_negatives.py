"""What PyKEEN's models learn to tell facts from: nodes of the right type, all of them, as often."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

OFFSETS = np.array([0, 3, 10, 11])  # three drugs, seven genes, one genome
FACTS = torch.tensor([[0, 0, 5], [2, 1, 1], [4, 2, 10], [6, 0, 6]])
DRAWS = 6000


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """(facts, draws, 3)"""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what PyKEEN imports
        from rxweave.benchmark.quality.typed_negatives import TypedNegatives

        torch.manual_seed(0)
        sampler = TypedNegatives(
            type_offsets=OFFSETS, mapped_triples=FACTS, num_entities=11, num_relations=3, num_negs_per_pos=DRAWS
        )
        return np.asarray(sampler.corrupt_batch(FACTS))


def test_one_end_of_a_fact_is_replaced_and_its_relation_stays(drawn: np.ndarray) -> None:
    assert drawn.shape == (len(FACTS), DRAWS, 3)
    changed = drawn != FACTS.numpy()[:, None]
    assert not changed[:, :, 1].any()
    assert (changed.sum(axis=2) == 1).all()  # never the fact itself, the ends of which are numbers 6 and 6 in one


@pytest.mark.parametrize(
    ("fact", "end", "others"),
    [(0, 0, [1, 2]), (0, 2, [3, 4, 6, 7, 8, 9]), (1, 0, [0, 1]), (1, 2, [0, 2]), (3, 2, [3, 4, 5, 7, 8, 9])],
)
def test_every_other_node_of_the_type_is_drawn_as_often_and_no_other(
    drawn: np.ndarray, fact: int, end: int, others: list[int]
) -> None:
    replaced = drawn[fact, :, end][drawn[fact, :, end] != int(FACTS[fact, end])]
    found, count = np.unique(replaced, return_counts=True)
    assert found.tolist() == others
    expected = DRAWS / 2 / len(others)
    assert np.abs(count - expected).max() < 5 * np.sqrt(expected)


def test_where_a_type_has_one_node_the_other_end_is_drawn(drawn: np.ndarray) -> None:
    assert (drawn[2, :, 2] == 10).all()
    assert sorted(set(drawn[2, :, 0])) == [3, 5, 6, 7, 8, 9]
