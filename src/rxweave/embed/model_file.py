"""A trained encoder and decoder on disk: safetensors for the weights, JSON for what they mean. No pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from rxweave.artifacts import atomic_path, write_json
from rxweave.config import EmbedSettings
from rxweave.embed.decoder import DistMult
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.embed.train import Trained
from rxweave.errors import InputError
from rxweave.graph.build import Graph

SAVED_AS = "rxweave hgt 2"
"""What the file `config.json` says it is."""


def save_model(trained: Trained, graph: Graph, settings: EmbedSettings, seed: int, folder: Path) -> None:
    """Write `model.safetensors`, `history.json` and, last, `config.json` into a folder.

    The weights are those of the encoder, the decoder and, where they were learnt, the input features; what a feature
    file gave lies with them, so that the model needs the file no more. The
    configuration says what the rows mean: the node types with their rows, the relations in the decoder's order, the
    settings and the seed. `graph` is the graph it was trained on.
    """
    weights = {
        f"{part}.{name}": tensor
        for part, module in (("encoder", trained.encoder), ("decoder", trained.decoder))
        for name, tensor in module.state_dict().items()
    }
    if settings.features == "learned":
        weights["features"] = trained.features
    if trained.from_file is not None:
        weights["file_rows"] = torch.from_numpy(trained.from_file.rows)
        weights["file_vectors"] = torch.from_numpy(trained.from_file.vectors)
    with atomic_path(folder / "model.safetensors") as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, temporary)
    write_json(folder / "history.json", trained.history)
    write_json(
        folder / "config.json",
        {
            "saved_as": SAVED_AS,
            "graph": graph.name,
            "seed": seed,
            "settings": settings.model_dump(mode="json"),
            "precision": trained.encoder.precision,
            "node_types": graph.node_types,
            "relations": [asdict(relation) for relation in graph.relations],
            "shape": trained.encoder.shape,
            "model_sha256": _sha256(folder / "model.safetensors"),
        },
    )


def load_model(folder: Path) -> tuple[HGT, DistMult, Float[Tensor, "nodes features"] | None, dict[str, Any]]:
    """Give the saved encoder, decoder, input features and configuration, on the CPU.

    `encoder(features, build_index(graph))` gives the embeddings of the training graph again, bit for bit when they
    were trained on the CPU of one machine. Features are None unless they were learnt: make the others again, for
    example by `svd_features(graph, settings.feature_dim, seed=seed)`. Raises InputError for a file that is missing,
    cut short, changed, or of another model.
    """
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no trained model ({name} is missing). Train one first: rxweave run.")
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config["saved_as"] != SAVED_AS:
            raise ValueError(f"config.json says {config['saved_as']!r} where {SAVED_AS!r} was expected")
        if config["model_sha256"] != _sha256(folder / "model.safetensors"):
            raise ValueError("model.safetensors is cut short, or is not the file that config.json was written for")
        settings = EmbedSettings(**config["settings"])
        shape = HGTShape(**{**config["shape"], "type_offsets": tuple(config["shape"]["type_offsets"])})
        _check(config, shape)
        weights = load_file(folder / "model.safetensors")
        features = weights.pop("features", None)
        if (features is not None) != (settings.features == "learned"):
            raise ValueError(f"features are {settings.features!r}, but model.safetensors says otherwise")
        if features is not None and features.shape != (shape.type_offsets[-1], shape.feature_dim):
            raise ValueError(f"features have the shape {tuple(features.shape)}")
        generator = torch.Generator().manual_seed(0)  # every weight is replaced
        encoder = HGT(shape, generator=generator, precision=config["precision"])  # csr: it runs anywhere
        decoder = DistMult(len(config["relations"]), shape.embedding_dim, generator=generator)
        for part, module in (("encoder", encoder), ("decoder", decoder)):
            module.load_state_dict(
                {name.removeprefix(f"{part}."): weights[name] for name in weights if name.startswith(f"{part}.")}
            )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise InputError(
            f"{folder} does not hold a complete model: {reason.removesuffix('.')}. Train it again: rxweave run."
        ) from error
    return encoder, decoder, features, config


def load_file_features(
    folder: Path,
) -> tuple[Int[np.ndarray, " present"], Float32[np.ndarray, "present width"]] | None:
    """Give the rows and vectors that a feature file gave a model that `load_model` reads; None if there was no file."""
    with safe_open(folder / "model.safetensors", framework="np") as file:
        if "file_rows" not in file.keys():  # noqa: SIM118  # not a dict
            return None
        return file.get_tensor("file_rows"), file.get_tensor("file_vectors")


def _check(config: dict[str, Any], shape: HGTShape) -> None:
    """Raise ValueError where names and sizes in the configuration contradict each other."""
    num_types, num_blocks = len(config["node_types"]), len(shape.type_offsets) - 1
    if num_types != num_blocks:
        raise ValueError(f"config.json names {num_types} node types for {num_blocks} blocks of rows")
    directed = sum(1 if relation["symmetric"] else 2 for relation in config["relations"])
    if directed != shape.num_relations:
        raise ValueError(f"its relations have {directed} directions, its encoder {shape.num_relations}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
