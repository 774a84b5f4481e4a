"""`rxweave cluster`: the nodes of a type in groups, of a run that is finished or of any embeddings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rxweave.options import Json, Override

if TYPE_CHECKING:
    import polars as pl

    from rxweave.cluster.clusters import Clusters
    from rxweave.cluster.write import WrittenClusters
    from rxweave.embed.store import Embeddings
    from rxweave.graph.build import Graph


def cluster(
    *,
    node_type: Annotated[str, typer.Option("--type", help="drug, disease, gene, or any node type of the graph.")],
    run: Annotated[Path | None, typer.Option(help="Output folder of `rxweave run`; the clusters go into it.")] = None,
    embeddings: Annotated[Path | None, typer.Option(help="A file of embeddings, in place of a run.")] = None,
    graph: Annotated[str | None, typer.Option(help="The graph that the file was made of: facts, enrichment.")] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Known classes to compare with: a CSV with class and node_id (or node_key), or a node type of the "
            "graph (default: one that has 'class' in its name, if there is one)."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the files (default: in the run's folder).")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of every random choice (default: the run's, or 0).")
    ] = None,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Group the nodes of a type by their vectors, say how stable the groups are, and what their nodes share."""
    from rxweave.artifacts import plain
    from rxweave.cluster.clusters import cluster_nodes, type_named
    from rxweave.cluster.write import summary_of, write_clusters
    from rxweave.console import RichWatch
    from rxweave.errors import ConfigError
    from rxweave.finished_run import read_run
    from rxweave.graph.build import build_graph
    from rxweave.kg.sources import load_kg
    from rxweave.settings import settings_from
    from rxweave.validate.read import read_embeddings

    settings = settings_from({}, override or [])
    found_in: tuple[Embeddings, Graph | None]
    if run is not None:
        if embeddings is not None or graph is not None:
            raise ConfigError("--run brings its own embeddings and graph: leave out --embeddings and --graph.")
        finished = read_run(run)
        found_in = finished.embeddings, finished.training
        seed = finished.seed if seed is None else seed
    elif embeddings is not None:
        if out is None:
            raise ConfigError("--embeddings needs --out, a folder for the clusters.")
        found_in = read_embeddings(embeddings), None if graph is None else build_graph(load_kg(graph))
    else:
        raise ConfigError("There is nothing to cluster: give --run with a run's folder, or --embeddings with a file.")
    wanted = type_named(node_type, *found_in)
    known = _classes(classes, wanted, *found_in)
    with RichWatch(1, quiet=as_json) as watch:
        found = cluster_nodes(
            *found_in, wanted, seed or 0, settings=settings.cluster, classes=known, progress=watch.progress
        )
    folders = (out, out) if out is not None else (Path(run or "") / "07_model_output", Path(run or "") / "08_reporting")
    name = found_in[1].name if found_in[1] is not None else str(embeddings)
    written = write_clusters(found, *folders, title=f"{name}: clusters of {wanted}")
    if as_json:
        typer.echo(json.dumps(plain(summary_of(found) | {"page": written.page, "tables": written.tables}), indent=2))
    else:
        _print(found, written)


def _classes(given: str | None, node_type: str, embeddings: Embeddings, graph: Graph | None) -> pl.DataFrame | None:
    """The classes asked for; without any, those that the graph has as nodes joined to the type."""
    from rxweave.errors import InputError
    from rxweave.validate.meaning import classes_of_type, read_classes

    if given is None and graph is not None:
        for each in graph.node_types:
            joined = any({each, node_type} == {rel.source_type, rel.target_type} for rel in graph.relations)
            if "class" in each.lower() and each != node_type and joined:
                return classes_of_type(graph, node_type, each)
    if given is None:
        return None
    if graph is not None and given in graph.node_types:
        return classes_of_type(graph, node_type, given)
    if not Path(given).is_file():
        types = "" if graph is None else f", and no node type of {graph.name} ({', '.join(graph.node_types)})"
        raise InputError(f"--classes {given} is no file{types}. Give a CSV with class and node_id, or a node type.")
    return read_classes(Path(given), embeddings)


def _print(found: Clusters, written: WrittenClusters) -> None:
    from rich.console import Console
    from rich.text import Text

    from rxweave.terminal import table, text

    console = Console()
    shown = table(f"Clusters of {found.node_type}")
    for number, column in enumerate(("", "cluster", "nodes", "stability", "medoid")):
        shown.add_column(column, justify="right" if number in (0, 2) else "left", overflow="fold")
    for row in found.clusters.iter_rows(named=True):
        word = f"{row['stability']:.2f} {row['word']}"
        shown.add_row(str(row["cluster"]), text(row["name"]), f"{row['size']:,}", word, text(row["medoid_name"]))
    console.print(shown)
    chosen = found.stability.chosen
    lines = [
        f"Samples of the nodes agree by ARI {chosen.stability:.2f} ± {chosen.standard_error:.2f}; with shuffled "
        f"dimensions {found.stability.control:.2f}. Resolution {chosen.resolution:g}. All of one training: another may "
        "draw other borders.",
        *(f"Against the classes: {each}." for each in found.agreement),
        *(
            f"{count:,} nodes: {state}."
            for state, count in found.nodes["state"].value_counts().sort("state").iter_rows()
        ),
    ]
    for line in lines:
        console.print(text(line), soft_wrap=True)
    for caution in found.cautions:
        console.print(Text.assemble(("Caution: ", "yellow"), text(caution)), soft_wrap=True)
    console.print(text("Clusters are research leads, not medical advice."))
    console.print(text(f"Map: {written.page}"), soft_wrap=True)
