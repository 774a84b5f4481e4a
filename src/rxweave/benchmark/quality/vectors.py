"""The embeddings that methods share: trained once per seed, and read back by who proves that they are of this split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from rxweave.config import RunSettings
from rxweave.embed.decoder import DistMult
from rxweave.embed.held_out import HeldOut
from rxweave.embed.history import write_history
from rxweave.embed.model_file import load_model, save_model
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.embed.train import train
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.leaks import check_no_leaks_in_embeddings
from rxweave.graph.split import Split
from rxweave.pipeline import describe
from rxweave.rank.features import aligned_vectors
from rxweave.validate.control import measure_trained
from rxweave.validate.read import read_embeddings
from rxweave.validate.verdict import judge

FILE = "hgt_embeddings.parquet"


@dataclass(frozen=True, eq=False)
class Vectors:
    """Embeddings of a training graph and the decoder they were trained with."""

    embeddings: Embeddings
    decoder: DistMult
    of_nodes: Float32[np.ndarray, "nodes dim"]
    """The vectors in the graph's order of nodes."""


def train_vectors(
    training: Graph, split: Split, settings: RunSettings, folder: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Train as `rxweave run` does, write embeddings and model into a folder, and give the verdict on their geometry.

    A training that was stopped goes on from its checkpoint in the folder.
    """
    total = settings.embed.num_epochs
    trained = train(
        training,
        settings.embed,
        seed=settings.seed,
        on_epoch=lambda epoch: tell(f"epoch {epoch.number} of {total}"),
        on_warning=lambda text: None,
        checkpoint=folder / "checkpoint.safetensors",
        held_out=HeldOut.of(split),
    )
    embeddings = describe(trained, settings, split)
    save_model(trained, training, settings.embed, settings.seed, folder)
    write_history(trained.history, folder / "training.parquet")
    write_embeddings(embeddings, folder / FILE)
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    collapse, on_graph = measure_trained(trained, embeddings, seed=settings.seed)
    roles = training.roles
    verdict = judge(collapse, graph=on_graph, drug_type=roles.drug, disease_type=roles.disease)
    return {"geometry": verdict.level, "types": verdict.types}


def read_vectors(folder: Path, training: Graph, split: Split) -> Vectors:
    """Read embeddings and decoder back.

    Raises LeakError when they were made on another split, or on none; InputError when they are of another graph or
    the model is missing.
    """
    embeddings = read_embeddings(folder / FILE)
    check_no_leaks_in_embeddings(embeddings.metadata, split, training)
    _, decoder, _, config = load_model(folder)
    if config["relations"] != [asdict(relation) for relation in training.relations]:
        raise InputError(
            f"The model in {folder} is of another graph than {training.name}: their relations differ. Give a run of "
            "this graph, or leave it out."
        )
    return Vectors(embeddings, decoder, aligned_vectors(embeddings, training))
