"""The search for a finished run's ranker settings: made from its folder, and written into it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rxweave import __version__
from rxweave.artifacts import atomic_path, write_json
from rxweave.config import RankSettings
from rxweave.finished_run import FinishedRun, read_ranker, read_run
from rxweave.rank.metrics import RankingMetrics, evaluate_ranking
from rxweave.rank.refit import refit_scores
from rxweave.rank.tuning import Tuned, tune
from rxweave.watch import Watch

TABLE, NUMBERS = "07_model_output/tuning.parquet", "07_model_output/tuning.json"


@dataclass(frozen=True)
class TunedRun:
    """What the search found, and what the given and the best settings rank of the test treatments."""

    tuned: Tuned
    options: tuple[str, ...]
    """What to give to `rxweave run` for the best settings: `-o`, `rank.…=…`, …; empty when none were better."""
    given: RankingMetrics
    best: RankingMetrics


def tune_run(
    folder: Path, *, trials: int, minutes: float | None = None, draws: int = 3, watch: Watch | None = None
) -> TunedRun:
    """Search settings for a finished run's ranker (`rank.tuning.tune`) and judge the best on its test treatments, once.

    Its graph, split, embeddings and seed are the run's. The run itself stays as it is: the trials go into its folder,
    as Parquet and JSON. Raises InputError for a folder without a whole run or whose run ranked nothing, and as `tune`
    does.
    """
    watch = watch or Watch()
    watch.stage("read")
    run = read_run(folder)
    ranker = read_ranker(folder)
    watch.stage("tune")
    tuned = tune(
        run.training,
        run.split,
        run.embeddings,
        ranker.settings,
        trials=trials,
        minutes=minutes,
        draws=draws,
        seed=ranker.seed,
        progress=watch.progress,
    )
    watch.stage("test")
    given = _tested(run, ranker.settings, ranker.seed)
    best = _tested(run, tuned.best, ranker.seed) if tuned.changed else given
    options = tuple(part for name, value in tuned.changed.items() for part in ("-o", f"rank.{name}={value:g}"))
    with atomic_path(folder / TABLE) as temporary:
        tuned.trials.write_parquet(temporary, metadata={"rxweave": __version__, "seed": str(ranker.seed)})
    told = {"given": given, "best": best, "established": tuned.established, "options": options}
    write_json(folder / NUMBERS, {"rxweave": __version__, "trials": tuned.trials.to_dicts(), **told})
    return TunedRun(tuned, options, given, best)


def _tested(run: FinishedRun, settings: RankSettings, seed: int) -> RankingMetrics:
    scores = refit_scores(run.training, run.split, run.embeddings, settings, seed=seed)
    return evaluate_ranking(scores, run.split.test, run.split.known, seed=seed)
