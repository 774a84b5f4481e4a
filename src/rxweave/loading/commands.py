"""`rxweave download`, `doctor` and `search`: a graph brought here, what it is like, and where in it a name stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rxweave.options import Json, Kg, OnError, Override, Treats, Types

NodeType = Annotated[str | None, typer.Option("--type", help="Look among the nodes of this type only.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command in (download, doctor, search):
        app.command()(command)


def download(
    *,
    name: Annotated[str | None, typer.Argument(help="A source of the list.")] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the sources: size, nodes, edges, licence.")] = False,
    to: Annotated[
        Path | None, typer.Option(help="Folder for the files (default: NAME in RXWEAVE_CACHE or the user's cache).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Download again what is already there.")] = False,
) -> None:
    """Download a public graph from where its makers keep it, and check it; a stopped download goes on."""
    from rxweave.errors import ConfigError
    from rxweave.kg.catalogue import source_named, source_names
    from rxweave.kg.catalogue.source import cache_folder
    from rxweave.kg.fetch_source import fetch_source
    from rxweave.loading.show import DownloadBar, print_fetched, print_source, print_sources

    if show_list:
        print_sources([source_named(each) for each in source_names()])
        return
    if name is None:
        raise ConfigError(f"Name a source: {', '.join(source_names())}; --list says more about each.")
    source = source_named(name)
    print_source(source)
    folder = to or cache_folder() / name
    with DownloadBar() as bar:
        fetched = fetch_source(source, folder, force=force, progress=bar.progress, note=bar.note)
    print_fetched(name if to is None else str(folder), fetched)


def doctor(
    *,
    kg: Kg = "demo",
    include_node_types: Types = None,
    treats: Treats = None,
    on_error: OnError = None,
    override: Override = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for a warning too.")] = False,
    as_json: Json = False,
) -> None:
    """Check a graph before training: components, lone nodes, hubs, missing genes, counts against the published ones.

    Exit code 0 for good and warning, 1 for a problem, 2 for a graph that cannot be read.
    """
    from rxweave.artifacts import plain
    from rxweave.graph.check import check_graph
    from rxweave.loading.show import print_check
    from rxweave.pipeline import load
    from rxweave.settings import settings_from

    named = {
        "load.kg": kg,
        "load.include_node_types": include_node_types,
        "load.treats": treats,
        "load.on_error": on_error,
    }
    loaded, graph = load(settings_from(named, override or []))
    check = check_graph(loaded, graph)
    if as_json:
        told = {"graph": check.name, "level": check.level, "findings": plain(check.findings)}
        told |= {"types": check.types.to_dicts(), "relations": check.relations.to_dicts()}
        typer.echo(json.dumps(told, indent=2))
    else:
        print_check(check)
    raise typer.Exit(1 if check.level == "problem" or (strict and check.level == "warning") else 0)


def search(
    *,
    text: Annotated[str, typer.Argument(help="A name, a part of one, a synonym or an id.")],
    kg: Kg = "demo",
    node_type: NodeType = None,
    limit: Annotated[int, typer.Option(min=1, help="Most nodes to show.")] = 20,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Find nodes by name, synonym or id; exit code 1 if there is none."""
    from rxweave.kg.names import closest_names
    from rxweave.kg.names import search as search_names
    from rxweave.kg.sources import load_kg
    from rxweave.loading.show import print_found
    from rxweave.settings import settings_from

    settings = settings_from({"load.kg": kg}, override or [])
    loaded = load_kg(**settings.load.reader_options(), seed=settings.seed)
    found = search_names(loaded, text, node_type=node_type, limit=limit)
    near = [] if found.height else closest_names(loaded, text, node_type=node_type)
    if as_json:
        typer.echo(json.dumps({"found": found.to_dicts(), "closest": [node.node_key for node in near]}, indent=2))
    else:
        print_found(loaded.name, text, found, near)
    raise typer.Exit(0 if found.height else 1)
