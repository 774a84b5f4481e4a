"""The methods on small graphs: right shape, no global seeds touched, and each against what is known of it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from rxweave.benchmark.quality import ours, triples
from rxweave.benchmark.quality.catalogue import METHODS
from rxweave.benchmark.quality.method import Context
from rxweave.benchmark.quality.plain_hgt import capped
from rxweave.benchmark.quality.regression import concat_scores, hadamard_scores
from rxweave.benchmark.quality.settings import BaselineSettings, LogisticSettings, WalkSettings, quality_settings
from rxweave.benchmark.quality.validation import mrr_of_valid
from rxweave.benchmark.quality.vectors import Vectors, read_vectors, train_vectors
from rxweave.benchmark.quality.walks import adjacency, node2vec, random_walks
from rxweave.config import RankSettings
from rxweave.embed.store import Embeddings
from rxweave.errors import LeakError
from rxweave.graph.build import Graph
from rxweave.graph.split import Split, random_split, training_graph
from rxweave.rank.refit import refit_scores

SETTINGS, _ = quality_settings({}, ["rank.num_trees=20", "rank.num_draws=1", "rank.threads=1"])
PEERS = BaselineSettings(
    triples={"embedding_dim": 8, "num_epochs": 2, "batch_size": 256},
    walks={"embedding_dim": 16, "num_walks": 2, "walk_length": 10, "window": 3, "num_epochs": 1},
    plain_hgt={"hidden_dim": 8, "num_epochs": 3},
)
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("transe", "rotate", "complex")]

LONGER = (("complex", 20), ("rotate", 20), ("transe", 60))


def context() -> Context:
    return Context(SETTINGS, PEERS, None, 1, lambda _: None)


@pytest.fixture(scope="module")
def held_out(small_graph: Graph) -> tuple[Graph, Split]:
    split = random_split(small_graph, seed=0)
    return training_graph(small_graph, split), split


@pytest.mark.parametrize(
    "name",
    ["degree-prior", "drug-popularity", "disease-popularity", "graph-degrees", "common-neighbours", "adamic-adar",
     "paths-only-xgb", "without-hgt", "node2vec", "pyg-hgt", "distmult", *SLOW],
)  # fmt: skip
def test_a_method_scores_every_pair_and_one_seed_gives_one_result(held_out: tuple[Graph, Split], name: str) -> None:
    training, split = held_out
    before = torch.random.get_rng_state()
    scores, again = (METHODS[name].score(training, split, 1, context()) for _ in range(2))
    assert scores.dtype == np.float32
    assert scores.shape == (training.num_of("drug"), training.num_of("disease"))
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, again)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.fixture(scope="module")
def vectors(held_out: tuple[Graph, Split], tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    training, split = held_out
    settings, _ = quality_settings(
        {},
        ["embed.num_epochs=3", "embed.embedding_dim=16", "embed.hidden_dim=16", "embed.feature_dim=16",
         "embed.num_heads=2", "embed.accumulation_steps=1", "embed.device=cpu"],
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("vectors")
    train_vectors(training, split, settings, folder, lambda _: None)
    return read_vectors(folder, training, split)


ALL = ("paths", "profiles", "degrees")
"""The groups that are set by default."""


@pytest.mark.parametrize(
    ("name", "groups", "weights", "bilinear"),
    [
        ("rxweave", ALL, (0.3, 0.3), ("profiles", "embeddings")),
        ("without-hgt", ALL, (0.3, 0.3), ("profiles",)),
        ("hgt-xgb", ("neighbours", "degrees"), (0.3, 0.3), ("embeddings",)),
        ("hgt-trees", ("degrees", "neighbours"), (0, 0), None),
        ("paths-xgb", ("degrees", "paths"), (0, 0), None),
        ("paths-only-xgb", ("paths",), (0, 0), None),
    ],
)
def test_a_ranker_of_the_table_has_the_parts_that_it_is_said_to_have(
    held_out: tuple[Graph, Split],
    vectors: Vectors,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    groups: tuple[str, ...],
    weights: tuple[float, float],
    bilinear: tuple[str, ...] | None,
) -> None:
    training, split = held_out
    used: list[tuple[RankSettings, bool]] = []

    def noted(
        training: Graph, split: Split, embeddings: Embeddings | None, settings: RankSettings, **more: Any
    ) -> np.ndarray:
        used.append((settings, embeddings is not None))
        return refit_scores(training, split, embeddings, settings, **more)

    monkeypatch.setattr(ours, "refit_scores", noted)
    method = METHODS[name]
    mine = vectors if method.needs == "hgt" else None
    scores = method.score(training, split, 1, Context(SETTINGS, PEERS, mine, 1, lambda _: None))
    ((settings, with_embeddings),) = used
    assert set(settings.features.groups) == set(groups)
    assert (settings.linear_weight, settings.bilinear_weight) == weights
    assert bilinear is None or set(settings.bilinear_inputs) == set(bilinear)
    assert with_embeddings == (method.needs == "hgt")
    assert scores.shape == (training.num_of("drug"), training.num_of("disease"))
    assert np.ptp(scores) > 0


@pytest.mark.parametrize("name", ["hgt-decoder", "hgt-constant", "logistic-hadamard", "logistic-concat"])
def test_what_is_made_of_embeddings_alone_is_made_of_these(
    held_out: tuple[Graph, Split], vectors: Vectors, name: str
) -> None:
    training, split = held_out
    method = METHODS[name]
    assert method.needs == ("hgt-constant" if name == "hgt-constant" else "hgt")
    scores = method.score(training, split, 1, Context(SETTINGS, PEERS, vectors, 1, lambda _: None))
    assert scores.dtype == np.float32
    # Embeddings whose drugs have changed places give scores in which they have.
    drugs = training.rows_of(training.roles.drug)
    moved = vectors.of_nodes.copy()
    moved[drugs] = moved[drugs][::-1]
    other = Context(SETTINGS, PEERS, replace(vectors, of_nodes=moved), 1, lambda _: None)
    again = method.score(training, split, 1, other)
    if name.startswith("hgt"):
        np.testing.assert_allclose(again[::-1], scores, rtol=1e-5, atol=1e-6)
    assert not np.allclose(again, scores)


@pytest.mark.parametrize("name", ["logistic-hadamard", "node2vec"])
def test_a_regression_on_a_held_out_pair_is_refused(held_out: tuple[Graph, Split], vectors: Vectors, name: str) -> None:
    training, split = held_out
    leaky = replace(split, train=np.concatenate([split.train, split.test[:1]]))
    with pytest.raises(LeakError, match="rows that the ranker is fitted on are held-out pairs"):
        METHODS[name].score(training, leaky, 1, Context(SETTINGS, PEERS, vectors, 1, lambda _: None))


def test_every_method_says_what_it_is_and_what_decides_it() -> None:
    for name, method in METHODS.items():
        assert method.name == name
        assert method.about.endswith(".")
        assert set(method.settings(SETTINGS, PEERS)) == set(method.decided_by)
    assert "threads" not in METHODS["rxweave"].settings(SETTINGS, PEERS)["rank"]


# Triples, against PyKEEN's own evaluation.


@pytest.mark.parametrize(
    ("name", "epochs", "loss"),
    [
        ("distmult", 8, "softmax"),
        pytest.param("distmult", 20, "logistic", marks=pytest.mark.slow),
        *(pytest.param(name, epochs, "softmax", marks=pytest.mark.slow) for name, epochs in LONGER),
    ],
)
def test_triples_are_learnt(held_out: tuple[Graph, Split], name: str, epochs: int, loss: str) -> None:
    """Treatments that were trained on rank above other pairs; with PyKEEN's own bounds DistMult stays at chance."""
    training, split = held_out
    peers = BaselineSettings(
        triples={
            "embedding_dim": 32,
            "num_epochs": epochs,
            "patience": epochs,
            "batch_size": 128,
            "num_negatives": 4,
            "learning_rate": 0.05,
            "loss_of_products": loss,
        }
    )
    told: list[str] = []
    scores = METHODS[name].score(training, split, 0, Context(SETTINGS, peers, None, 1, told.append))
    treated = np.zeros(scores.shape, bool)
    treated[tuple(split.train.T)] = True
    assert roc_auc_score(treated.ravel(), scores.ravel()) > 0.8
    assert told[-1].startswith(f"epoch {epochs} of {epochs}, loss ")


