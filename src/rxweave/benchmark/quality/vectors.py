"""The embeddings that methods share: trained once per seed, or taken from finished runs of the very same split."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float32

from rxweave.config import EmbedSettings, RunSettings
from rxweave.embed.decoder import DistMult
from rxweave.embed.feature_file import FEATURES_KEY, file_sha256
from rxweave.embed.held_out import HeldOut
from rxweave.embed.history import write_history
from rxweave.embed.model_file import load_model, save_model
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.embed.train import train
from rxweave.errors import ConfigError, InputError, LeakError
from rxweave.finished_run import EMBEDDINGS
from rxweave.graph.build import Graph
from rxweave.graph.leaks import SPLIT_KEY, check_no_leaks_in_embeddings, split_fingerprint
from rxweave.graph.split import Split
from rxweave.pipeline import describe
from rxweave.rank.features import aligned_vectors
from rxweave.validate.control import measure_trained
from rxweave.validate.read import read_embeddings
from rxweave.validate.verdict import judge

FILE = "hgt_embeddings.parquet"
WITHOUT_EFFECT = {
    "device", "memory_limit_gb", "checkpoint_every", "measure_every", "attention", "precision", "on_collapse",
}  # fmt: skip
"""Settings of training that change its vectors by rounding at most."""


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


def find_runs(
    folders: Sequence[Path], splits: Mapping[int, Split], graph: Graph, settings: EmbedSettings
) -> dict[int, Path]:
    """Give, for the seeds there is one for, the folder of the embeddings to be used, of these finished runs.

    Which seed a run is for is decided by the fingerprint of its split and the seed of its training, both from the
    metadata of its embeddings. Raises LeakError for embeddings of none of these splits, ConfigError when they were
    trained with other settings than those asked for or two runs are for one seed, InputError for a folder without
    embeddings.
    """
    wanted = {seed: split_fingerprint(split, graph) for seed, split in splits.items()}
    found: dict[int, Path] = {}
    for folder in folders:
        place = next((at for at in (folder / EMBEDDINGS, folder) if (at / FILE).is_file()), None)
        if place is None:
            raise InputError(
                f"{folder} is no output folder of rxweave run ({EMBEDDINGS}/{FILE} is missing). Give finished runs "
                "only, or leave --runs out: what is missing is trained."
            )
        about = pl.read_parquet_metadata(place / FILE)
        seed = int(about.get("seed", -1))
        if about.get(SPLIT_KEY) not in wanted.values():
            _refuse(folder, about, splits, graph)
        if wanted.get(seed) != about[SPLIT_KEY]:
            raise LeakError(
                f"{folder}: its embeddings were trained with seed {seed}, and their split is not that of seed {seed} "
                f"here but of {sorted(s for s, mark in wanted.items() if mark == about[SPLIT_KEY])}. Give the run of "
                "each seed, or --split-seed if all were trained on one split."
            )
        if seed in found:
            raise ConfigError(f"{folder} and {found[seed]} are both of seed {seed}; give one of them.")
        _check_settings(folder, about, settings)
        found[seed] = place
    return found


def _refuse(folder: Path, about: Mapping[str, str], splits: Mapping[int, Split], graph: Graph) -> None:
    seed = int(about.get("seed", -1))
    split = splits[seed if seed in splits else next(iter(splits))]
    try:
        check_no_leaks_in_embeddings(about, split, graph)
    except LeakError as error:
        raise LeakError(f"{folder}: {error}") from None


def _check_settings(folder: Path, about: Mapping[str, str], asked: EmbedSettings) -> None:
    made = EmbedSettings(**json.loads(about["settings"])).model_dump(exclude=WITHOUT_EFFECT)
    wanted = asked.model_dump(exclude=WITHOUT_EFFECT)
    if made["feature_file"] is not None and asked.feature_file is not None:  # known by content, wherever it lies
        made["feature_file"], wanted["feature_file"] = about.get(FEATURES_KEY), file_sha256(Path(asked.feature_file))
    other = [name for name in wanted if made[name] != wanted[name]]
    if other:
        raise ConfigError(
            f"{folder} was trained with embed.{other[0]}={made[other[0]]}, and {wanted[other[0]]} is asked for. Say "
            f"-o embed.{other[0]}={made[other[0]]}, or leave this run out."
        )
