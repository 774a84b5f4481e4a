"""`rxweave report`: the report of a finished run, made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rxweave.options import Json


def report(
    *,
    run: Annotated[Path, typer.Option(help="Output folder of `rxweave run`; its report is replaced.")],
    as_json: Json = False,
) -> None:
    """Make a finished run's report again, with the clusters and the ablation that were made since."""
    from rxweave.console import RichWatch
    from rxweave.finished_report import report_again

    with RichWatch(1, quiet=as_json) as watch:
        page = report_again(run, watch=watch)
    size = page.stat().st_size
    if as_json:
        typer.echo(json.dumps({"report": str(page), "bytes": size, "metrics": str(page.with_name("metrics.json"))}))
    else:
        typer.echo(f"Report: {page} ({size / 1e6:.1f} MB)")
