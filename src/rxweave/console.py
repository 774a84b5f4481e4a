"""What people see in a terminal: progress while it works, tables when it is done."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rxweave.embed.train import Epoch
from rxweave.kg.tables import KnowledgeGraph
from rxweave.pipeline import RunResult
from rxweave.rank.metrics import Estimate, RankingMetrics
from rxweave.settings import known_fields
from rxweave.validate.collapse import CollapseReport
from rxweave.validate.verdict import Verdict
from rxweave.watch import Watch

NOT_ADVICE = "Predictions are research leads, not medical advice."
_COLOUR = {"good": "green", "warning": "yellow", "collapsed": "red"}
_TOP_PAIRS = 10


class RichWatch(Watch):
    """Draws stages and progress bars on standard error, so that standard output stays clean."""

    def __init__(self, num_epochs: int, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self.num_epochs = num_epochs
        self.ranks = ""
        self.bars = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self.console,
            transient=True,
        )
        self.task = self.bars.add_task("", visible=False, detail="")

    def __enter__(self) -> RichWatch:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def stage(self, name: str) -> None:
        self.bars.update(self.task, visible=False)
        self.console.print(f"[bold]{name}[/bold]")

    def epoch(self, epoch: Epoch) -> None:
        if epoch.effective_rank:
            lowest = min(epoch.effective_rank, key=epoch.effective_rank.__getitem__)
            self.ranks = f" · lowest effective rank {epoch.effective_rank[lowest]:.0f} ({lowest})"
        detail = f"link {epoch.link:.3f} contr {epoch.contrastive:.3f} total {epoch.total:.3f}{self.ranks}"
        self.bars.update(
            self.task,
            description="epochs",
            completed=epoch.number,
            total=self.num_epochs,
            detail=detail,
            visible=True,
        )
        if not self.console.is_terminal and epoch.number % max(1, self.num_epochs // 10) == 0:
            self.console.print(f"  epoch {epoch.number}/{self.num_epochs}: {detail}", soft_wrap=True)

    def progress(self, what: str, share: float) -> None:
        self.bars.update(self.task, description=what, completed=round(100 * share), total=100, detail="", visible=True)

    def note(self, text: str) -> None:
        self.console.print(f"  {text}", soft_wrap=True)


def print_run(result: RunResult) -> None:
    """Print the verdict, the metrics beside the prior (and the oracle), the best new pairs and the report's path."""
    console = Console()
    console.print()
    _print_level(console, result.verdict)
    console.print(_metrics_table(result.metrics))
    if result.kg.truth is not None:
        best = next(iter(result.metrics.values())).auroc.value
        oracle = result.kg.truth.oracle_auroc
        console.print(
            f"Oracle, which knows the graph's hidden mechanisms: AUROC {oracle:.3f}. "
            f"{next(iter(result.metrics))}: {best:.3f}, {best / oracle:.1%} of it."
        )
    if result.predictions is not None:
        console.print(_new_pairs_table(result))
        console.print(NOT_ADVICE)
    console.print(f"Report: {result.report}", soft_wrap=True, highlight=False)


def run_summary(result: RunResult) -> dict[str, object]:
    """Give the outcome of a run as plain values, for `--json`."""
    return {
        "graph": result.kg.name,
        "verdict": result.verdict.level,
        "problems": [str(finding) for finding in result.verdict.problems],
        "metrics": {name: _headline(metrics) for name, metrics in result.metrics.items()},
        "oracle_auroc": None if result.kg.truth is None else result.kg.truth.oracle_auroc,
        "stages": result.workspace.stages,
        "report": str(result.report),
    }


def print_verdict(report: CollapseReport, verdict: Verdict) -> None:
    """Print the measures of each node type, the verdict, and what to change."""
    console = Console()
    table = Table(title=f"{report.overall.num_active:,} nodes × {report.dim} dimensions")
    for column in ("node type", "nodes", "verdict", "mean cosine", "90 % components", "RankMe", "twins"):
        table.add_column(column, justify="left" if column in ("node type", "verdict") else "right")
    for each in report.types:
        level = verdict.types.get(each.node_type, "not judged")
        table.add_row(
            each.node_type,
            f"{each.num_nodes:,}",
            f"[{_COLOUR.get(level, 'dim')}]{level}[/]",
            f"{each.cosines.mean:.3f}",
            str(each.spread.components_90),
            f"{each.spread.rankme:.1f}",
            f"{each.duplicate_rate:.1%}",
        )
    console.print(table)
    console.print(
        f"All nodes: mean cosine {report.overall.mean_cosine:.3f}, "
        f"across types {report.overall.across_type_cosine:.3f}."
    )
    _print_level(console, verdict)


