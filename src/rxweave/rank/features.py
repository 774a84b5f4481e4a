"""What the ranker sees of a drug–disease pair, made so that a pair's own facts never shape its own features.

The features of a training row in fold k (`rank/folds.py`) are computed without any drug–disease fact of fold
k: without its known treatments, its treatment degrees and its paths through drug–disease relations. A pair
to be scored gets all training facts. What embeddings say is left out by default, be it the product of the two ends
(`embeddings`), what their decoder makes of it (`decoder`) or the likeness to known treatments' ends (`neighbours`):
embeddings are trained on the training pairs, so all three look better on those than on any other pair. Embeddings enter
the ranker by its bilinear member instead (`rank/bilinear.py`), which is fitted to all pairs at once with one penalty.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Float, Float32

from rxweave.config import FeatureSettings
from rxweave.embed.store import Embeddings
from rxweave.embed.treatment_scores import scores_as_told
from rxweave.errors import ConfigError, InputError
from rxweave.graph.build import Graph
from rxweave.graph.pairs import ENDS, End
from rxweave.graph.split import Unit
from rxweave.rank.blocks import PairFeatures as PairFeatures
from rxweave.rank.folds import fold_facts, pair_folds
from rxweave.rank.neighbours import Similarity, similarity, summary_names
from rxweave.rank.paths import (
    PathScale,
    Step,
    damped,
    graph_steps,
    named_paths,
    step_matrix,
)
from rxweave.rank.profiles import profile_similarities, profile_steps

DECODER = "decoder: treatment"
"""The feature that the decoder's score of treatment is."""


def pair_features(
    graph: Graph,
    vectors: Float[np.ndarray, "nodes dim"] | None,
    scale: PathScale,
    settings: FeatureSettings,
    *,
    seed: int,
    decoder: Float32[np.ndarray, "drugs diseases"] | None = None,
) -> PairFeatures:
    """Prepare the features of all drug–disease pairs of a TRAINING graph, without computing them yet.

    `vectors` are the embeddings in the graph's node order (None when no group needs them), `scale` is that
    of `paths.fit_scale` on the training graph and stays with the ranker, `seed` fixes the folds, `decoder` is what
    `decoder_feature` gives, for the group of that name. Raises ConfigError when embeddings are needed and absent,
    InputError when the graph lacks a metapath of the scale.
    """
    if vectors is None and settings.uses_embeddings:
        raise ConfigError(
            "The feature groups 'neighbours', 'embeddings' and 'decoder' need embeddings and none were given; "
            "give them, or choose only 'degrees', 'paths' and 'profiles'."
        )
    if decoder is None and "decoder" in settings.groups:
        raise ConfigError("The feature group 'decoder' needs the decoder's scores and none were given.")
    joining = set(graph.drug_disease_relations())
    others = {s: step_matrix(graph, s) for s in graph_steps(graph) if s.relation not in joining}
    unit: Unit = "pair" if settings.folds_by == "split" else settings.folds_by  # the ranker has put it right
    folds = pair_folds(graph, num_folds=settings.num_folds, seed=seed, unit=unit)
    by_fold = {
        fold: fold_facts(graph, folds, fold, damping=settings.damping) for fold in (None, *range(settings.num_folds))
    }
    uses_paths = "paths" in settings.groups
    counted: tuple[End, ...] = ()
    if "degrees" in settings.groups:
        # Where rows leave out all of a disease, its own numbers only say which one it is, and so how many treatments
        # were learnt from: diseases to be ranked, which had none, would stand behind those that had many.
        counted = tuple(end for end in ENDS if end != unit)
    paths = named_paths(graph, scale.names, settings.max_path_length) if uses_paths else ()
    varies = [any(step.relation in joining for step in path.steps) for path in paths]
    measured = list(zip(paths, scale.means[: len(paths)].tolist(), varies, strict=True))
    fixed_paths = tuple((path, mean) for path, mean, varying in measured if not varying)
    varying_paths = tuple((path, mean) for path, mean, varying in measured if varying)

    drugs, diseases = graph.rows_of(graph.roles.drug), graph.rows_of(graph.roles.disease)
    linked = graph.degrees > 0
    drug_names, drug_side = _degree_columns(graph, others, graph.roles.drug, used="drug" in counted)
    disease_names, disease_side = _degree_columns(graph, others, graph.roles.disease, used="disease" in counted)
    product_names: list[str] = []
    factors = np.empty((graph.num_nodes, 0), np.float32)
    if vectors is not None and "embeddings" in settings.groups:
        # A node without facts has no meaningful vector: missing, not zero.
        shown = np.where(linked[:, None], vectors, np.nan).astype(np.float32)
        dims = range(shown.shape[1])
        if settings.embedding_form == "hadamard":
            factors = shown
            product_names = [f"embedding: drug × disease {i}" for i in dims]
        else:
            drug_side = np.concatenate([drug_side, shown[drugs]], axis=1)
            disease_side = np.concatenate([disease_side, shown[diseases]], axis=1)
            drug_names += [f"embedding: drug {i}" for i in dims]
            disease_names += [f"embedding: disease {i}" for i in dims]
    fixed_names = [
        *drug_names,
        *disease_names,
        *product_names,
        *([DECODER] if decoder is not None else []),
        *(f"paths: {path.name}" for path, _ in fixed_paths),
    ]

    varying_names: list[str] = []
    alike: dict[str, list[Similarity]] = {"drug": [], "disease": []}
    for side, role, rows, axis in (("drug", graph.roles.drug, drugs, 1), ("disease", graph.roles.disease, diseases, 0)):
        known = by_fold[None].known.sum(axis=axis) > 0
        if vectors is not None and "neighbours" in settings.groups:
            alike[side].append(similarity(vectors[rows], linked[rows], known))
            varying_names += summary_names("neighbours", side)
        if "profiles" in settings.groups:
            for what, like in profile_similarities(graph, role, profile_steps(graph, role), known).items():
                alike[side].append(like)
                varying_names += summary_names("profiles", side, what)
    others_of = {"drug": "other diseases of the drug", "disease": "other drugs of the disease"}
    varying_names += [f"degree: {others_of[end]}, {name}" for name in by_fold[None].joined for end in counted]
    varying_names += [f"paths: {path.name}" for path, _ in varying_paths]
    return PairFeatures(
        names=(*fixed_names, *varying_names),
        num_fixed=len(fixed_names),
        drug_side=drug_side,
        disease_side=disease_side,
        drug_factors=factors[drugs],
        disease_factors=factors[diseases],
        decoder=decoder,
        steps={step: damped(matrix, settings.damping) for step, matrix in others.items()},
        fixed_paths=fixed_paths,
        varying_paths=varying_paths,
        drug_similarities=tuple(alike["drug"]),
        disease_similarities=tuple(alike["disease"]),
        counted=counted,
        folds=folds,
        by_fold=by_fold,
    )


