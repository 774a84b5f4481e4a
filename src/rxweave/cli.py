"""The command line: thin, quick to start, and without a traceback for anything a user can mend."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from rxweave import finished_commands
from rxweave.benchmark.commands import app as benchmark
from rxweave.embed_command import embed, propose
from rxweave.loading import commands as loading
from rxweave.options import (
    Batching,
    Collapse,
    Contrast,
    Device,
    Dim,
    Epochs,
    Facts,
    Fit,
    Force,
    Heads,
    Hidden,
    Json,
    Kg,
    Layers,
    Limit,
    OnError,
    Out,
    Override,
    Parts,
    Preset,
    Rate,
    Resume,
    Seed,
    Similar,
    SplitKind,
    TensorBoard,
    Treats,
    Types,
)
from rxweave.process import prepare_process
from rxweave.readiness.commands import app as readiness

app = typer.Typer(
    name="rxweave",
    help="Drug-repurposing evidence from biomedical knowledge graphs that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(benchmark, name="benchmark")
app.add_typer(readiness)

STOPPED = 130
"""Exit code after Ctrl-C, as shells count it: 128 + SIGINT."""


@app.command()
def run(
    kg: Kg = "demo",
    out: Out = Path("data"),
    seed: Seed = None,
    include_node_types: Types = None,
    limit_nodes: Limit = None,
    treats: Treats = None,
    split: SplitKind = None,
    on_error: OnError = None,
    preset: Preset = None,
    embedding_dim: Dim = None,
    hidden_dim: Hidden = None,
    num_layers: Layers = None,
    num_heads: Heads = None,
    num_epochs: Epochs = None,
    learning_rate: Rate = None,
    edge_sample_size: Facts = None,
    accumulation_steps: Parts = None,
    batching: Batching = None,
    contrastive_weight: Contrast = None,
    similarity_threshold: Similar = None,
    device: Device = None,
    on_collapse: Collapse = None,
    resume: Resume = None,
    tensorboard: TensorBoard = None,
    fit: Fit = False,
    override: Override = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """From a graph to embeddings, a collapse verdict, ranked drugs and a report."""
    from rxweave.console import RichWatch, print_run, run_summary
    from rxweave.pipeline import run as run_pipeline
    from rxweave.settings import settings_from
    from rxweave.tensorboard import tensorboard as logged

    settings = settings_from(
        {
            "load.kg": kg,
            "load.include_node_types": include_node_types,
            "load.limit_nodes": limit_nodes,
            "load.treats": treats,
            "load.on_error": on_error,
            "split.kind": split,
            "preset": preset,
            "embed.embedding_dim": embedding_dim,
            "embed.hidden_dim": hidden_dim,
            "embed.num_layers": num_layers,
            "embed.num_heads": num_heads,
            "embed.num_epochs": num_epochs,
            "embed.learning_rate": learning_rate,
            "embed.edge_sample_size": edge_sample_size,
            "embed.accumulation_steps": accumulation_steps,
            "embed.batching": batching,
            "embed.contrastive_weight": contrastive_weight,
            "embed.similarity_threshold": similarity_threshold,
            "embed.device": device,
            "embed.on_collapse": on_collapse,
            "seed": seed,
        },
        override or [],
    )
    if fit:
        propose(settings, as_json=as_json)
        return
    with RichWatch(settings.embed.num_epochs, quiet=as_json) as shown, logged(tensorboard, shown) as watch:
        result = run_pipeline(settings, out, watch=watch, force=force, resume=resume)
    if as_json:
        typer.echo(json.dumps(run_summary(result), indent=2))
    else:
        print_run(result)
    raise typer.Exit(1 if result.verdict.level == "collapsed" else 0)


@app.command()
def build(
    kg: Kg = "demo",
    out: Out = Path("data"),
    include_node_types: Types = None,
    treats: Treats = None,
    on_error: OnError = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse repeated or malformed rows, and nodes with no name or several.")
    ] = False,
    seed: Seed = None,
    override: Override = None,
    force: Force = False,
) -> None:
    """Load a graph, say what happened to every row, and write its tables."""
    from rxweave.console import print_load_report
    from rxweave.pipeline import build as build_tables
    from rxweave.settings import settings_from

    settings = settings_from(
        {
            "load.kg": kg,
            "load.include_node_types": include_node_types,
            "load.treats": treats,
            "load.on_error": on_error,
            "load.strict": strict,
            "seed": seed,
        },
        override or [],
    )
    print_load_report(*build_tables(settings, out, force=force))


app.command()(embed)


@app.command()
def validate(
    file: Annotated[
        Path | None,
        typer.Argument(help="Embeddings: Parquet, CSV/TSV, npy, npz, word2vec, GloVe, h5ad (default: those of --run)."),
    ] = None,
    types: Annotated[
        Path | None,
        typer.Option(help="A table of id (or node_key) and type: for a file without types, or in place of its own."),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(help="Ids for a file without any, one a line (default: a file beside it named .ids, .tsv, .txt)."),
    ] = None,
    drug_type: Annotated[str | None, typer.Option(help="Node type of drugs: judged by the drug gates.")] = None,
    disease_type: Annotated[str | None, typer.Option(help="Node type of diseases.")] = None,
    graph: Annotated[
        str | None,
        typer.Option(help="The graph that was embedded (file, folder or demo): twins explained, facts asked for."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Output folder of `rxweave run`: its graph, split, decoder and untrained model as evidence."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Classes of drugs: a CSV with class and node_id (or node_key), or a node type of --graph."),
    ] = None,
    inspect: Annotated[
        list[str] | None,
        typer.Option(help="Show sampled nodes of this type, nearest neighbours and twins; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for a page, its pictures and a JSON file.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample of nodes.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for a warning too.")] = False,
    as_json: Json = False,
) -> None:
    """Say whether embeddings have collapsed: exit code 0 for good and warning, 1 for collapsed, 2 for bad input."""
    from rxweave.console import print_validation
    from rxweave.errors import ConfigError
    from rxweave.finished_run import EMBEDDINGS, read_run
    from rxweave.graph.build import build_graph
    from rxweave.kg.sources import load_kg
    from rxweave.usefulness import validate_beside
    from rxweave.validate.meaning import find_classes
    from rxweave.validate.page import write_page
    from rxweave.validate.read import notes_of, read_embeddings
    from rxweave.validate.validation import summary_of
    from rxweave.validate.verdict import exit_code

    if out is not None and not next(place for place in (out, *out.absolute().parents) if place.exists()).is_dir():
        raise ConfigError(f"--out {out} is not a folder and cannot become one: a file is in the way. Choose another.")
    if run is not None and graph is not None:
        raise ConfigError("--run brings the graph of its run: leave out --graph.")
    finished = None if run is None else read_run(run)
    if file is None:
        if run is None:
            raise ConfigError("There is nothing to validate: name a file of embeddings, or --run with a run's folder.")
        file = run / EMBEDDINGS / "hgt_embeddings.parquet"
    embeddings = read_embeddings(file, types=types, ids=ids)
    for note in notes_of(embeddings):
        typer.echo(f"Note: {note}", err=True)
    loaded = None if graph is None else build_graph(load_kg(graph))
    beside = loaded if finished is None else finished.training
    found = validate_beside(
        embeddings,
        run=finished,
        graph=loaded,
        drug_type=drug_type,
        disease_type=disease_type,
        classes=None if classes is None else find_classes(classes, embeddings, beside, drug_type),
        inspect=inspect or (),
        seed=seed,
    )
    page = None if out is None else write_page(found, out, title=file.name, graph=beside, summary=summary_of(found))
    if as_json:
        typer.echo(json.dumps(summary_of(found), indent=2))
    else:
        print_validation(found, page)
    raise typer.Exit(exit_code(found.verdict, strict=strict))


@app.command()
def settings(preset: Preset = None) -> None:
    """List every setting with its default (or its value under a preset) and what it does."""
    from rxweave.config import RunSettings
    from rxweave.console import print_settings

    print_settings(None if preset is None else RunSettings(preset=preset))


loading.add_to(app)
finished_commands.add_to(app)


def main() -> None:
    """Run the command line; errors a user can mend are one message and exit code 2."""
    prepare_process()
    try:
        # Without click's standalone mode, `typer.Exit` comes back as the exit code; so does Ctrl-C, as 130.
        code = app(standalone_mode=False) or 0
        sys.exit(_fail("Stopped by Ctrl-C; nothing half-written was kept.", code) if code == STOPPED else code)
    except Exception as error:
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    import click

    from rxweave.errors import CollapseError, RxweaveError

    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, RxweaveError):
        return _fail(str(error), 1 if isinstance(error, CollapseError) else 2)
    if "No space left on device" in str(error):
        place = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        return _fail(
            f"The disk is full{place}; nothing half-written was kept. Make room and give the same command again: "
            "training goes on from its checkpoint, if one was written.",
            2,
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
        return _fail(
            "The machine's memory is not enough. Lower embed.hidden_dim or embed.edge_sample_size, or take a part of "
            "the graph with --limit-nodes or --include-node-types.",
            2,
        )
    if isinstance(error, OSError):
        return _fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), 2)
    raise error


def _fail(message: str, code: int) -> int:
    from rxweave.embed.place import told_rank

    typer.echo(f"rxweave{told_rank()}: {message}", err=True)
    return code
