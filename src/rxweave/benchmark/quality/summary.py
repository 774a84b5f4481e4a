"""From the records of all seeds to one row per method: means with intervals, differences, stability, cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean, stdev
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import polars as pl
from jaxtyping import Float32

from rxweave.benchmark.quality.method import Method
from rxweave.benchmark.quality.study import Study
from rxweave.benchmark.quality.task import PAIRS, SCORES, Task
from rxweave.errors import ConfigError
from rxweave.rank.bootstrap import Estimate
from rxweave.rank.compare import PairedDifference, holm
from rxweave.rank.pair_table import Side, compare_precision, compare_tables, over_seeds
from rxweave.rank.stability import rank_correlation, top_overlap

POOLED = "auprc"
METRICS: dict[str, tuple[Side, str]] = {
    "disease_mrr": ("disease", "mrr"),
    "disease_hits_at_1": ("disease", "at_1"),
    "disease_hits_at_3": ("disease", "at_3"),
    "disease_hits_at_10": ("disease", "at_10"),
    "disease_recall_at_50": ("disease", "at_50"),
    "disease_recall_at_100": ("disease", "at_100"),
    "auprc_per_drug": ("disease", "precision"),
    "drug_mrr": ("drug", "mrr"),
    "drug_hits_at_1": ("drug", "at_1"),
    "drug_hits_at_3": ("drug", "at_3"),
    "drug_hits_at_10": ("drug", "at_10"),
    "drug_recall_at_50": ("drug", "at_50"),
    "drug_recall_at_100": ("drug", "at_100"),
    "auprc_per_disease": ("drug", "precision"),
}
COMPARED = ("disease_mrr", "disease_hits_at_10", "drug_mrr", "drug_recall_at_50", "auprc_per_disease", POOLED)
STABLE_TOPS = (100, 1_000)
NOISE = 0.05
"""Adjusted p-value from which on a difference is not told from noise."""
Finding = Literal["better", "worse", "not established"]


@dataclass(frozen=True)
class Difference:
    """A method against the reference, by one metric, on the same test pairs of all seeds that both have."""

    metric: str
    paired: PairedDifference
    p_adjusted: float
    """Holm's, over the methods compared by this metric."""

    @property
    def finding(self) -> Finding:
        """Better or worse only if the interval leaves out 0 and the adjusted p-value is below 0.05."""
        low, high = self.paired.difference.low, self.paired.difference.high
        if self.p_adjusted >= NOISE or low <= 0 <= high:
            return "not established"
        return "better" if low > 0 else "worse"


@dataclass(frozen=True)
class Stability:
    """How far two seeds agree on pairs that neither knows, mean over pairs of seeds; None where scores are not kept."""

    overlap: dict[int, float]
    correlation: float


@dataclass(frozen=True)
class MethodRow:
    """What all finished seeds of a method say."""

    method: str
    about: str
    seeds: tuple[int, ...]
    estimates: dict[str, Estimate]
    """Over all test pairs of all seeds; the intervals draw diseases again."""
    spread: dict[str, float]
    """Standard deviation of each metric between seeds; empty with one."""
    top_of_matrix: list[dict[str, Any]]
    """For each n: mean over seeds of recall, negatives' recall and entropies."""
    one_to_one: dict[str, float]
    stability: Stability | None
    """Over pairs of seeds, or of folds: what hangs on the training part and the random choices."""
    differences: tuple[Difference, ...]
    seconds: float
    """Mean over seeds, the training of its embeddings left out."""
    training_seconds: float | None
    """Mean of what the training of its embeddings took, where that was done here."""
    peak_gb: float | None
    training_peak_gb: float | None
    """The most that the training of its embeddings held, where that was done here."""
    geometry: tuple[str, ...]
    """The verdict on the geometry of its embeddings, per seed, where they were trained here."""


def check_reference(reference: str | None, methods: Sequence[Method]) -> str:
    """Give the method that others are compared with: the one named, or the first.

    Raises ConfigError when it is none of the methods.
    """
    names = [method.name for method in methods]
    if reference is not None and reference not in names:
        raise ConfigError(f"--reference {reference!r} is none of the methods asked for: {', '.join(names)}.")
    return reference or names[0]


def summarise(study: Study, reference: str) -> list[MethodRow]:
    """Give a row for each method with a finished seed; differences are to `reference`, on the seeds that both have."""
    names = [method.name for method in study.plan.methods]
    tables = {key: pl.read_parquet(task.folder / PAIRS) for key, task in study.scored.items()}
    differences = _differences(study, tables, names, reference)
    rows = []
    for method in study.plan.methods:
        seeds = tuple(seed for seed in study.plan.seeds if (method.name, seed) in study.records)
        if seeds:
            rows.append(_row(study, method, seeds, [tables[method.name, seed] for seed in seeds], differences))
    return rows


