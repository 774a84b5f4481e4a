from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from embeddings_made import embeddings_of, gaussian, on_nodes_of
from scipy.stats import spearmanr

from rxweave.embed.similarity import gene_sharing
from rxweave.embed.store import Embeddings
from rxweave.errors import ConfigError, InputError
from rxweave.graph.build import Graph
from rxweave.validate.meaning import (
    SHUFFLES,
    class_check,
    classes_of_type,
    find_classes,
    read_classes,
    shared_gene_checks,
)

DISEASE, GENE = "disease", "gene/protein"


@pytest.fixture(scope="module")
def gene_vectors(small_graph: Graph) -> np.ndarray:
    """Each node as the set of genes it touches: cosine is then an overlap of gene sets."""
    genes = small_graph.rows_of(GENE)
    touches = np.zeros((small_graph.num_nodes, small_graph.num_of(GENE)))
    for source, target in small_graph.facts:
        for node, other in ((source, target), (target, source)):
            is_gene = (other >= genes.start) & (other < genes.stop)
            touches[node[is_gene], other[is_gene] - genes.start] = 1
    return touches


def test_vectors_made_of_genes_know_shared_genes_and_random_ones_do_not(
    small_graph: Graph, gene_vectors: np.ndarray
) -> None:
    known = shared_gene_checks(on_nodes_of(small_graph, gene_vectors), small_graph, DISEASE)
    for check, least in zip(known, (0.9, 0.8), strict=True):
        assert check.value > least
        assert check.p_value == pytest.approx(1 / (1 + SHUFFLES))
        assert check.shuffled_interval[0] <= check.shuffled_mean <= check.shuffled_interval[1] < check.value
        assert check.num_nodes == small_graph.num_of(DISEASE)
    random = shared_gene_checks(on_nodes_of(small_graph, gaussian(small_graph.num_nodes, 32)), small_graph, DISEASE)
    assert all(check.p_value > 0.02 for check in random)


def test_the_correlation_is_spearmans(small_graph: Graph) -> None:
    vectors = gaussian(small_graph.num_nodes, 16)
    check = shared_gene_checks(on_nodes_of(small_graph, vectors), small_graph, DISEASE)[0]
    rows = np.arange(small_graph.num_nodes)[small_graph.rows_of(DISEASE)]
    unit = vectors[rows] / np.linalg.norm(vectors[rows], axis=1, keepdims=True)
    upper = np.triu_indices(len(rows), 1)
    sets = []
    for row in rows:
        relations = [
            f
            for f, r in zip(small_graph.facts, small_graph.relations, strict=True)
            if GENE in (r.source_type, r.target_type)
        ]
        sets.append({int(x) for f in relations for x in np.concatenate([f[1][f[0] == row], f[0][f[1] == row]])})
    jaccard = [len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for i, j in zip(*upper, strict=True)]
    assert check.value == pytest.approx(spearmanr((unit @ unit.T)[upper], jaccard).statistic, abs=1e-6)
    # The same overlaps as those training uses.
    alike = gene_sharing(small_graph, DISEASE, threshold=0.1).toarray()
    assert (alike[upper] == (np.array(jaccard) > 0.1)).all()


def test_p_values_of_random_vectors_are_not_small_more_often_than_they_say(small_graph: Graph) -> None:
    found = [
        shared_gene_checks(on_nodes_of(small_graph, gaussian(small_graph.num_nodes, 8, seed)), small_graph, DISEASE)
        for seed in range(12)
    ]
    assert sum(check.p_value < 0.05 for checks in found for check in checks) <= 5


def test_without_genes_there_is_nothing_to_check(small_graph: Graph) -> None:
    given = on_nodes_of(small_graph, gaussian(small_graph.num_nodes, 8))
    assert shared_gene_checks(given, small_graph, GENE) == []
    gone = {r: np.zeros(f.shape[1], bool) for r, f in enumerate(small_graph.facts)}
    assert shared_gene_checks(given, small_graph.keep_facts(gone), DISEASE) == []