def verdict_summary(report: CollapseReport, verdict: Verdict) -> dict[str, object]:
    """Give measures and verdict as plain values, for `--json`."""
    from rxweave.artifacts import plain

    summary = plain({"verdict": verdict.level, "types": report.types, "overall": report.overall})
    assert isinstance(summary, dict)
    return summary | {
        "judged": plain(verdict.types),
        "findings": [str(finding) for finding in verdict.problems],
        "usefulness_tested": verdict.usefulness_tested,
        "notes": list(verdict.notes),
    }


def print_load_report(kg: KnowledgeGraph, folder: Path) -> None:
    """Print what happened to every row of the input."""
    console, report = Console(), kg.report
    table = Table(title=f"{kg.name}: {report.nodes:,} nodes, {report.facts:,} facts", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for label, count in (
        ("rows read", report.rows_read),
        ("facts", report.facts),
        ("exact duplicates folded", report.exact_duplicates),
        ("swapped duplicates folded", report.swapped_duplicates),
        ("rows rejected", report.rejected_rows),
        ("self-loops kept", report.self_loops),
        ("nodes without facts", report.isolated_nodes),
        ("nodes without a name", report.empty_names),
        ("ids under several names", report.renamed_ids),
    ):
        table.add_row(label, f"{count:,}")
    console.print(table)
    for row in report.rejected_examples:
        console.print(f"  {row.file}, line {row.line}: {row.reason}", highlight=False)
    for note in report.notes:
        console.print(f"  {note}", highlight=False)
    console.print(f"Tables: {folder}", soft_wrap=True, highlight=False)


def print_settings() -> None:
    """Print every setting, its default and what it does."""
    console = Console()
    table = Table("setting", "default", "what it does")
    for name, field in known_fields().items():
        default = ", ".join(field.default) if isinstance(field.default, tuple) else field.default
        table.add_row(name, "–" if default is None else str(default), field.description or "")
    console.print(table)


def _print_level(console: Console, verdict: Verdict) -> None:
    console.print(f"Embeddings: [bold {_COLOUR[verdict.level]}]{verdict.level}[/]")
    for finding in verdict.problems:
        console.print(f"  {finding}", highlight=False)
    for note in verdict.notes:
        console.print(f"  {note}", highlight=False)


def _headline(metrics: RankingMetrics) -> dict[str, float]:
    disease, drug = metrics.diseases_given_drug, metrics.drugs_given_disease
    return {
        "diseases_given_drug_mrr": disease.mrr.value,
        "diseases_given_drug_hits_at_10": disease.hits_at_10.value,
        "drugs_given_disease_mrr": drug.mrr.value,
        "drugs_given_disease_hits_at_10": drug.hits_at_10.value,
        "drugs_given_disease_recall_at_50": drug.recall_at_50.value,
        "auprc": metrics.auprc.value,
        "auroc": metrics.auroc.value,
    }


def _metrics_table(metrics: dict[str, RankingMetrics]) -> Table:
    some = next(iter(metrics.values()))
    table = Table(
        title=f"Held-out treatments: {some.num_test_pairs} pairs, filtered, against every candidate",
        caption="disease side: the disease among all diseases, given the drug; drug side: the drug among all drugs, "
        "given the disease",
    )
    table.add_column("")
    for column in ("disease MRR", "Hits@10", "drug MRR", "Hits@10", "Recall@50", "AUPRC", "AUROC"):
        table.add_column(column, justify="right")
    for name, each in metrics.items():
        disease, drug = each.diseases_given_drug, each.drugs_given_disease
        shown: list[Estimate] = [
            disease.mrr, disease.hits_at_10, drug.mrr, drug.hits_at_10, drug.recall_at_50, each.auprc, each.auroc,
        ]  # fmt: skip
        table.add_row(name, *(f"{estimate.value:.3f}" for estimate in shown))
    return table


def _new_pairs_table(result: RunResult) -> Table:
    assert result.predictions is not None
    table = Table(title=f"{_TOP_PAIRS} best new pairs of {len(result.predictions):,}")
    for column in ("rank", "drug", "disease", "probability", "confidence"):
        table.add_column(column, justify="right" if column in ("rank", "probability") else "left")
    for row in result.predictions.filter(~result.predictions["known"]).head(_TOP_PAIRS).iter_rows(named=True):
        table.add_row(
            str(row["rank"]),
            row["drug_name"],
            row["disease_name"],
            f"{row['prob_treats']:.3f}",
            row["confidence"],
        )
    return table
