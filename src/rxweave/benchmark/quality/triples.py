"""TransE, DistMult, ComplEx and RotatE, trained by PyKEEN on the facts of the training graph (extra `baselines`)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from rxweave.benchmark.quality.method import Context, Method, Scores
from rxweave.benchmark.quality.validation import mrr_of_valid
from rxweave.embed.memory import freed_memory_kept
from rxweave.embed.treatment_scores import scored_relations
from rxweave.errors import TrainingError
from rxweave.graph.build import Graph
from rxweave.graph.split import Split

BLOCK = 1 << 16
"""Pairs scored at a time."""
DISTANCES, PRODUCTS = ("TransE", "RotatE"), ("DistMult", "ComplEx")
Loss = tuple[str, dict[str, Any]]
OF_DISTANCES: Loss = ("nssa", {"margin": 9.0})
"""Self-adversarial negatives (Sun et al. 2019)."""
OF_PRODUCTS: dict[str, Loss] = {
    "softmax": ("infonce", {"margin": 0.0, "log_adversarial_temperature": 0.0}),
    "logistic": ("softplus", {}),
}
"""Cross-entropy of a fact against its negatives (Lacroix, Usunier & Obozinski 2018; here of drawn ones), or of each by
itself (Trouillon et al. 2016)."""
CHANGED: dict[str, dict[str, Any]] = {
    "DistMult": {"regularizer": None, "entity_constrainer": None},
    "ComplEx": {
        "regularizer": None,
        "entity_initializer": "xavier_uniform_",
        "relation_initializer": "xavier_uniform_",
    },
    "TransE": {"entity_constrainer": None},
}
"""What PyKEEN does by default and must not here. With unit entities and relations pulled to 0, DistMult's scores stay
so near 0 that the loss never falls below that of equal scores and nothing is learnt. ComplEx starts from numbers so
large that Adam at our rate first spends epochs on unlearning them: it starts as DistMult does. TransE as in Sun et al.
2019, unbound."""


class NoBetterError(Exception):
    """Ends PyKEEN's training, whose own early stopping evaluates in its own way."""


def _scores(model_name: str) -> Callable[[Graph, Split, int, Context], Scores]:
    def score(training: Graph, split: Split, seed: int, context: Context) -> Scores:
        # PyKEEN draws from torch's own generator, and importing it raises deprecation warnings of its dependencies.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _train_and_score(model_name, training, split, seed, context)

    return score


def _train_and_score(model_name: str, training: Graph, split: Split, seed: int, context: Context) -> Scores:
    """Train until the validation pairs rank no better, at most for the epochs set, and give the scores they chose."""
    from pykeen.models import model_resolver
    from pykeen.sampling import BasicNegativeSampler
    from pykeen.training import SLCWATrainingLoop, TrainingCallback
    from pykeen.triples import CoreTriplesFactory

    from rxweave.benchmark.quality.typed_negatives import TypedNegatives

    settings = context.peers.triples
    best: list[tuple[float, int, Scores]] = []

    class Choosing(TrainingCallback):
        def post_epoch(self, epoch: int, epoch_loss: float, **_: object) -> None:
            scores = _score_treatments(model, training, model_name)
            found = mrr_of_valid(scores, split)
            if not best or found > best[0][0] or not len(split.valid):
                best[:] = [(found, epoch, scores)]
            told = f"epoch {epoch} of {settings.num_epochs}, loss {epoch_loss:.4f}, MRR of validation pairs {found:.4f}"
            context.tell(told)
            if epoch - best[0][1] >= settings.patience:
                raise NoBetterError
            model.train()

    triples = np.concatenate([np.insert(facts, 1, r, axis=0).T for r, facts in enumerate(training.facts)])
    factory = CoreTriplesFactory(triples, training.num_nodes, len(training.relations))
    loss, loss_settings = OF_DISTANCES if model_name in DISTANCES else OF_PRODUCTS[settings.loss_of_products]
    model: Any = model_resolver.make(
        model_name,
        triples_factory=factory,
        embedding_dim=settings.embedding_dim,
        loss=loss,
        loss_kwargs=loss_settings,
        random_seed=seed,
        **CHANGED.get(model_name, {}),
    )
    typed = settings.negatives == "typed"
    loop = SLCWATrainingLoop(
        model=model,
        triples_factory=factory,
        optimizer=torch.optim.Adam(model.get_grad_params(), lr=settings.learning_rate),
        negative_sampler=TypedNegatives if typed else BasicNegativeSampler,
        negative_sampler_kwargs={
            "num_negs_per_pos": settings.num_negatives,
            **({"type_offsets": training.type_offsets} if typed else {}),
        },
    )
    context.tell(f"{settings.num_epochs} epochs of {len(triples):,} facts")
    with freed_memory_kept(), suppress(NoBetterError):  # each batch asks for the same dozens of MB again
        loop.train(
            factory,
            num_epochs=settings.num_epochs,
            batch_size=settings.batch_size,
            use_tqdm=False,
            use_tqdm_batch=False,
            num_workers=0,
            pin_memory=False,
            callbacks=Choosing(),  # type: ignore[no-untyped-call]  # of PyKEEN
        )
    return best[0][2]


def _score_treatments(model: Any, training: Graph, model_name: str) -> Scores:
    """Score all pairs; of several relations that mean treatment each is brought to mean 0 and deviation 1 and weighs
    by its facts, as the scores of our own decoder are.
    """
    weights = scored_relations(training)
    size = training.num_of(training.roles.drug), training.num_of(training.roles.disease)
    total = np.zeros(size, np.float32)
    for r, num_facts in weights.items():
        scores = _score_relation(model, training, r)
        if not np.isfinite(scores).all():
            raise TrainingError(
                f"{model_name} gave scores that are not finite: its training diverged. Lower triples.learning_rate."
            )
        if len(weights) > 1:
            scores = (scores - scores.mean()) / max(float(scores.std()), 1e-12)
        total += np.float32(num_facts / sum(weights.values())) * scores
    return total


def _score_relation(model: Any, training: Graph, relation: int) -> Scores:
    roles = training.roles
    drugs, diseases = (np.arange(training.num_nodes)[training.rows_of(role)] for role in (roles.drug, roles.disease))
    written_from_drug = training.relations[relation].source_type == roles.drug
    found = np.empty((len(drugs), len(diseases)), np.float32)
    step = max(1, BLOCK // len(diseases))
    model.eval()
    with torch.no_grad():
        for start in range(0, len(drugs), step):
            drug = np.repeat(drugs[start : start + step], len(diseases))
            disease = np.tile(diseases, len(drug) // len(diseases))
            ends = (drug, disease) if written_from_drug else (disease, drug)
            triples = torch.from_numpy(np.stack([ends[0], np.full(len(drug), relation), ends[1]], axis=1))
            found[start : start + step] = model.score_hrt(triples).numpy().reshape(-1, len(diseases))
    return found


def _method(model_name: str) -> Method:
    return Method(
        model_name.lower(),
        f"{model_name} through PyKEEN, on all facts of the training graph.",
        _scores(model_name),
        decided_by=("triples",),
        package="pykeen",
        extra="baselines",
    )


TRIPLES = tuple(_method(name) for name in (*DISTANCES, *PRODUCTS))
