"""From measures to a verdict: good, warning or collapsed, with the likely causes and what to change.

Three questions. Does each node type spread as far as so many vectors can? Do all types together? And do the
embeddings rank held-out treatments better than counting known treatments does? Geometry cannot answer the
last one: random vectors have the best geometry of all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rxweave.errors import ConfigError, did_you_mean
from rxweave.validate.collapse import CollapseReport, OverallReport, TypeReport
from rxweave.validate.gates import (
    ADVICE,
    FEWEST_DECISIVE,
    FEWEST_JUDGED,
    GATES,
    LEVELS,
    Gate,
    Level,
    rank_gate,
)
from rxweave.validate.geometry import Interval


@dataclass(frozen=True)
class SideEvidence:
    """Held-out ranking on one side: a metric of which more is better, its value, and the degree prior's."""

    metric: str
    value: float
    prior: float


@dataclass(frozen=True)
class RankingEvidence:
    """Held-out ranking on both sides: embeddings can be excellent on one and useless on the other."""

    diseases_given_drug: SideEvidence
    drugs_given_disease: SideEvidence


@dataclass(frozen=True)
class Finding:
    """One measure held against its threshold."""

    node_type: str
    """A node type, or "all"."""
    measure: str
    value: float
    interval: Interval | None
    """95 % interval of the value, where there is one."""
    threshold: Gate
    level: Level
    likely_causes: tuple[str, ...]
    what_to_change: tuple[str, ...]
    """Settings of the embed stage; empty, like `likely_causes`, when the level is good."""

    def __str__(self) -> str:
        interval = f" (95 % {self.interval[0]:.3g} to {self.interval[1]:.3g})" if self.interval else ""
        line = f"{self.level}: {self.node_type}: {self.measure} {self.value:.3g}{interval}; {self.threshold}."
        if self.level == "good":
            return line
        return f"{line} Likely: {'; '.join(self.likely_causes)}. Change: {'; '.join(self.what_to_change)}."


