"""The commands that go on from a finished run, put on the command line together."""

from __future__ import annotations

import typer

from rxweave.cluster_command import cluster
from rxweave.export.commands import export


def add_to(app: typer.Typer) -> None:
    """Add `rxweave cluster` and `rxweave export` to the command line."""
    for command in (cluster, export):
        app.command()(command)
