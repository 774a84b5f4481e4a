"""One training run of the collapse benchmark: a setting, a target relation and a seed in, an outcome out.

The settings are ways in which users train: four ways of holding pairs out, and eight models. Everything else is as in
`base_settings`, so that a run takes seconds on one core.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int
from sklearn.metrics import roc_auc_score

from rxweave import __version__
from rxweave.config import EmbedSettings
from rxweave.embed.store import Embeddings
from rxweave.embed.train import Trained, train
from rxweave.errors import RxweaveError
from rxweave.graph.build import Graph, build_graph
from rxweave.graph.leaks import check_no_leaks
from rxweave.graph.split import Split, random_split, split_of_pairs, training_graph, treatment_pairs
from rxweave.kg.sources import load_kg
from rxweave.pipeline import verdict_of
from rxweave.rank.baselines import baseline_scores
from rxweave.rank.decoder_scores import decoder_scores
from rxweave.validate.control import measure_trained
from rxweave.validate.verdict import Verdict

HeldOut = Literal["pairs", "diseases", "drugs", "area"]
TARGETS = ("indication", "contraindication")
GRAPH = "demo:1200"
"""Large enough that a healthy training is judged good, small enough that it takes seconds."""
CHANCE = 0.5
CONSTANT = 1e-9
"""An AUROC this near to 0.5 is that of one score for all pairs: the signature of collapse in the published table."""
VALID_SHARE, TEST_SHARE = 0.15, 0.2


@dataclass(frozen=True)
class Setting:
    """A way of training: what is held out, and which embedding settings differ from `base_settings`."""

    name: str
    held_out: HeldOut = "pairs"
    embed: Mapping[str, object] = field(default_factory=dict)


NARROW = {"embedding_dim": 32, "hidden_dim": 32, "num_heads": 2}
"""So narrow a model needs more steps, and larger ones: after 40 epochs at rate 0.003 its embeddings are healthy, but
it has learnt nothing of contraindications yet."""

SETTINGS = (
    Setting("random pairs"),
    Setting("new diseases", held_out="diseases"),
    Setting("new drugs", held_out="drugs"),
    Setting("disease area", held_out="area"),
    Setting("32 dims, 2 heads", embed={**NARROW, "num_epochs": 100, "learning_rate": 0.01}),
    Setting("256 dims, 8 heads", embed={"embedding_dim": 256, "hidden_dim": 128, "num_heads": 8}),
    Setting("1 layer", embed={"num_layers": 1}),
    Setting("3 layers", embed={"num_layers": 3}),
    Setting("rate 0.001", embed={"learning_rate": 0.001, "num_epochs": 80}),
    Setting("no contrast", embed={"contrastive_weight": 0.0}),
    Setting("learned features", embed={"features": "learned", "num_epochs": 80}),
)
CONTROL = Setting("constant features", embed={"features": "constant"})
"""The positive control: what must be found collapsed, or the benchmark could not find collapse at all."""


def base_settings() -> EmbedSettings:
    """Give what all settings share: the default recipe on a quarter of its width, with 40 epochs at three times its
    rate.
    """
    return EmbedSettings(
        embedding_dim=128, hidden_dim=64, num_heads=4, num_epochs=40, learning_rate=0.003, device="cpu"
    )


@dataclass(frozen=True)
class Task:
    """One run: which setting, which relation is to be foretold, and the seed of split and training."""

    setting: Setting
    target: str
    seed: int
    graph: str = GRAPH

    @property
    def key(self) -> str:
        """Tells the runs of one benchmark apart."""
        return f"{self.setting.name} / {self.target} / {self.seed}"

    @property
    def embed(self) -> EmbedSettings:
        return base_settings().but(**self.setting.embed)

    @property
    def fingerprint(self) -> str:
        """Changes with everything that decides the outcome and is known before the run: settings, graph, version."""
        decides = {
            "rxweave": __version__,
            "graph": self.graph,
            "held_out": [self.setting.held_out, VALID_SHARE, TEST_SHARE],
            "embed": self.embed.model_dump(mode="json"),
            "run": [self.target, self.seed],
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Outcome:
    """What came of a run: the verdict of the pipeline, and the decoder's AUROC on the held-out test pairs."""

    setting: str
    held_out: str
    target: str
    seed: int
    fingerprint: str
    verdict: str = ""
    """good, warning or collapsed; empty when the run failed."""
    auroc: float = float("nan")
    """Of the decoder: test pairs against the pairs of the same held-out ends (diseases; drugs where drugs are held
    out) that are not known to be of the target relation, as in the published table."""
    prior_auroc: float = float("nan")
    """The same of the degree prior."""
    problems: tuple[str, ...] = ()
    """Every measure that was not good: level, type, measure."""
    seconds: float = 0.0
    error: str = ""

    @property
    def collapsed(self) -> bool:
        """Collapsed by the verdict, by one score for all pairs, or, where pairs were held out at random, by a decoder
        that cannot tell them from others.

        Of diseases or drugs without any pair in training a sound model may know nothing: that is counted as
        `at_chance`, not as collapse.
        """
        return self.verdict == "collapsed" or self.constant or (self.held_out == "pairs" and self.at_chance)

    @property
    def constant(self) -> bool:
        """An AUROC of exactly 0.5."""
        return abs(self.auroc - CHANCE) <= CONSTANT

    @property
    def at_chance(self) -> bool:
        """An AUROC of 0.5 or less."""
        return self.auroc <= CHANCE

    @classmethod
    def from_plain(cls, row: Mapping[str, Any]) -> Outcome:
        """Give an outcome from plain values; null stands for NaN."""
        known: dict[str, Any] = {name: float("nan") if value is None else value for name, value in row.items()}
        known["problems"] = tuple(known["problems"])
        return cls(**known)


