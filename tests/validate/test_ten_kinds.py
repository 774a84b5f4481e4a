"""Ten kinds of embeddings, and the verdict and the finding that each must get (the table in docs/methods.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from embeddings_made import gaussian, on_nodes_of

from rxweave.config import EmbedSettings
from rxweave.embed.features import svd_features
from rxweave.embed.train import Trained, train
from rxweave.graph.build import Graph, build_graph
from rxweave.graph.split import Split, random_split, training_graph
from rxweave.kg.demo import demo_kg
from rxweave.kg.sources import load_kg
from rxweave.pipeline import verdict_of
from rxweave.rank.baselines import baseline_scores
from rxweave.rank.decoder_scores import decoder_scores
from rxweave.validate.collapse import measure_collapse
from rxweave.validate.control import untrained_vectors
from rxweave.validate.on_graph import measure_on_graph
from rxweave.validate.verdict import RankingEvidence, SideEvidence, Verdict, judge

BEATS = RankingEvidence(SideEvidence("MRR", 0.46, 0.24), SideEvidence("MRR", 0.18, 0.07))
SMALL = EmbedSettings(embedding_dim=128, hidden_dim=64, feature_dim=64, num_heads=4, learning_rate=0.003)


@dataclass
class World:
    """The demo graph in small, its split, and a healthy training on it."""

    split: Split
    graph: Graph
    healthy: Trained

    def verdict_of_training(self, trained: Trained) -> Verdict:
        """What a run says of its own training: geometry, graph, untrained control, and its decoder's ranking."""
        given = on_nodes_of(self.graph, trained.vectors)
        scores = {"HGT decoder": decoder_scores(trained, self.graph)} | baseline_scores(self.graph, self.split.train)
        return verdict_of(
            measure_collapse(given, active=self.graph.degrees > 0),
            self.graph,
            scores,
            self.split,
            seed=0,
            on_graph=measure_on_graph(given, self.graph, untrained=untrained_vectors(trained)),
        )

    def verdict_of_vectors(self, vectors: np.ndarray, ranking: RankingEvidence | None = BEATS) -> Verdict:
        """What is said of vectors of the graph's nodes, granted that they rank well."""
        given = on_nodes_of(self.graph, vectors)
        report = measure_collapse(given, active=self.graph.degrees > 0)
        graph = measure_on_graph(given, self.graph)
        return judge(report, graph=graph, ranking=ranking, drug_type="drug", disease_type="disease")


@pytest.fixture(scope="module")
def world() -> World:
    graph = build_graph(demo_kg(num_nodes=1200, num_edges=16_000, seed=0))
    split = random_split(graph, seed=0)
    training = training_graph(graph, split)
    return World(split, training, train(training, SMALL.but(num_epochs=15), seed=0))


def found(verdict: Verdict) -> dict[tuple[str, str], str]:
    return {(problem.node_type, problem.measure): problem.level for problem in verdict.problems}


def test_1_healthy_embeddings_are_good(world: World) -> None:
    verdict = world.verdict_of_training(world.healthy)
    assert verdict.problems == ()
    assert (verdict.level, verdict.usefulness_tested) == ("good", True)


def test_2_constant_features_are_collapsed_for_knowing_numbers_of_edges_only(world: World) -> None:
    trained = train(world.graph, SMALL.but(num_epochs=6, features="constant"), seed=0)
    verdict = world.verdict_of_training(trained)
    assert verdict.level == "collapsed"
    assert set(verdict.types.values()) == {"collapsed"}
    for node_type in verdict.types:
        assert found(verdict)[node_type, "edge_share"] == "collapsed"
        assert found(verdict)[node_type, "rank_ratio"] == "collapsed"
    worst = verdict.problems[0]
    assert worst.what_to_change[0] == "features=svd"


def test_3_a_last_layer_from_256_to_512_leaves_half_the_dimensions(world: World) -> None:
    weights = gaussian(256, 512) / 16
    verdict = world.verdict_of_vectors(svd_features(world.graph, 256, seed=0) @ weights + gaussian(1, 512, 1) * 0.05)
    assert found(verdict) == {("all", "real_dimensions"): "warning"}
    assert verdict.level == "warning"
    (problem,) = verdict.problems
    assert problem.value <= 257 / 511
    assert problem.what_to_change[0].startswith("hidden_dim")


def test_4_ids_merged_across_types_share_vectors(world: World) -> None:
    """As when PrimeKG is joined on its ids: disease 0 and gene 0 are one."""
    merged = world.healthy.vectors.copy()
    diseases, genes = world.graph.rows_of("disease"), world.graph.rows_of("gene/protein")
    merged[diseases] = merged[genes][: diseases.stop - diseases.start]
    verdict = world.verdict_of_vectors(merged)
    assert found(verdict)["disease", "across_type_twin_rate"] == "collapsed"
    assert verdict.level == verdict.types["disease"] == "collapsed"
    advice = next(p for p in verdict.problems if p.measure == "across_type_twin_rate").what_to_change
    assert "node_key" in advice[0]


