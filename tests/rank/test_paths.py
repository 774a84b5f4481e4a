from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_graphs import BINDS, EASED_BY, HARMS, INTERACTS, LINKED, REGULATES, TREATS, graph_of, random_graph

from rxweave.errors import ConfigError, InputError
from rxweave.graph.build import Graph
from rxweave.rank.paths import (
    Step,
    damped,
    fit_scale,
    graph_steps,
    metapaths,
    named_paths,
    pair_counts,
    path_counts,
    scaled,
    step_matrix,
)

GENE_PATH = "drug –binds→ gene ←linked– disease"


def hand_graph() -> Graph:
    """drug 0 binds genes 0 and 1, drug 1 binds gene 0; disease 0 is linked to gene 0, disease 1 to both."""
    return graph_of(
        {"drug": 2, "disease": 2, "gene": 2},
        {BINDS: [(0, 0), (0, 1), (1, 0)], LINKED: [(0, 0), (1, 0), (1, 1)]},
    )


def counts(graph: Graph, damping: float, diseases: np.ndarray | None = None) -> dict[str, np.ndarray]:
    matrices = {step: damped(step_matrix(graph, step), damping) for step in graph_steps(graph)}
    paths = metapaths(graph)
    block = np.arange(graph.num_of("disease")) if diseases is None else diseases
    return {p.name: c for p, c in zip(paths, path_counts(matrices, paths, block), strict=True)}


def walks_by_hand(graph: Graph, steps: tuple[Step, ...], damping: float) -> np.ndarray:
    """Follow every walk one fact at a time, multiplying both degrees of each fact to the power −damping."""
    edges: list[dict[int, set[int]]] = []
    for step in steps:
        rel, (source, target) = graph.relations[step.relation], graph.facts[step.relation]
        source, target = (
            source - graph.rows_of(rel.source_type).start,
            target - graph.rows_of(rel.target_type).start,
        )
        one_way = list(zip(source.tolist(), target.tolist(), strict=True))
        if step.inverse:
            one_way = [(t, s) for s, t in one_way]
        if rel.symmetric:
            one_way += [(t, s) for s, t in one_way]
        out = defaultdict(set)
        for s, t in one_way:
            out[s].add(t)
        edges.append(out)
    total = np.zeros((graph.num_of("drug"), graph.num_of("disease")))

    def follow(drug: int, node: int, at: int, weight: float) -> None:
        if at == len(steps):
            total[drug, node] += weight
            return
        for following in edges[at].get(node, ()):
            incoming = sum(following in targets for targets in edges[at].values())
            follow(drug, following, at + 1, weight * (len(edges[at][node]) * incoming) ** -damping)

    for drug in range(graph.num_of("drug")):
        follow(drug, drug, 0, 1.0)
    return total


def test_degree_weighted_path_count_is_that_of_a_calculation_by_hand() -> None:
    found = counts(hand_graph(), 0.5)[GENE_PATH]
    # A path weighs (drug degree · gene's degree to drugs · gene's degree to diseases · disease degree)^−½.
    expected = [
        [(2 * 2 * 2 * 1) ** -0.5, (2 * 2 * 2 * 2) ** -0.5 + (2 * 1 * 1 * 2) ** -0.5],
        [(1 * 2 * 2 * 1) ** -0.5, (1 * 2 * 2 * 2) ** -0.5],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), damping=st.sampled_from([0.0, 0.4, 0.5, 1.0]))
def test_counts_equal_those_of_following_every_walk(seed: int, damping: float) -> None:
    graph = random_graph(seed, drugs=3, diseases=3, genes=4)
    found = counts(graph, damping)
    for path in metapaths(graph):
        expected = walks_by_hand(graph, path.steps, damping)
        np.testing.assert_allclose(found[path.name], expected, rtol=1e-5, atol=1e-6, err_msg=path.name)


def test_walks_that_return_to_a_node_are_counted() -> None:
    graph = graph_of({"drug": 1, "disease": 2, "gene": 1}, {TREATS: [(0, 0), (0, 1)], BINDS: [(0, 0)]})
    # drug 0 → disease 0 → drug 0 → disease 1 passes the drug twice; so do the three others.
    back_and_forth = counts(graph, 0.0)["drug –treats→ disease ←treats– drug –treats→ disease"]
    np.testing.assert_array_equal(back_and_forth, [[2, 2]])


def test_a_fact_written_twice_counts_once() -> None:
    once, twice = hand_graph(), hand_graph()
    doubled = tuple(np.concatenate([fact, fact], axis=1) for fact in twice.facts)
    twice = Graph(**{**vars(twice), "facts": doubled})
    np.testing.assert_array_equal(counts(once, 0.5)[GENE_PATH], counts(twice, 0.5)[GENE_PATH])


