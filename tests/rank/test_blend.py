from __future__ import annotations

import numpy as np
import pytest

from rxweave.rank.blend import Blend


def test_members_are_brought_to_the_scale_of_the_trees_before_they_are_averaged() -> None:
    rng = np.random.default_rng(0)
    trees, other = rng.normal(-8, 2, 1000), rng.normal(5, 0.1, 1000)
    blend = Blend.of({"trees": trees, "linear": other}, {"trees": 1.0, "linear": 0.5})
    lifted = (other - other.mean()) / other.std() * trees.std() + trees.mean()
    expected = (trees + 0.5 * lifted) / 1.5
    np.testing.assert_allclose(blend({"trees": trees, "linear": other}), expected, rtol=1e-10)
    # What one pair gets does not depend on the others.
    assert blend({"trees": trees[:1], "linear": other[:1]})[0] == pytest.approx(expected[0])


def test_trees_alone_stay_as_they_are() -> None:
    trees = np.array([1.0, -2.0])
    blend = Blend.of({"trees": trees}, {"trees": 1.0})
    np.testing.assert_array_equal(blend({"trees": trees}), trees)
    assert blend.offset == pytest.approx(0)


def test_a_member_that_says_the_same_of_all_pairs_changes_no_order() -> None:
    trees, same = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    blend = Blend.of({"trees": trees, "bilinear": same}, {"trees": 1.0, "bilinear": 0.3})
    found = blend({"trees": trees, "bilinear": same})
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(np.argsort(found), np.argsort(trees))
