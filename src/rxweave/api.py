"""One call for scripts: a graph file in, an embeddings file out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rxweave.claim import Claim
from rxweave.config import RunSettings
from rxweave.embed.checkpoint import check_present
from rxweave.embed.device import choose_device
from rxweave.embed.history import write_history
from rxweave.embed.place import this_place
from rxweave.embed.store import write_embeddings
from rxweave.embed.train import train
from rxweave.errors import ConfigError
from rxweave.pipeline import assist, describe, load
from rxweave.settings import settings_from
from rxweave.validate.control import measure_trained
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
    resume: bool | None = None,
) -> dict[str, object]:
    """Embed every node of a graph file and write `output_csv`, with a Parquet file of the same name beside it.

    `edges_csv` is anything `load_kg` reads; the CSV has the columns `node_id, node_name, node_type, embedding`.
    `limit_nodes` samples every node type in proportion and keeps the facts between the sampled nodes. ALL facts
    of the graph are learnt from: to evaluate a ranking, use `rxweave.run`, which holds treatments out first.

    While it trains, its state is saved beside `output_csv` now and then; a call with the same arguments goes on from
    there after an interruption (`resume` True insists on that, False starts anew), with the same result.

    Gives `embedding_dim, num_epochs, device, total_nodes, total_facts, output_file, parquet_file, training_file`,
    `verdict` (good, warning or collapsed) with its `problems`, `warnings` of the training, `link_loss` and `seconds`.
    Raises RxweaveError for files and settings that cannot work; nothing is written then.
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
    return embed_graph(settings, Path(output_csv), watch=watch, resume=resume)


def embed_graph(
    settings: RunSettings, output_csv: Path, *, watch: Watch | None = None, resume: bool | None = None
) -> dict[str, object]:
    """Embed a whole graph as `settings` say; see `generate_hgt_embeddings` for what it writes and gives."""
    watch = watch or Watch()
    _check_output(settings, output_csv)
    *_, checkpoint = _beside(output_csv)
    choose_device(settings.embed.device)
    if not this_place().first:
        assist(load(settings)[1], settings, checkpoint=checkpoint, resume=resume)
    claim = Claim.of(checkpoint)
    try:
        return _embed_whole(settings, output_csv, watch, resume=resume)
    finally:
        claim.release()


def _embed_whole(settings: RunSettings, output_csv: Path, watch: Watch, *, resume: bool | None) -> dict[str, object]:
    parquet, training_file, checkpoint = _beside(output_csv)
    if resume:
        check_present(checkpoint)
    watch.stage("load")
    _, graph = load(settings)
    watch.stage("embed")
    watch.training(graph)
    trained = train(
        graph,
        settings.embed,
        seed=settings.seed,
        on_epoch=watch.epoch,
        on_note=watch.note,
        on_warning=watch.warning,
        checkpoint=checkpoint,
        resume=resume,
    )
    embeddings = describe(trained, settings, None)
    watch.stage("validate")
    present = set(graph.node_types)
    collapse, on_graph = measure_trained(trained, embeddings, seed=settings.seed)
    verdict = judge(
        collapse,
        drug_type=graph.roles.drug if graph.roles.drug in present else None,
        disease_type=graph.roles.disease if graph.roles.disease in present else None,
        graph=on_graph,
    )
    write_embeddings(embeddings, parquet, output_csv)
    write_history(trained.history, training_file)
    checkpoint.unlink(missing_ok=True)
    return {
        "embedding_dim": embeddings.dim,
        "num_epochs": len(trained.history),
        "device": trained.device,
        "total_nodes": graph.num_nodes,
        "total_facts": graph.num_facts,
        "output_file": str(output_csv),
        "parquet_file": str(parquet),
        "training_file": str(training_file),
        "verdict": verdict.level,
        "problems": [str(finding) for finding in verdict.problems],
        "warnings": [text for epoch in trained.history for text in epoch.warnings.values()],
        "link_loss": trained.history[-1].link,
        "seconds": round(sum(epoch.seconds for epoch in trained.history), 2),
    }


def _beside(output_csv: Path) -> tuple[Path, ...]:
    """The Parquet file, the curves of training and the checkpoint that go with a CSV."""
    return tuple(map(output_csv.with_suffix, (".parquet", ".training.parquet", ".checkpoint.safetensors")))


def _check_output(settings: RunSettings, output_csv: Path) -> None:
    """Refuse, before any work, paths that could not be written, or what lies there would be lost."""
    if output_csv.suffix != ".csv":
        raise ConfigError(
            f"The output is {output_csv}; expected a name that ends in .csv (a .parquet is put beside it)."
        )
    for path in (output_csv, *_beside(output_csv)):
        if path.is_dir():
            raise ConfigError(f"The output {path} cannot be written: it is a folder. Choose another name.")
        if path.resolve() == Path(settings.load.kg).resolve():
            raise ConfigError(f"The output {path} is the input graph itself. Choose another name.")
    folder = output_csv.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK) or not folder.is_dir():
        why = f"no permission in {folder}" if folder.is_dir() else f"{folder} is a file"
        raise ConfigError(f"The output {output_csv} cannot be written: {why}. Choose another place.")
