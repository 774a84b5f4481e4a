"""What people see in a terminal: progress while it works, tables when it is done.

Names, ids, paths and sentences made of them reach rich as `Text`, never as plain strings: it would read
`Benzo[a]pyrene` as markup and `:pill:` as an emoji.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from rxweave.artifacts import plain
from rxweave.config import RunSettings
from rxweave.embed.history import Epoch
from rxweave.embed.place import this_place
from rxweave.epoch_line import EpochLine
from rxweave.graph.build import Graph
from rxweave.kg.tables import KnowledgeGraph
from rxweave.pipeline import RunResult
from rxweave.rank.metrics import Estimate, RankingMetrics
from rxweave.settings import known_fields
from rxweave.terminal import clean as _clean
from rxweave.terminal import table as _table
from rxweave.terminal import text as _text
from rxweave.validate.collapse import CollapseReport
from rxweave.validate.inspect import Pair
from rxweave.validate.validation import Validation
from rxweave.validate.verdict import Verdict
from rxweave.watch import Watch

NOT_ADVICE = "Predictions are research leads, not medical advice."
_COLOUR = {"good": "green", "warning": "yellow", "collapsed": "red"}
_TOP_PAIRS = 10
_WIDE_ENOUGH = 140
"""Columns for the live line of training. In a narrower terminal it is folded, since what is cut off tells nothing."""


class RichWatch(Watch):
    """Draws stages and one live line on standard error, so that standard output stays clean.

    Where standard error is no terminal, plain lines tell about every tenth of the training, and every measurement. Of
    several ranks only the first draws.
    """

    def __init__(self, num_epochs: int, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet or not this_place().first)
        self.num_epochs = num_epochs
        self.line = EpochLine(num_epochs)
        self.bars = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            _TimeLeft(),
            TextColumn("{task.fields[detail]}", markup=False),
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
        self.console.print(_text(name, "bold"))

    def training(self, graph: Graph) -> None:
        self.line.begin(graph)

    def epoch(self, epoch: Epoch) -> None:
        told = self.line.parts(epoch)
        detail = (" · " if self.console.width >= _WIDE_ENOUGH else "\n").join(told)
        self.bars.update(
            self.task,
            description="epochs",
            completed=epoch.number,
            total=self.num_epochs,
            detail=detail,
            visible=True,
        )
        if not self.console.is_terminal and self.line.is_due(epoch):
            self.console.print(_text(f"  epoch {epoch.number}/{self.num_epochs}: {' · '.join(told)}"), soft_wrap=True)

    def progress(self, what: str, share: float) -> None:
        self.bars.update(
            self.task, description=_clean(what), completed=round(100 * share), total=100, detail="", visible=True
        )

    def note(self, text: str) -> None:
        self.console.print(_text(f"  {text}"), soft_wrap=True)

    def warning(self, text: str) -> None:
        self.console.print(Text.assemble("  ", ("Warning: ", "yellow"), _text(text)), soft_wrap=True)


class _TimeLeft(TimeRemainingColumn):
    """Of anything but training, which tells it itself: it has a better idea of its pace after a resume."""

    def render(self, task: Task) -> Text:
        return Text("") if task.fields["detail"] else super().render(task)


def print_run(result: RunResult) -> None:
    """Print the verdict, the metrics beside the prior (and the oracle), the best new pairs and the report's path."""
    console = Console()
    console.print()
    _print_level(console, result.verdict)
    console.print(_metrics_table(result.metrics))
    console.print(_SIDES)
    if result.kg.truth is not None:
        best = next(iter(result.metrics.values())).auroc.value
        oracle = result.kg.truth.oracle_auroc
        console.print(
            _text(
                f"Oracle, which knows the graph's hidden mechanisms: AUROC {oracle:.3f}. "
                f"{next(iter(result.metrics))}: {best:.3f}, {best / oracle:.1%} of it."
            )
        )
    if result.predictions is not None:
        console.print(_new_pairs_table(result))
        console.print(NOT_ADVICE)
    console.print(_text(f"Report: {result.report}"), soft_wrap=True)


def run_summary(result: RunResult) -> dict[str, object]:
    """Give the outcome of a run as plain values, for `--json`; what is not a number is None, as JSON has no NaN."""
    summary = {
        "graph": result.kg.name,
        "verdict": result.verdict.level,
        "problems": [str(finding) for finding in result.verdict.problems],
        "metrics": {name: _headline(metrics) for name, metrics in result.metrics.items()},
        "oracle_auroc": None if result.kg.truth is None else result.kg.truth.oracle_auroc,
        "stages": result.workspace.stages,
        "report": result.report,
    }
    return {name: plain(value) for name, value in summary.items()}


def print_validation(validation: Validation, page: Path | None) -> None:
    """Print the measures and the verdict, what the graph and the meaning checks say, single nodes, and the page."""
    print_verdict(validation.collapse, validation.verdict)
    console = Console()
    if validation.graph is not None:
        found = validation.graph
        fresh = found.untrained_link_auroc
        console.print(
            _text(
                f"Facts of {found.graph} told from pairs of the same degrees: AUROC {found.link_auroc:.3f} "
                f"(degrees alone {found.degree_prior_auroc:.3f}"
                + ("" if fresh is None else f", the untrained model {fresh:.3f}")
                + ")."
            )
        )
    if validation.layers:
        shares = ", ".join(f"{share:.2f}" for share in validation.layers)
        console.print(
            _text(f"Connected nodes, apart as a share of shuffled ends, from the input through the layers: {shares}.")
        )
    for check in validation.meaning:
        low, high = check.shuffled_interval
        console.print(
            _text(f"{check.what}: {check.value:.3f} (shuffled {low:.3f} to {high:.3f}; p = {check.p_value:.3f}).")
        )
    for each in validation.inspections:
        for near in each.nearest:
            console.print(_pairs_table(f"{each.node_type}: nearest to {near[0].first.name}", near, both=False))
        if each.twins:
            console.print(_pairs_table(f"{each.node_type}: most alike", each.twins, both=True))
    if page is not None:
        console.print(_text(f"Page: {page}"), soft_wrap=True)


