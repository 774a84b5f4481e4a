"""What Dagster shows beside an asset: numbers, tables and pictures of what a step made."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import dagster as dg
import polars as pl

from rxweave.embed.history import Epoch
from rxweave.embed.usage import peak_memory
from rxweave.rank.metrics import Estimate, RankingMetrics
from rxweave.report.figures import loss_curves, rank_curves
from rxweave.validate.verdict import Verdict
from rxweave.validate.words import measure_name, threshold_name

Metadata = dict[str, dg.MetadataValue]
NOT_ADVICE = "Predictions are research leads, not medical advice."
MOST_ROWS = 20


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """Give a table as Markdown; what would break its cells is escaped."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def frame_table(frame: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """Give the first rows of a table as Markdown."""
    return markdown_table(frame.columns, frame.head(MOST_ROWS).iter_rows())


def picture(svg: bytes, title: str) -> dg.MarkdownMetadataValue:
    """Give a picture as Markdown that needs no other file."""
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')})")


def memory() -> dg.FloatMetadataValue:
    """Give the most memory that the process has held so far, in 10^9 bytes."""
    return dg.MetadataValue.float(round(peak_memory() / 1e9, 3))


def of_file(path: Path) -> dg.PathMetadataValue:
    """Give where a file lies."""
    return dg.MetadataValue.path(str(path.absolute()))


def of_training(history: Sequence[Epoch]) -> Metadata:
    """Give losses, their curves, effective ranks and times of a training."""
    last = history[-1]
    found: Metadata = {
        "epochs": dg.MetadataValue.int(last.number),
        "link_loss": dg.MetadataValue.float(last.link),
        "contrastive_loss": dg.MetadataValue.float(last.contrastive),
        "total_loss": dg.MetadataValue.float(last.total),
        "seconds": dg.MetadataValue.float(round(sum(epoch.seconds for epoch in history), 2)),
        "losses": picture(loss_curves(history), "losses"),
    }
    measured = [epoch for epoch in history if epoch.effective_rank]
    if measured:
        ranks = measured[-1].effective_rank
        rows = ((name, f"{rank:.1f}") for name, rank in ranks.items())
        found["effective_ranks"] = markdown_table(("type", "effective rank"), rows)
        found["effective_rank_curves"] = picture(rank_curves(history), "effective ranks")
    return found


def of_verdict(verdict: Verdict) -> Metadata:
    """Give the verdict, each finding against its threshold, and what to change where one is not good."""
    rows = (
        (f.level, f.node_type, measure_name(f.measure), f"{f.value:.3g}", threshold_name(f)) for f in verdict.findings
    )
    found: Metadata = {
        "verdict": dg.MetadataValue.text(verdict.level),
        "types": markdown_table(("type", "level"), verdict.types.items()),
        "findings": markdown_table(("level", "of", "measure", "value", "threshold"), rows),
    }
    if verdict.problems:
        found["problems"] = dg.MetadataValue.md("\n".join(f"- {_cell(finding)}" for finding in verdict.problems))
    return found


def of_metrics(metrics: Mapping[str, RankingMetrics]) -> dg.MarkdownMetadataValue:
    """Give the headline metrics of every method, with intervals."""
    columns = ("method", "disease MRR", "disease Hits@10", "drug MRR", "drug Recall@50", "AUPRC", "AUROC")
    return markdown_table(
        columns,
        (
            (
                name,
                _interval(each.diseases_given_drug.mrr),
                _interval(each.diseases_given_drug.hits_at_10),
                _interval(each.drugs_given_disease.mrr),
                _interval(each.drugs_given_disease.recall_at_50),
                _interval(each.auprc),
                _interval(each.auroc),
            )
            for name, each in metrics.items()
        ),
    )


def of_predictions(rows: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """Give the first pairs of a table of predictions."""
    shown = rows.head(MOST_ROWS).select("rank", "drug_name", "disease_name", "prob_treats", "confidence")
    table = markdown_table(shown.columns, ((*row[:3], f"{row[3]:.3f}", row[4]) for row in shown.iter_rows()))
    return dg.MetadataValue.md(f"{table.md_str}\n\n{NOT_ADVICE}")


def _interval(value: Estimate) -> str:
    return f"{value.value:.3f} ({value.low:.2f}–{value.high:.2f})"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")
