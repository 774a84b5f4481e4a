"""From measures to a verdict: good, warning or collapsed, with the likely causes and what to change.

Four questions. Does each node type spread as far as so many vectors can? Do all types together? Do the vectors know
the graph, more than how many edges each node has? And do they rank held-out treatments better than counting known
treatments does? Geometry cannot answer the last two: random vectors have the best geometry of all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
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
    spreads_well,
)
from rxweave.validate.geometry import Interval, Spread
from rxweave.validate.on_graph import GraphReport, TypeOnGraph


@dataclass(frozen=True)
class SideEvidence:
    """Held-out ranking on one side: a metric of which more is better, its value, and the degree prior's."""

    metric: str
    value: float
    prior: float
    interval: Interval | None = None
    """95 % interval of the value over the choice of queries."""


@dataclass(frozen=True)
class RankingEvidence:
    """Held-out ranking on both sides: embeddings can be excellent on one and useless on the other."""

    diseases_given_drug: SideEvidence
    drugs_given_disease: SideEvidence
    held_out: bool = True
    """Whether the vectors are known not to have been trained on the pairs that are ranked."""


@dataclass(frozen=True)
class Finding:
    """One measure held against its threshold."""

    node_type: str
    """A node type, or "all"."""
    measure: str
    value: float
    interval: Interval | None
    """95 % interval of the value; None for counts that are not estimated (real dimensions, signs of collapse) and for
    too few nodes or relations."""
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
    """Whether a ranking of pairs that the vectors have never seen was given; without it "good" does not say that they
    foretell anything."""
    notes: tuple[str, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that are not good, collapsed ones first."""
        return tuple(f for level in ("collapsed", "warning") for f in self.findings if f.level == level)


def judge(
    report: CollapseReport,
    *,
    graph: GraphReport | None = None,
    ranking: RankingEvidence | None = None,
    drug_type: str | None = None,
    disease_type: str | None = None,
) -> Verdict:
    """Judge each type of at least 10 measured nodes, all nodes together, the graph's facts, and held-out ranking.

    Overall it is collapsed when the drug or the disease type is; while a role is unknown, when any type of at
    least 50 active nodes is (the largest, where none has 50), or the mean cosine over all nodes. Everything else makes
    it a warning at most, as do vectors that do not know the facts of `graph`, and a ranking that does not beat the
    degree prior on both sides. Without `graph` neither is asked, and twins that share all neighbours are not
    forgiven. Raises ConfigError for a role that is no type of the report.
    """
    for role, name in (("drug_type", drug_type), ("disease_type", disease_type)):
        if name is not None and name not in report.node_types:
            raise ConfigError(
                f"{role} {name!r} is not among the embedded types ({', '.join(report.node_types)})."
                f"{did_you_mean(name, report.node_types)}"
            )
    roles = {name for name in (drug_type, disease_type) if name is not None}
    roles_known = drug_type is not None and disease_type is not None
    fewest_decisive = min(FEWEST_DECISIVE, max(measured.num_active for measured in report.types))
    findings: list[Finding] = []
    levels: list[Level] = []
    types: dict[str, Level] = {}
    not_judged: dict[str, str] = {}
    for measured in report.types:
        name = measured.node_type
        if measured.num_sampled < FEWEST_JUDGED:
            not_judged[name] = f"{measured.num_sampled} measured nodes, fewer than {FEWEST_JUDGED}"
            continue
        on_graph = None if graph is None else graph.of_type(name)
        found = _judge_type(measured, on_graph, is_drug=name == drug_type, has_role=name in roles)
        findings += found
        types[name] = worst(finding.level for finding in found)
        decisive = name in roles or (not roles_known and measured.num_active >= fewest_decisive)
        levels.append(types[name] if decisive else _warning_at_most(types[name]))
    if report.overall.spread.num_vectors >= FEWEST_JUDGED:
        found = _judge_all(report.overall)
        findings += found
        # Few components over all types, where each type has many, come from types that lie far apart or have
        # very different lengths: a warning. A cosine near 1 over all nodes leaves nothing to go by.
        decides = "" if roles_known else "mean_cosine"
        levels += [f.level if f.measure == decides else _warning_at_most(f.level) for f in found]
    if graph is not None:
        gate = GATES["link_auroc", "facts of the graph"]
        findings.append(_finding("all", "link_auroc", graph.link_auroc, gate, graph.link_interval))
        levels.append(findings[-1].level)
        if graph.untrained_link_auroc is not None:
            gain = graph.link_auroc - graph.untrained_link_auroc
            findings.append(
                _finding(
                    "all",
                    "gain_over_untrained",
                    gain,
                    GATES["gain_over_untrained", "facts of the graph"],
                    graph.gain_interval,
                )
            )
            levels.append(findings[-1].level)
    if not types or roles & set(not_judged):
        levels.append("warning")
    if ranking is not None:
        found = _judge_ranking(ranking)
        findings += found
        levels += [finding.level for finding in found]
    unclear = not types or bool(roles & set(not_judged))
    notes = _notes(report, graph, not_judged, ranking, unclear=unclear)
    tested = ranking is not None and ranking.held_out
    return Verdict(worst(levels), types, not_judged, tuple(findings), tested, tuple(notes))


def _notes(
    report: CollapseReport,
    graph: GraphReport | None,
    not_judged: dict[str, str],
    ranking: RankingEvidence | None,
    *,
    unclear: bool,
) -> list[str]:
    notes = [f"{name}: not judged, {why}." for name, why in not_judged.items()]
    notes += [
        f"{measured.node_type}: {measured.zero_vectors:,} vectors are zero (nodes without edges?)."
        for measured in report.types
        if measured.zero_vectors
    ]
    if graph is None and any(measured.duplicate_rate > 0 for measured in report.types):
        notes.append(
            "Without the graph (--graph) nodes without edges, and twins that share all their neighbours, count against "
            "the embeddings."
        )
    if unclear:
        notes.append("What matters most could not be judged: good cannot be said.")
    if ranking is not None:
        if not ranking.held_out:
            notes.append(
                "The ranked treatments were held out from a probe that was fitted on the others, not from the vectors, "
                "which may have been trained on them: failing says that the vectors are of no use, passing does not "
                "show that they foretell anything."
            )
        return notes
    if graph is None:
        notes.append("Usefulness was not tested: geometry alone cannot tell embeddings from random vectors.")
    else:
        notes.append(
            f"Usefulness was not tested: that the vectors know the facts of {graph.graph}, which they may have been "
            "trained on, does not show that they rank what was held out."
        )
    return notes


def exit_code(verdict: Verdict, *, strict: bool = False) -> int:
    """Give 0 for good and warning, 1 for collapsed; with `strict`, 1 for a warning too."""
    return int(verdict.level == "collapsed" or (strict and verdict.level == "warning"))


def worst(levels: Iterable[Level]) -> Level:
    """Give the worst of the levels, "good" when there are none."""
    return max(levels, key=LEVELS.index, default="good")


def _warning_at_most(level: Level) -> Level:
    return "warning" if level == "collapsed" else level


def _judge_type(measured: TypeReport, on_graph: TypeOnGraph | None, *, is_drug: bool, has_role: bool) -> list[Finding]:
    name, spread = measured.node_type, measured.spread
    limit = spread.rank_limit
    component_gate = GATES["components_90", "drugs" if is_drug else "other types"].for_limit(limit)
    known = "graph's own not known" if on_graph is None else "beyond the graph's own"
    own_twins = 0.0 if on_graph is None else on_graph.structural_duplicate_rate
    low, high = measured.rankme_interval
    rank_interval = (low / limit, high / limit)
    twins, near_twins = (max(rate - own_twins, 0.0) for rate in (measured.duplicate_rate, measured.near_duplicate_rate))
    exact, near = (
        (max(low - own_twins, 0.0), max(high - own_twins, 0.0))
        for low, high in (measured.duplicate_interval, measured.near_duplicate_interval)
    )
    components = measured.spread_intervals.components_90
    hubs = measured.neighbours
    geometry = [
        _finding(name, "rank_ratio", spread.rank_ratio, rank_gate(limit), rank_interval),
        _finding(
            name,
            "mean_cosine",
            measured.cosines.mean,
            _cosine_gate(measured, has_role=has_role),
            measured.mean_cosine_interval,
        ),
        _finding(name, "components_90", float(spread.components_90), component_gate, components),
    ]
    if all(finding.level != "collapsed" for finding in geometry):
        rank, cosine, spectrum = (finding.level != "good" for finding in geometry)
        signs = float(max(rank, cosine) + spectrum if _spreads_well(spread) else rank + cosine + spectrum)
        geometry.append(_finding(name, "collapse_signs", signs, GATES["collapse_signs", "each type"]))
    found = [
        *geometry,
        _finding(name, "duplicate_rate", twins, GATES["duplicate_rate", known], exact),
        _finding(name, "near_duplicate_rate", near_twins, GATES["near_duplicate_rate", "beyond the graph's own"], near),
        _finding(
            name,
            "across_type_twin_rate",
            measured.across_type_twin_rate,
            GATES["across_type_twin_rate", "each type"],
            measured.across_type_twin_interval,
        ),
        _finding(name, "hubness", hubs.hubness, GATES["hubness", "each type"], hubs.hubness_interval),
    ]
    if on_graph is not None and not math.isnan(on_graph.edge_share.value):
        share = on_graph.edge_share
        found.append(_finding(name, "edge_share", share.value, GATES["edge_share", "each type"], share.interval))
    return found


def _cosine_gate(measured: TypeReport, *, has_role: bool) -> Gate:
    if not has_role:
        return GATES["mean_cosine", "other types"]
    return GATES[
        "mean_cosine", "spread around the mean healthy" if _spreads_well(measured.spread) else "drugs and diseases"
    ]


def _spreads_well(spread: Spread) -> bool:
    return spreads_well(spread.centred_rank_ratio, spread.rank_limit)


def _judge_all(overall: OverallReport) -> list[Finding]:
    spread = overall.spread
    component_gate = GATES["components_90", "all nodes"].for_limit(spread.rank_limit)
    real = spread.real_dimensions / spread.rank_limit
    return [
        _finding(
            "all",
            "mean_cosine",
            overall.mean_cosine,
            GATES["mean_cosine", "all nodes"],
            overall.mean_cosine_interval,
        ),
        _finding("all", "components_90", float(spread.components_90), component_gate, overall.components_90_interval),
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
        name = f"{evidence.metric} of {side}"
        found.append(_finding("all", name, evidence.value, gate, evidence.interval, advice=side))
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
