"""The page that says what was found and how far to believe it."""

import json
from dataclasses import replace

import dagster as dg
import polars as pl

from rxweave.embed.history import epochs_from
from rxweave.orchestration.defs.embed import hgt_embeddings
from rxweave.orchestration.evaluation import read_evaluation
from rxweave.orchestration.folder import EMBEDDINGS, OUTPUT, RANKER, REPORTING
from rxweave.orchestration.metadata import memory, of_file, of_metrics
from rxweave.orchestration.project import Project
from rxweave.orchestration.steps import Made, folder_of
from rxweave.orchestration.watch import LogWatch
from rxweave.pipeline import load
from rxweave.report.page import ReportData, write_report
from rxweave.usefulness import judge_run

FILES = ("report.html", "metrics.json", "training.png")


@dg.asset(
    group_name="report",
    deps=[hgt_embeddings, "xgboost_model_evaluation", "xgboost_predictions"],
    kinds={"html", "json"},
)
def report(context: dg.AssetExecutionContext, project: Project) -> Made:
    """One HTML page that opens offline, and its numbers as JSON: verdict, metrics beside the degree prior, leads."""
    folder = folder_of(context, project)
    folder.check_same_model(OUTPUT, "xgboost_predictions")
    settings = folder.settings(OUTPUT)
    with folder.step("report", settings, LogWatch(context.log), place=REPORTING, files=FILES, after=OUTPUT) as work:
        run = folder.read_run()
        kg, graph = folder.read_graph()
        if settings.load.kg.partition(":")[0] == "demo":  # what a made-up graph knows of itself is in no file
            kg = replace(kg, truth=load(settings)[0].truth)
        collapse, verdict = judge_run(run)
        work.results["verdict"] = verdict.level
        evaluation = read_evaluation(folder.root / RANKER)
        history = epochs_from(json.loads((folder.root / EMBEDDINGS / "history.json").read_text(encoding="utf-8")))
        data = ReportData(
            kg=kg,
            graph=graph,
            training=run.training,
            split=run.split,
            history=tuple(history),
            embeddings=run.embeddings,
            collapse=collapse,
            verdict=verdict,
            metrics=evaluation.metrics,
            predictions=pl.read_parquet(folder.root / OUTPUT / "predictions.parquet"),
            manifest=work.manifest(),
            reliability=evaluation.reliability,
        )
        write_report(data, work.reporting / "report.html", work.reporting / "metrics.json")
    return dg.MaterializeResult(
        metadata={
            "verdict": verdict.level,
            "metrics": of_metrics(evaluation.metrics),
            "page": of_file(folder.root / REPORTING / "report.html"),
            "page_url": dg.MetadataValue.url((folder.root / REPORTING / "report.html").absolute().as_uri()),
            "peak_memory_gb": memory(),
        }
    )
