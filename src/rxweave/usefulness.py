"""Do embeddings rank what was held out? The evidence for a verdict, by a run's decoder or by a probe.

Geometry cannot tell embeddings from random vectors, so the verdict asks for a ranking above the degree prior, for
diseases given a drug and for drugs given a disease. Three kinds of evidence, the strongest that there is:

1. A run's own vectors: its decoder ranks the validation pairs, which its model has never seen.
2. Other vectors beside a run: a probe fitted on the training pairs ranks the validation pairs.
3. Vectors beside a graph alone: a probe is fitted and tested on five folds of the graph's treatments.

In the last two the pairs are held out from the probe. Whether the vectors were trained on them only their maker
knows: failing then says much, and passing little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from jaxtyping import Float32, Int

from rxweave.embed.store import Embeddings
from rxweave.embed.treatment_scores import treatment_scores
from rxweave.finished_run import FinishedRun
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs
from rxweave.graph.split import Split
from rxweave.rank.baselines import degree_prior
from rxweave.rank.metrics import RankingMetrics, SideMetrics, evaluate_ranking
from rxweave.rank.probe import probe_scores
from rxweave.validate.collapse import CollapseReport, measure_collapse
from rxweave.validate.control import fresh_vectors
from rxweave.validate.on_graph import measure_on_graph, vectors_on_graph
from rxweave.validate.validation import Validation, validate
from rxweave.validate.verdict import RankingEvidence, SideEvidence, Verdict, judge

FOLDS = 5
FEWEST_PAIRS = 50
"""With fewer treatments a fold's mean reciprocal rank is mostly chance."""
MOST_NODES = 3000
"""Drugs, and diseases, that the probe's folds are ranked among: those with treatments first."""

OURS, PRIOR = "HGT decoder", "degree prior"


def decoder_evidence(
    scores: Mapping[str, Float32[np.ndarray, "drugs diseases"]], split: Split, *, seed: int
) -> RankingEvidence:
    """Give what a decoder and the degree prior rank of the validation pairs: the test pairs decide nothing."""
    ours, prior = (evaluate_ranking(scores[name], split.valid, split.before_test, seed=seed) for name in (OURS, PRIOR))
    return _evidence([ours], [prior], held_out=True)


def run_evidence(run: FinishedRun, embeddings: Embeddings, *, seed: int) -> RankingEvidence:
    """Give what embeddings rank of a run's validation pairs: its own by their decoder, others by a probe.

    Nodes without a vector have zeros, and so the same score with all. Raises InputError when the embeddings have no
    node of the run's graph.
    """
    split, graph = run.split, run.training
    drugs, diseases = graph.num_of(graph.roles.drug), graph.num_of(graph.roles.disease)
    vectors, _ = vectors_on_graph(embeddings, graph)
    own = run.owns(embeddings)
    scores = (
        treatment_scores(vectors, run.decoder, graph)
        if own
        else probe_scores(
            vectors[graph.rows_of(graph.roles.drug)], vectors[graph.rows_of(graph.roles.disease)], split.train
        )
    )
    found = decoder_evidence({OURS: scores, PRIOR: degree_prior(split.train, drugs, diseases)}, split, seed=seed)
    return found if own else RankingEvidence(found.diseases_given_drug, found.drugs_given_disease, held_out=False)


def graph_evidence(embeddings: Embeddings, graph: Graph, *, seed: int) -> RankingEvidence | None:
    """Give what a probe ranks of the graph's treatments, fitted on four fifths of them and tested on the rest, five
    times, beside the degree prior of the same four fifths.

    Only drugs and diseases with a vector take part, at most 3,000 of each. None when fewer than 50 treatments are
    between them. Raises InputError when the embeddings have no node of the graph.
    """
    if not {graph.roles.drug, graph.roles.disease} <= set(graph.node_types):
        return None
    vectors, present = vectors_on_graph(embeddings, graph)
    present = present & vectors.any(axis=1)
    rng = np.random.default_rng(seed)
    pairs = graph.pairs(graph.roles.treats)
    chosen = []
    for end, role in enumerate((graph.roles.drug, graph.roles.disease)):
        rows = graph.rows_of(role)
        here = np.flatnonzero(present[rows])
        chosen.append(_chosen(here, np.intersect1d(here, pairs[:, end]), rng))
    pairs = _renumbered(pairs, chosen)
    if len(pairs) < FEWEST_PAIRS:
        return None
    drugs, diseases = (
        vectors[graph.rows_of(role)][rows]
        for role, rows in zip((graph.roles.drug, graph.roles.disease), chosen, strict=True)
    )
    fold = rng.permutation(len(pairs)) % FOLDS
    ours: list[RankingMetrics] = []
    prior: list[RankingMetrics] = []
    for part in range(FOLDS):
        train, test = pairs[fold != part], pairs[fold == part]
        for scores, found in (
            (probe_scores(drugs, diseases, train), ours),
            (degree_prior(train, len(drugs), len(diseases)), prior),
        ):
            found.append(evaluate_ranking(scores, test, pairs, seed=seed))
    return _evidence(ours, prior, held_out=False)


