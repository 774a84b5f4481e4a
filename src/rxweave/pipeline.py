"""The whole road, top to bottom: a graph in; embeddings, a verdict, ranked drugs and a report out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rxweave.config import RunSettings
from rxweave.embed.model_file import save_model
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.embed.train import Trained, train
from rxweave.graph.build import Graph, build_graph
from rxweave.graph.leaks import check_no_leaks, split_fingerprint
from rxweave.graph.sample import limit_nodes
from rxweave.graph.split import Split, random_split, training_graph, write_split
from rxweave.kg.sources import load_kg
from rxweave.kg.store import write_kg
from rxweave.kg.tables import KnowledgeGraph
from rxweave.rank.baselines import baseline_scores
from rxweave.rank.decoder_scores import decoder_scores
from rxweave.rank.matrix import predictions_table, score_pairs, write_predictions
from rxweave.rank.metrics import RankingMetrics, evaluate_ranking
from rxweave.rank.ranker import fit_ranker
from rxweave.report.page import ReportData, write_report
from rxweave.validate.collapse import CollapseReport, measure_collapse
from rxweave.validate.structure import structural_duplicate_rate
from rxweave.validate.verdict import RankingEvidence, SideEvidence, Verdict, judge
from rxweave.watch import Watch
from rxweave.workspace import Workspace


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a run found and where it wrote it; `predictions` is None when the embeddings had collapsed."""

    kg: KnowledgeGraph
    verdict: Verdict
    metrics: dict[str, RankingMetrics]
    predictions: pl.DataFrame | None
    report: Path
    workspace: Workspace


def run(settings: RunSettings, out: Path, *, watch: Watch | None = None, force: bool = False) -> RunResult:
    """Load, split, embed, validate, rank and report; every stage's output lies under `out` when it is done.

    Embeddings whose geometry has collapsed are reported but never ranked. The same settings and files give the
    same result on one machine. A finished run of the same graph under `out` is replaced, that of another graph
    only with `force`. Raises RxweaveError for input or settings that cannot work; an earlier run then stays.
    """
    watch = watch or Watch()
    work = Workspace(out, settings, watch)
    if not force:
        work.check_free()
    with work.stage("load"):
        kg = load_kg(**settings.load.reader_options(), seed=settings.seed)
        work.kg_name, work.inputs = kg.name, kg.report.files
    with work.stage("split", work.graph):
        graph = build_graph(kg)
        if settings.load.limit_nodes is not None:
            graph = limit_nodes(graph, settings.load.limit_nodes, seed=settings.seed)
        split = random_split(graph, **settings.split.model_dump(), seed=settings.seed)
        training = training_graph(graph, split)
        check_no_leaks(training, split)
        work.clear()
        write_kg(kg, work.graph)
        write_split(split, graph, work.graph / "split.parquet")

    with work.stage("embed", work.embeddings):
        trained = train(training, settings.embed, seed=settings.seed, on_epoch=watch.epoch)
        embeddings = describe(trained, training, split)
        write_embeddings(embeddings, work.embeddings / "hgt_embeddings.parquet", work.embeddings / "hgt_embeddings.csv")
        save_model(trained, settings.embed, work.embeddings)

    with work.stage("validate"):
        scores = {"HGT decoder": decoder_scores(trained, training)} | baseline_scores(training, split.train)
        metrics = {
            name: evaluate_ranking(matrix, split.test, split.known, seed=settings.seed)
            for name, matrix in scores.items()
        }
        collapse = measure_collapse(embeddings, seed=settings.seed, active=training.degrees > 0)
        verdict = verdict_of(collapse, training, metrics)
        work.results["verdict"] = verdict.level

    predictions = None
    if verdict.level == "collapsed":
        watch.note("The embeddings have collapsed: nothing is ranked with them. The report says what to change.")
    else:
        with work.stage("rank", work.ranker, work.output):
            ranker = fit_ranker(training, split, embeddings, settings.rank, seed=settings.seed, progress=watch.progress)
            ranker.save(work.ranker)
            pair_scores = score_pairs(ranker, ranker.features(training, embeddings), progress=watch.progress)
            ranked = evaluate_ranking(pair_scores.treats, split.test, split.known, seed=settings.seed)
            metrics = {"ranker": ranked} | metrics
            predictions = predictions_table(ranker, pair_scores, graph, split.known)
            written = write_predictions(
                predictions, work.output / "predictions.parquet", work.output / "predictions.csv"
            )
            watch.note(written.note)

    report = work.reporting / "report.html"
    with work.stage("report", work.reporting):
        data = ReportData(
            kg=kg,
            graph=graph,
            training=training,
            split=split,
            history=trained.history,
            embeddings=embeddings,
            collapse=collapse,
            verdict=verdict,
            metrics=metrics,
            predictions=predictions,
            manifest=work.manifest(),
        )
        write_report(data, report, work.reporting / "metrics.json")
    return RunResult(kg, verdict, metrics, predictions, report, work)


def describe(trained: Trained, training: Graph, split: Split | None) -> Embeddings:
    """Put names to the trained vectors, and say in their metadata which pairs they have never seen."""
    metadata = {
        "model": "hgt",
        "graph": training.name,
        "epochs": str(len(trained.history)),
        "device": trained.device,
        "split": "none" if split is None else split_fingerprint(split, training),
    }
    return Embeddings(training.nodes, trained.vectors, metadata)


def verdict_of(collapse: CollapseReport, training: Graph, metrics: dict[str, RankingMetrics]) -> Verdict:
    """Judge the embeddings by their geometry, and by what their own decoder ranks beside the degree prior."""
    ours, prior = metrics["HGT decoder"], metrics["degree prior"]
    evidence = RankingEvidence(
        SideEvidence("MRR", ours.diseases_given_drug.mrr.value, prior.diseases_given_drug.mrr.value),
        SideEvidence("MRR", ours.drugs_given_disease.mrr.value, prior.drugs_given_disease.mrr.value),
    )
    return judge(
        collapse,
        ranking=evidence,
        drug_type=training.roles.drug,
        disease_type=training.roles.disease,
        structural_duplicate_rate=structural_duplicate_rate(training),
    )
