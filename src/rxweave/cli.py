"""The command line: thin, quick to start, and without a traceback for anything a user can mend."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="rxweave",
    help="Drug-repurposing evidence from biomedical knowledge graphs that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

STOPPED = 130
"""Exit code after Ctrl-C, as shells count it: 128 + SIGINT."""

Out = Annotated[Path, typer.Option("--out", help="Folder for everything the run writes.")]
Kg = Annotated[str, typer.Option("--kg", help="A graph file or folder, or demo (demo:6000 for another size).")]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", "-o", help="Any setting, as stage.name=value; `rxweave settings` lists them."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of every random choice [default: 0].")]
Types = Annotated[
    list[str] | None,
    typer.Option("--include-node-types", help="Keep only this node type; give it again for more."),
]
Limit = Annotated[int | None, typer.Option(help="Sample this many nodes, each type in proportion.")]
Treats = Annotated[
    list[str] | None,
    typer.Option("--treats", help="Relation that means treatment, if the format does not say."),
]
OnError = Annotated[str | None, typer.Option(help="A malformed row: stop [default] or skip, counted and listed.")]
Dim = Annotated[int | None, typer.Option(help="Length of each embedding [default: 512].")]
Epochs = Annotated[int | None, typer.Option("--num-epochs", "--epochs", help="Training epochs [default: 100].")]
Rate = Annotated[float | None, typer.Option(help="Peak learning rate [default: see `rxweave settings`].")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda [default: the best one present].")]
Force = Annotated[bool, typer.Option("--force", help="Replace the run of another graph in --out.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@app.command()
def run(
    kg: Kg = "demo",
    out: Out = Path("data"),
    seed: Seed = None,
    include_node_types: Types = None,
    limit_nodes: Limit = None,
    treats: Treats = None,
    on_error: OnError = None,
    embedding_dim: Dim = None,
    num_epochs: Epochs = None,
    learning_rate: Rate = None,
    device: Device = None,
    override: Override = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """From a graph to embeddings, a collapse verdict, ranked drugs and a report."""
    from rxweave.console import RichWatch, print_run, run_summary
    from rxweave.pipeline import run as run_pipeline
    from rxweave.settings import settings_from

    settings = settings_from(
        {
            "load.kg": kg,
            "load.include_node_types": include_node_types,
            "load.limit_nodes": limit_nodes,
            "load.treats": treats,
            "load.on_error": on_error,
            "embed.embedding_dim": embedding_dim,
            "embed.num_epochs": num_epochs,
            "embed.learning_rate": learning_rate,
            "embed.device": device,
            "seed": seed,
        },
        override or [],
    )
    with RichWatch(settings.embed.num_epochs, quiet=as_json) as watch:
        result = run_pipeline(settings, out, watch=watch, force=force)
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
            "seed": seed,
        },
        override or [],
    )
    print_load_report(*build_tables(settings, out, force=force))


@app.command()
def embed(
    edges: Annotated[Path, typer.Argument(help="A graph file or folder.")],
    output: Annotated[Path, typer.Argument(help="The CSV to write; a Parquet file of the same name lies beside it.")],
    embedding_dim: Dim = None,
    num_epochs: Epochs = None,
    learning_rate: Rate = None,
    limit_nodes: Limit = None,
    include_node_types: Types = None,
    device: Device = None,
    seed: Seed = None,
    override: Override = None,
) -> None:
    """Embed every node of a graph, with all its facts (nothing is held out, so nothing can be evaluated)."""
    from rxweave.api import embed_graph
    from rxweave.console import RichWatch
    from rxweave.settings import settings_from

    settings = settings_from(
        {
            "load.kg": str(edges),
            "load.include_node_types": include_node_types,
            "load.limit_nodes": limit_nodes,
            "embed.embedding_dim": embedding_dim,
            "embed.num_epochs": num_epochs,
            "embed.learning_rate": learning_rate,
            "embed.device": device,
            "seed": seed,
        },
        override or [],
    )
    with RichWatch(settings.embed.num_epochs) as watch:
        facts = embed_graph(settings, output, watch=watch)
    typer.echo(json.dumps(facts, indent=2))
    raise typer.Exit(1 if facts["verdict"] == "collapsed" else 0)


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="Embeddings of any tool: Parquet, or CSV in either form.")],
    types: Annotated[
        Path | None,
        typer.Option(help="A table with node_id (or node_key) and node_type, if the file has no types."),
    ] = None,
    drug_type: Annotated[str | None, typer.Option(help="Node type of drugs: judged by the drug gates.")] = None,
    disease_type: Annotated[str | None, typer.Option(help="Node type of diseases.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sample of nodes.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for a warning too.")] = False,
    as_json: Json = False,
) -> None:
    """Say whether embeddings have collapsed: exit code 0 for good and warning, 1 for collapsed, 2 for bad input."""
    from rxweave.console import print_verdict, verdict_summary
    from rxweave.embed.store import read_embeddings
    from rxweave.validate.collapse import measure_collapse
    from rxweave.validate.verdict import exit_code, judge

    embeddings = read_embeddings(file, types=types)
    report = measure_collapse(embeddings, seed=seed)
    verdict = judge(report, drug_type=drug_type, disease_type=disease_type)
    if as_json:
        typer.echo(json.dumps(verdict_summary(report, verdict), indent=2))
    else:
        print_verdict(report, verdict)
    raise typer.Exit(exit_code(verdict, strict=strict))


@app.command()
def settings() -> None:
    """List every setting with its default and what it does."""
    from rxweave.console import print_settings

    print_settings()


def main() -> None:
    """Run the command line; errors a user can mend are one message and exit code 2."""
    try:
        # Without click's standalone mode, `typer.Exit` comes back as the exit code; so does Ctrl-C, as 130.
        code = app(standalone_mode=False) or 0
        sys.exit(_fail("Stopped by Ctrl-C; nothing half-written was kept.", code) if code == STOPPED else code)
    except Exception as error:
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    import click

    from rxweave.errors import RxweaveError

    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, RxweaveError):
        return _fail(str(error), 2)
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
    typer.echo(f"rxweave: {message}", err=True)
    return code
