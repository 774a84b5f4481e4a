"""The commands that go on from a finished run, put on the command line together."""

from __future__ import annotations

import typer

from rxweave.ablation_command import ablation
from rxweave.cluster_command import cluster
from rxweave.explain_command import explain
from rxweave.export.commands import export
from rxweave.rank_command import rank
from rxweave.report_command import report
from rxweave.tune_command import tune


def add_to(app: typer.Typer) -> None:
    """Add `rxweave rank`, `explain`, `cluster`, `export`, `report`, `ablation` and `tune` to the command line."""
    for command in (rank, explain, cluster, export, report, ablation, tune):
        app.command()(command)
