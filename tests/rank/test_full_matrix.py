from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxweave.errors import InputError
from rxweave.rank.full_matrix import top_of_matrix

NONE = np.empty((0, 2), np.int64)


def pairs(*of: tuple[int, int]) -> np.ndarray:
    return np.array(of, np.int64).reshape(-1, 2)


def test_a_worked_example() -> None:
    scores = np.array([[9, 8, 7], [6, 5, 4], [3, 2, 1]], np.float32)
    # (0, 0) is known, so the top 4 are (0, 1) (0, 2) (1, 0) (1, 1): one of two test pairs, one of two negatives.
    found = top_of_matrix(scores, pairs((0, 1), (2, 0)), pairs((0, 0)), pairs((1, 1), (2, 2), (0, 0)), tops=(4, 100))
    assert [top.n for top in found] == [4]
    assert found[0].recall == 0.5
    assert found[0].negatives_recall == 0.5
    # Two drugs, two pairs each, of three drugs: ln 2 / ln 3. Diseases 1, 2, 0, 1: shares ¼, ½, ¼.
    assert found[0].drug_entropy == pytest.approx(np.log(2) / np.log(3))
    assert found[0].disease_entropy == pytest.approx((0.5 * np.log(4) + 0.5 * np.log(2)) / np.log(3))


def test_a_frequent_flyer_has_no_entropy() -> None:
    scores = np.zeros((20, 150), np.float32)
    scores[7] = 1
    (found,) = top_of_matrix(scores, pairs((0, 0)), NONE, tops=(100,))
    assert found.drug_entropy == 0
    assert found.disease_entropy == pytest.approx(1)  # 100 of 150 diseases: as even as 100 pairs can be
    assert found.negatives_recall is None


@given(st.integers(1, 600))
def test_a_constant_matrix_gains_nothing(n: int) -> None:
    (found,) = top_of_matrix(np.zeros((20, 30), np.float32), pairs((3, 4), (5, 6)), NONE, tops=(n,))
    assert found.recall == pytest.approx(n / 600, rel=1e-5)


@given(st.integers(0, 1000), st.sampled_from([3, 50]))
def test_recall_agrees_with_sorting(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.permutation(600).reshape(20, 30).astype(np.float32)
    codes = rng.choice(600, 40, replace=False)
    test, known = (np.stack(np.divmod(part, 30), axis=1) for part in (codes[:15], codes[15:]))
    (found,) = top_of_matrix(scores, test, known, tops=(levels,))
    order = [int(code) for code in np.argsort(-scores.ravel()) if code not in codes[15:]][:levels]
    assert found.recall == pytest.approx(np.isin(codes[:15], order).mean())


def test_no_test_pairs_is_an_error() -> None:
    with pytest.raises(InputError, match="no test pairs"):
        top_of_matrix(np.zeros((2, 2), np.float32), NONE, NONE)
