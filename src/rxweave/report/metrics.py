"""The headline numbers: which metrics stand in the table, how each compares with the degree prior, and the
content of `metrics.json`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal

import polars as pl

from rxweave.graph.build import Graph
from rxweave.graph.split import PARTS, Split
from rxweave.kg.tables import Truth
from rxweave.rank.metrics import Estimate, RankingMetrics, SideMetrics
from rxweave.rank.reliability import Reliability
from rxweave.report.figures import DEGREE_PRIOR
from rxweave.validate.collapse import CollapseReport
from rxweave.validate.verdict import Verdict

HEADLINE = (
    (
        "Diseases given a drug",
        "diseases_given_drug",
        (("MRR", "mrr"), ("Hits@1", "hits_at_1"), ("Hits@10", "hits_at_10")),
    ),
    (
        "Drugs given a disease",
        "drugs_given_disease",
        (("MRR", "mrr"), ("Hits@10", "hits_at_10"), ("Recall@50", "recall_at_50")),
    ),
    ("All pairs in one pool", None, (("AUPRC", "auprc"), ("AUROC", "auroc"))),
)
"""Column groups of the headline table: title, side (None: the pool), and the metrics with their titles."""

Standing = Literal["above", "level", "below"]


@dataclass(frozen=True)
class Cell:
    """One number of the headline table, and where it stands against the degree prior."""

    estimate: Estimate
    gain: float | None
    """Value minus the degree prior's; None for the degree prior itself, or when there is none."""
    standing: Standing | None
    """Above or below when the whole 95 % interval is, else level; None like `gain`."""


def headline_rows(metrics: Mapping[str, RankingMetrics]) -> dict[str, tuple[Cell, ...]]:
    """Give the cells of each method, in the order of the columns of HEADLINE."""
    prior = metrics.get(DEGREE_PRIOR)
    rows = {}
    for method, measured in metrics.items():
        beside = None if method == DEGREE_PRIOR else prior
        rows[method] = tuple(
            _cell(_estimate(measured, side, name), _estimate(beside, side, name) if beside else None)
            for _, side, columns in HEADLINE
            for _, name in columns
        )
    return rows


def every_metric(metrics: Mapping[str, RankingMetrics]) -> list[tuple[str, str, list[Estimate]]]:
    """Give (group, metric, the estimate of each method) for everything that was measured."""
    rows = []
    for group, side, _ in HEADLINE:
        names = ["auprc", "auroc"] if side is None else estimate_names()
        rows += [(group, name, [_estimate(m, side, name) for m in metrics.values()]) for name in names]
    return rows


def estimate_names() -> list[str]:
    """Give the names of the metrics of one side, in the order in which they are declared."""
    return [field.name for field in fields(SideMetrics) if not field.name.startswith("num_")]


def share_of_oracle(auroc: float, oracle_auroc: float) -> float:
    """Give how much of the way from chance (0.5) to the oracle an AUROC has gone; NaN without a way."""
    return (auroc - 0.5) / (oracle_auroc - 0.5) if oracle_auroc > 0.5 else math.nan


def metrics_summary(
    *,
    graph: Graph,
    training: Graph,
    split: Split,
    metrics: Mapping[str, RankingMetrics],
    collapse: CollapseReport,
    verdict: Verdict,
    truth: Truth | None,
    seed: object,
    reliability: Reliability | None = None,
    ablation: pl.DataFrame | None = None,
    feature_file: object = None,
) -> dict[str, object]:
    """Give the content of `metrics.json`: what was measured, plain enough for `artifacts.write_json`.

    `methods` holds each method's RankingMetrics with every interval, `reliability` that of the ranker's probabilities
    with its bins, `ablation` the rows of `rank.ablation.ablate`, `verdict.problems` each finding that is not
    good, `embeddings` the measures of each node type,
    `feature_file` how many nodes of each type had a vector from one (null without).
    """
    return {
        "graph": {
            "name": graph.name,
            "nodes": {node_type: graph.num_of(node_type) for node_type in graph.node_types},
            "facts": graph.num_facts,
            "training_facts": training.num_facts,
        },
        "split": {part: len(getattr(split, part)) for part in PARTS}
        | {"removed_facts": len(split.removed)}
        | {"unit": split.unit, "kept_relations": split.kept, "notes": split.notes},
        "methods": {method: asdict(measured) for method, measured in metrics.items()},
        "reliability": None if reliability is None else asdict(reliability),
        "ablation": None if ablation is None else ablation.to_dicts(),
        "oracle_auroc": None if truth is None else truth.oracle_auroc,
        "verdict": {
            "level": verdict.level,
            "types": verdict.types,
            "not_judged": verdict.not_judged,
            "usefulness_tested": verdict.usefulness_tested,
            "problems": [asdict(finding) for finding in verdict.problems],
            "notes": verdict.notes,
        },
        "embeddings": {
            measured.node_type: {
                "nodes_measured": measured.num_sampled,
                "mean_cosine": measured.cosines.mean,
                "centred_mean_cosine": measured.cosines.centred_mean,
                "components_90": measured.spread.components_90,
                "rankme": measured.spread.rankme,
                "rank_ratio": measured.spread.rank_ratio,
                "duplicate_rate": measured.duplicate_rate,
                "near_duplicate_rate": measured.near_duplicate_rate,
            }
            for measured in collapse.types
        },
        "dim": collapse.dim,
        "feature_file": feature_file,
        "seed": seed,
    }


def _estimate(measured: RankingMetrics, side: str | None, name: str) -> Estimate:
    found = getattr(measured if side is None else getattr(measured, side), name)
    assert isinstance(found, Estimate)
    return found


def _cell(estimate: Estimate, prior: Estimate | None) -> Cell:
    if prior is None:
        return Cell(estimate, None, None)
    above, below = estimate.low > prior.value, estimate.high < prior.value
    return Cell(estimate, estimate.value - prior.value, "above" if above else "below" if below else "level")
