"""The verdict in plain words: what each level means, and problems gathered by what they have in common."""

from __future__ import annotations

from dataclasses import dataclass

from rxweave.validate.gates import Level
from rxweave.validate.verdict import Finding, Verdict

SYMBOLS: dict[Level, str] = {"good": "✓", "warning": "!", "collapsed": "✕"}
"""Beside the word and the colour, so that no level is told by colour alone."""

MEANINGS: dict[Level, str] = {
    "good": "The embeddings tell nodes apart, and rank held-out treatments better than counts of known ones.",
    "warning": "The embeddings can be used with care: they have not collapsed, but not every check passed.",
    "collapsed": "The embeddings cannot be used: nodes that should differ have nearly the same vector.",
}
UNTESTED = "The embeddings tell nodes apart. Whether they are useful was not tested."
PROBED = (
    "The embeddings tell nodes apart, and a probe finds treatments in them better than counts of known ones do. "
    "Whether they foretell treatments that they were not trained on was not tested."
)

MEASURES = {
    "rank_ratio": "Directions used, as a share of those possible (RankMe ratio)",
    "mean_cosine": "Mean cosine between nodes",
    "components_90": "Principal components that hold 90 % of the variance",
    "collapse_signs": "Signs of collapse among rank, cosine and components (none of them alone decides)",
    "edge_share": "Share of the vectors that numbers of edges foretell (1: nothing else is in them)",
    "across_type_twin_rate": "Share of nodes with the very vector of a node of another type",
    "hubness": "Hubness (skewness of how often a node is a near neighbour)",
    "link_auroc": "Facts of the graph told from other pairs of the same degrees (AUROC, chance 0.5)",
    "gain_over_untrained": "Gain of training: facts told apart better than by the untrained model (AUROC)",
    "duplicate_rate": "Share of nodes with an exact twin that the graph does not explain",
    "near_duplicate_rate": "Share of nodes with a near twin (cosine > 0.999) that the graph does not explain",
    "real_dimensions": "Share of the dimensions asked for that are really used",
}


@dataclass(frozen=True)
class Problem:
    """All findings on one measure that are not good; they have the same causes and the same cure."""

    measure: str
    groups: tuple[tuple[Finding, ...], ...]
    """Findings of one level and threshold together, collapsed ones first."""
    likely_causes: tuple[str, ...]
    what_to_change: tuple[str, ...]


def problems_of(verdict: Verdict) -> list[Problem]:
    """Give the problems by measure, those with a collapse first."""
    by_measure: dict[str, dict[tuple[Level, str], list[Finding]]] = {}
    for finding in verdict.problems:
        groups = by_measure.setdefault(finding.measure, {})
        groups.setdefault((finding.level, threshold_name(finding)), []).append(finding)
    problems = []
    for measure, groups in by_measure.items():
        first = next(iter(groups.values()))[0]
        alike = tuple(tuple(group) for group in groups.values())
        problems.append(Problem(measure_name(measure), alike, first.likely_causes, first.what_to_change))
    return problems


def measure_name(measure: str) -> str:
    """Give a measure in plain words; one that is already in words (held-out ranking) as it is."""
    return MEASURES.get(measure, measure)


def found_in(finding: Finding) -> str:
    """Give what a finding is about: a node type, all nodes, or nothing for held-out ranking."""
    if finding.node_type != "all":
        return finding.node_type
    if finding.measure in ("link_auroc", "gain_over_untrained"):
        return "mean of all relations"
    return "all nodes" if finding.measure in MEASURES else ""


def threshold_name(finding: Finding) -> str:
    """Give a finding's threshold in plain words."""
    gate = finding.threshold
    if gate.source == "degree prior":
        return f"good above the degree prior, {gate.good:.3f}"
    return str(gate)


def meaning_of(verdict: Verdict) -> str:
    """Give what the overall level means for someone who wants to use the embeddings."""
    if verdict.level != "good" or verdict.usefulness_tested:
        return MEANINGS[verdict.level]
    return PROBED if any(finding.threshold.source == "degree prior" for finding in verdict.findings) else UNTESTED
