"""One call for scripts: a graph file in, an embeddings file out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rxweave.config import RunSettings
from rxweave.embed.store import write_embeddings
from rxweave.embed.train import choose_device, train
from rxweave.errors import ConfigError
from rxweave.pipeline import describe, load
from rxweave.settings import settings_from
from rxweave.validate.collapse import measure_collapse
from rxweave.validate.structure import structural_duplicate_rate
from rxweave.validate.verdict import judge
from rxweave.watch import Watch


def generate_hgt_embeddings(
    edges_csv: str | Path,
    output_csv: str | Path,
    embedding_dim: int = 512,
    hidden_dim: int = 256,
    num_layers: int = 2,
    num_heads: int = 8,
    num_epochs: int = 100,
    learning_rate: float = 0.001,
    limit_nodes: int | None = None,
    device: str | None = None,
    include_node_types: Sequence[str] | None = None,
    contrastive_weight: float = 0.5,
    similarity_threshold: float = 0.1,
    edge_sample_size: int = 5000,
    accumulation_steps: int = 4,
    *,
    seed: int = 0,
    watch: Watch | None = None,
) -> dict[str, object]:
    """Embed every node of a graph file and write `output_csv`, with a Parquet file of the same name beside it.

    `edges_csv` is anything `load_kg` reads; the CSV has the columns `node_id, node_name, node_type, embedding`.
    `limit_nodes` samples every node type in proportion and keeps the facts between the sampled nodes. ALL facts
    of the graph are learnt from: to evaluate a ranking, use `rxweave.run`, which holds treatments out first.

    Gives `embedding_dim, num_epochs, device, total_nodes, total_facts, output_file, parquet_file`, `verdict` (good,
    warning or collapsed) with its `problems`, `link_loss` and `seconds`. Raises RxweaveError for files and settings
    that cannot work; nothing is written then.
    """
    settings = settings_from(
        {
            "load.kg": str(edges_csv),
            "load.limit_nodes": limit_nodes,
            "load.include_node_types": None if include_node_types is None else list(include_node_types),
            "embed.embedding_dim": embedding_dim,
            "embed.hidden_dim": hidden_dim,
            "embed.num_layers": num_layers,
            "embed.num_heads": num_heads,
            "embed.num_epochs": num_epochs,
            "embed.learning_rate": learning_rate,
            "embed.device": device,
            "embed.contrastive_weight": contrastive_weight,
            "embed.similarity_threshold": similarity_threshold,
            "embed.edge_sample_size": edge_sample_size,
            "embed.accumulation_steps": accumulation_steps,
            "seed": seed,
        }
    )
    return embed_graph(settings, Path(output_csv), watch=watch)


def embed_graph(settings: RunSettings, output_csv: Path, *, watch: Watch | None = None) -> dict[str, object]:
    """Embed a whole graph as `settings` say; see `generate_hgt_embeddings` for what it writes and gives."""
    watch = watch or Watch()
    parquet = _checked_output(settings, output_csv)
    choose_device(settings.embed.device)
    watch.stage("load")
    _, graph = load(settings)
    watch.stage("embed")
    trained = train(graph, settings.embed, seed=settings.seed, on_epoch=watch.epoch)
    embeddings = describe(trained, settings, None)
    watch.stage("validate")
    present = set(graph.node_types)
    verdict = judge(
        measure_collapse(embeddings, seed=settings.seed, active=graph.degrees > 0),
        drug_type=graph.roles.drug if graph.roles.drug in present else None,
        disease_type=graph.roles.disease if graph.roles.disease in present else None,
        structural_duplicate_rate=structural_duplicate_rate(graph),
    )
    write_embeddings(embeddings, parquet, output_csv)
    return {
        "embedding_dim": embeddings.dim,
        "num_epochs": len(trained.history),
        "device": trained.device,
        "total_nodes": graph.num_nodes,
        "total_facts": graph.num_facts,
        "output_file": str(output_csv),
        "parquet_file": str(parquet),
        "verdict": verdict.level,
        "problems": [str(finding) for finding in verdict.problems],
        "link_loss": trained.history[-1].link,
        "seconds": round(sum(epoch.seconds for epoch in trained.history), 2),
    }


def _checked_output(settings: RunSettings, output_csv: Path) -> Path:
    """The Parquet file beside the CSV; refuses, before any work, paths that could not be written or would be lost."""
    if output_csv.suffix != ".csv":
        raise ConfigError(
            f"The output is {output_csv}; expected a name that ends in .csv (a .parquet is put beside it)."
        )
    parquet = output_csv.with_suffix(".parquet")
    for path in (output_csv, parquet):
        if path.resolve() == Path(settings.load.kg).resolve():
            raise ConfigError(f"The output {path} is the input graph itself. Choose another name.")
    folder = output_csv.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK) or not folder.is_dir():
        raise ConfigError(
            f"The output {output_csv} cannot be written: no permission in {folder}. Choose another place."
        )
    return parquet