@dataclass(frozen=True)
class Verdict:
    """The outcome overall and per judged type, with every measure that was held against a threshold."""

    level: Level
    types: dict[str, Level]
    not_judged: dict[str, str]
    """Types that were not judged, and why."""
    findings: tuple[Finding, ...]
    usefulness_tested: bool
    """Whether held-out ranking was given; without it "good" speaks of geometry alone."""
    notes: tuple[str, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that are not good, collapsed ones first."""
        return tuple(f for level in ("collapsed", "warning") for f in self.findings if f.level == level)


def judge(
    report: CollapseReport,
    *,
    ranking: RankingEvidence | None = None,
    drug_type: str | None = None,
    disease_type: str | None = None,
    structural_duplicate_rate: Mapping[str, float] | None = None,
) -> Verdict:
    """Judge each type of at least 10 measured nodes, all nodes together, and the held-out ranking.

    Overall it is collapsed when the drug or the disease type is; while a role is unknown, when any type of at
    least 50 active nodes is, or the mean cosine over all nodes. Everything else makes it a warning at most,
    as does a ranking that does not beat the degree prior on both sides. `structural_duplicate_rate` gives,
    per type, the share of nodes with exactly the neighbours of another node, which must share its vector.
    Raises ConfigError for a role that is no type of the report.
    """
    for role, name in (("drug_type", drug_type), ("disease_type", disease_type)):
        if name is not None and name not in report.node_types:
            raise ConfigError(
                f"{role} {name!r} is not among the embedded types ({', '.join(report.node_types)})."
                f"{did_you_mean(name, report.node_types)}"
            )
    roles = {name for name in (drug_type, disease_type) if name is not None}
    roles_known = drug_type is not None and disease_type is not None
    findings: list[Finding] = []
    levels: list[Level] = []
    types: dict[str, Level] = {}
    not_judged: dict[str, str] = {}
    for measured in report.types:
        name = measured.node_type
        if measured.num_sampled < FEWEST_JUDGED:
            not_judged[name] = f"{measured.num_sampled} measured nodes, fewer than {FEWEST_JUDGED}"
            continue
        own_twins = (structural_duplicate_rate or {}).get(name)
        found = _judge_type(measured, own_twins, is_drug=name == drug_type, has_role=name in roles)
        findings += found
        types[name] = worst(finding.level for finding in found)
        decisive = name in roles or (not roles_known and measured.num_active >= FEWEST_DECISIVE)
        levels.append(types[name] if decisive else _warning_at_most(types[name]))
    if report.overall.spread.num_vectors >= FEWEST_JUDGED:
        found = _judge_all(report.overall)
        findings += found
        # Few components over all types, where each type has many, come from types that lie far apart or have
        # very different lengths: a warning. A cosine near 1 over all nodes leaves nothing to go by.
        decides = "" if roles_known else "mean_cosine"
        levels += [f.level if f.measure == decides else _warning_at_most(f.level) for f in found]
    notes = [f"{name}: not judged, {why}." for name, why in not_judged.items()]
    notes += [
        f"{measured.node_type}: {measured.zero_vectors:,} vectors are zero (nodes without edges?)."
        for measured in report.types
        if measured.zero_vectors
    ]
    if not types or roles & set(not_judged):
        notes.append("What matters most could not be judged: good cannot be said.")
        levels.append("warning")
    if ranking is None:
        notes.append("Usefulness was not tested: geometry alone cannot tell embeddings from random vectors.")
    else:
        found = _judge_ranking(ranking)
        findings += found
        levels += [finding.level for finding in found]
    return Verdict(worst(levels), types, not_judged, tuple(findings), ranking is not None, tuple(notes))


def exit_code(verdict: Verdict, *, strict: bool = False) -> int:
    """Give 0 for good and warning, 1 for collapsed; with `strict`, 1 for a warning too."""
    return int(verdict.level == "collapsed" or (strict and verdict.level == "warning"))


def worst(levels: Iterable[Level]) -> Level:
    """Give the worst of the levels, "good" when there are none."""
    return max(levels, key=LEVELS.index, default="good")


def _warning_at_most(level: Level) -> Level:
    return "warning" if level == "collapsed" else level


def _judge_type(measured: TypeReport, own_twins: float | None, *, is_drug: bool, has_role: bool) -> list[Finding]:
    name, spread = measured.node_type, measured.spread
    limit = spread.rank_limit
    cosine_gate = GATES["mean_cosine", "drugs and diseases" if has_role else "other types"]
    component_gate = GATES["components_90", "drugs" if is_drug else "other types"].for_limit(limit)
    known = "graph's own not known" if own_twins is None else "beyond the graph's own"
    low, high = measured.rankme_interval
    rank_interval = (low / limit, high / limit)
    twins, near_twins = (
        max(rate - (own_twins or 0.0), 0.0) for rate in (measured.duplicate_rate, measured.near_duplicate_rate)
    )
    return [
        _finding(name, "rank_ratio", spread.rank_ratio, rank_gate(limit), rank_interval),
        _finding(name, "mean_cosine", measured.cosines.mean, cosine_gate, measured.mean_cosine_interval),
        _finding(name, "components_90", float(spread.components_90), component_gate),
        _finding(name, "duplicate_rate", twins, GATES["duplicate_rate", known]),
        _finding(name, "near_duplicate_rate", near_twins, GATES["near_duplicate_rate", "beyond the graph's own"]),
    ]


def _judge_all(overall: OverallReport) -> list[Finding]:
    spread = overall.spread
    component_gate = GATES["components_90", "all nodes"].for_limit(spread.rank_limit)
    real = spread.real_dimensions / spread.rank_limit
    return [
        _finding("all", "mean_cosine", overall.mean_cosine, GATES["mean_cosine", "all nodes"]),
        _finding("all", "components_90", float(spread.components_90), component_gate),
        _finding("all", "real_dimensions", real, GATES["real_dimensions", "all nodes"]),
    ]


def _judge_ranking(ranking: RankingEvidence) -> list[Finding]:
    found = []
    for side, evidence in (
        ("diseases given a drug", ranking.diseases_given_drug),
        ("drugs given a disease", ranking.drugs_given_disease),
    ):
        # The prior must be beaten, not met: the next number above it is the first to pass.
        gate = Gate(math.nextafter(evidence.prior, math.inf), None, higher_is_better=True, source="degree prior")
        found.append(_finding("all", f"{evidence.metric} of {side}", evidence.value, gate, advice=side))
    return found


def _finding(
    node_type: str,
    measure: str,
    value: float,
    gate: Gate,
    interval: Interval | None = None,
    *,
    advice: str | None = None,
) -> Finding:
    level = gate.level(value)
    if interval is not None and math.isnan(interval[0]):
        interval = None
    help_ = ADVICE[advice or measure]
    causes, changes = ((), ()) if level == "good" else (help_.likely_causes, help_.what_to_change)
    return Finding(node_type, measure, value, interval, gate, level, causes, changes)
