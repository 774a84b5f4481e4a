"""`rxweave embed`: every node of a graph, or, with `--add`, nodes that a finished run does not know yet."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rxweave.options import (
    Batching,
    Collapse,
    Contrast,
    Device,
    Dim,
    Epochs,
    Facts,
    Fit,
    Heads,
    Hidden,
    Json,
    Layers,
    Limit,
    Override,
    Parts,
    Preset,
    Rate,
    Resume,
    Seed,
    Similar,
    TensorBoard,
    Types,
)

if TYPE_CHECKING:
    from rxweave.config import RunSettings

ADDING = "New nodes for a finished run"


def embed(
    *,
    edges: Annotated[Path | None, typer.Argument(help="A graph file or folder.")] = None,
    output: Annotated[
        Path | None, typer.Argument(help="The CSV to write; a Parquet file of the same name lies beside it.")
    ] = None,
    seed: Seed = None,
    include_node_types: Types = None,
    limit_nodes: Limit = None,
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
    add: Annotated[
        Path | None,
        typer.Option(
            help="A table of new nodes and their facts (source, relation, target, node_id, node_name, node_type): "
            "embedded and ranked by the model of --run as it is, nothing trained.",
            rich_help_panel=ADDING,
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="--add: output folder of `rxweave run`.", rich_help_panel=ADDING)
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, help="--add: pairs to show of each new node.", rich_help_panel=ADDING)
    ] = 20,
    csv: Annotated[
        Path | None, typer.Option(help="--add: write all pairs to this CSV file as well.", rich_help_panel=ADDING)
    ] = None,
    as_json: Json = False,
) -> None:
    """Embed every node of a graph, with all its facts (nothing is held out, so nothing can be evaluated)."""
    from rxweave.errors import ConfigError

    chosen = {
        "load.include_node_types": include_node_types,
        "load.limit_nodes": limit_nodes,
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
    }
    if add is not None or run is not None:
        if add is None or run is None:
            raise ConfigError("--add and --run belong together: a table of new nodes, and the run that embeds them.")
        given = [
            name for name, value in {"a graph": edges, **chosen, "-o": override or None}.items() if value is not None
        ]
        if given or fit or tensorboard or resume is not None:
            raise ConfigError(
                f"--add trains nothing, so settings of graph and training ({', '.join(given) or 'as given'}) do not "
                "belong to it. Leave them out."
            )
        from rxweave.added_command import add_and_show

        add_and_show(run, add, top=top, csv=csv, as_json=as_json)
        return
    if edges is None or output is None:
        raise ConfigError(
            "Give a graph and the CSV to write (rxweave embed GRAPH OUT.csv), or --add with a table of new nodes and "
            "--run with a run's folder."
        )
    if csv is not None:
        raise ConfigError("--csv belongs to --add; the second argument names the CSV of the embeddings.")
    from rxweave.settings import settings_from

    settings = settings_from({"load.kg": str(edges), **chosen}, override or [])
    if fit:
        propose(settings, as_json=as_json)
    else:
        _embed_graph(settings, output, resume=resume, tensorboard=tensorboard)


def _embed_graph(settings: RunSettings, output: Path, *, resume: bool | None, tensorboard: Path | None) -> None:
    from rxweave.api import embed_graph
    from rxweave.console import RichWatch
    from rxweave.tensorboard import tensorboard as logged

    with RichWatch(settings.embed.num_epochs) as shown, logged(tensorboard, shown) as watch:
        facts = embed_graph(settings, output, watch=watch, resume=resume)
    typer.echo(json.dumps(facts, indent=2))
    raise typer.Exit(1 if facts["verdict"] == "collapsed" else 0)


def propose(settings: RunSettings, *, as_json: bool = False) -> None:
    """Print the command that was given, changed so that it fits this machine."""
    import shlex

    from rxweave.embed.memory_fit import propose as proposed
    from rxweave.embed.place import this_place
    from rxweave.pipeline import load

    if not this_place().first:
        return
    # All facts, of which training holds some out: a little more than it will take.
    loaded = load(settings)  # the tables as well, which a run holds while it trains
    found = proposed(loaded[1], settings.embed)
    given = shlex.join(part for part in sys.argv[1:] if part != "--fit")
    command = f"rxweave {given} {found.options()}".strip()
    if as_json:
        typer.echo(json.dumps({"command": command, "changes": dict(found.changes), "memory": found.plan.plain()}))
    else:
        typer.echo(found.plan.told(), err=True)
        typer.echo(f"It fits {'with these settings' if found.changes else 'as it is'}:", err=True)
        typer.echo(command)
