"""The whole road, top to bottom: a graph in; embeddings, a verdict, ranked drugs and a report out."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl
from jaxtyping import Float32

from rxweave.config import RunSettings
from rxweave.embed.checkpoint import check_present
from rxweave.embed.device import choose_device
from rxweave.embed.feature_file import FEATURES_KEY
from rxweave.embed.held_out import HeldOut
from rxweave.embed.history import write_history
from rxweave.embed.model_file import save_model
from rxweave.embed.place import this_place
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.embed.train import Trained, train
from rxweave.embed.treatment_scores import WEIGHTS_KEY, told_weights
from rxweave.errors import InputError
from rxweave.graph.build import Graph, build_graph
from rxweave.graph.leaks import (
    NO_SPLIT,
    STOPPED_KEY,
    check_held_out_from,
    check_no_leaks,
    split_fingerprint,
    stop_fingerprint,
)
from rxweave.graph.make_split import make_split
from rxweave.graph.sample import limit_nodes
from rxweave.graph.split import Split, training_graph
from rxweave.graph.split_store import write_split
from rxweave.kg.sources import load_kg
from rxweave.kg.store import write_kg
from rxweave.kg.tables import KnowledgeGraph, keep_nodes
from rxweave.rank.baselines import baseline_scores
from rxweave.rank.decoder_scores import decoder_scores, scored_relations
from rxweave.rank.matrix_files import write_scores
from rxweave.rank.metrics import RankingMetrics, evaluate_ranking
from rxweave.rank.ranker import fit_ranker
from rxweave.rank.reliability import held_out_reliability
from rxweave.rank.whole_matrix import score_all
from rxweave.report.page import ReportData, write_report
from rxweave.usefulness import decoder_evidence
from rxweave.validate.collapse import CollapseReport, measure_collapse
from rxweave.validate.control import untrained_vectors
from rxweave.validate.on_graph import GraphReport, measure_on_graph
from rxweave.validate.verdict import Verdict, judge
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


def run(
    settings: RunSettings,
    out: Path,
    *,
    watch: Watch | None = None,
    force: bool = False,
    resume: bool | None = None,
) -> RunResult:
    """Load, split, embed, validate, rank and report; all of it appears under `out` when all of it is done.

    Embeddings whose geometry has collapsed are reported but never ranked. The same settings and files give the
    same result on one machine's CPU. A finished run of the same graph under `out` is replaced at the end; that of
    another graph, or files of someone else, only with `force`. Training that was stopped or killed goes on from its
    checkpoint under `out`, if it is of this very training; `resume` True insists on that, False starts anew. Raises
    RxweaveError for input or settings that cannot work; what an earlier run left then stays as it was. Of several ranks
    that torchrun started, only the first comes back: the others help it train, and end.
    """
    work = Workspace(out, settings, watch or Watch())
    if not this_place().first:
        graph = load(settings)[1]
        split = make_split(graph, settings.split, seed=settings.seed)
        held_out = HeldOut.of(split)
        assist(training_graph(graph, split), settings, checkpoint=work.checkpoint, resume=resume, held_out=held_out)
    try:
        result = _run(work, force=force, resume=resume)
        work.publish()
        return result
    finally:
        work.discard()


def _run(work: Workspace, *, force: bool, resume: bool | None) -> RunResult:
    settings, watch, seed = work.settings, work.watch, work.settings.seed
    choose_device(settings.embed.device)  # before anything that takes time
    if resume:
        check_present(work.checkpoint)
    with work.stage("load"):
        kg, graph = load(settings)
        work.kg_name, work.inputs = kg.name, kg.report.files
        if not force:
            work.check_free()

    with work.stage("split", work.graph):
        split, training = split_checked(graph, settings)
        for note in split.notes:
            watch.note(note)
        work.results["split"] = split.notes
        work.begin()
        write_kg(kg, work.graph)
        write_split(split, graph, work.graph / "split.parquet")

    with work.stage("embed", work.embeddings):
        trained, embeddings = embed(training, split, work, resume=resume)

    with work.stage("validate"):
        scores = {"HGT decoder": decoder_scores(trained, training)} | baseline_scores(training, split.train)
        collapse = measure_collapse(embeddings, seed=seed, active=training.degrees > 0)
        untrained = untrained_vectors(trained, seed=seed)
        on_graph = measure_on_graph(embeddings, training, untrained=untrained, seed=seed)
        verdict = verdict_of(collapse, training, scores, split, seed=seed, on_graph=on_graph)
        metrics = {
            name: evaluate_ranking(matrix, split.test, split.known, seed=seed) for name, matrix in scores.items()
        }
        work.results["verdict"] = verdict.level

    predictions, reliability = None, None
    if verdict.level == "collapsed":
        watch.note("The embeddings have collapsed: nothing is ranked with them. The report says what to change.")
    else:
        with work.stage("rank", work.ranker, work.output):
            ranker = fit_ranker(training, split, embeddings, settings.rank, seed=seed, progress=watch.progress)
            check_held_out_from(ranker.held_out, split, training, what="The ranker")
            ranker.save(work.ranker)
            features = ranker.features(training, embeddings)
            pair_scores = score_all(ranker, features, work.scored, progress=watch.progress)
            ranked = evaluate_ranking(pair_scores.treats, split.test, split.known, seed=seed)
            metrics = {"ranker": ranked} | metrics
            reliability = held_out_reliability(ranker, pair_scores.treats, split, training, seed=seed)
            predictions, note = write_scores(
                ranker, pair_scores, graph, split.known, work.output, progress=watch.progress
            )
            watch.note(note)

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
            reliability=reliability,
        )
        write_report(data, work.reporting / "report.html", work.reporting / "metrics.json")
    return RunResult(kg, verdict, metrics, predictions, work.root / "08_reporting" / "report.html", work)


def split_checked(graph: Graph, settings: RunSettings) -> tuple[Split, Graph]:
    """Give the split and the training graph, which is proven to hold no held-out pair and can score treatments."""
    split = make_split(graph, settings.split, seed=settings.seed)
    training = training_graph(graph, split)
    check_no_leaks(training, split)
    scored_relations(training)  # refuses now what could only fail after training
    drugs, diseases = (graph.rows_of(node_type) for node_type in (graph.roles.drug, graph.roles.disease))
    if len(split.known) == (drugs.stop - drugs.start) * (diseases.stop - diseases.start):
        raise InputError(
            f"All {len(split.known):,} pairs of a drug and a disease in {graph.name} are treatments: none is left to "
            "rank them among. Give a graph with more drugs or diseases; `rxweave embed` embeds this one."
        )
    return split, training


def embed(training: Graph, split: Split, work: Workspace, *, resume: bool | None = None) -> tuple[Trained, Embeddings]:
    """Train on the training graph; write the embeddings, the model and its history into `work.embeddings`."""
    settings, watch = work.settings, work.watch
    watch.training(training)
    trained = train(
        training,
        settings.embed,
        seed=settings.seed,
        on_epoch=watch.epoch,
        on_note=watch.note,
        on_warning=watch.warning,
        checkpoint=work.checkpoint,
        resume=resume,
        held_out=HeldOut.of(split),
    )
    work.results["device"] = trained.device
    work.results["attention"] = asdict(trained.attention)
    work.results["precision"] = asdict(trained.precision)
    work.results["memory"] = trained.memory.plain()
    if trained.from_file is not None:
        work.results["feature_file"] = trained.from_file.plain()
    embeddings = describe(trained, settings, split)
    write_embeddings(embeddings, work.embeddings / "hgt_embeddings.parquet", work.embeddings / "hgt_embeddings.csv")
    save_model(trained, training, settings.embed, settings.seed, work.embeddings)
    write_history(trained.history, work.embeddings / "training.parquet")
    work.results["warnings"] = [text for epoch in trained.history for text in epoch.warnings.values()]
    return trained, embeddings


def assist(
    graph: Graph, settings: RunSettings, *, checkpoint: Path, resume: bool | None, held_out: HeldOut | None = None
) -> NoReturn:
    """Train along with the first rank, which does everything else, and end this process: SystemExit with 0."""
    train(graph, settings.embed, seed=settings.seed, checkpoint=checkpoint, resume=resume, held_out=held_out)
    raise SystemExit(0)


def build(settings: RunSettings, out: Path, *, force: bool = False) -> tuple[KnowledgeGraph, Path]:
    """Load a graph and write its tables and load report; give the graph and the folder they lie in."""
    work = Workspace(out, settings, Watch())
    try:
        with work.stage("load"):
            kg, _ = load(settings)
            work.kg_name, work.inputs = kg.name, kg.report.files
            if not force:
                work.check_free("02_graph")
        with work.stage("write", work.graph):
            work.begin()
            write_kg(kg, work.graph)
        work.publish("02_graph")
    finally:
        work.discard()
    return kg, out / "02_graph" / (kg.name or "graph")


def load(settings: RunSettings) -> tuple[KnowledgeGraph, Graph]:
    """Load a graph as the settings say; a sampled graph keeps the sampled nodes and the facts between them only."""
    kg = load_kg(**settings.load.reader_options(), seed=settings.seed)
    graph = build_graph(kg)
    if settings.load.limit_nodes is None or settings.load.limit_nodes >= graph.num_nodes:
        return kg, graph
    graph = limit_nodes(graph, settings.load.limit_nodes, seed=settings.seed)
    return keep_nodes(kg, graph.nodes["node_key"]), graph


def describe(trained: Trained, settings: RunSettings, split: Split | None) -> Embeddings:
    """Put names to the trained vectors, and say in their metadata how they were made and what they have not seen.

    Raises LeakError when a pair that `split` holds out was in the very graph that was trained on.
    """
    if split is not None:
        check_no_leaks(trained.graph, split)
    metadata = {
        "model": "hgt",
        "graph": trained.graph.name,
        "device": trained.device,
        "attention": trained.attention.name,
        "precision": trained.precision.name,
        "seed": str(settings.seed),
        "settings": settings.embed.model_dump_json(),
        "split": NO_SPLIT if split is None else split_fingerprint(split, trained.graph),
    }
    with suppress(InputError):  # no treatment relation with facts: then nothing was learnt of treatment
        metadata[WEIGHTS_KEY] = told_weights(trained.decoder, trained.graph)
    if trained.from_file is not None:
        metadata[FEATURES_KEY] = trained.from_file.sha256
    if split is not None and settings.embed.early_stopping is not None:
        metadata[STOPPED_KEY] = stop_fingerprint(split, trained.graph)
    return Embeddings(trained.graph.nodes, trained.vectors, metadata)


def verdict_of(
    collapse: CollapseReport,
    training: Graph,
    scores: dict[str, Float32[np.ndarray, "drugs diseases"]],
    split: Split,
    *,
    seed: int,
    on_graph: GraphReport | None = None,
) -> Verdict:
    """Judge the embeddings by their geometry, by the graph, and by what their decoder ranks beside the degree prior."""
    return judge(
        collapse,
        graph=on_graph,
        ranking=decoder_evidence(scores, split, seed=seed),
        drug_type=training.roles.drug,
        disease_type=training.roles.disease,
    )