def classed(num: int = 60) -> tuple[Embeddings, pl.DataFrame, np.ndarray]:
    group = np.arange(num) % 6
    vectors = np.eye(8)[group] + 0.3 * gaussian(num, 8)
    given = embeddings_of(drug=vectors, gene=gaussian(20, 8, 1))
    return given, pl.DataFrame({"node_key": given.nodes["node_key"][:num], "class": [f"c{g}" for g in group]}), vectors


def test_classes_lie_closer_within_than_between() -> None:
    given, classes, vectors = classed()
    check = class_check(given, classes, "drug")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    same = (np.arange(60) % 6)[:, None] == np.arange(60) % 6
    upper = np.triu_indices(60, 1)
    cosine = (unit @ unit.T)[upper]
    assert check.value == pytest.approx(cosine[same[upper]].mean() - cosine[~same[upper]].mean(), abs=1e-5)
    assert check.p_value == pytest.approx(1 / (1 + SHUFFLES))
    shuffled = classes.with_columns(pl.Series("class", np.random.default_rng(0).permutation(classes["class"])))
    assert class_check(given, shuffled, "drug").p_value > 0.02


def test_a_node_may_have_several_classes_and_others_none() -> None:
    given, classes, _ = classed()
    more = pl.concat([classes, classes.head(6).with_columns(pl.lit("c9").alias("class")), classes.head(3)])
    assert class_check(given, more, "drug").num_nodes == 60
    assert class_check(given, classes.head(24), "drug").num_nodes == 24


def test_classes_that_cannot_be_compared_are_refused() -> None:
    given, classes, _ = classed()
    with pytest.raises(InputError, match="9 embedded nodes of type 'drug' have a class"):
        class_check(given, classes.head(9), "drug")
    with pytest.raises(InputError, match="all share a class"):
        class_check(given, classes.with_columns(pl.lit("one").alias("class")), "drug")
    with pytest.raises(InputError, match="none share a class"):
        class_check(given, classes.with_columns(pl.col("node_key").alias("class")), "drug")


def test_classes_come_from_a_file_or_from_the_graph(small_graph: Graph, tmp_path: Path) -> None:
    given = on_nodes_of(small_graph, gaussian(small_graph.num_nodes, 8))
    keys = given.nodes.filter(node_type="drug")["node_key"]
    path = tmp_path / "classes.csv"
    pl.DataFrame({"node_key": keys, "class": ["a", "b"] * (len(keys) // 2)}).write_csv(path)
    read = find_classes(str(path), given, small_graph, None)
    assert set(read["node_key"]) == set(keys)
    assert class_check(given, read, "drug").num_nodes == len(keys)
    of_graph = find_classes(GENE, given, small_graph, None)
    assert of_graph.equals(classes_of_type(small_graph, "drug", GENE))
    targets = small_graph.facts[[r.name for r in small_graph.relations].index("drug_protein")]
    assert len(of_graph) == targets.shape[1]


def test_bad_class_files_and_types_are_named(small_graph: Graph, tmp_path: Path) -> None:
    given = on_nodes_of(small_graph, gaussian(small_graph.num_nodes, 8))
    with pytest.raises(InputError, match=r"absent\.csv"):
        read_classes(tmp_path / "absent.csv", given)
    path = tmp_path / "classes.tsv"
    path.write_text("drug\tclass\na\tb\n")
    with pytest.raises(InputError, match="needs the columns class and node_key or node_id"):
        read_classes(path, given)
    path.write_text("node_key\tclass\nnobody\tb\n")
    with pytest.raises(InputError, match=r"No node_key.*first 'nobody'"):
        read_classes(path, given)
    with pytest.raises(InputError, match="no relation between 'drug' and 'pathway'"):
        classes_of_type(small_graph, "drug", "pathway")
    with pytest.raises(ConfigError, match="--drug-type"):
        find_classes("x.csv", given, None, None)
