"""The report of a run that is finished, made again from its folder: with the clusters and ablations made since."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rxweave.cluster.read import read_clusters
from rxweave.embed.history import Epoch, epochs_from
from rxweave.errors import InputError
from rxweave.finished_ablation import read_ablation
from rxweave.finished_run import EMBEDDINGS, RANKER, FinishedRun, read_run
from rxweave.graph.build import build_graph
from rxweave.kg.store import read_kg
from rxweave.kg.tables import KnowledgeGraph, Truth
from rxweave.leads import PREDICTIONS
from rxweave.rank.metrics import Estimate, RankingMetrics, SideMetrics
from rxweave.rank.model import Ranker
from rxweave.rank.reliability import Bin, Reliability, held_out_pairs, measure_reliability
from rxweave.report.page import ReportData, write_report
from rxweave.usefulness import judge_run
from rxweave.watch import Watch

REPORTING = "08_reporting"


def report_again(folder: Path, *, watch: Watch | None = None) -> Path:
    """Write a finished run's `report.html` and `metrics.json` anew, and give the place of the page.

    Geometry and verdict are measured again from the run's embeddings; the metrics of ranking are those that the run
    measured. Raises as `read_report_data` does; older files then stay as they are.
    """
    data = read_report_data(folder, watch=watch)
    page = folder / REPORTING / "report.html"
    write_report(data, page, page.with_name("metrics.json"))
    return page


def read_report_data(folder: Path, *, watch: Watch | None = None) -> ReportData:
    """Give what the report tells of a finished run, read back from its output folder.

    Raises InputError for a folder without a whole run, LeakError as `read_run` does.
    """
    watch = watch or Watch()
    watch.stage("read")
    measured = read_json(folder / REPORTING / "metrics.json")
    manifest = read_json(folder / REPORTING / "manifest.json")
    run = read_run(folder)
    kg = _graph_of(run, measured)
    watch.stage("validate")
    collapse, verdict = judge_run(run)
    watch.stage("report")
    predictions = folder / PREDICTIONS
    return ReportData(
        kg=kg,
        graph=build_graph(kg),
        training=run.training,
        split=run.split,
        history=_history(folder / EMBEDDINGS / "history.json"),
        embeddings=run.embeddings,
        collapse=collapse,
        verdict=verdict,
        metrics=_metrics(measured, folder),
        predictions=pl.read_parquet(predictions) if predictions.is_file() else None,
        manifest=dict(manifest),
        reliability=_reliability(measured, run),
        ablation=read_ablation(folder),
        clusters=read_clusters(folder / "07_model_output", folder / REPORTING),
    )


def read_json(path: Path) -> dict[str, Any]:
    """Give one of a run's JSON files; raises InputError when it is missing or no JSON object."""
    if not path.is_file():
        raise InputError(
            f"{path.parents[1]} is no output folder of a finished rxweave run ({path.parent.name}/{path.name} is "
            "missing). Make the run first: rxweave run."
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}, no object")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}. Make the run again: rxweave run.") from error
    return found


def _graph_of(run: FinishedRun, measured: Mapping[str, Any]) -> KnowledgeGraph:
    """The whole graph; of a synthetic one's truth only the best AUROC was kept."""
    kg = read_kg(run.folder / "02_graph" / (run.training.name or "graph"))
    oracle = measured.get("oracle_auroc")
    if oracle is None:
        return kg
    return replace(kg, truth=Truth(float(oracle), pl.DataFrame()))


def _history(path: Path) -> tuple[Epoch, ...]:
    try:
        return tuple(epochs_from(json.loads(path.read_text(encoding="utf-8")))) if path.is_file() else ()
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is no history of training: {error}. Make the run again: rxweave run.") from error


def _metrics(measured: Mapping[str, Any], folder: Path) -> dict[str, RankingMetrics]:
    """The metrics by method, from their plain form; null is NaN again."""

    def number(value: float | None) -> float:
        return math.nan if value is None else value

    def estimate(found: Mapping[str, Any]) -> Estimate:
        return Estimate(*(number(found[name]) for name in ("value", "low", "high")))

    def side(found: Mapping[str, Any]) -> SideMetrics:
        read: dict[str, Any] = {
            name: estimate(value) if isinstance(value, Mapping) else value for name, value in found.items()
        }
        return SideMetrics(**read)

    read: dict[str, Callable[[Any], Any]] = {
        "drugs_given_disease": side,
        "diseases_given_drug": side,
        "auroc": estimate,
        "auprc": estimate,
    }
    try:
        return {
            method: RankingMetrics(
                **{name: read[name](value) if name in read else value for name, value in found.items()}
            )
            for method, found in measured["methods"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / REPORTING / 'metrics.json'} does not hold the metrics of a run: {error}. Make the run again: "
            "rxweave run."
        ) from error


def _reliability(measured: Mapping[str, Any], run: FinishedRun) -> Reliability | None:
    """What the run measured; measured now for a run of a version that did not."""
    found = measured.get("reliability")
    if found is not None:
        bins = {name: tuple(Bin(**each) for each in found[name]) for name in ("bins", "curve")}
        likely = math.nan if found["ece_likely"] is None else found["ece_likely"]
        return Reliability(**{**found, **bins, "ece_likely": likely})
    if not (run.folder / RANKER / "ranker.json").is_file():
        return None
    try:
        ranker = Ranker.load(run.folder / RANKER)
        features = ranker.features(run.training, run.embeddings)
    except InputError:  # of a version whose ranker this one does not read: the report does without
        return None
    ratio, rng = ranker.settings.negatives_per_positive, np.random.default_rng(run.seed)
    pairs, treated = held_out_pairs(run.split, run.training, ratio=ratio, rng=rng)
    return measure_reliability(
        ranker.predict_proba(features.scoring_rows(pairs), pairs)[:, 0],
        treated,
        negatives_per_positive=ratio,
        calibrated_on=ranker.calibration.num_treatments,
    )
