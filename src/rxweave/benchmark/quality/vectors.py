"""The embeddings that methods share: trained once per seed, and read back by who proves that they are of this split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from rxweave.config import RunSettings
from rxweave.embed.decoder import DistMult
from rxweave.embed.held_out import HeldOut, best_epoch
from rxweave.embed.history import Epoch, write_history
from rxweave.embed.model_file import load_model, save_model
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.embed.train import Trained, train
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.leaks import check_no_leaks_in_embeddings
from rxweave.graph.split import Split
from rxweave.pipeline import describe
from rxweave.rank.features import aligned_vectors
from rxweave.validate.control import measure_trained
from rxweave.validate.read import read_embeddings
from rxweave.validate.verdict import judge

FILE, CHECKPOINT = "hgt_embeddings.parquet", "checkpoint.safetensors"
LOSSES = ("link", "treatment", "contrastive", "total", "held_out")
"""What the record of a training has of its last epoch: fields of `history.Epoch`."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Embeddings of a training graph and the decoder they were trained with."""

    embeddings: Embeddings
    decoder: DistMult
    of_nodes: Float32[np.ndarray, "nodes dim"]
    """The vectors in the graph's order of nodes."""

    @property
    def sha256(self) -> str:
        """Of what methods read of them, nodes, numbers and the decoder's weights, whatever else their files say."""
        return _content_sha256(self.embeddings, self.decoder)


def _content_sha256(embeddings: Embeddings, decoder: DistMult) -> str:
    found = hashlib.sha256("\n".join(embeddings.nodes["node_key"]).encode())
    weights = decoder.state_dict()
    for numbers in (embeddings.vectors, *(weights[name].numpy() for name in sorted(weights))):
        found.update(str(numbers.shape).encode())
        found.update(np.ascontiguousarray(numbers, "<f4").tobytes())
    return found.hexdigest()


def sha256_in(folder: Path) -> str | None:
    """Give the `Vectors.sha256` of what lies in a folder; None where files are missing or damaged."""
    try:
        return _content_sha256(read_embeddings(folder / FILE), load_model(folder)[1])
    except (InputError, OSError):
        return None


def train_vectors(
    training: Graph, split: Split, settings: RunSettings, folder: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Train as `rxweave run` does, and write embeddings and model into a folder; gives what its record says of it.

    That is the verdict on the geometry, how the training ended, and what was told of it. One that was stopped goes on
    from its checkpoint in the folder, and says what its earlier parts cost.
    """
    total, checkpoint = settings.embed.num_epochs, folder / CHECKPOINT
    done_here: list[int] = []
    notes: list[str] = []

    def heard(epoch: Epoch) -> None:
        done_here.append(epoch.number)
        tell(f"epoch {epoch.number} of {total}")

    trained = train(
        training,
        settings.embed,
        seed=settings.seed,
        on_epoch=heard,
        on_note=notes.append,
        on_warning=lambda text: None,
        checkpoint=checkpoint,
        held_out=HeldOut.of(split),
    )
    embeddings = describe(trained, settings, split)
    save_model(trained, training, settings.embed, settings.seed, folder)
    write_history(trained.history, folder / "training.parquet")
    write_embeddings(embeddings, folder / FILE)
    checkpoint.unlink(missing_ok=True)
    collapse, on_graph = measure_trained(trained, embeddings, seed=settings.seed)
    roles = training.roles
    verdict = judge(collapse, graph=on_graph, drug_type=roles.drug, disease_type=roles.disease)
    last = trained.history[-1]
    return {
        "geometry": verdict.level,
        "types": verdict.types,
        "last_epoch": {name: getattr(last, name) for name in ("number", *LOSSES)},
        "kept_epoch": last.number if settings.embed.early_stopping is None else best_epoch(trained.history, roles),
        "earlier": _earlier(trained, len(trained.history) - len(done_here)),
        "feature_file": None if trained.from_file is None else trained.from_file.plain(),
        "notes": notes,
    }


def _earlier(trained: Trained, num_epochs: int) -> dict[str, Any] | None:
    """What the epochs cost that other processes did before this one went on; None without any."""
    if num_epochs == 0:
        return None
    before = trained.history[:num_epochs]
    # On a GPU the epochs tell its memory, and cost is that of the process.
    peak = max(epoch.peak_memory for epoch in before) / 1e9 if trained.device == "cpu" else None
    return {"epochs": num_epochs, "seconds": sum(epoch.seconds for epoch in before), "peak_gb": peak}


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