def decoder_feature(
    embeddings: Embeddings | None,
    vectors: Float32[np.ndarray, "nodes dim"] | None,
    graph: Graph,
    settings: FeatureSettings,
) -> Float32[np.ndarray, "drugs diseases"] | None:
    """Give the decoder's score of treatment of every pair where the settings ask for it; `vectors` in graph order.

    Held whole, 4 bytes a pair: a matrix product over another block of pairs may differ in its last bit. NaN where an
    end has no fact. Raises InputError for embeddings that do not say how their decoder scores.
    """
    if "decoder" not in settings.groups or embeddings is None or vectors is None:
        return None
    scores = scores_as_told(vectors, embeddings.metadata, graph)
    scores[graph.degrees[graph.rows_of(graph.roles.drug)] == 0] = np.nan
    scores[:, graph.degrees[graph.rows_of(graph.roles.disease)] == 0] = np.nan
    return scores


def _degree_columns(
    graph: Graph, steps: dict[Step, sp.csr_array], node_type: str, *, used: bool
) -> tuple[list[str], Float32[np.ndarray, "nodes columns"]]:
    """Give log(1 + degree) of every node of a type along each step that leaves the type, and the columns'
    names.
    """
    leaving = [step for step in steps if step.source_type == node_type] if used else []
    columns = np.empty((graph.num_of(node_type), len(leaving)), np.float32)
    for column, step in enumerate(leaving):
        columns[:, column] = np.log1p(np.diff(steps[step].indptr))
    return [f"degree: {node_type}{step.label}" for step in leaving], columns


def aligned_vectors(embeddings: Embeddings, graph: Graph) -> Float32[np.ndarray, "nodes dim"]:
    """Give the vectors in the graph's node order, zeros for nodes without one.

    Raises InputError when a drug or a disease of the graph has no vector: then the two are of different
    graphs.
    """
    rows = embeddings.nodes.select("node_key", pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
    found = graph.nodes.join(rows, on="node_key", how="left", maintain_order="left")
    ends = pl.col("node_type").is_in([graph.roles.drug, graph.roles.disease])
    lost = found.filter(ends & pl.col("row").is_null())
    if len(lost):
        raise InputError(
            f"{len(lost):,} drugs and diseases of {graph.name} have no embedding, first "
            f"{lost['node_key'][0]!r}; use embeddings of this graph, or embed it again."
        )
    vectors = np.zeros((graph.num_nodes, embeddings.dim), np.float32)
    vectors[found["row"].is_not_null().to_numpy()] = embeddings.vectors[found["row"].drop_nulls().to_numpy()]
    return vectors
