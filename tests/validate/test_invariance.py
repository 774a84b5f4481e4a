"""Turning, scaling or reordering embeddings changes nothing that does not depend on the axes, the unit or the order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from rxweave.embed.store import Embeddings
from rxweave.graph.build import Graph
from rxweave.validate.collapse import CollapseReport, measure_collapse
from rxweave.validate.meaning import shared_gene_checks
from rxweave.validate.on_graph import GraphReport, measure_on_graph
from rxweave.validate.verdict import judge

DIM = 24


@pytest.fixture(scope="module")
def vectors(small_graph: Graph) -> np.ndarray:
    """A decaying spectrum, a common mean, types apart, two exact twins: nothing is special to the axes."""
    rng = np.random.default_rng(7)
    made = rng.normal(size=(small_graph.num_nodes, DIM)) * np.arange(1, DIM + 1) ** -0.6
    made += 0.5 * np.repeat(rng.normal(size=(5, DIM)), np.diff(small_graph.type_offsets), axis=0)
    made[1] = made[0]
    return made


def turned(vectors: np.ndarray) -> np.ndarray:
    return vectors @ ortho_group.rvs(DIM, random_state=3)


def scaled(vectors: np.ndarray) -> np.ndarray:
    return 1000 * vectors


def numbers(report: CollapseReport, graph: GraphReport) -> dict[str, float]:
    """Every scale-free measure of both reports, by name; the probe's weights belong to the axes, and it is not here."""
    found: dict[str, float] = {}
    for each in report.types:
        spread = each.spread
        measures = {
            "mean": each.cosines.mean, "centred": each.cosines.centred_mean, "p95": each.cosines.p95,
            "rankme": spread.rankme, "centred rank": spread.centred_effective_rank,
            "participation": spread.participation_rank, "90": spread.components_90, "95": spread.components_95,
            "real": spread.real_dimensions, "isoscore": spread.isoscore, "mean share": spread.common_mean_share,
            "twins": each.duplicate_rate, "near": each.near_duplicate_rate, "across": each.across_type_twin_rate,
            "hubness": each.neighbours.hubness, "anti-hubs": each.neighbours.anti_hub_share,
            "purity": each.purity.value,
            "low": each.mean_cosine_interval[0], "rank low": each.rankme_interval[0],
            "participation high": each.spread_intervals.participation_rank[1],
        }  # fmt: skip
        found |= {f"{each.node_type} {name}": value for name, value in measures.items()}
    found |= {"all": report.overall.mean_cosine, "across types": report.overall.across_type_cosine}
    for each in graph.types:
        found |= {f"{each.node_type} edges": each.edge_share.value, f"{each.node_type} uniformity": each.uniformity}
    for each in graph.relations:
        found |= {f"{each.relation} {name}": getattr(each, name) for name in ("alignment", "cosine_auroc")}
    return found | {"dirichlet": graph.dirichlet_share}


def measured(graph: Graph, vectors: np.ndarray) -> dict[str, float]:
    given = Embeddings(graph.nodes, vectors.astype(np.float32), {})
    return numbers(measure_collapse(given, max_nodes=10_000), measure_on_graph(given, graph))


@pytest.mark.parametrize("change", [turned, scaled])
def test_turning_and_scaling_change_no_measure(small_graph: Graph, vectors: np.ndarray, change) -> None:
    before, after = measured(small_graph, vectors), measured(small_graph, change(vectors))
    assert len(before) > 120
    for name, value in before.items():
        assert after[name] == pytest.approx(value, rel=2e-3, abs=2e-3, nan_ok=True), name


def test_the_order_of_rows_changes_no_measure(small_graph: Graph, vectors: np.ndarray) -> None:
    """But for intervals, which draw nodes by their place."""
    order = np.random.default_rng(0).permutation(len(vectors))
    given = Embeddings(small_graph.nodes, vectors.astype(np.float32), {})
    shuffled = Embeddings(given.nodes[order], given.vectors[order], {})
    before = numbers(measure_collapse(given, max_nodes=10_000), measure_on_graph(given, small_graph))
    after = numbers(measure_collapse(shuffled, max_nodes=10_000), measure_on_graph(shuffled, small_graph))
    for name, value in before.items():
        if name.split()[-1] not in ("high", "low"):
            assert after[name] == pytest.approx(value, rel=1e-5, abs=1e-5, nan_ok=True), name


@pytest.mark.parametrize("change", [turned, scaled])
def test_the_verdict_and_the_meaning_stay(small_graph: Graph, vectors: np.ndarray, change) -> None:
    verdicts, checks = [], []
    for made in (vectors, change(vectors)):
        given = Embeddings(small_graph.nodes, made.astype(np.float32), {})
        verdicts.append(judge(measure_collapse(given), graph=measure_on_graph(given, small_graph)))
        checks.append([check.value for check in shared_gene_checks(given, small_graph, "disease")])
    assert verdicts[0].types == verdicts[1].types
    assert checks[0] == pytest.approx(checks[1], abs=1e-3)