def _row(
    study: Study,
    method: Method,
    seeds: tuple[int, ...],
    tables: list[pl.DataFrame],
    differences: dict[str, list[Difference]],
) -> MethodRow:
    records = [study.records[method.name, seed] for seed in seeds]
    singles = [over_seeds([table], seed=0, num_bootstraps=2, metrics=METRICS) for table in tables]
    trained = [study.trained.get((str(method.needs), seed)) for seed in seeds]
    training = [record["cost"]["seconds"] for record in trained if record is not None]
    return MethodRow(
        method=method.name,
        about=method.about,
        seeds=seeds,
        estimates=over_seeds(tables, seed=0, metrics=METRICS),
        spread={name: stdev([single[name].value for single in singles]) for name in singles[0]}
        if len(singles) > 1
        else {},
        top_of_matrix=_means([record["results"]["top_of_matrix"] for record in records]),
        one_to_one={
            name: mean(record["results"]["one_to_one"][name] for record in records) for name in ("auroc", "auprc")
        },
        stability=_stability(study, [study.scored[method.name, seed] for seed in seeds]),
        differences=tuple(differences.get(method.name, ())),
        seconds=mean(record["cost"]["seconds"] for record in records),
        training_seconds=mean(training) if training else None,
        peak_gb=_most(records),
        training_peak_gb=_most([record for record in trained if record is not None]),
        geometry=tuple(record["results"]["geometry"] for record in trained if record is not None),
    )


def _most(records: Sequence[dict[str, Any]]) -> float | None:
    return max((each["cost"]["peak_gb"] for each in records if each["cost"]["peak_gb"] is not None), default=None)


def _means(tops: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The mean over seeds of every measure at every n; None where a seed has none."""
    found = []
    for places in zip(*tops, strict=False):
        row: dict[str, Any] = {"n": places[0]["n"]}
        for name in places[0].keys() - {"n"}:
            values = [place[name] for place in places]
            row[name] = None if None in values else mean(values)
        found.append(row)
    return found


def _differences(
    study: Study, tables: dict[tuple[str, int], pl.DataFrame], names: Sequence[str], reference: str
) -> dict[str, list[Difference]]:
    found: dict[str, list[Difference]] = {name: [] for name in names}
    for metric in COMPARED:
        compared: dict[str, PairedDifference] = {}
        for name in names:
            both = [s for s in study.plan.seeds if (name, s) in tables and (reference, s) in tables]
            if name != reference and both:
                ours, theirs = ([tables[which, seed] for seed in both] for which in (name, reference))
                compared[name] = (
                    compare_precision(ours, theirs, seed=0)
                    if metric == POOLED
                    else compare_tables(ours, theirs, *METRICS[metric], seed=0)
                )
        adjusted = holm([paired.p_value for paired in compared.values()])
        for (name, paired), p_value in zip(compared.items(), adjusted, strict=True):
            found[name].append(Difference(metric, paired, p_value))
    return found


def _stability(study: Study, tasks: Sequence[Task]) -> Stability | None:
    if len(tasks) < 2 or not all((task.folder / SCORES).is_file() for task in tasks):
        return None
    graph = study.graph
    try:
        matrices = [_scores(task) for task in tasks]
    except (OSError, ValueError, KeyError, BadZipFile):  # damaged since: what they would say is not known
        return None
    expected = graph.num_of(graph.roles.drug), graph.num_of(graph.roles.disease)
    if any(matrix.shape != expected for matrix in matrices):  # of another graph, by a version that left them there
        return None
    known = graph.pairs(graph.roles.treats)
    overlaps = [top_overlap(one, other, known, tops=STABLE_TOPS) for one, other in combinations(matrices, 2)]
    correlations = [rank_correlation(one, other, known) for one, other in combinations(matrices, 2)]
    return Stability({n: mean(each[n] for each in overlaps) for n in overlaps[0]}, mean(correlations))


def _scores(task: Task) -> Float32[np.ndarray, "drugs diseases"]:
    # Opened here, for numpy leaves a file that it cannot read open.
    with (task.folder / SCORES).open("rb") as file, np.load(file, allow_pickle=False) as kept:
        scores: Float32[np.ndarray, "drugs diseases"] = kept["scores"]
    return scores