def test_4_ids_merged_within_a_type_are_twins_the_graph_does_not_explain(world: World) -> None:
    merged = world.healthy.vectors.copy()
    start = world.graph.rows_of("disease").start
    merged[start : start + 20 : 2] = merged[start + 1 : start + 21 : 2]
    verdict = world.verdict_of_vectors(merged)
    assert found(verdict) == {
        ("disease", "duplicate_rate"): "collapsed",
        ("disease", "near_duplicate_rate"): "warning",
    }
    assert verdict.level == "collapsed"


@pytest.mark.parametrize(("node_type", "level"), [("disease", "collapsed"), ("pathway", "warning")])
def test_5_one_collapsed_type_is_found_and_decides_if_it_is_ranked(world: World, node_type: str, level: str) -> None:
    one = world.healthy.vectors.copy()
    rows = world.graph.rows_of(node_type)
    one[rows] = one[rows.start] + 0.02 * one[rows]
    verdict = world.verdict_of_vectors(one)
    assert verdict.types == {name: "collapsed" if name == node_type else "good" for name in world.graph.node_types}
    assert verdict.level == level


def test_6_two_opposed_points_have_a_mean_cosine_of_0_and_are_collapsed(world: World) -> None:
    point, sign = gaussian(1, 128), np.where(np.arange(world.graph.num_nodes) % 2, 1, -1)[:, None]
    verdict = world.verdict_of_vectors(sign * point + 1e-4 * gaussian(world.graph.num_nodes, 128))
    for node_type in verdict.types:
        assert ("mean_cosine", "good") in [(f.measure, f.level) for f in verdict.findings if f.node_type == node_type]
        assert found(verdict)[node_type, "rank_ratio"] == "collapsed"
        assert found(verdict)[node_type, "components_90"] in ("collapsed", "warning")
    assert verdict.level == "collapsed"


def test_7_heavy_hubs_are_a_warning(world: World) -> None:
    """A few phenotypes lie where all phenotypes are near: in the direction they share."""
    hubs = world.healthy.vectors.copy()
    rows = world.graph.rows_of("effect/phenotype")
    shared = gaussian(1, 128, 9)
    hubs[rows] = gaussian(rows.stop - rows.start, 128, 3) + 0.8 * shared
    hubs[rows.start : rows.start + 4] = shared + 0.1 * gaussian(4, 128)
    verdict = world.verdict_of_vectors(hubs)
    assert found(verdict) == {("effect/phenotype", "hubness"): "warning"}
    assert verdict.level == "warning"


def test_8_an_untrained_transformer_is_a_warning_for_it_owes_nothing_to_training(world: World) -> None:
    """On spectral features it tells facts apart, and may even beat the prior: the graph put that there."""
    trained = train(world.graph, SMALL.but(num_epochs=1, learning_rate=1e-12), seed=1)
    verdict = world.verdict_of_training(trained)
    assert found(verdict)["all", "gain_over_untrained"] == "warning"
    assert "collapsed" not in found(verdict).values()
    assert verdict.level == "warning"


def test_9_random_vectors_pass_geometry_and_fail_beside_the_graph(world: World) -> None:
    random = gaussian(world.graph.num_nodes, 128)
    alone = judge(measure_collapse(on_nodes_of(world.graph, random)), drug_type="drug", disease_type="disease")
    assert (alone.level, alone.usefulness_tested) == ("good", False)
    assert any("Usefulness was not tested" in note for note in alone.notes)
    verdict = world.verdict_of_vectors(random, ranking=None)
    assert found(verdict) == {("all", "link_auroc"): "warning"}
    assert verdict.level == "warning"


def test_10_a_large_common_mean_around_a_healthy_spread_is_a_warning(world: World) -> None:
    vectors = world.healthy.vectors
    length = np.sqrt((vectors**2).sum(axis=1).mean())
    direction = gaussian(1, 128)
    verdict = world.verdict_of_vectors(vectors + 2 * length * direction / np.linalg.norm(direction))
    problems = found(verdict)
    assert {("drug", "mean_cosine"), ("disease", "mean_cosine"), ("all", "mean_cosine")} <= set(problems)
    assert set(problems.values()) == {"warning"}
    assert {measure for _, measure in problems} <= {"mean_cosine", "rank_ratio"}
    assert verdict.level == "warning"


@pytest.mark.slow
@pytest.mark.parametrize(("features", "level"), [("svd", "good"), ("constant", "collapsed")])
def test_the_default_recipe_on_the_demo_graph_is_good_and_with_constant_features_collapsed(
    features: str, level: str
) -> None:
    graph = build_graph(demo_kg())
    split = random_split(graph, seed=0)
    training = training_graph(graph, split)
    trained = train(training, EmbedSettings(features=features), seed=0)
    assert World(split, training, trained).verdict_of_training(trained).level == level


@pytest.mark.slow
@pytest.mark.parametrize(("features", "level"), [("svd", "good"), ("constant", "collapsed")])
def test_the_short_recipe_on_hetionet_is_good_and_with_constant_features_collapsed(
    hetionet: Path, features: str, level: str
) -> None:
    graph = build_graph(load_kg(hetionet))
    split = random_split(graph, seed=0)
    training = training_graph(graph, split)
    trained = train(training, EmbedSettings(features=features, learning_rate=0.003, num_epochs=60), seed=0)
    assert World(split, training, trained).verdict_of_training(trained).level == level