def _chosen(
    here: Int[np.ndarray, " present"], treated: Int[np.ndarray, " _"], rng: np.random.Generator
) -> Int[np.ndarray, " chosen"]:
    """At most 3,000 of these nodes, sorted: those with treatments first, then others, by lot."""
    others = np.setdiff1d(here, treated)
    return np.sort(np.concatenate([rng.permutation(treated), rng.permutation(others)])[:MOST_NODES])


def _renumbered(pairs: Pairs, chosen: list[Int[np.ndarray, " _"]]) -> Pairs:
    """Those pairs of which both ends were chosen, numbered as the chosen are."""
    kept = np.isin(pairs[:, 0], chosen[0]) & np.isin(pairs[:, 1], chosen[1])
    return np.stack([np.searchsorted(chosen[end], pairs[kept, end]) for end in range(2)], axis=1)


def _evidence(ours: list[RankingMetrics], prior: list[RankingMetrics], *, held_out: bool) -> RankingEvidence:
    """Both sides, each fold weighing by its pairs, the intervals of folds taken as independent."""
    weights = np.array([found.num_test_pairs for found in ours]) / sum(found.num_test_pairs for found in ours)

    def side(name: str) -> SideEvidence:
        mean = [float(weights @ [getattr(found, name).mrr.value for found in each]) for each in (ours, prior)]
        reach = np.array([[found.mrr.value - found.mrr.low, found.mrr.high - found.mrr.value] for found in of(name)])
        low, high = np.sqrt(((weights[:, None] * reach) ** 2).sum(axis=0))
        return SideEvidence("MRR", mean[0], mean[1], (mean[0] - float(low), mean[0] + float(high)))

    def of(name: str) -> list[SideMetrics]:
        return [getattr(found, name) for found in ours]

    return RankingEvidence(side("diseases_given_drug"), side("drugs_given_disease"), held_out=held_out)


def judge_run(run: FinishedRun) -> tuple[CollapseReport, Verdict]:
    """Give the geometry of a run's own vectors, and the verdict on them, as the run itself judged them."""
    training, seed = run.training, run.seed
    collapse = measure_collapse(run.embeddings, seed=seed, active=training.degrees > 0)
    control = fresh_vectors(run.encoder.shape, run.features(), training, seed=seed)
    verdict = judge(
        collapse,
        graph=measure_on_graph(run.embeddings, training, untrained=control, seed=seed),
        ranking=run_evidence(run, run.embeddings, seed=seed),
        drug_type=training.roles.drug,
        disease_type=training.roles.disease,
    )
    return collapse, verdict


def validate_beside(
    embeddings: Embeddings,
    *,
    run: FinishedRun | None = None,
    graph: Graph | None = None,
    drug_type: str | None = None,
    disease_type: str | None = None,
    classes: pl.DataFrame | None = None,
    inspect: Sequence[str] = (),
    seed: int = 0,
) -> Validation:
    """Validate embeddings with all the evidence at hand; `run` brings its own training graph, `graph` is used without.

    A run's own vectors are judged as in that run, with its untrained model beside them and the states of its layers.
    """
    graph = graph if run is None else run.training
    control, states = None, []
    if run is not None and run.owns(embeddings):
        features = run.features()
        control, states = (
            fresh_vectors(run.encoder.shape, features, run.training, seed=seed),
            run.layer_states(features),
        )
    ranking = None
    if run is not None:
        ranking = run_evidence(run, embeddings, seed=seed)
    elif graph is not None:
        ranking = graph_evidence(embeddings, graph, seed=seed)
    return validate(
        embeddings,
        graph=graph,
        ranking=ranking,
        control=control,
        states=states,
        drug_type=drug_type,
        disease_type=disease_type,
        classes=classes,
        inspect=inspect,
        seed=seed,
    )