def test_symmetric_relations_have_one_step_and_directed_ones_two() -> None:
    graph = random_graph(0)
    by_relation = defaultdict(list)
    for step in graph_steps(graph):
        by_relation[graph.relations[step.relation]].append(step.inverse)
    assert by_relation[INTERACTS] == [False]
    for relation in (TREATS, HARMS, EASED_BY, BINDS, LINKED, REGULATES):
        assert by_relation[relation] == [False, True]
    symmetric = next(step for step in graph_steps(graph) if graph.relations[step.relation] == INTERACTS)
    matrix = step_matrix(graph, symmetric).toarray()
    np.testing.assert_array_equal(matrix, matrix.T)
    assert matrix.max() == 1


def test_metapaths_are_all_walks_between_the_types_except_single_steps() -> None:
    graph = graph_of(
        {"drug": 2, "disease": 2, "gene": 2},
        {TREATS: [(0, 0)], BINDS: [(0, 0)], LINKED: [(0, 0)], INTERACTS: [(0, 1)], REGULATES: []},
    )
    assert {path.name for path in metapaths(graph)} == {
        GENE_PATH,
        "drug –treats→ disease ←treats– drug –treats→ disease",
        "drug –treats→ disease –linked→ gene ←linked– disease",
        "drug –binds→ gene ←binds– drug –treats→ disease",
        "drug –binds→ gene –interacts– gene ←linked– disease",
    }
    assert [path.name for path in metapaths(graph, 2)] == [GENE_PATH]


def test_paths_of_one_step_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_path_length is 1"):
        metapaths(hand_graph(), 1)


@pytest.mark.parametrize("block", [[0], [3, 1], [2, 0, 3]])
def test_a_count_does_not_depend_on_the_block_it_is_in(block: list[int]) -> None:
    graph = random_graph(4, drugs=12, genes=15)
    whole, part = counts(graph, 0.5), counts(graph, 0.5, np.array(block))
    for name, found in part.items():
        np.testing.assert_array_equal(found, whole[name][:, block])


def scale_of(graph: Graph, *, max_paths: int = 200, num_diseases: int = 512, seed: int = 0):
    return fit_scale(
        graph,
        max_length=3,
        damping=0.5,
        max_paths=max_paths,
        num_diseases=num_diseases,
        rng=np.random.default_rng(seed),
    )


def test_scale_is_the_mean_count_over_all_pairs() -> None:
    graph = random_graph(1)
    scale, expected = scale_of(graph), counts(graph, 0.5)
    assert scale.names
    for name, mean in zip(scale.names, scale.means, strict=True):
        assert mean == pytest.approx(expected[name].mean(), rel=1e-5)
    silent = [name for name, count in expected.items() if not count.any()]
    assert set(scale.names) == set(expected) - set(silent)
    assert scale.dropped == len(silent)


def test_cap_keeps_the_metapaths_that_join_most_pairs() -> None:
    graph = random_graph(2, density=0.15)
    joined = {name: np.count_nonzero(count) for name, count in counts(graph, 0.5).items()}
    scale = scale_of(graph, max_paths=10)
    assert len(scale.names) == 10
    assert scale.dropped == len(joined) - 10
    others = [n for name, n in joined.items() if name not in scale.names]
    assert min(joined[name] for name in scale.names) >= max(others)


def test_scale_from_a_sample_of_diseases_is_seeded() -> None:
    graph = random_graph(3, diseases=30)
    few = [scale_of(graph, num_diseases=5, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(few[0].means, few[1].means)
    assert few[0].names != few[2].names or not np.array_equal(few[0].means, few[2].means)


def test_metapaths_a_graph_lacks_are_named() -> None:
    with pytest.raises(InputError, match=r"test has no metapath 'drug –cures→ disease' \(1 of 2 are missing\)"):
        named_paths(hand_graph(), [GENE_PATH, "drug –cures→ disease"], 3)


def test_scaled_count_is_the_inverse_hyperbolic_sine_of_the_ratio_to_the_mean() -> None:
    found = scaled(np.array([[0.0, 0.5, 5000.0]], np.float32), 0.5)
    np.testing.assert_allclose(found, [[0.0, np.log(1 + np.sqrt(2)), np.log(2 * 10_000)]], rtol=1e-6)


@pytest.mark.parametrize("max_length", [3, 4])
def test_counts_of_single_pairs_are_those_of_the_whole_block_to_the_bit(max_length: int) -> None:
    graph = random_graph(3)
    matrices = {step: damped(step_matrix(graph, step), 0.5) for step in graph_steps(graph)}
    paths = metapaths(graph, max_length)
    diseases = np.arange(graph.num_of("disease"))[::-1]
    whole = np.stack(list(path_counts(matrices, paths, diseases)), axis=2)
    rng = np.random.default_rng(0)
    drug, place = rng.integers(0, whole.shape[0], 50), rng.integers(0, whole.shape[1], 50)
    found = pair_counts(matrices, paths, diseases, drug, place)
    np.testing.assert_array_equal(found, whole[drug, place])
    assert (found > 0).any()
