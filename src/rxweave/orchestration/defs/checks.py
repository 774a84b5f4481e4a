"""Checks of the assets. The first two block: nothing is made of a split that leaks or of collapsed embeddings."""

import dagster as dg

from rxweave.errors import LeakError
from rxweave.graph.check import check_graph
from rxweave.graph.leaks import check_no_leaks
from rxweave.graph.split import training_graph
from rxweave.graph.split_store import read_split
from rxweave.orchestration.defs.embed import hgt_embeddings
from rxweave.orchestration.defs.load import knowledge_graph, xgboost_train_test_split
from rxweave.orchestration.evaluation import read_evaluation
from rxweave.orchestration.folder import RANKER
from rxweave.orchestration.metadata import frame_table, markdown_table, of_verdict, picture
from rxweave.orchestration.project import Project
from rxweave.orchestration.steps import folder_of
from rxweave.report.figures import DEGREE_PRIOR, reliability
from rxweave.usefulness import judge_run

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
MOST_ECE = 0.05
"""Expected calibration error, as a share, above which the check of probabilities warns."""


@dg.asset_check(asset=xgboost_train_test_split, blocking=True)
def no_held_out_pair_leaks(context: dg.AssetCheckExecutionContext, project: Project) -> dg.AssetCheckResult:
    """No held-out pair is joined in the training graph, under its own keys or under another node of its name."""
    folder = folder_of(context, project)
    _, graph = folder.read_graph()
    split = read_split(folder.graph / "split.parquet", graph)
    try:
        check_no_leaks(training_graph(graph, split), split)
    except LeakError as error:
        return dg.AssetCheckResult(passed=False, severity=ERROR, description=str(error))
    held_out = len(split.held_out)
    return dg.AssetCheckResult(
        passed=True,
        metadata={"held_out_pairs": held_out, "facts_removed": len(split.removed)},
        description=f"None of {held_out:,} held-out pairs is in the training graph.",
    )


@dg.asset_check(asset=hgt_embeddings, blocking=True)
def embeddings_have_not_collapsed(context: dg.AssetCheckExecutionContext, project: Project) -> dg.AssetCheckResult:
    """The verdict of `rxweave validate --run`: geometry per type, the graph's facts, validation treatments ranked."""
    run = folder_of(context, project).read_run()
    _, verdict = judge_run(run)
    return dg.AssetCheckResult(
        passed=verdict.level != "collapsed",
        severity=ERROR,
        description=f"{verdict.level}: {len(verdict.problems)} of {len(verdict.findings)} findings are not good.",
        metadata=of_verdict(verdict),
    )


@dg.asset_check(asset=knowledge_graph)
def every_row_is_accounted_for(context: dg.AssetCheckExecutionContext, project: Project) -> dg.AssetCheckResult:
    """Rows read are facts, folded duplicates or rejected rows; table and graph hold those very facts."""
    kg, graph = folder_of(context, project).read_graph()
    report = kg.report
    folded = report.exact_duplicates + report.swapped_duplicates + report.rejected_rows
    whole = not any("left out" in note or "were sampled" in note for note in report.notes)
    wrong = []
    if report.facts + folded != report.rows_read:
        wrong.append(f"{report.rows_read:,} rows were read, {report.facts + folded:,} are accounted for")
    if whole and len(kg.edges) != report.facts:
        wrong.append(f"{report.facts:,} facts were read, {len(kg.edges):,} are in the table")
    if graph.num_facts != len(kg.edges):
        wrong.append(f"{len(kg.edges):,} facts are in the table, {graph.num_facts:,} in the graph")
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=ERROR,
        description="; ".join(wrong) or f"{report.rows_read:,} rows gave {report.facts:,} facts.",
        metadata={"rows_read": report.rows_read, "facts": report.facts, "facts_in_table": len(kg.edges)},
    )


@dg.asset_check(asset=knowledge_graph)
def graph_is_fit_for_training(context: dg.AssetCheckExecutionContext, project: Project) -> dg.AssetCheckResult:
    """What `rxweave doctor` asks: components, lone nodes, hubs, missing genes, counts against the published ones."""
    found = check_graph(*folder_of(context, project).read_graph())
    rows = ((each.level, each.subject, each.found) for each in found.findings)
    odd = [finding for finding in found.findings if finding.level != "good"]
    return dg.AssetCheckResult(
        passed=not odd,
        severity=WARN,
        description="; ".join(f"{finding.subject}: {finding.found}" for finding in odd) or "Nothing is amiss.",
        metadata={
            "findings": markdown_table(("level", "what", "found"), rows),
            "nodes": frame_table(found.types),
            "facts": frame_table(found.relations),
        },
    )


@dg.asset_check(asset="xgboost_model_evaluation")
def ranker_beats_the_degree_prior(context: dg.AssetCheckExecutionContext, project: Project) -> dg.AssetCheckResult:
    """The ranker's MRR is above that of counting known treatments, on both sides, and its AUPRC too."""
    metrics = read_evaluation(folder_of(context, project).root / RANKER).metrics
    ours, prior = metrics["ranker"], metrics[DEGREE_PRIOR]
    beside = {
        "MRR of diseases given a drug": (ours.diseases_given_drug.mrr.value, prior.diseases_given_drug.mrr.value),
        "MRR of drugs given a disease": (ours.drugs_given_disease.mrr.value, prior.drugs_given_disease.mrr.value),
        "AUPRC of all pairs": (ours.auprc.value, prior.auprc.value),
    }
    below = [name for name, (value, counted) in beside.items() if not value > counted]
    rows = ((name, f"{value:.4f}", f"{counted:.4f}") for name, (value, counted) in beside.items())
    return dg.AssetCheckResult(
        passed=not below,
        severity=ERROR,
        description=f"Not above the degree prior: {', '.join(below)}." if below else "Above the degree prior in all.",
        metadata={"beside": markdown_table(("metric", "ranker", "degree prior"), rows)},
    )


@dg.asset_check(asset="xgboost_model_evaluation")
def probabilities_are_calibrated(context: dg.AssetCheckExecutionContext, project: Project) -> dg.AssetCheckResult:
    """On held-out treatments and pairs drawn beside them, probabilities are what happens, within 0.05 on average."""
    found = read_evaluation(folder_of(context, project).root / RANKER).reliability
    if found is None or not found.calibrated_on:
        return dg.AssetCheckResult(
            passed=False,
            severity=WARN,
            description="The probabilities are not calibrated: too few validation treatments. Use the order alone.",
        )
    rows = ((f"{b.predicted:.3f}", f"{b.observed:.3f} ({b.low:.2f}–{b.high:.2f})", b.pairs) for b in found.curve)
    return dg.AssetCheckResult(
        passed=found.ece <= MOST_ECE,
        severity=WARN,
        description=f"Expected calibration error {found.ece:.4f} on {found.num_treatments:,} held-out treatments and "
        f"{found.num_others:,} other pairs; at most {MOST_ECE} passes.",
        metadata={
            "ece": found.ece,
            "brier": found.brier,
            "brier_base_rate": found.brier_base_rate,
            "curve": markdown_table(("predicted", "observed (95 %)", "pairs"), rows),
            "reliability": picture(reliability(found.curve), "reliability"),
        },
    )
