"""The whole validation in one call: measures, verdict, meaning, and single nodes to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float32

from rxweave.artifacts import plain
from rxweave.embed.store import Embeddings
from rxweave.graph.build import Graph
from rxweave.validate.collapse import CollapseReport, measure_collapse
from rxweave.validate.inspect import Inspection, inspect_type
from rxweave.validate.links import dirichlet_per_layer
from rxweave.validate.meaning import MeaningCheck, class_check, shared_gene_checks
from rxweave.validate.on_graph import GraphReport, active_rows, measure_on_graph
from rxweave.validate.verdict import RankingEvidence, Verdict, judge


@dataclass(frozen=True, eq=False)
class Validation:
    """Everything that was found out about one set of embeddings."""

    embeddings: Embeddings
    collapse: CollapseReport
    graph: GraphReport | None
    verdict: Verdict
    meaning: tuple[MeaningCheck, ...]
    inspections: tuple[Inspection, ...]
    untrained: CollapseReport | None = None
    """The same measures of the same model without training, where a run is at hand."""
    layers: tuple[float, ...] = ()
    """Dirichlet energy, as a share of that with shuffled ends, before the first layer and after each, where a run is at
    hand."""


def validate(
    embeddings: Embeddings,
    *,
    graph: Graph | None = None,
    ranking: RankingEvidence | None = None,
    control: Float32[np.ndarray, "nodes _"] | None = None,
    states: Sequence[Float32[np.ndarray, "nodes _"]] = (),
    drug_type: str | None = None,
    disease_type: str | None = None,
    classes: pl.DataFrame | None = None,
    inspect: Sequence[str] = (),
    seed: int = 0,
) -> Validation:
    """Measure, judge and look into embeddings of any tool; a verdict needs nothing but the vectors and their types.

    With `graph` (the one that was trained on, where known) nodes without facts are left out, twins that share all
    neighbours are forgiven, the vectors are asked for the graph's facts and for shared genes of diseases, and its
    roles stand in for a missing `drug_type` and `disease_type`. `control` (what the untrained model makes of the graph)
    and `states` (of each layer of the trained one) have a row per node of `graph`. `classes` (columns node_key and
    class) adds a check of drugs within against between classes. The same seed gives the same result. Raises
    RxweaveError for types that are not embedded and a graph of other nodes.
    """
    types = embeddings.node_types
    if graph is not None:
        drug_type = drug_type or (graph.roles.drug if graph.roles.drug in types else None)
        disease_type = disease_type or (graph.roles.disease if graph.roles.disease in types else None)
    active = None if graph is None else active_rows(embeddings, graph)
    collapse = measure_collapse(embeddings, seed=seed, active=active)
    on_graph = None if graph is None else measure_on_graph(embeddings, graph, untrained=control, seed=seed)
    untrained = None
    if graph is not None and control is not None:
        fresh = Embeddings(graph.nodes, control, {})
        untrained = measure_collapse(fresh, seed=seed, active=graph.degrees > 0)
    meaning: list[MeaningCheck] = []
    if graph is not None and disease_type in graph.node_types:
        meaning += shared_gene_checks(embeddings, graph, disease_type, seed=seed)
    if classes is not None and drug_type is not None:
        meaning.append(class_check(embeddings, classes, drug_type, seed=seed))
    return Validation(
        embeddings=embeddings,
        collapse=collapse,
        graph=on_graph,
        verdict=judge(collapse, graph=on_graph, ranking=ranking, drug_type=drug_type, disease_type=disease_type),
        meaning=tuple(meaning),
        inspections=tuple(inspect_type(embeddings, each, graph=graph, seed=seed) for each in inspect),
        untrained=untrained,
        layers=() if graph is None else tuple(dirichlet_per_layer(states, graph)),
    )


def summary_of(validation: Validation) -> dict[str, Any]:
    """Give everything but the vectors as plain values, as JSON takes them; what is not a number is None."""
    collapse, verdict = validation.collapse, validation.verdict
    return {
        "verdict": verdict.level,
        "types": _types_of(collapse),
        "untrained_types": None if validation.untrained is None else _types_of(validation.untrained),
        "overall": plain(collapse.overall),
        "cosine_matrix": plain(collapse.cosine_matrix),
        "judged": dict(verdict.types),
        "findings": [str(finding) for finding in verdict.problems],
        "checks": plain(verdict.findings),
        "usefulness_tested": verdict.usefulness_tested,
        "graph": plain(validation.graph),
        "dirichlet_share_per_layer": list(plain(validation.layers)),
        "meaning": plain(validation.meaning),
        "inspections": plain(validation.inspections),
        "notes": list(verdict.notes),
        "seed": collapse.seed,
    }


def _types_of(report: CollapseReport) -> list[dict[str, Any]]:
    types: list[dict[str, Any]] = plain(report.types)
    for measured, each in zip(report.types, types, strict=True):
        for which, spread in (("spread", measured.spread), ("random_spread", measured.random_spread)):
            each[which] |= {"isoscore": plain(spread.isoscore), "rank_ratio": plain(spread.rank_ratio)}
        for which in ("neighbours", "random_neighbours"):
            del each[which]["occurrences"]  # a number per node
    return types
