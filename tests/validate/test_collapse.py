from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from rxweave.artifacts import write_json
from rxweave.embed.store import Embeddings
from rxweave.errors import ConfigError
from rxweave.validate.collapse import CollapseReport, TypeReport, measure_collapse
from rxweave.validate.geometry import measure_spread


def embeddings_of(**types: np.ndarray) -> Embeddings:
    """Embeddings with the given vectors per type."""
    names = [name for name, vectors in types.items() for _ in range(len(vectors))]
    keys = [f"{name}|{i}" for i, name in enumerate(names)]
    nodes = pl.DataFrame({"node_key": keys, "node_id": keys, "node_name": keys, "node_type": names})
    return Embeddings(nodes, np.concatenate(list(types.values())).astype(np.float32), {})


def gaussian(num: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, dim))


def as_json(report: CollapseReport, path: Path) -> str:
    write_json(path, report)
    return path.read_text()


def of(report: CollapseReport, node_type: str) -> TypeReport:
    return report.types[report.node_types.index(node_type)]


def test_each_type_is_measured_by_itself() -> None:
    same = np.tile(gaussian(1, 8), (20, 1))
    report = measure_collapse(embeddings_of(zeta=np.eye(8), alpha=same))
    assert report.node_types == ("alpha", "zeta")
    one_point, corners = of(report, "alpha"), of(report, "zeta")
    assert one_point.cosines.mean == pytest.approx(1)
    assert one_point.spread.rankme == pytest.approx(1)
    assert (one_point.duplicate_rate, one_point.near_duplicate_rate) == (1, 1)
    assert corners.cosines.mean == pytest.approx(0, abs=1e-7)
    assert corners.spread.rankme == pytest.approx(8)
    assert (corners.duplicate_rate, corners.near_duplicate_rate) == (0, 0)


def test_cosines_of_type_with_type_and_over_all_agree_with_scikit_learn() -> None:
    parts = {"a": gaussian(30, 5) + 1, "b": gaussian(12, 5, 1), "c": gaussian(4, 5, 2) - 0.5}
    given_ = embeddings_of(**parts)
    report = measure_collapse(given_)
    cosine = cosine_similarity(given_.vectors.astype(np.float64))
    rows = {name: given_.of_type(name) for name in parts}
    for i, one in enumerate(parts):
        for j, other in enumerate(parts):
            block = cosine[np.ix_(rows[one], rows[other])]
            expected = block[np.triu_indices(len(block), 1)].mean() if i == j else block.mean()
            assert report.cosine_matrix[i, j] == pytest.approx(expected, abs=1e-8)
    assert report.overall.mean_cosine == pytest.approx(cosine[np.triu_indices(46, 1)].mean(), abs=1e-8)
    kinds = given_.nodes["node_type"].to_numpy()
    assert report.overall.across_type_cosine == pytest.approx(cosine[kinds[:, None] != kinds].mean(), abs=1e-8)
    assert np.diag(report.cosine_matrix) == pytest.approx([measured.cosines.mean for measured in report.types])


def test_a_sample_stands_for_the_whole_type() -> None:
    flat = gaussian(6000, 16) * np.arange(1, 17) ** -1.5
    parts = {"large": flat + 0.5, "small": 2 * gaussian(300, 16, 1) - 0.3}
    whole = measure_collapse(embeddings_of(**parts), max_nodes=6000)
    sampled = measure_collapse(embeddings_of(**parts), max_nodes=1000)
    assert of(sampled, "large").num_sampled == 1000
    assert of(sampled, "small").num_sampled == 300
    low, high = of(sampled, "large").mean_cosine_interval
    assert low < of(whole, "large").cosines.mean < high
    # Large outnumbers small 20 to 1: taken as 1000 to 300, the long and round small type would stand out.
    assert sampled.overall.mean_cosine == pytest.approx(whole.overall.mean_cosine, abs=0.02)
    assert sampled.overall.spread.rankme == pytest.approx(whole.overall.spread.rankme, rel=0.03)
    unweighted = measure_spread(np.concatenate([parts["large"][:1000], parts["small"]]).astype(np.float32))
    assert whole.overall.spread.rankme < 0.9 * unweighted.rankme
    assert sampled.overall.num_active == 6300


