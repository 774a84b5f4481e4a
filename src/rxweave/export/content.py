"""What is exported: the embeddings and predictions of a run, its nodes, and where they come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from rxweave.embed.store import Embeddings
from rxweave.errors import InputError
from rxweave.finished_run import EMBEDDINGS
from rxweave.kg.catalogue import source_named, source_names
from rxweave.kg.store import read_kg
from rxweave.kg.tables import Roles
from rxweave.validate.read import read_embeddings

Progress = Callable[[str, float], None]
NOT_ADVICE = "Predictions are research leads, not medical advice."


@dataclass(frozen=True, eq=False)
class Content:
    """The parts of a run that leave it."""

    run: Path
    graph_name: str
    roles: Roles
    embeddings: Embeddings
    """Its nodes have `node_source` too."""
    predictions_file: Path | None
    """None of a run that ranked nothing, since its embeddings have collapsed."""
    top: int
    """New pairs of each disease that go to formats which do not hold them all."""
    licence: str

    @cached_property
    def leads(self) -> pl.DataFrame:
        """The `top` best new pairs of each disease, best first: known pairs are left out, they are no predictions."""
        if self.predictions_file is None:
            raise InputError(
                f"{self.run} has no predictions (07_model_output/predictions.parquet is missing): its run was not "
                "ranked. Formats of embeddings alone can be exported: npy, h5ad, word2vec, projector."
            )
        table = pl.scan_parquet(self.predictions_file).filter(~pl.col("known"))
        place = pl.col("rank").rank("ordinal").over("disease_key")
        return table.filter(place <= self.top).sort("rank").collect()


def read_content(run: Path, *, top: int = 100) -> Content:
    """Read what a run's folder has to export. Raises InputError for a folder that holds no whole run."""
    place = run / EMBEDDINGS
    file, record = place / "hgt_embeddings.parquet", place / "config.json"
    if not file.is_file() or not record.is_file():
        raise InputError(f"{run} is no output folder of rxweave run ({EMBEDDINGS}/{file.name} is missing).")
    try:
        graph = str(json.loads(record.read_text(encoding="utf-8"))["graph"] or "graph")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{record} does not say which graph the run was of. Make the run again.") from error
    kg = read_kg(run / "02_graph" / graph)
    embeddings = read_embeddings(file)
    if "node_source" not in embeddings.nodes.columns:
        sources = kg.nodes.select("node_key", "node_source")
        nodes = embeddings.nodes.join(sources, on="node_key", how="left", maintain_order="left")
        embeddings = Embeddings(nodes, embeddings.vectors, embeddings.metadata)
    predictions = run / "07_model_output" / "predictions.parquet"
    found = predictions if predictions.is_file() else None
    return Content(run, kg.name, kg.roles, embeddings, found, top, licence_of(kg.name))


def licence_of(graph: str) -> str:
    """Give what is known of the licence of a graph's data, by its name."""
    for name in source_names():
        if name in graph.lower():
            source = source_named(name)
            return f"{source.title}: {source.licence} ({source.homepage}). Please cite: {source.citation}"
    if graph.lower().startswith("demo"):
        return "The demo graph is made up by rxweave; no data of others are in it."
    return "Not known to rxweave: ask where the graph comes from before you pass these files on."
