"""A run that is finished: its graph, split, embeddings and model, read back from its output folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from rxweave.config import EmbedSettings
from rxweave.embed.attention import build_index
from rxweave.embed.decoder import DistMult
from rxweave.embed.feature_file import beside
from rxweave.embed.features import FEATURE_RMS, svd_features
from rxweave.embed.hgt import HGT
from rxweave.embed.model_file import load_file_features, load_model
from rxweave.embed.store import Embeddings
from rxweave.errors import InputError
from rxweave.graph.build import Graph, build_graph
from rxweave.graph.leaks import check_no_leaks, check_no_leaks_in_embeddings
from rxweave.graph.split import Split, training_graph
from rxweave.graph.split_store import read_split
from rxweave.kg.store import read_kg
from rxweave.kg.tables import KnowledgeGraph
from rxweave.rank.model import Ranker
from rxweave.validate.read import read_embeddings

EMBEDDINGS = "06_models/embeddings"
RANKER = "06_models/ranker"
SAME = 1e-3
"""Vectors that differ by no more than this share of their size are the run's own: a text file may round them."""


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """What a run left that its embeddings can be judged by."""

    folder: Path
    kg: KnowledgeGraph
    """All facts, the held-out ones too: for names, never for scores."""
    settings: EmbedSettings
    seed: int
    training: Graph
    """The graph without the held-out pairs: what the model was given."""
    split: Split
    embeddings: Embeddings
    encoder: HGT
    decoder: DistMult
    learnt_features: Float[Tensor, "nodes features"] | None
    from_file: tuple[Int[np.ndarray, " present"], Float32[np.ndarray, "present width"]] | None = None
    """Rows of nodes with a vector from `feature_file`, and these vectors."""

    def features(self) -> Float[Tensor, "nodes features"]:
        """Give the input features: the learnt ones, or made again as they were for training."""
        if self.learnt_features is not None:
            return self.learnt_features
        size = self.training.num_nodes, self.settings.feature_dim
        if self.settings.features == "constant":
            identity = np.full(size, FEATURE_RMS, np.float32)
        else:
            identity = svd_features(self.training, self.settings.feature_dim, seed=self.seed)
        return torch.from_numpy(identity if self.from_file is None else beside(identity, *self.from_file))

    def layer_states(self, features: Float[Tensor, "nodes features"]) -> list[Float32[np.ndarray, "nodes hidden"]]:
        """Give the states of every node before the first layer and after each, on the training graph."""
        with torch.no_grad():
            return [state.numpy() for state in self.encoder.states(features, build_index(self.training))]

    def owns(self, embeddings: Embeddings) -> bool:
        """Say whether these are the run's own vectors of all its nodes, in whatever file and order they came."""
        own = self.embeddings
        if embeddings.dim != own.dim or embeddings.num_nodes != own.num_nodes:
            return False
        for key in (["node_key"], ["node_type", "node_id"]):
            theirs = embeddings.nodes.select(key).with_row_index("row")
            rows = own.nodes.select(key).join(theirs, on=key, how="left", maintain_order="left")["row"]
            if len(rows) == own.num_nodes and not rows.null_count():
                apart = np.linalg.norm(embeddings.vectors[rows.to_numpy()] - own.vectors)
                return bool(apart <= SAME * np.linalg.norm(own.vectors))
        return False


def read_ranker(folder: Path) -> Ranker:
    """Read a finished run's ranker; raises InputError when the run has none, or one that this rxweave cannot read."""
    if not (folder / RANKER / "ranker.json").is_file():
        raise InputError(f"{folder} holds no ranker: its embeddings collapsed, so nothing was ranked. See its report.")
    return Ranker.load(folder / RANKER)


def read_run(folder: Path) -> FinishedRun:
    """Read a run back from its output folder (`--out` of `rxweave run`).

    Raises InputError for a folder without a whole run, or with parts of different ones, LeakError when a held-out pair
    is in its training graph or its embeddings are of another split.
    """
    place = folder / EMBEDDINGS
    if not (place / "hgt_embeddings.parquet").is_file():
        raise InputError(
            f"{folder} is no output folder of rxweave run ({EMBEDDINGS}/hgt_embeddings.parquet is missing)."
        )
    encoder, decoder, learnt, config = load_model(place)
    kg = read_kg(folder / "02_graph" / str(config["graph"] or "graph"))
    graph = build_graph(kg)
    split = read_split(folder / "02_graph" / str(config["graph"] or "graph") / "split.parquet", graph)
    training = training_graph(graph, split)
    check_no_leaks(training, split)
    embeddings = read_embeddings(place / "hgt_embeddings.parquet")
    check_no_leaks_in_embeddings(embeddings.metadata, split, graph)
    of_graph = [asdict(relation) for relation in training.relations], list(training.node_types)
    sizes = tuple(training.type_offsets.tolist())
    if (config["relations"], config["node_types"]) != of_graph or encoder.shape.type_offsets != sizes:
        raise InputError(
            f"The model in {place} is of another graph than the tables in {folder / '02_graph'}: relations or node "
            "types differ. Make the run again: rxweave run."
        )
    return FinishedRun(
        folder, kg, EmbedSettings(**config["settings"]), int(config["seed"]), training, split, embeddings, encoder,
        decoder, learnt, load_file_features(place),
    )  # fmt: skip
