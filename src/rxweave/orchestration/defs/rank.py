"""The ranker: fitted, held against what was held out, and asked about every drug and every disease."""

import shutil

import dagster as dg
import polars as pl

from rxweave.artifacts import atomic_path
from rxweave.graph.leaks import check_held_out_from
from rxweave.leads import best_new
from rxweave.orchestration.defs.embed import hgt_embeddings
from rxweave.orchestration.defs.load import xgboost_train_test_split
from rxweave.orchestration.evaluation import evaluate, write_evaluation
from rxweave.orchestration.folder import EMBEDDINGS, OUTPUT, RANKER
from rxweave.orchestration.metadata import frame_table, memory, of_file, of_metrics, of_predictions
from rxweave.orchestration.project import Project
from rxweave.orchestration.steps import Made, folder_of, settings_of
from rxweave.orchestration.watch import LogWatch
from rxweave.rank.matrix_files import write_scores
from rxweave.rank.ranker import Ranker, fit_ranker
from rxweave.rank.whole_matrix import score_all
from rxweave.workspace import PRODUCTS, SCORED

DRUGS_PER_DISEASE = 20
"""New drugs of each disease in `ranked_results`."""
PREDICTION_FILES = (
    "predictions.parquet",
    "predictions.csv",
    "predictions_by_drug.parquet",
    "matrix/*.parquet",
    "ranked_results.parquet",
    "ranked_results.csv",
)
ADDED_FILES = ("added/*.parquet", "added/*.csv")


@dg.asset(group_name="rank", deps=[xgboost_train_test_split, hgt_embeddings], kinds={"xgboost"})
def xgboost_trained_model(context: dg.AssetExecutionContext, project: Project) -> Made:
    """Boosted trees over pair features, fitted without the held-out treatments and calibrated on others."""
    folder = folder_of(context, project)
    settings = folder.settings(EMBEDDINGS).but(rank=settings_of(context, project).rank)
    watch = LogWatch(context.log)
    with folder.step("rank", settings, watch, place=RANKER, files=PRODUCTS[RANKER], after=EMBEDDINGS) as work:
        run = folder.read_run()
        ranker = fit_ranker(
            run.training, run.split, run.embeddings, settings.rank, seed=run.seed, progress=watch.progress
        )
        check_held_out_from(ranker.held_out, run.split, run.training, what="The ranker")
        ranker.save(work.ranker)
        work.results["model"] = folder.model()
    return dg.MaterializeResult(
        metadata={
            "treatments": len(run.split.train),
            "features": len(ranker.feature_names),
            "models": len(ranker.boosters),
            "classes": ", ".join(ranker.classes),
            "calibration": ranker.calibration.note,
            "path": of_file(folder.root / RANKER),
            "peak_memory_gb": memory(),
        }
    )


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "xgboost_model_evaluation",
            group_name="rank",
            deps=[xgboost_trained_model, hgt_embeddings, xgboost_train_test_split],
            kinds={"json"},
            description="The ranker, the embeddings' own decoder and honest baselines on the held-out treatments.",
            skippable=True,
        ),
        dg.AssetSpec(
            "xgboost_predictions",
            group_name="rank",
            deps=[xgboost_trained_model, hgt_embeddings, xgboost_train_test_split],
            kinds={"parquet"},
            description="Every drug for every disease: probability, confidence, rank, percentiles, known or new. "
            "Research leads, not medical advice.",
            skippable=True,
        ),
    ],
    can_subset=True,
)
def scored_pairs(context: dg.AssetExecutionContext, project: Project):  # type: ignore[no-untyped-def]
    """Score all pairs once, for both assets. (Dagster wants no return type of a step that gives several.)"""
    wanted = {key.to_user_string() for key in context.selected_asset_keys}
    folder, watch = folder_of(context, project), LogWatch(context.log)
    folder.check_same_model(RANKER, "xgboost_trained_model")
    run, ranker = folder.read_run(), Ranker.load(folder.root / RANKER)
    check_held_out_from(ranker.held_out, run.split, run.training, what="The ranker")
    parts = folder.root / SCORED
    scores = score_all(ranker, ranker.features(run.training, run.embeddings), parts, progress=watch.progress)
    if "xgboost_model_evaluation" in wanted:
        found = evaluate(ranker, scores, run)
        path = write_evaluation(found, folder.root / RANKER)
        ranked = found.metrics["ranker"]
        yield dg.MaterializeResult(
            asset_key="xgboost_model_evaluation",
            metadata={
                "metrics": of_metrics(found.metrics),
                "test_treatments": ranked.num_test_pairs,
                "disease_mrr": ranked.diseases_given_drug.mrr.value,
                "drug_mrr": ranked.drugs_given_disease.mrr.value,
                "auprc": ranked.auprc.value,
                "auroc": ranked.auroc.value,
                "output_file": of_file(path),
            },
        )
    if "xgboost_predictions" in wanted:
        settings = folder.settings(RANKER)
        with folder.step(
            "predict", settings, watch, place=OUTPUT, files=PREDICTION_FILES + ADDED_FILES, after=RANKER
        ) as work:
            _, graph = folder.read_graph()
            table, note = write_scores(ranker, scores, graph, run.split.known, work.output, progress=watch.progress)
            watch.note(note)
        shutil.rmtree(parts, ignore_errors=True)
        new = table.lazy().filter(~pl.col("known")).sort("rank").head(20).collect()
        yield dg.MaterializeResult(
            asset_key="xgboost_predictions",
            metadata={
                "dagster/row_count": len(table),
                "pairs_scored": int(scores.treats.size),
                "confidence": frame_table(table["confidence"].value_counts(sort=True)),
                "top_new_predictions": of_predictions(new),
                "output_file": of_file(folder.root / OUTPUT / "predictions.parquet"),
                "peak_memory_gb": memory(),
            },
        )


@dg.asset(group_name="rank", deps=["xgboost_predictions"], kinds={"polars", "parquet"})
def xgboost_ranked_results(context: dg.AssetExecutionContext, project: Project) -> Made:
    """The best new drugs of every disease, the likeliest pairs first. Research leads, not medical advice."""
    output = folder_of(context, project).root / OUTPUT
    found = best_new(pl.scan_parquet(output / "predictions.parquet"), drugs_per_disease=DRUGS_PER_DISEASE)
    with atomic_path(output / "ranked_results.parquet") as temporary:
        found.write_parquet(temporary)
    with atomic_path(output / "ranked_results.csv") as temporary:
        found.write_csv(temporary)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(found),
            "diseases": found["disease_key"].n_unique(),
            "drugs_per_disease": DRUGS_PER_DISEASE,
            "top": of_predictions(found),
            "output_file": of_file(output / "ranked_results.parquet"),
        }
    )
