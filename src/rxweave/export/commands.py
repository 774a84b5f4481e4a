"""`rxweave export`: what a run found, in the formats of other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rxweave.options import Json


def export(
    *,
    run: Annotated[Path, typer.Option(help="Output folder of `rxweave run`.")],
    to: Annotated[
        str, typer.Option(help="Formats with commas between: parquet, csv, npy, h5ad, word2vec, projector, kgx, neo4j.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files, one folder for each format.")],
    top: Annotated[
        int, typer.Option(min=1, help="New pairs of each disease, in csv, kgx and neo4j; parquet has all pairs.")
    ] = 100,
    force: Annotated[bool, typer.Option("--force", help="Replace formats that are in --out already.")] = False,
    as_json: Json = False,
) -> None:
    """Write the embeddings and predictions of a run for other tools, with a text that says what they are."""
    from rxweave.artifacts import plain
    from rxweave.console import RichWatch
    from rxweave.export.content import NOT_ADVICE
    from rxweave.export.export import export_run

    formats = [each.strip().lower() for each in to.split(",") if each.strip()]
    with RichWatch(1, quiet=as_json) as watch:
        done = export_run(run, formats, out, top=top, force=force, progress=watch.progress)
    if as_json:
        typer.echo(json.dumps(plain(done), indent=2))
        return
    for name, files in done.files.items():
        typer.echo(f"{name}: " + ", ".join(str(file) for file in files))
    typer.echo(f"What they are: {done.card}\n{NOT_ADVICE}")
