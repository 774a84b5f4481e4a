"""What a peer may choose by: how a score matrix ranks the validation pairs. The test pairs are not looked at."""

from __future__ import annotations

from rxweave.benchmark.quality.method import Scores
from rxweave.graph.filtered_ranks import expected_ranks
from rxweave.graph.split import Split


def mrr_of_valid(scores: Scores, split: Split) -> float:
    """Give the mean reciprocal filtered rank of the validation pairs, mean of both sides; 0 if there are none."""
    if not len(split.valid):
        return 0.0
    known = split.before_test
    drug_side = expected_ranks(scores.T, split.valid[:, ::-1], known[:, ::-1])
    return float((1 / drug_side).mean() + (1 / expected_ranks(scores, split.valid, known)).mean()) / 2
