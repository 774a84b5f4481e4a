"""Explanations held against the truth: what the ranker rests on, and the mechanisms that the demo was drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from demo_explained import Demo, any_five

from rxweave.explain.order import best_paths
from rxweave.kg.demo import GENE


@pytest.fixture(scope="module", params=[1000, pytest.param(3000, marks=pytest.mark.slow)])
def demo(request: pytest.FixtureRequest) -> Demo:
    return Demo.of(request.param, seed=1)


def test_without_the_facts_of_the_named_paths_the_score_falls_more_than_without_others(
    demo: Demo, rng: np.random.Generator
) -> None:
    pairs = rng.permutation(demo.test)[:12]
    falls = {"named paths": [], "random facts": [], "other paths": []}
    for pair in pairs:
        kinds, asked = demo.kinds(pair), pair[None]
        facts = demo.facts_on(best_paths(kinds, 5))
        before = demo.scores(demo.training, asked)[0]

        def fall(gone: dict[int, np.ndarray], asked: np.ndarray = asked, before: float = before) -> float:
            return float(before - demo.scores(demo.without(gone), asked)[0])

        falls["named paths"].append(fall(facts))
        falls["random facts"].append(np.mean([fall(demo.random_facts(facts, rng)) for _ in range(2)]))
        falls["other paths"].append(np.mean([fall(demo.facts_on(any_five(kinds, rng))) for _ in range(2)]))
    mean = {what: float(np.mean(each)) for what, each in falls.items()}
    assert mean["named paths"] > 0.3
    assert mean["named paths"] > mean["random facts"] + 0.3
    assert mean["named paths"] > 1.3 * mean["other paths"]
    assert np.mean(np.greater(falls["named paths"], falls["random facts"])) >= 0.7


def test_genes_of_the_planted_mechanism_are_on_the_top_five_paths(demo: Demo, rng: np.random.Generator) -> None:
    """On most paths that join such a pair they are: so the best five are also held against any five of the pair's."""
    found: dict[str, list[list[bool]]] = {"best": [], "any": []}
    for pair in demo.test:
        mechanisms = demo.shared_mechanisms(pair)
        if not mechanisms:
            continue  # a treatment that the coin gave to a pair with no mechanism in common
        kinds = demo.kinds(pair)
        for which, chosen in (("best", best_paths(kinds, 5)), ("any", any_five(kinds, rng))):
            found[which].append([bool(demo.mechanisms_of(GENE, gene) & mechanisms) for gene in demo.genes_on(chosen)])
    hit = {which: np.mean([any(genes) for genes in each]) for which, each in found.items()}
    right = {which: np.mean(np.concatenate(each)) for which, each in found.items()}
    assert len(found["best"]) > 50
    assert hit["best"] >= 0.8
    assert hit["best"] > hit["any"]
    assert right["best"] > right["any"]