@pytest.mark.parametrize("name", ["distmult", "complex"])
def test_products_start_near_zero(held_out: tuple[Graph, Split], name: str) -> None:
    """A first step's loss is that of scores near 0, ln 2; with PyKEEN's own start ComplEx has to unlearn first."""
    training, split = held_out
    peers = BaselineSettings(triples={"num_epochs": 1, "batch_size": 10_000_000, "num_negatives": 1})
    told: list[str] = []
    METHODS[name].score(training, split, 0, Context(SETTINGS, peers, None, 1, told.append))
    loss = told[-1].removeprefix("epoch 1 of 1, loss ").partition(",")[0]
    assert float(loss) == pytest.approx(np.log(2), abs=0.05)


@pytest.mark.slow
def test_the_epoch_is_scored_after_which_validation_pairs_rank_best(
    held_out: tuple[Graph, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    training, split = held_out

    def scores(epochs: int, found: list[float]) -> np.ndarray:
        left = iter(found)
        monkeypatch.setattr(triples, "mrr_of_valid", lambda *_: next(left))
        peers = BaselineSettings(triples={"embedding_dim": 8, "num_epochs": epochs, "batch_size": 256})
        return METHODS["distmult"].score(training, split, 0, Context(SETTINGS, peers, None, 1, lambda _: None))

    second = scores(2, [0.1, 0.5])
    np.testing.assert_array_equal(scores(3, [0.1, 0.5, 0.2]), second)
    # Three epochs that bring nothing better end it: a ninth is not asked for.
    np.testing.assert_array_equal(scores(9, [0.1, 0.5, 0.2, 0.3, 0.4]), second)


def test_validation_pairs_choose_and_test_pairs_do_not(held_out: tuple[Graph, Split]) -> None:
    training, split = held_out
    scores = np.zeros((training.num_of("drug"), training.num_of("disease")), np.float32)
    at_chance = mrr_of_valid(scores, split)
    scores[tuple(split.test.T)] = 1
    assert mrr_of_valid(scores, split) <= at_chance
    scores[tuple(split.valid.T)] = 2
    assert mrr_of_valid(scores, split) == 1
    assert mrr_of_valid(scores, replace(split, valid=split.valid[:0])) == 0


def test_pykeen_ranks_its_own_model_as_we_do(held_out: tuple[Graph, Split]) -> None:
    """Among all entities PyKEEN's evaluator, restricted to diseases as tails, gives our filtered ranks."""
    training, split = held_out
    from rxweave.benchmark.quality.triples import _score_relation
    from rxweave.rank.metrics import evaluate_ranking

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pykeen.evaluation import RankBasedEvaluator
        from pykeen.models import DistMult
        from pykeen.triples import CoreTriplesFactory

        relation = next(r for r in training.drug_disease_relations() if training.relations[r].name == "indication")
        triples = np.insert(training.facts[relation], 1, relation, axis=0).T
        factory = CoreTriplesFactory(triples, training.num_nodes, len(training.relations))
        model = DistMult(triples_factory=factory, embedding_dim=8, random_seed=0)
        scores = _score_relation(model, training, relation)
        drugs, diseases = training.rows_of("drug"), training.rows_of("disease")

        def as_triples(pairs: np.ndarray) -> torch.Tensor:
            columns = [drugs.start + pairs[:, 0], np.full(len(pairs), relation), diseases.start + pairs[:, 1]]
            return torch.from_numpy(np.stack(columns, axis=1))

        evaluator = RankBasedEvaluator()
        theirs = evaluator.evaluate(
            model,
            as_triples(split.test),
            additional_filter_triples=[as_triples(split.known)],
            targets=("tail",),
            restrict_entities_to=list(range(drugs.start, drugs.stop)) + list(range(diseases.start, diseases.stop)),
            pre_filtered_triples=False,
            use_tqdm=False,
            batch_size=64,
        )
    # The restriction lets drugs in as tails too, so they enter our matrix as well: the ranks must then be the same.
    with torch.no_grad():
        rows = model.score_t(as_triples(split.test)[:, :2]).numpy()
    allowed = np.r_[drugs, diseases]
    place = {entity: i for i, entity in enumerate(allowed.tolist())}
    wide = np.zeros((len(scores), len(allowed)), np.float32)
    wide[split.test[:, 0]] = rows[:, allowed]
    columns = np.array([place[diseases.start + d] for d in range(scores.shape[1])])
    np.testing.assert_allclose(wide[split.test[:, 0]][:, columns], scores[split.test[:, 0]], rtol=1e-4, atol=1e-6)
    test, known = (np.stack([pairs[:, 0], columns[pairs[:, 1]]], axis=1) for pairs in (split.test, split.known))
    ours = evaluate_ranking(wide, test, known, seed=0, num_bootstraps=2).diseases_given_drug
    assert ours.mrr.value == pytest.approx(theirs.get_metric("tail.realistic.inverse_harmonic_mean_rank"), rel=1e-5)
    assert ours.hits_at_10.value == pytest.approx(theirs.get_metric("tail.realistic.hits_at_10"))


# Logistic regression.


def test_the_product_is_that_of_scikit_learn(held_out: tuple[Graph, Split]) -> None:
    training, split = held_out
    rng = np.random.default_rng(0)
    drugs, diseases = (rng.normal(size=(training.num_of(t), 6)).astype(np.float32) for t in ("drug", "disease"))
    settings = LogisticSettings(penalties=(0.1,), negatives_per_positive=5)
    scores = hadamard_scores(drugs, diseases, split, training, settings, seed=0)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (drugs, diseases))
    from rxweave.rank.negatives import uniform_negatives

    drawn = uniform_negatives(split.train, num_drugs=len(a), num_diseases=len(b), ratio=5, rng=np.random.default_rng(0))
    rows = np.concatenate([split.train, drawn])
    features = a[rows[:, 0]] * b[rows[:, 1]]
    spread = features.std(axis=0)
    label = np.arange(len(rows)) < len(split.train)
    model = LogisticRegression(C=0.1, class_weight="balanced").fit(features / spread, label)
    expected = model.decision_function((a[3] * b) / spread) - model.intercept_
    np.testing.assert_allclose(scores[3], expected, rtol=1e-3, atol=1e-4)


def test_side_by_side_every_disease_has_one_order_of_drugs(held_out: tuple[Graph, Split]) -> None:
    training, split = held_out
    rng = np.random.default_rng(0)
    drugs, diseases = (rng.normal(size=(training.num_of(t), 6)).astype(np.float32) for t in ("drug", "disease"))
    scores = concat_scores(drugs, diseases, split, training, LogisticSettings(), seed=0)
    orders = np.argsort(scores.astype(np.float64), axis=0)
    agree = (orders == orders[:, :1]).mean()
    assert agree > 0.95  # but for rounding


# node2vec.


def test_walks_follow_facts_and_weigh_the_next_step_as_the_paper_says(small_graph: Graph) -> None:
    settings = WalkSettings(num_walks=200, walk_length=6, p=4.0, q=0.5)
    walks = random_walks(small_graph, settings, np.random.default_rng(0))
    joined = adjacency(small_graph).toarray().astype(bool)
    assert joined[walks[:, :-1], walks[:, 1:]].all()
    before, now, after = (walks[:, i : i + 4].ravel() for i in range(3))
    # The commonest (before, now), and how often each next node comes after it.
    code, count = np.unique(before.astype(np.int64) * small_graph.num_nodes + now, return_counts=True)
    for chosen in code[np.argsort(-count)[:3]]:
        first, middle = divmod(int(chosen), small_graph.num_nodes)
        reached = after[(before == first) & (now == middle)]
        weight = np.where(joined[middle], np.where(joined[first], 1.0, 1 / settings.q), 0.0)
        weight[first] = 1 / settings.p
        expected = weight / weight.sum()
        observed = np.bincount(reached, minlength=small_graph.num_nodes) / len(reached)
        assert np.abs(observed - expected).sum() / 2 < 3 * np.sqrt(np.count_nonzero(weight) / len(reached))


def test_node2vec_knows_which_nodes_are_joined(small_graph: Graph) -> None:
    settings = WalkSettings(embedding_dim=32, num_walks=10, walk_length=20, window=2, num_epochs=3)
    told: list[str] = []
    vectors = node2vec(small_graph, settings, seed=0, tell=told.append)
    assert told[:2] == ["walking", "skip-gram, 0%"]
    assert told[-1] == "skip-gram, 99%"
    np.testing.assert_array_equal(vectors, node2vec(small_graph, settings, seed=0))
    assert not np.array_equal(vectors, node2vec(small_graph, settings, seed=1))
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosine, joined = unit @ unit.T, adjacency(small_graph).toarray().astype(bool)
    apart = ~joined & ~np.eye(len(joined), dtype=bool)
    label = np.repeat([True, False], [joined.sum(), apart.sum()])
    assert roc_auc_score(label, np.concatenate([cosine[joined], cosine[apart]])) > 0.65
    assert not vectors[small_graph.degrees == 0].any()


# PyG's HGT.


def test_facts_are_capped_but_treatments_stay(small_graph: Graph) -> None:
    fewer = capped(small_graph, 20, np.random.default_rng(0))
    for relation, before, after in zip(small_graph.relations, small_graph.facts, fewer.facts, strict=True):
        treats = relation.name in small_graph.roles.treats
        assert after.shape[1] == (before.shape[1] if treats else min(20, before.shape[1]))