def _pairs_table(title: str, pairs: Sequence[Pair], *, both: bool) -> Table:
    table = _table(title)
    for column in ("node", "node") if both else ("node",):
        table.add_column(column, overflow="fold")
    table.add_column("cosine", justify="right", no_wrap=True)
    table.add_column("shared neighbours", justify="right", no_wrap=True)
    for pair in pairs:
        names = (pair.first.name, pair.second.name) if both else (pair.second.name,)
        shared = "–" if pair.shared is None or math.isnan(pair.shared) else f"{pair.shared:.0%}"
        table.add_row(*(_text(name) for name in names), f"{pair.cosine:.4f}", shared)
    return table


def print_verdict(report: CollapseReport, verdict: Verdict) -> None:
    """Print the measures of each node type, the verdict, and what to change."""
    console = Console()
    table = _table(f"{report.overall.num_active:,} nodes × {report.dim} dimensions")
    for column in ("node type", "nodes", "verdict", "mean\ncosine", "90 %\ncomponents", "RankMe", "twins"):
        table.add_column(
            column,
            justify="left" if column in ("node type", "verdict") else "right",
            no_wrap=column != "node type",
            overflow="fold",
        )
    for each in report.types:
        level = verdict.types.get(each.node_type, "not judged")
        table.add_row(
            _text(each.node_type),
            f"{each.num_nodes:,}",
            Text(level, _COLOUR.get(level, "dim")),
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


def print_load_report(kg: KnowledgeGraph, folder: Path) -> None:
    """Print what happened to every row of the input."""
    console, report = Console(), kg.report
    table = _table(f"{kg.name}: {report.nodes:,} nodes, {report.facts:,} facts")
    table.show_header = False
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
        console.print(_text(f"  {row.file}, line {row.line}: {row.reason}"), soft_wrap=True)
    for kind in ("exact duplicate", "self-loop"):
        for first in [row for row in report.folded_examples if row.kind == kind][:1]:
            told = f"  first {kind}: {first.file}, line {first.line}: {first.fact}"
            console.print(_text(told), soft_wrap=True)
    for note in report.notes:
        console.print(_text(f"  {note}"))
    console.print(_text(f"Tables, and the ledger of all this: {folder}"), soft_wrap=True)


def print_settings(settings: RunSettings | None = None) -> None:
    """Print every setting, its default (or its value in `settings`, bold where another) and what it does."""
    console = Console()
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("default" if settings is None else "value", max_width=18, overflow="fold")
    table.add_column("what it does")
    for name, field in known_fields().items():
        value = field.default if settings is None else operator.attrgetter(name)(settings)
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else "–" if value is None else str(value)
        table.add_row(name, Text(shown, "" if value == field.default else "bold"), Text(field.description or ""))
    console.print(table)


def _print_level(console: Console, verdict: Verdict) -> None:
    console.print(Text.assemble("Embeddings: ", (verdict.level, f"bold {_COLOUR[verdict.level]}")))
    for line in (*verdict.problems, *verdict.notes):
        console.print(_text(f"  {line}"))


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


_SIDES = (
    "Disease side: the disease among all diseases, given the drug. "
    "Drug side: the drug among all drugs, given the disease."
)


def _metrics_table(metrics: dict[str, RankingMetrics]) -> Table:
    """A row for each method; with two-line headings and thin padding it fits in 80 columns."""
    some = next(iter(metrics.values()))
    table = _table(f"Held-out treatments: {some.num_test_pairs} pairs, filtered, against every candidate")
    table.collapse_padding = True
    table.add_column("", no_wrap=True)
    for column in (
        "disease\nMRR", "disease\nHits@10", "drug\nMRR", "drug\nHits@10", "drug\nRecall@50", "\nAUPRC", "\nAUROC",
    ):  # fmt: skip
        table.add_column(column, justify="right", no_wrap=True)
    for name, each in metrics.items():
        disease, drug = each.diseases_given_drug, each.drugs_given_disease
        shown: list[Estimate] = [
            disease.mrr, disease.hits_at_10, drug.mrr, drug.hits_at_10, drug.recall_at_50, each.auprc, each.auroc,
        ]  # fmt: skip
        table.add_row(_text(name), *(f"{estimate.value:.3f}" for estimate in shown))
    return table


def _new_pairs_table(result: RunResult) -> Table:
    assert result.predictions is not None
    best = result.predictions.filter(~result.predictions["known"]).head(_TOP_PAIRS)
    table = _table(f"{len(best)} best new pairs of {len(result.predictions):,}")
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("drug", overflow="fold")
    table.add_column("disease", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("confidence", no_wrap=True)
    for row in best.iter_rows(named=True):
        table.add_row(
            str(row["rank"]),
            _text(row["drug_name"]),
            _text(row["disease_name"]),
            f"{row['prob_treats']:.3f}",
            _text(row["confidence"]),
        )
    return table
