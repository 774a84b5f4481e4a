"""New nodes for a finished run: embedded and ranked by its model as it is, from a small table of their facts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rxweave.artifacts import atomic_path
from rxweave.embed.fold_in import embed_new, features_with_new, new_rows
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.errors import InputError
from rxweave.finished_run import EMBEDDINGS, RANKER, FinishedRun, read_ranker, read_run
from rxweave.graph.build import Graph, build_graph
from rxweave.graph.extend import split_within
from rxweave.graph.leaks import check_no_leaks
from rxweave.graph.split import training_graph
from rxweave.kg.added import Addition, read_addition
from rxweave.leads import PREDICTIONS
from rxweave.rank.added import predictions_of_new
from rxweave.rank.extend import ranker_for

ADDED = "added"
"""Folder of added nodes within those of a run's embeddings and predictions."""


@dataclass(frozen=True, eq=False)
class Added:
    """What was made of new nodes, and where it was written."""

    nodes: pl.DataFrame
    """NODE_COLUMNS, in the order of their embeddings."""
    num_facts: int
    embeddings: Embeddings
    predictions: pl.DataFrame | None
    """Every pair of a new drug or disease, the columns of a run's predictions; None if there is none to rank."""
    notes: tuple[str, ...]
    embeddings_file: Path
    predictions_file: Path | None


def add_nodes(run: Path, file: Path) -> Added:
    """Embed the new nodes that a table describes (`kg.added`) with a finished run's model, and rank its new drugs and
    diseases; write both below `added/` beside the run's own embeddings and predictions, under the table's name.

    Nothing of the run changes, and nothing is trained: known nodes keep their features, states and embeddings. An
    earlier addition of the same name is replaced; additions do not build on each other. Raises InputError as
    `read_run` and `read_addition` do, and LeakError for a new node that is an end of a held-out pair under another key.
    """
    found = read_run(run)
    addition = read_addition(file, found.kg)
    whole = build_graph(found.kg)
    _check_learnt(addition, found, whole)
    larger = build_graph(addition.kg)
    split = split_within(found.split, whole, larger)
    training = training_graph(larger, split)
    check_no_leaks(training, split)

    features = features_with_new(
        found.training,
        training,
        found.settings,
        seed=found.seed,
        learnt=found.learnt_features,
        from_file=found.from_file,
    )
    new = new_rows(found.training, training)
    vectors = embed_new(found.encoder, features, found.training, training).numpy()
    own = found.embeddings
    columns = own.nodes.columns
    metadata = {**own.metadata, "added_from": Path(addition.file.path).name, "added_sha256": addition.file.sha256}
    embeddings = Embeddings(training.nodes[new.tolist()].select(columns), vectors, metadata)

    predictions, notes = None, list(addition.notes)
    ranked = set(embeddings.nodes["node_type"]) & {training.roles.drug, training.roles.disease}
    if not (run / RANKER / "ranker.json").is_file():
        notes.append("The run has no ranker, as its embeddings collapsed: the new nodes are embedded, not ranked.")
    elif not ranked:
        notes.append("None of the new nodes is a drug or a disease: there is nothing to rank.")
    else:
        everyone = Embeddings(
            pl.concat([own.nodes, embeddings.nodes]), np.concatenate([own.vectors, vectors]), own.metadata
        )
        predictions = _predictions(run, found, training, everyone, new, notes)
    return _write(run, file, addition, embeddings, predictions, tuple(notes))


def _predictions(
    run: Path, found: FinishedRun, training: Graph, everyone: Embeddings, new: np.ndarray, notes: list[str]
) -> pl.DataFrame:
    ranker = ranker_for(read_ranker(run), found.training, training, everyone)
    table = predictions_of_new(ranker, training, everyone, new, pl.scan_parquet(run / PREDICTIONS))
    treated = table.filter("known")["disease_key"].unique()
    diseases = training.nodes[new.tolist()].filter(node_type=training.roles.disease)
    bare = diseases.filter(~pl.col("node_key").is_in(treated.implode()))
    if bare.height and found.split.unit == "pair":
        notes.append(
            f"New diseases without a known treatment: {bare.height}. This run's ranker was fitted and tested mostly on "
            "diseases that have some; one of `rxweave run --split disease` is fitted for those that have none."
        )
    return table


def _check_learnt(addition: Addition, found: FinishedRun, whole: Graph) -> None:
    """Refuse relations of which the model has learnt nothing, and new nodes that hang on nodes without facts only."""
    edges = addition.kg.edges.tail(addition.num_facts)
    without = [
        relation.name
        for relation, facts in zip(found.training.relations, found.training.facts, strict=True)
        if not facts.shape[1]
    ]
    used = edges.filter(pl.col("relation").is_in(without))
    if used.height:
        raise InputError(
            f"{addition.file.path}: relation {used['relation'][0]!r} has no fact in the run's training graph, so its "
            "model has learnt nothing of it. Leave these rows out."
        )
    linked = whole.nodes.filter(pl.Series(found.training.degrees > 0))["node_key"].implode()
    for key, name in addition.nodes.select("node_key", "node_name").iter_rows():
        ends = edges.filter((pl.col("source_key") == key) | (pl.col("target_key") == key))
        others = pl.concat([ends["source_key"], ends["target_key"]])
        if not others.is_in(linked).any():
            raise InputError(
                f"{addition.file.path}: every node that the new node {name!r} is joined to has no fact in the run's "
                "training graph, so nothing is known of its place. Join it to another."
            )


def _write(
    run: Path,
    file: Path,
    addition: Addition,
    embeddings: Embeddings,
    predictions: pl.DataFrame | None,
    notes: tuple[str, ...],
) -> Added:
    name = file.name.split(".")[0] or "nodes"
    vectors_file = run / EMBEDDINGS / ADDED / f"{name}.parquet"
    pairs_file = (run / PREDICTIONS).parent / ADDED / f"{name}.parquet"
    write_embeddings(embeddings, vectors_file)
    for suffix in (".parquet", ".csv"):
        path = pairs_file.with_suffix(suffix)
        path.unlink(missing_ok=True)
        if predictions is None:
            continue
        with atomic_path(path) as temporary:
            (predictions.write_parquet if suffix == ".parquet" else predictions.write_csv)(temporary)
    return Added(
        embeddings.nodes, addition.num_facts, embeddings, predictions, notes, vectors_file,
        None if predictions is None else pairs_file,
    )  # fmt: skip