def run_task(task: Task) -> Outcome:
    """Split, train and judge as `pipeline.run` does; an error a user could meet becomes the outcome's `error`."""
    started = time.perf_counter()
    outcome = Outcome(task.setting.name, task.setting.held_out, task.target, task.seed, task.fingerprint)
    try:
        verdict, auroc, prior = _train_and_judge(task)
    except RxweaveError as error:
        return replace(outcome, seconds=round(time.perf_counter() - started, 2), error=str(error))
    return replace(
        outcome,
        verdict=verdict.level,
        auroc=auroc,
        prior_auroc=prior,
        problems=tuple(f"{found.level}: {found.node_type}: {found.measure}" for found in verdict.problems),
        seconds=round(time.perf_counter() - started, 2),
    )


def _train_and_judge(task: Task) -> tuple[Verdict, float, float]:
    others = tuple(name for name in TARGETS if name != task.target)
    graph = build_graph(load_kg(task.graph, treats=[task.target], contraindicated=others))
    split = split_for(task.setting.held_out, graph, seed=task.seed)
    training = training_graph(graph, split)
    check_no_leaks(training, split)
    trained = train(training, task.embed, seed=task.seed, on_note=_silent, on_warning=_silent)
    scores = {"HGT decoder": decoder_scores(trained, training)} | baseline_scores(training, split.train)
    verdict = _verdict(trained, scores, split, task.seed)
    ours, prior = (
        held_out_auroc(scores[name], split, task.setting.held_out) for name in ("HGT decoder", "degree prior")
    )
    return verdict, ours, prior


def held_out_auroc(scores: Float32[np.ndarray, "drugs diseases"], split: Split, held_out: HeldOut) -> float:
    """Give the AUROC of the test pairs among the pairs of the test diseases (of the test drugs, where drugs are held
    out) that are not known; ties count half.
    """
    known, wanted = np.zeros(scores.shape, bool), np.zeros(scores.shape, bool)
    known[tuple(split.known.T)] = True
    wanted[tuple(split.test.T)] = True
    asked = np.zeros(scores.shape, bool)
    if held_out == "drugs":
        asked[np.unique(split.test[:, 0])] = True
    else:
        asked[:, np.unique(split.test[:, 1])] = True
    asked &= wanted | ~known
    return float(roc_auc_score(wanted[asked], scores[asked]))


def _verdict(
    trained: Trained, scores: dict[str, Float32[np.ndarray, "drugs diseases"]], split: Split, seed: int
) -> Verdict:
    training = trained.graph
    embeddings = Embeddings(training.nodes, trained.vectors, {})
    collapse, on_graph = measure_trained(trained, embeddings, seed=seed)
    return verdict_of(collapse, training, scores, split, seed=seed, on_graph=on_graph)


def split_for(held_out: HeldOut, graph: Graph, *, seed: int) -> Split:
    """Give a split that holds out 15 % (validation) and 20 % (test): of pairs, or of the diseases or drugs that have
    any, with all their pairs; or of the diseases, those that share most genes with one drawn at random.
    """
    if held_out == "pairs":
        return random_split(graph, valid_fraction=VALID_SHARE, test_fraction=TEST_SHARE, seed=seed)
    rng = np.random.default_rng(seed)
    pairs = treatment_pairs(graph)
    end = pairs[:, 0 if held_out == "drugs" else 1]
    nodes = np.unique(end)
    order = _by_shared_genes(graph, nodes, rng) if held_out == "area" else rng.permutation(nodes)
    num_test, num_valid = round(TEST_SHARE * len(nodes)), round(VALID_SHARE * len(nodes))
    left_out = order[: num_test + num_valid]
    if held_out == "area":
        left_out = rng.permutation(left_out)
    test, valid = np.isin(end, left_out[:num_test]), np.isin(end, left_out[num_test:])
    return split_of_pairs(graph, train=pairs[~test & ~valid], valid=pairs[valid], test=pairs[test])


def _by_shared_genes(graph: Graph, diseases: Int[np.ndarray, " _"], rng: np.random.Generator) -> Int[np.ndarray, " _"]:
    """These diseases, one drawn at random first, then by the overlap (Jaccard) of their genes with its own."""
    first = graph.rows_of(graph.roles.disease).start
    genes: dict[int, set[int]] = {}
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        if {relation.source_type, relation.target_type} == {graph.roles.disease, graph.roles.gene}:
            ends = (source, target) if relation.source_type == graph.roles.disease else (target, source)
            for disease, gene in zip(*(end.tolist() for end in ends), strict=True):
                genes.setdefault(disease - first, set()).add(gene)
    shuffled = rng.permutation(diseases).tolist()
    own = genes.get(shuffled[0], set())
    overlap = [len(own & genes.get(each, set())) / max(len(own | genes.get(each, set())), 1) for each in shuffled[1:]]
    nearest = np.argsort(-np.array(overlap), kind="stable")
    return np.array([shuffled[0], *(shuffled[1 + i] for i in nearest)])


def _silent(text: str) -> None:
    """Warnings of a run are for those who watch one; here its verdict tells."""