def test_twins_are_sought_among_all_nodes_of_the_type_not_only_the_sample() -> None:
    vectors = np.repeat(gaussian(400, 8), 2, axis=0)
    measured = of(measure_collapse(embeddings_of(gene=vectors), max_nodes=20), "gene")
    assert (measured.duplicate_rate, measured.near_duplicate_rate) == (1, 1)


def test_only_active_nodes_are_measured() -> None:
    vectors = np.concatenate([gaussian(40, 8), np.zeros((60, 8))])
    given_ = embeddings_of(gene=vectors, lost=np.zeros((3, 8)))
    everything = of(measure_collapse(given_), "gene")
    assert (everything.zero_vectors, everything.duplicate_rate) == (60, 0.6)
    assert everything.near_duplicate_rate == 0.6
    report = measure_collapse(given_, active=given_.vectors.any(axis=1))
    measured = of(report, "gene")
    assert (measured.num_nodes, measured.num_active, measured.zero_vectors) == (100, 40, 0)
    assert measured.duplicate_rate == 0
    assert of(report, "lost").num_active == 0
    assert np.isnan(report.cosine_matrix[1]).all()
    assert report.overall.mean_cosine == pytest.approx(measured.cosines.mean)


def test_zero_vectors_take_no_part_in_any_cosine() -> None:
    gene, drug = gaussian(40, 8) + 0.5, gaussian(10, 8, 1)
    some_zero = embeddings_of(gene=np.concatenate([gene, np.zeros((60, 8))]), drug=drug)
    without = measure_collapse(embeddings_of(gene=gene, drug=drug)).overall
    overall = measure_collapse(some_zero).overall
    assert overall.mean_cosine == pytest.approx(without.mean_cosine)
    assert overall.across_type_cosine == pytest.approx(without.across_type_cosine)


def test_the_same_seed_gives_the_same_report_and_another_seed_another_sample(tmp_path: Path) -> None:
    given_ = embeddings_of(drug=gaussian(90, 12), gene=gaussian(80, 12, 1))
    one, again, other = (
        as_json(measure_collapse(given_, seed=seed, max_nodes=50), tmp_path / f"{i}.json")
        for i, seed in enumerate((3, 3, 4))
    )
    assert one == again
    assert json.loads(one)["types"][0]["cosines"] != json.loads(other)["types"][0]["cosines"]


def test_the_draw_in_one_type_does_not_depend_on_the_others() -> None:
    drug, gene = gaussian(90, 12), gaussian(80, 12, 1)
    alone = measure_collapse(embeddings_of(drug=drug), max_nodes=50)
    together = measure_collapse(embeddings_of(anatomy=gene, drug=drug), max_nodes=50)
    assert of(alone, "drug").cosines == of(together, "drug").cosines


def test_random_vectors_measure_like_their_control() -> None:
    measured = of(measure_collapse(embeddings_of(drug=gaussian(400, 32, 5))), "drug")
    assert measured.spread.rankme == pytest.approx(measured.random_spread.rankme, rel=0.02)
    assert measured.cosines.mean == pytest.approx(measured.random_cosines.mean, abs=0.01)
    assert abs(measured.spread.components_90 - measured.random_spread.components_90) <= 1


def test_a_mixture_of_types_hides_collapse_overall_and_not_per_type() -> None:
    centres = gaussian(12, 64)
    parts = {f"type{i:02}": centre + 1e-3 * gaussian(60, 64, i) for i, centre in enumerate(centres)}
    report = measure_collapse(embeddings_of(**parts))
    assert abs(report.overall.mean_cosine) < 0.2
    assert all(measured.cosines.mean > 0.999 for measured in report.types)
    assert all(measured.near_duplicate_rate == 1 for measured in report.types)


def test_report_is_json(tmp_path: Path) -> None:
    report = measure_collapse(embeddings_of(drug=gaussian(20, 6), single=gaussian(1, 6)))
    stored = json.loads(as_json(report, tmp_path / "collapse.json"))
    assert stored["types"][1]["cosines"]["mean"] is None
    assert len(stored["types"][0]["spread"]["singular_values"]) == 6


def test_impossible_requests_are_refused() -> None:
    given_ = embeddings_of(drug=gaussian(20, 6))
    with pytest.raises(ConfigError, match="at least 2"):
        measure_collapse(given_, max_nodes=1)
    with pytest.raises(ConfigError, match=r"marks 19 nodes.*20 vectors"):
        measure_collapse(given_, active=np.ones(19, bool))
