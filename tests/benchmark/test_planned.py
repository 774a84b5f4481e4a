"""Predicted beside measured memory: real trainings, each in a process of its own."""

from __future__ import annotations

import pytest

from rxweave.benchmark.memory import peak
from rxweave.benchmark.planned import SMALL, PlannedCase, PlannedRow, compare, table
from rxweave.embed.memory_plan import ACCURACY
from rxweave.errors import RxweaveError


@pytest.mark.slow
@pytest.mark.skipif(peak() is None, reason="this system does not tell a peak")
@pytest.mark.parametrize("case", SMALL, ids=PlannedCase.told)
def test_the_predicted_peak_is_within_a_fifth_of_the_measured_one(case: PlannedCase) -> None:
    (row,) = compare([case])
    assert row.ratio == pytest.approx(1, abs=ACCURACY)


def test_a_training_that_fails_says_why() -> None:
    with pytest.raises(RxweaveError, match=r"primekg:0, hidden_dim=32 failed.*scale is 0"):
        list(compare([PlannedCase("primekg:0", {"hidden_dim": 32})]))


def test_the_table_shows_both_figures_and_their_ratio() -> None:
    row = PlannedRow(PlannedCase("demo"), 600_000_000, 500_000_000, 400_000_000, "scoring facts", "csr", "fp32")
    assert table([row]).splitlines()[-1] == "| demo | csr, fp32 | 0.60 | 0.50 | 1.20 |"
