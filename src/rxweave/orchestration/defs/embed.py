"""Embeddings: trained, and as a wide table."""

import dagster as dg
import polars as pl

from rxweave.artifacts import atomic_path
from rxweave.graph.leaks import check_no_leaks
from rxweave.graph.split import training_graph
from rxweave.graph.split_store import read_split
from rxweave.orchestration.defs.load import knowledge_graph, xgboost_train_test_split
from rxweave.orchestration.folder import EMBEDDINGS, GRAPH
from rxweave.orchestration.metadata import memory, of_file, of_training
from rxweave.orchestration.project import Project
from rxweave.orchestration.steps import Made, folder_of, settings_of
from rxweave.orchestration.watch import LogWatch, own_ctrl_c
from rxweave.pipeline import embed

FILES = (
    "hgt_embeddings.parquet",
    "hgt_embeddings.csv",
    "model.safetensors",
    "config.json",
    "history.json",
    "training.parquet",
    "hgt_flattened_embeddings.parquet",  # those of older vectors go with them
    "added/*.parquet",
)


@dg.asset(
    group_name="embed", deps=[knowledge_graph, xgboost_train_test_split], kinds={"pytorch", "parquet"}, pool="training"
)
def hgt_embeddings(context: dg.AssetExecutionContext, project: Project) -> Made:
    """A vector for every node, by a Heterogeneous Graph Transformer on the training graph; the model beside them.

    A training that was stopped, by "terminate" or Ctrl-C, leaves a checkpoint, and the next run goes on from there.
    """
    given, folder = settings_of(context, project), folder_of(context, project)
    settings = folder.settings(GRAPH).but(embed=given.embed, seed=given.seed)
    watch = LogWatch(context.log, settings.embed.num_epochs)
    with folder.step("embed", settings, watch, place=EMBEDDINGS, files=FILES, after=GRAPH) as work:
        _, graph = folder.read_graph()
        split = read_split(folder.graph / "split.parquet", graph)
        training = training_graph(graph, split)
        check_no_leaks(training, split)
        with own_ctrl_c():
            trained, embeddings = embed(training, split, work, resume=project.resume)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": embeddings.num_nodes,
            "nodes": embeddings.num_nodes,
            "dimensions": embeddings.dim,
            "hidden_dimensions": settings.embed.hidden_dim,
            "device": trained.device,
            "attention": f"{trained.attention.name} ({trained.attention.reason})",
            "precision": trained.precision.name,
            "seed": settings.seed,
            "output_file": of_file(folder.root / EMBEDDINGS / "hgt_embeddings.parquet"),
            "peak_memory_gb": memory(),
            **of_training(trained.history),
        }
    )


@dg.asset(group_name="embed", deps=[hgt_embeddings], kinds={"polars", "parquet"})
def hgt_flattened_embeddings(context: dg.AssetExecutionContext, project: Project) -> Made:
    """The same vectors as a wide table for any learner: node_key, node_id, node_name, node_type, dim_0, dim_1, …"""
    folder = folder_of(context, project)
    embeddings = folder.read_run().embeddings
    numbers = pl.DataFrame(embeddings.vectors, schema=[f"dim_{i}" for i in range(embeddings.dim)])
    table = embeddings.nodes.select("node_key", "node_id", "node_name", "node_type").hstack(numbers)
    path = folder.root / EMBEDDINGS / "hgt_flattened_embeddings.parquet"
    with atomic_path(path) as temporary:
        table.write_parquet(temporary, metadata=embeddings.metadata)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(table),
            "dimensions": embeddings.dim,
            "columns": len(table.columns),
            "output_file": of_file(path),
        }
    )
