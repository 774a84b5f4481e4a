"""What held-out treatments say of a ranker and of what it is held against, kept until the report is written."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from rxweave.artifacts import write_text
from rxweave.embed.treatment_scores import treatment_scores
from rxweave.errors import InputError
from rxweave.finished_run import FinishedRun
from rxweave.rank.baselines import baseline_scores
from rxweave.rank.matrix import PairScores
from rxweave.rank.metrics import RankingMetrics, evaluate_ranking
from rxweave.rank.ranker import Ranker
from rxweave.rank.reliability import Reliability, held_out_reliability

FILE = "evaluation.json"


@dataclass(frozen=True)
class Evaluation:
    """Ranking metrics by method, the ranker first, and how far its probabilities hold."""

    metrics: dict[str, RankingMetrics]
    reliability: Reliability | None


def evaluate(ranker: Ranker, scores: PairScores, run: FinishedRun) -> Evaluation:
    """Give the metrics of ranker, decoder and baselines on the test treatments, as `rxweave run` has them."""
    training, split, seed = run.training, run.split, run.seed
    methods = {"ranker": scores.treats, "HGT decoder": treatment_scores(run.embeddings.vectors, run.decoder, training)}
    methods |= baseline_scores(training, split.train)
    metrics = {name: evaluate_ranking(each, split.test, split.known, seed=seed) for name, each in methods.items()}
    return Evaluation(metrics, held_out_reliability(ranker, scores.treats, split, training, seed=seed))


def write_evaluation(found: Evaluation, folder: Path) -> Path:
    """Write `evaluation.json`, to the last digit; NaN and infinity as JavaScript writes them."""
    write_text(folder / FILE, json.dumps(asdict(found), indent=2, default=lambda number: number.item()) + "\n")
    return folder / FILE


def read_evaluation(folder: Path) -> Evaluation:
    """Give what `write_evaluation` wrote. Raises InputError where it is missing or damaged."""
    try:
        return TypeAdapter(Evaluation).validate_python(json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} holds no evaluation ({FILE}: {str(error).splitlines()[0]}). Materialize "
            "xgboost_model_evaluation."
        ) from error
